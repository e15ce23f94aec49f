from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from genoplrp.errors import InputError
from genoplrp.plotting import plot_logo


def draw(highlight, length=50, **options):
    figure = Figure(figsize=(8, 2), dpi=100)
    FigureCanvasAgg(figure)
    return plot_logo(np.eye(4)[:, np.arange(length) % 4], figure.subplots(), highlight=highlight, **options)


def bands(ax):
    return [
        (path.vertices[:, 0].min(), path.vertices[:, 0].max())
        for collection in ax.collections
        if isinstance(collection, PolyCollection)
        for path in collection.get_paths()
    ]


def labels(ax):
    return [text.get_text() for text in ax.texts]


def test_a_band_covers_exactly_the_letters_of_its_half_open_interval():
    assert bands(draw([(10, 14)])) == [(9.5, 13.5)]


def test_tables_tuples_and_masks_mark_the_same_bands():
    mask = np.zeros(50, dtype=bool)
    mask[3:9] = mask[20:26] = True
    table = pd.DataFrame({"start": [3, 20], "end": [9, 26]})
    assert bands(draw(table)) == bands(draw([(3, 9), (20, 26)])) == bands(draw(mask))


@pytest.mark.parametrize("column", ["label", "motif", "name"])
def test_labels_come_from_the_tables_column(column):
    assert labels(draw(pd.DataFrame({"start": [3], "end": [9], column: ["SP1"]}))) == ["SP1"]


def test_a_labels_arrow_points_the_way_the_instance_reads_on_the_page():
    table = pd.DataFrame({"start": [3, 30], "end": [9, 36], "motif": ["SP1", "YY1"], "strand": ["+", "-"]})
    assert labels(draw(table)) == ["SP1 ▸", "◂ YY1"]
    assert sorted(labels(draw(table, strand="-"))) == ["YY1 ▸", "◂ SP1"]


def test_labels_never_overlap():
    ax = draw([(10 + i, 16 + i, f"motif {i}") for i in range(8)])
    renderer = ax.figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in ax.texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


def test_the_title_stands_above_the_labels():
    ax = draw([(10, 16, "SP1"), (12, 18, "YY1")], title="a title")
    ax.figure.canvas.draw()
    renderer = ax.figure.canvas.get_renderer()
    title = ax._left_title.get_window_extent(renderer)
    assert all(text.get_window_extent(renderer).y1 <= title.y0 + 1 for text in ax.texts)


def test_highlights_outside_the_window_are_left_out_and_others_of_another_chromosome_too():
    assert bands(draw([(60, 70), (5, 8)])) == [(4.5, 7.5)]
    table = pd.DataFrame({"chrom": ["chr1", "chr2"], "start": [103, 120], "end": [109, 126]})
    assert bands(draw(table, start=100, chrom="chr2")) == [(119.5, 125.5)]


@pytest.mark.parametrize(
    ("spans", "start", "said"),
    [
        ([(5, 9)], 1000, r"axis, 1,000 to 1,0\d\d: they reach from 5 to 9; .* add its start, 1,000"),
        ([(1005, 1009)], 0, "positions on a chromosome: pass start="),
        ([(900, 950)], 1000, r"reach from 900 to 950$"),
    ],
)
def test_highlights_that_all_lie_outside_are_said(spans, start, said):
    with pytest.warns(UserWarning, match=said):
        assert bands(draw(spans, start=start)) == []


def test_a_start_that_is_no_number_is_named():
    with pytest.raises(InputError, match=r"start='chr1:1000': .* its chromosome is chrom="):
        draw([], start="chr1:1000")


def test_one_label_has_one_colour():
    ax = draw([(1, 3, "a"), (5, 8, "b"), (20, 22, "a")])
    (collection,) = (c for c in ax.collections if isinstance(c, PolyCollection))
    first, second, third = collection.get_facecolor()
    assert (first == third).all()
    assert (first != second).any()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (pd.DataFrame({"start": [1]}), "lacks the column 'end'"),
        (pd.DataFrame({"sequence": [0, 1], "start": [1, 2], "end": [3, 4]}), "instances of 2 sequences"),
        ([(5, 5)], "from 5 to 5"),
        ([(9, 5)], "from 9 to 5"),
        ([(9,)], "highlight 0"),
        ([("a", "b")], "highlight 0"),
        (np.zeros((2, 3), dtype=bool), "mask of shape"),
        (np.array([0.5, 1.0]), "mask of shape"),
        (5, "highlight=5: give a table"),
        ("chr1:3-9", "highlight='chr1:3-9': give a table"),
    ],
)
def test_a_wrong_highlight_is_named(bad, message):
    with pytest.raises(InputError, match=message):
        draw(bad)


def test_decoys_are_grey_and_take_no_colour_from_motifs():
    table = pd.DataFrame(
        {"start": [1, 9], "end": [5, 12], "motif": ["a", "a"], "role": pd.Categorical(["core", "decoy"])}
    )
    ax = draw(table)
    (collection,) = (c for c in ax.collections if isinstance(c, PolyCollection))
    core, decoy = collection.get_facecolor()[:, :3]
    assert np.ptp(decoy) == 0 < np.ptp(core)


def test_missing_labels_of_a_categorical_column_are_no_labels():
    table = pd.DataFrame({"start": [1, 9], "end": [5, 12], "motif": pd.Categorical(["a", None])})
    assert labels(draw(table)) == ["a"]
