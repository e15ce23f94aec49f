"""What the benchmarks of real sequences take for truth, and how they choose p: cases that can be worked out by hand."""

import numpy as np
import pytest

from benchmarks import following, real
from genoplrp.sequence import one_hot_encode

LENGTH = 60


def maps_of(*levels: dict[int, float]) -> np.ndarray:
    """One map for each p: a base of the given height at each of the given positions."""
    maps = np.zeros((len(levels), 1, LENGTH))
    for k, level in enumerate(levels):
        for at, height in level.items():
            maps[k, 0, at] = height
    return maps


def test_windows_hold_the_positive_mass_of_eleven_bases() -> None:
    maps = np.random.default_rng(0).normal(size=(2, 30))
    slow = [[np.maximum(row[k : k + 11], 0).sum() for k in range(20)] for row in maps]
    np.testing.assert_allclose(following.window_masses(maps), slow)


def test_p_stops_before_a_site_loses_half_of_its_share() -> None:
    # Shares of the weaker site: .4, .3, .1 (below half of .4), and .4 again, which is not reached any more.
    maps = maps_of({10: 6, 40: 4}, {10: 7, 40: 3}, {10: 9, 40: 1}, {10: 6, 40: 4})
    null = np.zeros((1, LENGTH))
    assert following.no_site_loses_its_place(maps, null).tolist() == [1]
    null[0, 20] = 5.0  # now only the stronger one stands out, and it cannot lose
    assert following.no_site_loses_its_place(maps, null).tolist() == [3]


@pytest.mark.parametrize(
    ("level", "p"), [({10: 1.0}, 0.25), ({10: 1.0, 40: 1.0}, 0.125), ({5: 1, 30: 1, 50: 1}, 0.08)]
)
def test_p_is_shared_out_among_the_effective_number_of_windows(level: dict[int, float], p: float) -> None:
    chosen = following.by_effective_sites(maps_of(level))
    assert following.GRID[int(chosen[0])] == p


def test_the_p_at_which_two_views_agree_is_taken() -> None:
    maps = maps_of({10: 1, 30: 1}, {10: 1, 30: 0.1}, {10: 1})
    moved = maps_of({10: 1, 50: 1}, {10: 1, 30: 0.1}, {40: 1})
    assert following.by_agreement(maps, moved).tolist() == [1]


def test_the_best_match_before_a_start_is_the_site() -> None:
    before = "T" * 46 + "AGGAGG" + "T" * 8
    weak = "T" * 47 + "AGG" + "T" * 10
    mask = real.shine_dalgarno(one_hot_encode([before + "ATG" + "T" * 37, weak + "ATG" + "T" * 37]))
    assert np.flatnonzero(mask[0]).tolist() == list(range(46, 52))
    assert not mask[1].any()


def test_translation_starts_have_a_start_codon_at_position_60() -> None:
    data = real.load_starts()
    assert {s[60:63] for s in data.sequences} == {"ATG"}
    assert len(set(data.sequences)) == len(data.sequences)


@pytest.mark.parametrize(("kind", "motif", "at"), [("donor", "GT", 0), ("acceptor", "AG", -2)])
def test_windows_of_splice_sites_hold_the_dinucleotide_where_the_mask_says(
    kind: str, motif: str, at: int
) -> None:
    windows = list(real._windows(kind, 60, 61))
    middle = 61 if kind == "donor" else 60
    shape = (len(windows), 4, 121)
    extents = real.DONOR if kind == "donor" else real.ACCEPTOR
    masks = real._anchored(shape, middle, extents)
    start = middle + at
    assert np.mean([w[start : start + 2] == motif for w in windows]) > 0.95
    assert np.flatnonzero(masks["dinucleotide"][0]).tolist() == [start, start + 1]
