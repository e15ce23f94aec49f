from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from genoplrp.errors import InputError
from genoplrp.evaluation.instances import score_instances, score_recovery


def sites(*rows: tuple[int, int, int]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["sequence", "start", "end"])


def brute_percentile(values, site, all_sites):
    _, start, end = site
    width = end - start
    own = values[start:end].sum()
    background = [
        values[i : i + width].sum()
        for i in range(len(values) - width + 1)
        if all(i + width <= s or i >= e for _, s, e in all_sites)
    ]
    return np.mean([1.0 if b < own else 0.5 if b == own else 0.0 for b in background])


def test_shares_and_percentiles_equal_a_loop_over_windows():
    rng = np.random.default_rng(0)
    maps = rng.integers(-3, 4, size=(5, 40)).astype(float)
    places = [(row, start, start + width) for row in range(5) for start, width in [(2, 5), (12, 8), (30, 5)]]
    table = score_instances(maps, sites(*places))
    for place, (_, row) in zip(places, table.iterrows(), strict=True):
        own = [p for p in places if p[0] == place[0]]
        assert row["percentile"] == brute_percentile(maps[place[0]], place, own)
        masses = [np.maximum(maps[place[0], s:e], 0).sum() for _, s, e in own]
        assert row["share"] == pytest.approx(masses[own.index(place)] / sum(masses))


def test_a_site_above_every_background_window_is_recovered_and_a_silent_one_is_not():
    maps = np.zeros((1, 50))
    maps[0, 10:14] = 1.0
    table = score_instances(maps, sites((0, 10, 14), (0, 30, 34)))
    assert table["percentile"].tolist() == [1.0, 0.5]
    assert table["recovered"].tolist() == [1.0, 0.0]


def test_the_weakest_share_is_one_for_equal_sites_and_zero_when_one_is_lost():
    equal, lost, nothing = np.zeros((3, 20))
    equal[[1, 6, 11]] = 2.0
    lost[[1, 6]] = 2.0
    places = [(row, start, start + 3) for row in range(3) for start in (0, 5, 10)]
    table = score_recovery(np.stack([equal, lost, nothing]), sites(*places))
    assert table["weakest_share"].tolist() == pytest.approx([1.0, 0.0, 0.0])


def test_the_weakest_share_s_chance_is_that_of_a_site_with_the_background_in_its_place():
    """By a loop over the windows that touch no site, on maps that are noise and on one that is 0 outside."""
    rng = np.random.default_rng(3)
    maps = rng.normal(size=(6, 60))
    maps[5] = 0.0
    maps[5, 5:9] = 1.0
    places = [(5, 9), (20, 31), (40, 45)]
    table = score_recovery(maps, sites(*[(row, *place) for row in range(6) for place in places]))
    positive = np.maximum(maps, 0.0)
    for row in range(6):
        masses = [positive[row, start:end].sum() for start, end in places]
        start, end = places[int(np.argmin(masses))]
        width = end - start
        free = [
            positive[row, i : i + width].sum()
            for i in range(60 - width + 1)
            if all(i >= e or i + width <= s for s, e in places)
        ]
        background = np.mean(free)
        expected = 3 * background / (sum(masses) - min(masses) + background)
        assert table["weakest_chance"][row] == pytest.approx(expected)
    assert table["weakest_chance"][5] == 0.0


def test_a_random_map_gives_its_sites_what_chance_gives():
    """With equal sites the masses of one drawn site and of the background agree."""
    maps = np.random.default_rng(0).normal(size=(2000, 120))
    table = score_instances(maps, sites(*[(row, 40, 48) for row in range(2000)]))
    assert table["mass"].mean() == pytest.approx(table["background"].mean(), rel=0.02)


def test_an_empty_map_has_no_chance_and_a_full_sequence_no_background():
    table = score_recovery(np.zeros((1, 20)), sites((0, 0, 4), (0, 10, 14)))
    assert table["weakest_chance"].tolist() == [0.0]
    table = score_recovery(np.ones((1, 20)), sites((0, 0, 10), (0, 10, 20)))
    assert table["weakest_chance"].isna().all()
    assert score_recovery(np.ones((2, 20)), sites()).shape == (2, 5)


def test_one_site_has_no_weakest_and_no_site_has_no_score():
    table = score_recovery(np.ones((2, 10)), sites((0, 2, 4)))
    assert table["instances"].tolist() == [1, 0]
    assert table["weakest_share"].isna().all()
    assert table["instance_recall"].isna().tolist() == [False, True]


def test_random_maps_recover_few_sites():
    n = 3000
    maps = np.random.default_rng(0).normal(size=(n, 120))
    table = score_recovery(maps, sites(*[(row, 40, 48) for row in range(n)]))
    # More than 1 in 20: overlapping windows are fewer independent rivals than their number says.
    assert 0.04 < table["instance_recall"].mean() < 0.085
    assert table["instance_percentile"].mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("constant", [0.0, 0.1])
def test_a_constant_map_recovers_nothing(constant):
    table = score_instances(np.full((1, 60), constant), sites((0, 3, 10), (0, 20, 31)))
    assert table["percentile"].tolist() == [0.5, 0.5]
    assert table["recovered"].tolist() == [0.0, 0.0]


def test_sites_that_leave_no_background_have_no_percentile():
    table = score_instances(np.ones((1, 10)), sites((0, 0, 5), (0, 6, 10)))
    assert table[["percentile", "recovered"]].isna().all(axis=None)


def test_other_columns_are_carried_and_the_table_handed_in_is_left_alone():
    table = sites((0, 1, 3)).assign(motif="SP1")
    scored = score_instances(np.ones((1, 10)), table)
    assert scored["motif"].tolist() == ["SP1"]
    assert list(table.columns) == ["sequence", "start", "end", "motif"]


def test_no_sites_give_empty_scores():
    assert len(score_instances(np.ones((2, 10)), sites())) == 0
    assert score_recovery(np.ones((2, 10)), sites())["instances"].tolist() == [0, 0]


@pytest.mark.parametrize("place", [(2, 0, 3), (0, -1, 3), (0, 5, 11), (0, 4, 4)])
def test_a_site_outside_its_sequence_is_refused(place):
    with pytest.raises(InputError, match=r"instance 0 .* does not lie in"):
        score_instances(np.ones((2, 10)), sites(place))


def test_a_missing_column_is_named():
    with pytest.raises(InputError, match="lacks the column 'end'"):
        score_instances(np.ones((1, 10)), sites((0, 1, 2)).drop(columns="end"))
