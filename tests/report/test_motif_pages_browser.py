"""The index page of motifs in a real Chromium: on a screen and on a phone."""

import numpy as np
import pandas as pd
import pytest

from genoplrp.sites import FoundMotif, motif_table
from genoplrp.sites.pages import write_pages

WIDTHS = {"positive_0": 6, "positive_1": 22}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    rng = np.random.default_rng(0)
    motifs, matches = [], []
    for name, width in WIDTHS.items():
        where = pd.DataFrame({"motif": name, "sequence": np.arange(40), "start": 20, "end": 20 + width})
        where = where.assign(strand="+", target=np.repeat(["exon", "intron"], 20))
        pwm = rng.dirichlet(np.full(4, 0.1), size=width).T
        motifs.append(FoundMotif(name, pwm, pwm, where))
        certain = width > 10
        matches.append(
            {"motif": name, "match": f"FACTOR_OF_{name}", "matrix_id": "MA0001.1", "family": "a family of factors"}
            | {"p_value": 0.001, "q_value": 0.01 if certain else 0.4, "e_value": 1.0, "tied": True}
            | {"of_motif": 0.8, "of_match": 0.7}
        )  # fmt: skip
    found = pd.DataFrame(matches)
    write_pages(folder, motifs, motif_table(motifs, found), found, (), 40, 80)
    return (folder / "index.html").as_uri()


@pytest.mark.parametrize("width", [1280, 390])
def test_logos_are_large_and_nothing_is_cut_off(chromium, address, width):
    page = chromium.new_page(viewport={"width": width, "height": 800})
    try:
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = [one.bounding_box() for one in page.query_selector_all(".motifs img")]
        assert len(boxes) == len(WIDTHS)
        assert all(box["height"] >= 60 and box["width"] > box["height"] for box in boxes)
        cells = [one.bounding_box() for one in page.query_selector_all(".motifs td")]
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in cells)
        rows = [one.inner_text() for one in page.query_selector_all(".motifs tr")][1:]
        assert "no match at q <= 0.05" in rows[0]
        assert "FACTOR_OF_positive_1" in rows[1]
        last = page.query_selector_all("table")[-1].inner_text()
        assert "exon" in last
        assert "intron" in last
    finally:
        page.close()
