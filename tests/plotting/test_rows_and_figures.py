from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from genoplrp.errors import InputError
from genoplrp.plotting import (
    information_content,
    mean_logo,
    plot_comparison,
    plot_deletion,
    plot_logos,
    plot_motif,
    plot_profile,
    plot_sweep,
)


@pytest.fixture
def one_hot():
    return np.eye(4)[:, np.random.default_rng(0).integers(0, 4, 40)]


def letters(ax):
    return sorted(
        (round(float(box.x0 + box.x1) / 2), collection.get_label())
        for collection in ax.collections
        if isinstance(collection, PathCollection)
        for box in (path.get_extents() for path in collection.get_paths())
    )


def test_rows_of_one_kind_share_the_scale_and_others_do_not(one_hot):
    axes = plot_logos([one_hot, 3 * one_hot, 10 * one_hot], kinds=["a", "a", "b"], figure=Figure())
    limits = [ax.get_ylim() for ax in axes]
    assert limits[0] == limits[1] != limits[2]
    assert limits[0][1] >= 3


def test_rows_have_their_own_scale_on_request(one_hot):
    axes = plot_logos([one_hot, 3 * one_hot], scale="own", figure=Figure())
    assert axes[0].get_ylim() != axes[1].get_ylim()


def test_an_all_zero_row_does_not_widen_the_scale(one_hot):
    axes = plot_logos([one_hot, 0 * one_hot], figure=Figure())
    assert axes[0].get_ylim()[0] == 0 == axes[1].get_ylim()[0]


def test_coordinates_stand_below_the_last_row_only(one_hot):
    axes = plot_logos({"LRP": one_hot, "PLRP": one_hot}, figure=Figure())
    assert [ax.get_xlabel() for ax in axes] == ["", "position (bp)"]


def test_the_comparison_shows_the_planted_letters_only_in_its_first_row(one_hot):
    bases = one_hot.argmax(axis=0)
    truth = pd.DataFrame({"start": [5, 30], "end": [9, 33], "motif": ["GATA1", "TAL1"], "strand": ["+", "-"]})
    axes = plot_comparison(one_hot, {"LRP": 0.1 * one_hot, "PLRP": 0.2 * one_hot}, truth, figure=Figure())
    planted = [5, 6, 7, 8, 30, 31, 32]
    assert letters(axes[0]) == [(i, "ACGT"[bases[i]]) for i in planted]
    assert len(letters(axes[1])) == 40
    assert [len(ax.texts) for ax in axes] == [2, 0, 0]  # labelled once


def test_the_comparison_finds_the_planted_letters_on_the_minus_strand(one_hot):
    bases = one_hot.argmax(axis=0)
    axes = plot_comparison(one_hot, {"LRP": one_hot}, [(100, 103)], start=100, strand="-", figure=Figure())
    assert letters(axes[0]) == [(100 + i, "ACGT"[bases[39 - i]]) for i in range(3)]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([], {}, "no row"),
        ([np.eye(4), np.zeros((4, 5))], {}, r"lengths are \[4, 5\]"),
        ([np.eye(4)], {"kinds": ["a", "b"]}, "one entry per row"),
        ([np.zeros((5, 4))], {}, r"row 0\.T"),
        ([np.eye(4)], {"scale": "log"}, "scale="),
    ],
)
def test_wrong_rows_are_named(rows, options, message):
    with pytest.raises(InputError, match=message):
        plot_logos(rows, figure=Figure(), **options)


def test_information_content_of_certain_halved_and_uniform_columns():
    pwm = np.array([[1, 0.5, 0.25], [0, 0.5, 0.25], [0, 0, 0.25], [0, 0, 0.25]])
    np.testing.assert_allclose(information_content(pwm), [[2, 0.5, 0], [0, 0.5, 0], [0, 0, 0], [0, 0, 0]])


def test_information_content_against_the_background_is_relative_entropy():
    pwm, background = np.array([[0.7], [0.1], [0.1], [0.1]]), [0.3, 0.2, 0.2, 0.3]
    entropy = sum(p * np.log2(p / q) for p, q in zip(pwm[:, 0], background, strict=True))
    assert information_content(pwm, background).sum() == pytest.approx(entropy)


@pytest.mark.parametrize(
    ("pwm", "background", "message"),
    [
        (np.full((4, 2), 5.0), None, "divide counts"),
        (np.zeros((4, 2)), None, "sums to 0"),
        (np.full((4, 2), 0.25), [0.5, 0.5, 0.0, 0.0], "background"),
    ],
)
def test_what_is_no_pwm_is_named(pwm, background, message):
    with pytest.raises(InputError, match=message):
        plot_motif(pwm, Figure().subplots(), background=background)


