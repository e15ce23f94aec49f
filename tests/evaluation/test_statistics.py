from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from genoplrp.errors import InputError
from genoplrp.evaluation.statistics import bootstrap_mean, compare_methods, holm, summarise_methods


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


def test_the_interval_of_one_group_is_that_of_the_normal_theory():
    values = np.random.default_rng(0).normal(size=400)
    interval = bootstrap_mean([values], n_draws=4000)
    error = values.std() / 20
    assert interval.mean == pytest.approx(values.mean())
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.08)


def test_the_interval_covers_the_truth_when_seeds_differ_as_much_as_it_says():
    rng = np.random.default_rng(1)
    covered = []
    for trial in range(150):
        groups = [rng.normal(loc=rng.normal(), size=20) for _ in range(12)]
        interval = bootstrap_mean(groups, n_draws=300, seed=trial)
        covered.append(interval.low <= 0 <= interval.high)
    assert np.mean(covered) > 0.85


def test_seeds_that_differ_widen_the_interval():
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(5, 100)) * 0.1
    alike = bootstrap_mean(list(noise))
    apart = bootstrap_mean(list(noise + np.arange(5)[:, None]))
    assert apart.high - apart.low > 10 * (alike.high - alike.low)


def test_nan_is_left_out_and_nothing_gives_nan():
    assert bootstrap_mean([np.array([1.0, np.nan, 1.0]), np.array([np.nan])]).mean == 1.0
    assert np.isnan(bootstrap_mean([np.array([np.nan])]).low)
    assert np.isnan(bootstrap_mean([]).mean)


def test_the_same_seed_gives_the_same_interval():
    values = [np.random.default_rng(0).normal(size=50)]
    assert bootstrap_mean(values, seed=4)[:3] == bootstrap_mean(values, seed=4)[:3]


def test_pairing_sees_a_small_difference_under_a_large_spread():
    rng = np.random.default_rng(3)
    base = rng.normal(size=(3, 200))
    table = compare_methods(results(x=base + 0.05, y=base), [("x", "y"), ("y", "x"), ("x", "x")], ["rma"])
    assert table["difference"].tolist() == pytest.approx([0.05, -0.05, 0.0])
    assert table["win_rate"].tolist() == [1.0, 0.0, 0.5]
    assert (table["p_value"][:2] <= 0.002).all()
    assert table["p_value"][2] == 1.0
    assert table["n"].tolist() == [600, 600, 600]


def test_no_difference_gives_no_small_p_value_more_often_than_it_should():
    rng = np.random.default_rng(4)
    small = 0
    for _ in range(100):
        table = compare_methods(
            results(x=rng.normal(size=(1, 80)), y=rng.normal(size=(1, 80))),
            [("x", "y")],
            ["rma"],
            n_draws=300,
        )
        small += table["p_value"][0] < 0.05
    assert small <= 12


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
    with pytest.raises(InputError, match="lack the columns rra"):
        summarise_methods(results(x=np.ones((1, 2))), ["rra"])
    with pytest.raises(InputError, match="level"):
        bootstrap_mean([np.ones(2)], level=1.0)
