from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genoplrp.errors import InputError
from genoplrp.evaluation.controls import (
    running_mean,
    sharpen_at_gini,
    threshold_at_gini,
    weight_by_contiguity,
)
from genoplrp.evaluation.sparsity import gini


def positive_gini(maps):
    return gini(np.maximum(maps, 0))


def brute_threshold(values, wanted):
    """Try every cut, count the ones that keep a positive entry, take the closest."""
    cuts = [0.0, *sorted(set(values[values > 0]))]
    maps = [np.where((values > 0) & (values < cut), 0.0, values) for cut in cuts]
    errors = [abs(positive_gini(m[None])[0] - wanted) for m in maps]
    return maps[int(np.argmin(errors))]


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
@settings(max_examples=40, deadline=None)
def test_thresholding_finds_the_cut_closest_to_the_target(seed, wanted):
    values = np.random.default_rng(seed).normal(size=25).round(1)
    np.testing.assert_allclose(threshold_at_gini(values[None], [wanted])[0], brute_threshold(values, wanted))


@given(st.integers(0, 2**32 - 1), st.floats(0.7, 0.95))
@settings(max_examples=25, deadline=None)
def test_sharpening_reaches_the_target_and_keeps_every_rank(seed, wanted):
    maps = np.random.default_rng(seed).normal(size=(3, 60))
    sharp = sharpen_at_gini(maps, [wanted] * 3)
    np.testing.assert_allclose(positive_gini(sharp), wanted, atol=1e-3)
    np.testing.assert_array_equal(np.argsort(sharp, axis=1), np.argsort(maps, axis=1))


def test_both_match_a_sparser_map_sequence_by_sequence():
    rng = np.random.default_rng(0)
    plain = rng.normal(size=(40, 200))
    pruned = np.where(np.abs(plain) > 0.8, plain * 2, 0.0)
    wanted = positive_gini(pruned)
    np.testing.assert_allclose(positive_gini(threshold_at_gini(plain, wanted)), wanted, atol=0.01)
    np.testing.assert_allclose(positive_gini(sharpen_at_gini(plain, wanted)), wanted, atol=1e-6)


def test_thresholding_leaves_negatives_and_the_largest_entry():
    maps = np.array([[0.1, 5.0, -3.0, 0.2]])
    np.testing.assert_array_equal(threshold_at_gini(maps, [1.0]), [[0, 5.0, -3.0, 0]])


def test_a_map_that_is_sparser_already_is_unchanged_by_thresholding():
    maps = np.array([[0.1, 5.0, -3.0, 0.2]])
    np.testing.assert_array_equal(threshold_at_gini(maps, [0.0]), maps)


def test_maps_without_positive_relevance_pass_through():
    maps = np.array([[0.0, 0.0], [-1.0, -2.0]])
    np.testing.assert_array_equal(threshold_at_gini(maps, [0.5, 0.5]), maps)
    assert (sharpen_at_gini(maps, [0.5, 0.5]) <= 0).all()


def test_contiguity_prefers_a_run_to_a_lone_peak_of_the_same_height():
    maps = np.array([[0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, -2.0]])
    weighted = weight_by_contiguity(maps)[0]
    assert weighted[4] == pytest.approx(1.0)
    assert weighted[12] == pytest.approx(np.sqrt(0.2))
    assert weighted[15] == -2.0


def test_the_running_mean_equals_a_loop():
    values = np.random.default_rng(0).normal(size=(2, 13))
    expected = [[row[max(0, i - 3) : i + 4].mean() for i in range(13)] for row in values]
    np.testing.assert_allclose(running_mean(values, 7), expected)


@pytest.mark.parametrize("function", [threshold_at_gini, sharpen_at_gini])
def test_targets_that_do_not_fit_are_refused(function):
    with pytest.raises(InputError, match=r"shape \(2,\)"):
        function(np.ones((2, 5)), [0.5])
    with pytest.raises(InputError, match="NaN"):
        function(np.ones((2, 5)), [0.5, np.nan])


@pytest.mark.parametrize("width", [0, 4])
def test_even_widths_are_refused(width):
    with pytest.raises(InputError, match="odd"):
        weight_by_contiguity(np.ones((1, 5)), width=width)
