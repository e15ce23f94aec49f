from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from genoplrp.errors import InputError, OutputExistsError
from genoplrp.evaluation import cells as cells_module
from genoplrp.evaluation.plan import Plan, full_plan, quick_plan, sweep_methods
from genoplrp.evaluation.report import comparison_pairs
from genoplrp.evaluation.runner import benchmark
from genoplrp.synthetic import Dataset
from genoplrp.training import load_model

METHODS = ["random", "pwm-scan", "gradient-x-input", "plrp-lambda-0.15", "sharpen:plrp-lambda-0.15"]
SETTINGS = {
    "architectures": ("koo",),
    "seeds": (0, 1),
    "epochs": 3,
    "n_explain": 12,
    "n_robust": 3,
    "n_fills": 1,
    "progress": False,
}


@pytest.fixture(scope="module")
def finished(tiny_data, tmp_path_factory) -> tuple[Path, pd.DataFrame]:
    out = tmp_path_factory.mktemp("benchmark") / "run"
    return out, benchmark({"tiny": tiny_data}, METHODS, out=out, **SETTINGS)


def test_there_is_one_row_for_every_network_method_and_sequence(finished):
    _, table = finished
    assert set(table["method"]) == {
        "random",
        "pwm-scan",
        "gradient-x-input",
        "lrp@gamma",
        "plrp-lambda-0.15@gamma",
        "sharpen:plrp-lambda-0.15@gamma",
    }
    keys = ["dataset", "architecture", "seed", "method", "sequence"]
    assert not table.duplicated(keys).any()
    assert (table.groupby("method").size() == 2 * 12).all()


def test_only_correct_positives_of_the_test_part_are_explained(finished, tiny_data):
    _, table = finished
    rows = table["sequence"].unique()
    assert (tiny_data.split[rows] == "test").all()
    assert (tiny_data.labels[rows, 0] == 1).all()


def test_the_oracle_finds_the_sites_and_the_random_map_is_at_chance(finished):
    _, table = finished
    means = table.groupby("method")[["rma", "auroc", "rra", "prevalence", "core_all_credited"]].mean()
    assert means.loc["pwm-scan", "rma"] > 0.95
    assert means.loc["pwm-scan", "core_all_credited"] == 1.0
    for metric, chance in (
        ("rma", means["prevalence"].iloc[0]),
        ("rra", means["prevalence"].iloc[0]),
        ("auroc", 0.5),
    ):
        values = table.loc[table["method"] == "random", metric]
        assert abs(values.mean() - chance) < 4 * values.sem(), metric


def test_controls_are_as_sparse_as_what_they_control_for(finished):
    _, table = finished
    wide = table.pivot_table(index=["seed", "sequence"], columns="method", values="gini_positive")
    np.testing.assert_allclose(
        wide["sharpen:plrp-lambda-0.15@gamma"], wide["plrp-lambda-0.15@gamma"], atol=1e-3
    )


def test_everything_is_written_and_the_written_tables_are_the_returned_ones(finished):
    out, table = finished
    names = {path.name for path in out.iterdir()}
    assert {
        "plan.json",
        "summary.csv",
        "comparisons.csv",
        "agreement.csv",
        "sanity.csv",
        "report.md",
    } <= names
    pd.testing.assert_frame_equal(pd.read_parquet(out / "results.parquet"), table)
    summary = pd.read_csv(out / "summary.csv")
    own = table[(table["method"] == "random")].groupby("seed")["rma"].mean().mean()
    row = summary[(summary["method"] == "random") & (summary["metric"] == "rma")].iloc[0]
    assert row["mean"] == pytest.approx(own)
    assert row["low"] <= row["mean"] <= row["high"]
    assert (out / "figures" / "methods.png").stat().st_size > 10_000
    assert "plrp-lambda-0.15@gamma" in (out / "report.md").read_text()
    assert not list(out.rglob("*.part"))