def test_the_motifs_axis_counts_from_one_up_to_two_bits():
    ax = plot_motif(np.eye(4), Figure().subplots())
    assert letters(ax) == [(1, "A"), (2, "C"), (3, "G"), (4, "T")]
    assert ax.get_ylim() == (0, 2)


def test_the_profile_is_the_mean_of_absolute_relevance_around_its_centre():
    relevance = np.zeros((2, 4, 6))
    relevance[0, 1, 3], relevance[1, 2, 3] = -1.0, 3.0
    ax = plot_profile(relevance, Figure().subplots(), center=3)
    line = ax.lines[0]
    assert dict(zip(line.get_xdata(), line.get_ydata(), strict=True)) == {
        -3: 0,
        -2: 0,
        -1: 0,
        0: 2,
        1: 0,
        2: 0,
    }


def test_the_signed_profile_lets_signs_cancel():
    ax = plot_profile(np.array([[1.0, -1.0], [-1.0, -1.0]]), Figure().subplots(), absolute=False)
    assert ax.lines[0].get_ydata().tolist() == [0, -1]


def test_the_mean_logo_keeps_bases_apart():
    relevance = np.zeros((2, 4, 3))
    relevance[0, 0, 1], relevance[1, 3, 1] = 1.0, -1.0
    assert mean_logo(relevance)[:, 1].tolist() == [0.5, 0, 0, -0.5]


@pytest.mark.parametrize("bad", [np.zeros(5), np.zeros((0, 5)), np.zeros((2, 5, 3)), np.full((2, 3), np.inf)])
def test_a_wrong_profile_is_named(bad):
    with pytest.raises(InputError):
        plot_profile(bad, Figure().subplots())


def test_lines_of_a_profile_have_one_length():
    with pytest.raises(InputError, match="one length"):
        plot_profile({"a": np.zeros((2, 3)), "b": np.zeros((2, 4))}, Figure().subplots())


def test_the_sweep_draws_the_mean_at_each_p_and_a_line_per_method():
    table = pd.DataFrame(
        {"p": [0.5, 0, 0, 0.5], "rma": [0.9, 0.1, 0.3, 0.7], "method": ["lambda", "lambda", "M", "M"]}
    )
    ax = plot_sweep(table, "rma", Figure().subplots(), by="method")
    drawn = {line.get_label(): line.get_ydata().tolist() for line in ax.lines}
    assert drawn == {"lambda": [0.1, 0.9], "M": [0.3, 0.7]}
    assert len({line.get_color() for line in ax.lines}) == 2
    assert ax.get_ylabel() == "relevance mass accuracy"


def test_a_sweep_of_several_metrics_has_a_colour_a_metric_and_a_stroke_a_method():
    table = pd.DataFrame({"p": [0, 0], "gini": [0.5, 0.6], "other": [0.1, 0.2], "method": ["lambda", "M"]})
    ax = plot_sweep(table, ["gini", "other"], Figure().subplots(), by="method")
    assert [line.get_label() for line in ax.lines] == [
        "Gini index, lambda", "Gini index, M", "other, lambda", "other, M",
    ]  # fmt: skip
    colors, strokes = (
        [getattr(line, f"get_{what}")() for line in ax.lines] for what in ("color", "linestyle")
    )
    assert colors[0] == colors[1] != colors[2] == colors[3]
    assert strokes[0] == strokes[2] != strokes[1] == strokes[3]


def test_a_sweep_without_its_column_is_named():
    with pytest.raises(InputError, match="'rma'"):
        plot_sweep(pd.DataFrame({"p": [0]}), "rma", Figure().subplots())


def test_the_deletion_band_is_the_confidence_interval_of_the_mean():
    curves = np.array([[3.0, 0.0], [5.0, 0.0], [4.0, 0.0]])
    ax = plot_deletion({"LRP": curves}, Figure().subplots())
    band = ax.collections[0].get_paths()[0].vertices
    half = 1.96 * 1.0 / np.sqrt(3)
    at_zero = band[band[:, 0] == 0, 1]
    assert (at_zero.min(), at_zero.max()) == pytest.approx((4 - half, 4 + half))


@pytest.mark.parametrize(
    ("curves", "fraction", "message"),
    [
        ({}, None, "no curve"),
        ({"a": [1, 2], "b": [1, 2, 3]}, None, "same S"),
        ({"a": [1, 2]}, [0], r"\(2,\)"),
    ],
)
def test_wrong_deletion_curves_are_named(curves, fraction, message):
    with pytest.raises(InputError, match=message):
        plot_deletion(curves, Figure().subplots(), fraction=fraction)
