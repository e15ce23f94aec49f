"""Figures on disk: three formats, whole or not at all, the same bytes for the same figure."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from genoplrp.errors import InputError, OutputExistsError
from genoplrp.plotting import plot_logo, save_figure

MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "pdf": b"%PDF-", "svg": b"<?xml"}


def logo() -> Figure:
    figure = Figure(figsize=(4, 2))
    relevance = np.zeros((4, 6))
    relevance[[0, 1, 2, 3], [0, 1, 2, 4]] = [1.0, 2.0, 1.5, -0.5]
    plot_logo(relevance, figure.subplots())
    return figure


@pytest.mark.parametrize("suffix", MAGIC)
def test_the_suffix_names_the_format(tmp_path, suffix):
    path = save_figure(logo(), tmp_path / f"logo.{suffix.upper()}")
    assert path.read_bytes().startswith(MAGIC[suffix])
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", MAGIC)
def test_the_same_figure_makes_the_same_bytes(tmp_path, suffix):
    one, two = (save_figure(logo(), tmp_path / f"{name}.{suffix}").read_bytes() for name in "ab")
    assert one == two


def test_an_svg_holds_each_letter_as_an_outline_in_the_colour_of_its_base(tmp_path):
    tree = ElementTree.fromstring(save_figure(logo(), tmp_path / "logo.svg").read_text())
    filled = [
        match[1]
        for element in tree.iter()
        if (match := re.search(r"fill: (#\w{6})", element.get("style", ""))) and element.tag.endswith("path")
    ]
    for color in ("#008000", "#0000ff", "#ffa500", "#ff0000"):  # A, C, G, T
        assert filled.count(color) == 1


def test_several_figures_are_pages_of_one_pdf_and_nothing_else(tmp_path):
    raw = save_figure([logo(), logo(), logo()], tmp_path / "logos.pdf").read_bytes()
    assert len(re.findall(rb"/Type /Page\b(?!s)", raw)) == 3
    with pytest.raises(InputError, match="one figure, 3"):
        save_figure([logo()] * 3, tmp_path / "logos.png")


def test_a_file_that_exists_is_kept_unless_asked(tmp_path):
    path = tmp_path / "logo.png"
    path.write_text("mine")
    with pytest.raises(OutputExistsError, match="exists already"):
        save_figure(logo(), path)
    assert path.read_text() == "mine"
    assert save_figure(logo(), path, overwrite=True).read_bytes().startswith(MAGIC["png"])


def test_a_figure_that_cannot_be_drawn_leaves_the_old_file_and_no_other(tmp_path):
    path = save_figure(logo(), tmp_path / "logo.png")
    before, broken = path.read_bytes(), logo()
    broken.axes[0].set_xlabel("$\\nonsense$")
    with pytest.raises(ValueError, match="nonsense"):
        save_figure(broken, path, overwrite=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "message"), [("logo.jpeg", "ends in"), ("nowhere/logo.png", "does not exist")]
)
def test_a_place_that_cannot_be_written_is_named(tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        save_figure(logo(), tmp_path / name)
