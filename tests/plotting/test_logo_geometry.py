"""What is drawn, read back as geometry on the page: which letters, where, how high, which way up."""

from __future__ import annotations

import itertools

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from genoplrp.errors import InputError
from genoplrp.plotting import plot_logo
from genoplrp.plotting.glyphs import scheme_colors, unit_glyph
from genoplrp.plotting.letters import stack_letters

A, C, G, T = range(4)


def axes() -> Axes:
    return Figure(figsize=(6, 2), dpi=100).subplots()


def outlines(ax: Axes) -> dict[str, list[np.ndarray]]:
    """Vertices of each letter on the page, in pixels, keyed by the base."""
    return {
        collection.get_label(): [ax.transData.transform(path.vertices) for path in collection.get_paths()]
        for collection in ax.collections
        if isinstance(collection, PathCollection)
    }


def extents(ax: Axes) -> dict[str, list[tuple[float, float, float, float]]]:
    """Data coordinates (x0, x1, y0, y1) of each letter."""
    found = {}
    for collection in ax.collections:
        if isinstance(collection, PathCollection):
            boxes = [path.get_extents() for path in collection.get_paths()]
            found[collection.get_label()] = [(b.x0, b.x1, b.y0, b.y1) for b in boxes]
    return found


def painted(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(float)


def at(values: dict[tuple[int, int], float], length: int = 6) -> np.ndarray:
    relevance = np.zeros((4, length))
    for (base, position), value in values.items():
        relevance[base, position] = value
    return relevance


def test_a_letter_is_as_high_as_its_relevance_and_centred_on_its_position():
    boxes = extents(plot_logo(at({(G, 2): 1.5}), axes()))
    assert list(boxes) == ["G"]
    x0, x1, y0, y1 = boxes["G"][0]
    assert (y0, y1) == pytest.approx((0, 1.5))
    assert (x0 + x1) / 2 == pytest.approx(2)
    assert 0.8 < x1 - x0 < 1


def test_negative_relevance_hangs_below_the_line():
    (_, _, y0, y1) = extents(plot_logo(at({(A, 3): -0.7}), axes()))["A"][0]
    assert (y0, y1) == pytest.approx((-0.7, 0))


def test_zeros_are_not_drawn():
    boxes = extents(plot_logo(at({(A, 0): 1.0, (T, 5): -1.0}), axes()))
    assert {base: len(b) for base, b in boxes.items()} == {"A": 1, "T": 1}


def test_an_all_zero_map_draws_no_letter():
    assert extents(plot_logo(np.zeros((4, 9)), axes())) == {}


def test_letters_are_not_confused():
    boxes = extents(plot_logo(np.diag([1.0, 2.0, 3.0, 4.0]), axes()))
    assert {base: (round((b[0][0] + b[0][1]) / 2), b[0][3]) for base, b in boxes.items()} == {
        "A": (0, pytest.approx(1)),
        "C": (1, pytest.approx(2)),
        "G": (2, pytest.approx(3)),
        "T": (3, pytest.approx(4)),
    }


def ink_by_half(outline: np.ndarray) -> tuple[float, float]:
    """Width of a T's outline in its lower and its upper part, on the page."""
    y = outline[:, 1]
    low, high = y.min(), y.max()
    upper = outline[y > low + 0.9 * (high - low), 0]
    lower = outline[y < low + 0.1 * (high - low), 0]
    return float(np.ptp(lower)), float(np.ptp(upper))


def test_a_positive_t_has_its_bar_on_top_and_a_negative_one_at_the_bottom():
    outline = outlines(plot_logo(at({(T, 1): 1.0, (T, 4): -1.0}), axes()))["T"]
    upright, hanging = sorted(outline, key=lambda vertices: vertices[:, 0].mean())
    lower, upper = ink_by_half(upright)
    assert upper > 2 * lower
    lower, upper = ink_by_half(hanging)
    assert lower > 2 * upper


def test_negative_letters_stay_upright_on_request():
    (hanging,) = outlines(plot_logo(at({(T, 4): -1.0}), axes(), flip_below=False))["T"]
    lower, upper = ink_by_half(hanging)
    assert upper > 2 * lower


def opening_side(outline: np.ndarray) -> str:
    """Side on which a C is open: at mid-height its outline is all on the other side."""
    x, y = outline[:, 0], outline[:, 1]
    middle = (y > y.min() + 0.4 * np.ptp(y)) & (y < y.min() + 0.6 * np.ptp(y))
    return "right" if x[middle].mean() < x.min() + 0.5 * np.ptp(x) else "left"


@pytest.mark.parametrize("strand", ["+", "-"])
def test_letters_are_never_mirrored_on_the_page(strand):
    (c,) = outlines(plot_logo(at({(C, 2): 1.0}), axes(), strand=strand))["C"]
    assert opening_side(c) == "right"


@pytest.mark.parametrize("strand", ["+", "-"])
def test_letters_stand_on_the_page_in_the_order_of_the_array(strand):
    page = outlines(plot_logo(np.eye(4), axes(), strand=strand, start=500))
    across = [page[base][0][:, 0].mean() for base in "ACGT"]
    assert across == sorted(across)


def test_the_minus_strand_counts_down_from_the_windows_end():
    boxes = extents(plot_logo(np.eye(4), axes(), strand="-", start=500))
    assert [round((boxes[b][0][0] + boxes[b][0][1]) / 2) for b in "ACGT"] == [503, 502, 501, 500]


def test_start_shifts_the_coordinates():
    ax = plot_logo(np.eye(4), axes(), start=1_000_000, chrom="chr7")
    assert ax.get_xlim() == (999_999.5, 1_000_003.5)
    assert "chr7" in ax.get_xlabel()


def test_rendered_ink_is_above_the_line_for_positive_and_below_for_negative_relevance():
    """On pixels: the bitmap agrees with the geometry."""
    for sign in (1, -1):
        figure = Figure(figsize=(4, 2), dpi=100)
        ax = figure.subplots()
        plot_logo(at({(G, 3): float(sign)}), ax, ylim=(-1.2, 1.2))
        pixels = painted(figure).astype(int)
        orange = np.abs(pixels - np.array([255, 165, 0])).sum(axis=-1) < 30
        rows = pixels.shape[0] - np.flatnonzero(orange.any(axis=1))  # from the bottom
        zero = ax.transData.transform((0, 0))[1]
        assert len(rows) > 20
        assert ((rows - zero) * sign > -2).all()


@given(
    arrays(
        np.float64, st.tuples(st.just(4), st.integers(1, 6)), elements=st.floats(-5, 5, allow_subnormal=False)
    )
)
def test_stacked_letters_cover_each_signs_sum_without_gap_or_overlap(heights):
    stack = stack_letters(heights)
    assert len(stack.base) == np.count_nonzero(heights)
    np.testing.assert_allclose(
        stack.top - stack.bottom, np.abs(heights[stack.base, stack.position]), atol=1e-12
    )
    assert np.array_equal(stack.negative, heights[stack.base, stack.position] < 0)
    for position in range(heights.shape[1]):
        for negative in (False, True):
            mine = np.flatnonzero((stack.position == position) & (stack.negative == negative))
            if not len(mine):
                continue
            pieces = sorted(zip(stack.bottom[mine], stack.top[mine], strict=True))
            # Starts at zero exactly, and each letter stands on the last.
            assert (pieces[-1][1] if negative else pieces[0][0]) == 0.0
            for (_, lower_top), (upper_bottom, _) in itertools.pairwise(pieces):
                assert lower_top == pytest.approx(upper_bottom, abs=1e-12)
            # The largest is the outermost.
            sizes = [b - a for a, b in pieces]
            assert sizes == pytest.approx(sorted(sizes, reverse=negative))


def logomaker_boxes(relevance: np.ndarray, ax: Axes) -> list[tuple[str, tuple[float, ...]]]:
    import logomaker
    import pandas as pd

    logo = logomaker.Logo(
        pd.DataFrame(relevance.T, columns=list("ACGT")), ax=ax, font_name="DejaVu Sans", width=0.95
    )
    return sorted(
        (glyph.c, tuple(glyph.patch.get_path().get_extents().extents))
        for column in logo.glyph_df.to_numpy()
        for glyph in column
        if glyph.patch is not None
    )


def test_the_batched_letters_are_where_logomaker_puts_them():
    relevance = np.random.default_rng(3).normal(size=(4, 12)).round(3)
    ours = sorted(
        (base, tuple(path.get_extents().extents))
        for base, paths in ((c.get_label(), c.get_paths()) for c in plot_logo(relevance, axes()).collections)
        for path in paths
    )
    theirs = logomaker_boxes(relevance, axes())
    assert [base for base, _ in ours] == [base for base, _ in theirs]
    np.testing.assert_allclose([box for _, box in ours], [box for _, box in theirs], atol=1e-6)


@pytest.mark.parametrize("strand", ["+", "-"])
def test_both_renderers_paint_the_same_picture(strand):
    relevance = (
        np.random.default_rng(5).normal(size=(4, 20))
        * np.eye(4)[np.random.default_rng(6).integers(0, 4, 20)].T
    )
    pictures = []
    for renderer in ("batched", "logomaker"):
        figure = Figure(figsize=(8, 2), dpi=100)
        plot_logo(
            relevance, figure.add_axes((0.1, 0.2, 0.85, 0.7)), renderer=renderer, strand=strand, start=40
        )
        pictures.append(painted(figure))
    assert np.abs(pictures[0] - pictures[1]).mean() < 0.5  # of 255; antialiasing only


def test_a_tensor_that_needs_gradients_draws_like_an_array():
    relevance = np.diag([1.0, -2.0, 3.0, 4.0])
    tensor = torch.tensor(relevance, requires_grad=True)
    assert extents(plot_logo(tensor, axes())) == extents(plot_logo(relevance, axes()))


def test_the_unit_glyph_fills_the_unit_square():
    for base in "ACGT":
        vertices, codes = unit_glyph(base)
        assert len(vertices) == len(codes)
        np.testing.assert_allclose([vertices.min(axis=0), vertices.max(axis=0)], [[0, 0], [1, 1]], atol=1e-9)


def test_colours_follow_the_scheme():
    for scheme, color in (
        ("classic", "#ff0000"),
        ("colorblind", "#1a1a1a"),
        (dict.fromkeys("ACGT", "pink"), "pink"),
    ):
        (letters,) = plot_logo(at({(T, 0): 1.0}), axes(), scheme=scheme).collections
        assert tuple(letters.get_facecolor()[0][:3]) == pytest.approx(to_rgb(color))


# Machado, Oliveira and Fernandes (2009), severity 1.0.
DICHROMATS = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


@pytest.mark.parametrize("eye", DICHROMATS)
def test_the_colour_blind_scheme_keeps_the_bases_apart_for_every_eye(eye):
    seen = np.array(list(scheme_colors("colorblind").values())) @ np.array(DICHROMATS[eye]).T
    distances = [np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)]
    assert min(distances) > 0.25


