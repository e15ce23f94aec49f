from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from genoplrp.errors import InputError
from genoplrp.evaluation.statistics import (
    bootstrap_mean,
    compare_methods,
    holm,
    mean_interval,
    summarise_methods,
)


def results(**methods: np.ndarray) -> pd.DataFrame:
    """One row per (seed, sequence) of arrays (seeds, sequences), for each method."""
    parts = []
    for name, values in methods.items():
        seeds, sequences = np.indices(values.shape)
        parts.append(
            pd.DataFrame(
                {
                    "dataset": "a",
                    "architecture": "koo",
                    "seed": seeds.ravel(),
                    "sequence": sequences.ravel(),
                    "method": name,
                    "rma": values.ravel(),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def test_the_interval_of_one_group_is_students():
    values = np.random.default_rng(0).normal(size=12)
    expected = stats.ttest_1samp(values, 0.0)
    interval = mean_interval([values])
    limits = expected.confidence_interval(0.95)
    np.testing.assert_allclose(interval, (values.mean(), *limits, expected.pvalue), rtol=1e-12)


def test_several_groups_without_common_members_are_as_many_observations():
    groups = list(np.random.default_rng(0).normal(1.0, size=(3, 40)))
    expected = stats.ttest_1samp([g.mean() for g in groups], 0.0)
    for members in (None, list(np.arange(120).reshape(3, 40))):
        interval = mean_interval(groups, members=members)
        np.testing.assert_allclose(interval[1:3], expected.confidence_interval(0.95), rtol=1e-12)
        assert interval.p_value == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("seeds", [3, 10])
@pytest.mark.parametrize("of_seeds", [0.0, 0.05])
@pytest.mark.parametrize("shared", [False, True], ids=["own sequences", "shared sequences"])
def test_the_interval_covers_the_truth_as_often_as_it_says(seeds, of_seeds, shared):
    """Effects of seeds, of sequences (.2) and of both (.1), on sequences of which each network explains most."""
    rng = np.random.default_rng(seeds)
    covered, trials = 0, 1000
    for _ in range(trials):
        groups, members, own = [], [], rng.normal(0, 0.2, 60)
        for s in range(seeds):
            own = own if shared else rng.normal(0, 0.2, 60)
            explained = np.flatnonzero(rng.random(60) < 0.8)
            groups.append(rng.normal(0, of_seeds) + (own + rng.normal(0, 0.1, 60))[explained])
            members.append(explained if shared else explained + 60 * s)
        interval = mean_interval(groups, members=members)
        covered += interval.low <= 0 <= interval.high
    assert 0.93 <= covered / trials <= 0.97


def test_the_covariance_of_groups_is_that_of_all_their_pairs():
    rng = np.random.default_rng(5)
    values = rng.normal(size=(4, 30)) + 3 * rng.normal(size=30)
    means, deviations = values.mean(axis=1), values - values.mean(axis=1, keepdims=True)
    products = [deviations[a] @ deviations[b] / 29 / 30 for a in range(4) for b in range(4) if a != b]
    between, shared = np.var(means, ddof=1) / 4, np.mean(products)
    freedom = (between + shared) ** 2 / (between**2 / 3 + shared**2 / 29)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(between + shared)
    interval = mean_interval(list(values), members=[np.arange(30)] * 4)
    np.testing.assert_allclose(interval[1:3], (means.mean() - half, means.mean() + half), rtol=1e-10)


def test_nan_is_left_out_and_too_few_values_have_no_interval():
    assert mean_interval([np.array([1.0, np.nan, 1.0]), np.array([np.nan])]).mean == 1.0
    assert np.isnan(mean_interval([np.array([np.nan])])).all()
    assert np.isnan(mean_interval([])).all()
    alone = mean_interval([np.array([0.4])])
    assert alone.mean == 0.4
    assert np.isnan(alone[1:]).all()


def test_the_former_name_gives_the_same_and_says_so():
    values = list(np.random.default_rng(0).normal(size=(3, 50)))
    with pytest.warns(DeprecationWarning, match="mean_interval"):
        assert bootstrap_mean(values, n_draws=10, seed=4) == mean_interval(values)


def test_pairing_sees_a_small_difference_under_a_large_spread():
    rng = np.random.default_rng(3)
    base = rng.normal(size=(3, 200))
    table = compare_methods(results(x=base + 0.05, y=base), [("x", "y"), ("y", "x"), ("x", "x")], ["rma"])
    assert table["difference"].tolist() == pytest.approx([0.05, -0.05, 0.0])
    assert table["win_rate"].tolist() == [1.0, 0.0, 0.5]
    assert (table["p_value"][:2] <= 0.002).all()
    assert table["p_value"][2] == 1.0
    assert table["n"].tolist() == [600, 600, 600]


@pytest.mark.parametrize("seeds", [1, 3])
def test_no_difference_gives_no_small_p_value_more_often_than_it_should(seeds):
    rng = np.random.default_rng(4)
    small, trials = 0, 100
    for _ in range(trials):
        effect = rng.normal(size=(seeds, 1)) * (seeds > 1)
        x, y = rng.normal(size=(seeds, 40)) + effect, rng.normal(size=(seeds, 40))
        small += compare_methods(results(x=x, y=y), [("x", "y")], ["rma"])["p_value"][0] < 0.05
    assert small / trials <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)


def test_only_sequences_of_both_methods_are_compared():
    both = results(x=np.array([[1.0, 2.0, 3.0]]), y=np.array([[0.0, 0.0, np.nan]]))
    row = compare_methods(both, [("x", "y")], ["rma"]).iloc[0]
    assert (row["difference"], row["n"]) == (1.5, 2)


def test_holm_by_hand_and_never_below_the_raw_value():
    raw = np.array([0.01, 0.02, 0.5, np.nan, 0.03])
    np.testing.assert_allclose(holm(raw), [0.04, 0.06, 0.5, np.nan, 0.06])


def test_the_summary_is_the_mean_over_seeds_of_means_over_sequences():
    table = summarise_methods(results(x=np.array([[0.0, 1.0], [2.0, 3.0]])), ["rma"])
    row = table.iloc[0]
    assert row["mean"] == 1.5
    assert (row["seeds"], row["n"]) == (2, 4)
    assert row["low"] < 1.5 < row["high"]


def test_what_is_missing_is_named():
    with pytest.raises(InputError, match="no results for z"):
        compare_methods(results(x=np.ones((1, 2))), [("x", "z")], ["rma"])
    with pytest.raises(InputError, match="lacks the column 'rra'"):
        summarise_methods(results(x=np.ones((1, 2))), ["rra"])
    with pytest.raises(InputError, match="level"):
        mean_interval([np.ones(2)], level=1.0)
    with pytest.raises(InputError, match="members"):
        mean_interval([np.ones(2)], members=[np.arange(3)])
