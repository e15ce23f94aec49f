"""The tables and the figure of the real cells: what is averaged over what, and what is left empty."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.overview import METHODS, means
from benchmarks.real_tables import as_markdown, compare


def test_differences_from_the_consensus_are_paired_by_sequence() -> None:
    ap = np.array([0.9, 0.5, 0.7])
    scores = {
        "ism": pd.DataFrame({"ap": ap, "ms": 1.0}),
        "consensus": pd.DataFrame({"ap": ap + np.array([0.1, 0.2, 0.3]), "ms": 2.0}),
    }
    table = compare(scores).set_index(["method", "metric"])
    row = table.loc[("ism", "ap")]
    assert row["difference"] == pytest.approx(0.2)
    # Student's t of three differences: 4.303 standard errors of .1 / sqrt(3).
    assert (row["low"], row["high"]) == pytest.approx((0.2 - 0.2484, 0.2 + 0.2484), abs=1e-4)
    assert np.isnan(table.loc[("consensus", "ap"), "difference"])
    assert table.loc[("consensus", "ms"), "mean"] == 2.0


def test_what_a_map_has_no_share_of_is_left_empty_on_the_page() -> None:
    scores = {
        "ism": pd.DataFrame({"rma": [np.nan, np.nan], "ap": [0.25, 0.75], "ms": 1.0}),
        "consensus": pd.DataFrame({"rma": [0.5, 0.7], "ap": [0.5, 0.5], "ms": 1.0}),
    }
    table = compare(scores)
    table.insert(0, "cell", "a")
    page = as_markdown(table, pd.DataFrame({"cell": ["a"], "invariance": ["shift no"]}))
    line = next(line for line in page.splitlines() if line.startswith("| `ism`"))
    assert line.split("|")[2].strip() == ""
    assert line.split("|")[3].strip().startswith("0.500")
    assert "2 sequences; shift no." in page


def test_the_figure_averages_over_cells_that_all_methods_have() -> None:
    rows = [
        {"cell": cell, "method": method, "metric": metric, "mean": value}
        for cell, value in (("a", 0.2), ("b", 0.4), ("c", 0.9))
        for method in METHODS
        for metric in ("rma", "ap")
        if not (cell == "c" and metric == "rma" and method == "ism")
    ]
    real = pd.DataFrame(rows)
    planted = real.rename(columns={"cell": "dataset"}).assign(architecture="koo")
    planted["metric"] = planted["metric"].replace({"ap": "average_precision"})
    for table in means(planted, real).values():
        assert table["rma"].tolist() == pytest.approx([0.3] * len(METHODS))
        assert table["average_precision"].tolist() == pytest.approx([0.5] * len(METHODS))