def test_axes_are_returned_and_a_figure_is_made_when_none_is_given():
    before = set(plt.get_fignums())
    ax = plot_logo(np.eye(4))
    assert isinstance(ax, Axes)
    (made,) = set(plt.get_fignums()) - before
    plt.close(made)


def test_drawing_leaves_global_settings_and_pyplots_figures_alone():
    settings, figures = dict(mpl.rcParams), plt.get_fignums()
    plot_logo(np.eye(4), axes(), highlight=[(1, 2, "x")])
    plot_logo(np.eye(4), axes(), renderer="logomaker")
    assert dict(mpl.rcParams) == settings
    assert plt.get_fignums() == figures


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((10, 4)), r"relevance\.T"),
        (np.zeros((3, 4, 10)), r"relevance\[0\]"),
        (np.zeros(10), "one number per position"),
        (np.zeros((5, 10)), "rows are A, C, G, T"),
        (np.zeros((4, 0)), "rows are A, C, G, T"),
        (np.full((4, 3), np.nan), "NaN"),
        ("ACGT", "array of numbers"),
    ],
)
def test_a_wrong_array_is_named_with_its_remedy(bad, message):
    with pytest.raises(InputError, match=message):
        plot_logo(bad, axes())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strand": "."}, "strand="),
        ({"scheme": "rainbow"}, "no colour scheme 'rainbow'"),
        ({"scheme": {"A": "red"}}, "lacks C, G, T"),
        ({"scheme": dict.fromkeys("ACGT", "no such colour")}, "not a colour"),
        ({"renderer": "svg"}, "renderer="),
        ({"fade_below": 0.5}, "fade_below"),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(InputError, match=message):
        plot_logo(np.eye(4), axes(), **options)
