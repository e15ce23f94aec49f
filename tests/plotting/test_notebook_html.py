from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import numpy as np
import torch

from genoplrp.plotting import dataset_html, explanation_html, repr_html
from genoplrp.relevance import Explanation
from genoplrp.synthetic import Dataset, load_spec, simulate


def cells(html: str) -> list[str]:
    found: list[str] = []

    class Reader(HTMLParser):
        inside = False

        def handle_starttag(self, tag, attrs):
            self.inside = tag in ("td", "th")

        def handle_data(self, data):
            if self.inside:
                found.append(data)

        def handle_endtag(self, tag):
            self.inside = False

    Reader().feed(html)
    return found


def picture(html: str) -> bytes:
    return base64.b64decode(re.search(r"base64,([^']+)'", html).group(1))


def test_an_explanation_shows_a_logo_and_its_first_sequences():
    relevance = torch.zeros(7, 4, 30)
    relevance[3, 2, 10] = 2.0
    relevance[3, 1, 11] = -0.5
    html = explanation_html(Explanation(relevance, torch.arange(7.0), 0, notes=["explained at the logit"]))
    assert picture(html).startswith(b"\x89PNG")
    shown = cells(html)
    assert "7 sequences of 30 bp" in shown
    row = shown.index("3", shown.index("bases that are 0"))
    assert shown[row : row + 5] == ["3", "3", "2", "-0.5", "93%"]
    assert "2 more" in html
    assert "explained at the logit" in html


def test_notebooks_ask_an_explanation_and_a_data_set_for_themselves():
    explanation = Explanation(torch.eye(4)[None], torch.ones(1), 0)
    assert explanation._repr_html_() == explanation_html(explanation)
    data = Dataset.from_sequences(["ACGT", "TTTT"], [1, 0])
    assert data._repr_html_() == dataset_html(data)


def test_an_explanation_without_bases_falls_back_to_its_facts():
    html = Explanation(torch.ones(2, 3, 5), torch.ones(2), 0)._repr_html_()
    assert "(2, 3, 5)" in html
    assert "<img" not in html


def test_an_explanation_of_nothing_still_shows_itself():
    html = explanation_html(Explanation(torch.zeros(0, 4, 30), torch.zeros(0), 0))
    assert "(0, 4, 30)" in html


def test_a_long_explanation_is_drawn_as_an_overview():
    e = Explanation(torch.randn(1, 4, 5000, generator=torch.Generator().manual_seed(0)), torch.zeros(1), 0)
    assert len(picture(explanation_html(e))) < 200_000


def test_a_data_set_shows_its_parts_and_what_is_planted():
    data = simulate(load_spec("koo2021"), n=30, seed=0, progress=False)
    html = dataset_html(data)
    shown = cells(html)
    assert "30 sequences of 200 bp" in shown
    assert [word for word in shown if word in ("train", "valid", "test")] == ["train", "valid", "test"]
    assert shown[shown.index("train") + 1] == str((data.split == "train").sum())
    assert picture(html).startswith(b"\x89PNG")


def test_real_data_without_instances_shows_no_picture():
    html = dataset_html(Dataset.from_sequences(["ACGT", "TTTT", "GGGG"], [1, 0, 1]))
    assert "<img" not in html
    assert "3 sequences of 4 bp" in html


def test_text_is_escaped():
    html = repr_html(
        "<b>", {"<i>": "<u>"}, logo=np.eye(4), caption="'><script>", rows=[{"<a>": "<s>"}], notes=["<p>"]
    )
    assert not re.search(r"<(b|i|u|a|s|p|script)>", html)