def test_agreement_between_seeds_covers_every_method(finished):
    out, _ = finished
    table = pd.read_csv(out / "agreement.csv")
    assert len(table) == 6
    assert table.set_index("method").loc["pwm-scan", "cosine"] == pytest.approx(1.0)
    assert abs(table.set_index("method").loc["random", "cosine"]) < 0.2


def test_sanity_tells_maps_of_the_network_from_maps_of_the_input(finished):
    out, _ = finished
    table = pd.read_csv(out / "sanity.csv")
    final = table[table["layers"] == table["layers"].max()].groupby("method")["cosine"].mean()
    assert final["pwm-scan"] == pytest.approx(1.0, abs=1e-6)
    assert final["gradient-x-input"] < 0.9


def test_a_finished_run_is_not_done_again_and_gives_the_same_table(finished, tiny_data, monkeypatch):
    out, table = finished

    def refuse(*args, **kwargs):
        raise AssertionError("nothing is left to do")

    monkeypatch.setattr(cells_module, "explain_with", refuse)
    again = benchmark({"tiny": tiny_data}, METHODS, out=out, figures=False, **SETTINGS)
    pd.testing.assert_frame_equal(again, table)


def test_an_interrupted_run_goes_on_where_it_was_and_ends_the_same(
    finished, tiny_data, tmp_path, monkeypatch
):
    _, table = finished
    real, calls = cells_module.explain_with, []

    def interrupt_at_third(name, *args, **kwargs):
        calls.append(name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(name, *args, **kwargs)

    settings = SETTINGS | {"n_robust": 0, "sanity": False}
    with monkeypatch.context() as patch:
        patch.setattr(cells_module, "explain_with", interrupt_at_third)
        with pytest.raises(KeyboardInterrupt):
            benchmark({"tiny": tiny_data}, METHODS, out=tmp_path / "run", **settings)
    after = benchmark({"tiny": tiny_data}, METHODS, out=tmp_path / "run", figures=False, **settings)
    # A run of its own trains its own networks: the same seed must give the same scores to the last digit.
    pd.testing.assert_frame_equal(after, table[after.columns])


def test_a_method_added_later_costs_only_itself(finished, tiny_data, monkeypatch):
    out, table = finished
    real, calls = cells_module.explain_with, set()

    def note(name, *args, **kwargs):
        calls.add(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(cells_module, "explain_with", note)
    more = benchmark({"tiny": tiny_data}, [*METHODS, "plrp-auto"], out=out, figures=False, **SETTINGS)
    assert calls == {"plrp-auto@gamma"}
    assert len(more) == len(table) * 7 // 6


def test_two_processes_give_what_one_gives(finished, tiny_data, tmp_path):
    _, table = finished
    settings = SETTINGS | {"n_robust": 0, "sanity": False}
    methods = ["pwm-scan", "plrp-lambda-0.15"]
    both = benchmark({"tiny": tiny_data}, methods, out=tmp_path / "run", jobs=2, figures=False, **settings)
    one = table[table["method"].isin(set(both["method"]))]
    keys = ["method", "seed", "sequence"]
    columns = ["rma", "gini", "average_precision"]
    left, right = (t.sort_values(keys, ignore_index=True)[columns] for t in (both, one))
    np.testing.assert_allclose(left, right, atol=2e-3)


def test_a_folder_with_something_else_is_left_alone(tiny_data, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match="is no benchmark"):
        benchmark({"tiny": tiny_data}, METHODS, out=tmp_path, force=True, **SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seeds": ()}, "seeds"),
        ({"seeds": (0, 0)}, "without repetitions"),
        ({"n_explain": 0}, "n_explain must be at least 1"),
        ({"fill": "blur"}, "fill='blur': choose one of dinucleotide"),
        ({"methods": ("saliency",)}, "unknown method"),
        ({"colour": 3}, "unknown setting.*colour"),
        ({"architectures": ("unet",)}, "no architecture 'unet'"),
        ({"datasets": ("my/data",)}, "'my/data' is not the name of a data set"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message, tmp_path):
    with pytest.raises(InputError, match=message):
        benchmark(out=tmp_path / "run", **{"datasets": ("koo2021",), **settings})
    assert not (tmp_path / "run").exists()


def test_no_data_set_is_refused(tmp_path):
    with pytest.raises(InputError, match="at least one data set"):
        benchmark(out=tmp_path / "run")


def test_the_sweep_has_both_kinds_at_every_p():
    assert len(sweep_methods()) == 40
    plan = replace(quick_plan(), methods=tuple(sweep_methods(p=[0.1])))
    assert plan.methods == ("plrp-lambda-0.1@gamma", "plrp-M-0.1@gamma")


def test_every_pruned_map_is_compared_with_its_plain_one_its_controls_and_the_rivals():
    methods = Plan(datasets=("a",), methods=("ism", "sharpen:plrp-auto@zplus", "plrp-auto")).methods
    pairs = comparison_pairs(methods)
    assert ("plrp-auto@zplus", "lrp@zplus") in pairs
    assert ("plrp-auto@zplus", "sharpen:plrp-auto@zplus") in pairs
    assert ("plrp-auto@zplus", "ism") in pairs
    assert ("plrp-auto@gamma", "ism") in pairs
    assert len(pairs) == 4


def test_networks_of_random_labels_are_compared_where_asked_for(tiny_data, tmp_path):
    methods = ["pwm-scan", "gradient-x-input"]
    settings = {**SETTINGS, "seeds": (0,), "random_labels": True, "figures": False}
    benchmark({"tiny": tiny_data}, methods, out=tmp_path / "run", **settings)
    table = pd.read_csv(tmp_path / "run" / "sanity.csv")
    rows = table[table["layer"] == "random labels"].groupby("method")["cosine"].mean()
    # The oracle looks at the sequence alone: no other network changes its map.
    assert rows["pwm-scan"] == pytest.approx(1.0)
    assert rows["gradient-x-input"] < 0.95


def _without_truth(data: Dataset) -> Dataset:
    """The same sequences with labels that nothing in them tells."""
    return replace(data, labels=np.random.default_rng(3).permutation(data.labels))


def test_a_network_that_has_not_learnt_is_named_and_not_explained(tiny_data, tmp_path):
    out = tmp_path / "run"
    own = {"tiny": tiny_data, "noise": _without_truth(tiny_data)}
    table = benchmark(own, ["random"], out=out, **{**SETTINGS, "seeds": (0,), "figures": False})
    assert set(table["dataset"]) == {"tiny"}
    assert "noise/koo-0 (test AUROC" in (out / "report.md").read_text()
    assert not (out / "cells" / "noise" / "koo-0" / "maps").exists()


def test_networks_none_of_which_has_learnt_are_an_error_that_says_how_far_they_are(tiny_data, tmp_path):
    settings = {**SETTINGS, "seeds": (0,), "figures": False}
    with pytest.raises(InputError, match=r"noise/koo-0 0\.\d{3}.*train on more sequences"):
        benchmark({"noise": _without_truth(tiny_data)}, ["random"], out=tmp_path / "run", **settings)


def test_epochs_can_be_said_for_one_architecture(tiny_data, tmp_path):
    settings = {**SETTINGS, "architectures": ("koo",), "seeds": (0,), "figures": False, "least_auroc": 0.0}
    for name, epochs, expected in (("koo", {"koo": 2}, 2), ("other", {"bpnet": 1}, None)):
        out = tmp_path / name
        benchmark({"tiny": tiny_data}, ["random"], out=out, **{**settings, "epochs": epochs})
        n = len(load_model(out / "cells" / "tiny" / "koo-0" / "model").history)
        assert n == expected if expected else n > 2
        assert json.loads((out / "plan.json").read_text())["epochs"] == epochs


def test_the_full_plan_trains_every_network_as_long_as_its_architecture_needs():
    plan = full_plan()
    assert plan.training_options("koo") == {}
    assert plan.training_options("bpnet") == {"epochs": 8}
    assert replace(plan, epochs=3).training_options("bpnet") == {"epochs": 3}
