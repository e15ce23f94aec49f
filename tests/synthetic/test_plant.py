"""Instances get their letters and units their places: by loops over the same uniform numbers."""

from __future__ import annotations

from collections import Counter
from itertools import product
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from genoplrp.errors import SpecError
from genoplrp.synthetic import Motif
from genoplrp.synthetic.grammar import INTACT, MUTATED, MUTATED_TO_ANY, SHUFFLED, Layout, Units
from genoplrp.synthetic.plant import Placed, Sampler, arrange_by_shares, place_class
from genoplrp.synthetic.spec_parts import MotifUse, SequenceClass

SOFT = Motif("soft", np.array([[0.55, 0.1, 0.2, 0.7, 0.25, 0.1], [0.15, 0.7, 0.2, 0.1, 0.25, 0.6],
                               [0.15, 0.1, 0.4, 0.1, 0.25, 0.2], [0.15, 0.1, 0.2, 0.1, 0.25, 0.1]]))  # fmt: skip
SURE = Motif.from_consensus("GATRAG", name="sure")
MANY = Motif.from_consensus("AAAAAAAC", name="many")
HALF = Motif(
    "half", np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.125, 0.125, 0.25], [0.125, 0.125, 0.25]])
)
SHORT = Motif("short", np.array([[0.4], [0.3], [0.2], [0.1]]))


def sampler_of(*uses: MotifUse) -> Sampler:
    return Sampler(cast(Any, SimpleNamespace(motifs={use.motif.name: use for use in uses})))


def drawn_by_loops(
    uses: list[MotifUse], motif: np.ndarray, rng: np.random.Generator
) -> tuple[list[list[int]], list[float]]:
    """Letters and scores of instances; those below their minimum are drawn again, all of one round before the next."""
    letters: list[list[int]] = [[] for _ in motif]
    scores = [0.0] * len(motif)
    pending = list(range(len(motif)))
    while pending:
        u = [rng.random(uses[motif[i]].motif.width) for i in pending]
        for i, numbers in zip(pending, u, strict=True):
            use = uses[motif[i]]
            pwm = use.motif.pwm if use.sampling == "pwm" else np.eye(4)[use.motif.pwm.argmax(axis=0)].T
            letters[i] = [
                int((value >= np.cumsum(column)[:3]).sum())
                for value, column in zip(numbers, pwm.T, strict=True)
            ]
            scores[i] = sum(use.motif.log_odds()[letter, k] for k, letter in enumerate(letters[i]))
        floor = [uses[motif[i]].min_score for i in pending]
        pending = [
            i for i, least in zip(pending, floor, strict=True) if least is not None and scores[i] < least
        ]
    return letters, scores


def split(letters: np.ndarray, begin: np.ndarray) -> list[list[int]]:
    return [part.tolist() for part in np.split(letters, begin[1:])]


def test_letters_are_drawn_from_the_columns_and_again_below_the_minimum_score_by_loops() -> None:
    uses = [
        MotifUse(SOFT, min_score=1.5),
        MotifUse(SHORT, min_score=float(SHORT.log_odds()[1, 0])),  # what just reaches it stays
        MotifUse(SURE),
        MotifUse(MANY, "best"),
        MotifUse(Motif("other", SOFT.pwm[:, ::-1])),
    ]
    motif = np.random.default_rng(0).integers(5, size=60)
    sampler = sampler_of(*uses)
    letters, begin, scores = sampler.draw(motif, np.full(60, INTACT), np.random.default_rng(1))
    expected = drawn_by_loops(uses, motif, np.random.default_rng(1))
    assert split(letters, begin) == expected[0]
    np.testing.assert_allclose(scores, expected[1], rtol=1e-12)
    assert not sampler.once and sampler_of(*uses[2:]).once
    assert min(score for score, which in zip(scores, motif, strict=True) if which == 0) >= 1.5


def test_a_minimum_score_that_is_hardly_ever_reached_is_refused() -> None:
    sure = Motif("sure", np.repeat([[1e-9], [1 - 3e-9], [1e-9], [1e-9]], 6, axis=1))
    sampler = sampler_of(MotifUse(sure), MotifUse(SOFT, min_score=SOFT.best_score - 1e-6))
    sampler.floor[1] = SOFT.best_score + 1
    with pytest.raises(
        SpecError, match=r"motifs: soft did not reach its min_score of .* in 1000 draws \(its best score is"
    ):
        sampler.draw(np.array([0, 1]), np.full(2, INTACT), np.random.default_rng(0))


def test_a_base_of_probability_zero_is_not_reached_by_rounding() -> None:
    pwm = np.array([[0.06], [0.57], [0.37], [0.0]]).repeat(3, axis=1)
    assert np.cumsum(pwm, axis=0)[2, 0] < 1
    largest = cast(Any, SimpleNamespace(random=lambda n: np.full(n, 1 - 2**-53)))
    letters, _, _ = sampler_of(MotifUse(Motif("rounded", pwm))).draw(
        np.array([0]), np.array([INTACT]), largest
    )
    assert letters.tolist() == [2, 2, 2]


def test_without_motifs_nothing_is_drawn() -> None:
    sampler = sampler_of()
    assert sampler.pwm.shape == sampler.log_odds.shape == (0, 4) and sampler.edges.shape == (0, 3)
    none = np.zeros(0, dtype=np.int64)
    assert [len(found) for found in sampler.draw(none, none, np.random.default_rng(0))] == [0, 0, 0]


@pytest.mark.parametrize("every", [3, 1])
@pytest.mark.parametrize("motif", [SOFT, SURE, MANY, HALF], ids=lambda motif: motif.name)
def test_of_twenty_permutations_the_first_that_loses_half_the_score_is_taken_or_else_the_worst(
    motif: Motif, every: int
) -> None:
    uses = [MotifUse(Motif.from_consensus("CCGT", name="other")), MotifUse(motif)]
    how = np.where(np.arange(60) % every == every - 1, SHUFFLED, INTACT)
    which = np.where(how == SHUFFLED, 1, np.arange(60) % 2)
    letters, begin, scores = sampler_of(*uses).draw(which, how, np.random.default_rng(2))
    rng = np.random.default_rng(2)
    expected, values = drawn_by_loops(uses, which, rng)
    odds, width = motif.log_odds(), motif.width
    for i in np.flatnonzero(how == SHUFFLED):
        tries = [[expected[i][k] for k in np.argsort(rng.random(width))] for _ in range(20)]
        worth = [sum(odds[letter, k] for k, letter in enumerate(one)) for one in tries]
        low = [k for k, value in enumerate(worth) if value <= 0.5 * motif.best_score]
        chosen = low[0] if low else int(np.argmin(worth))
        expected[i], values[i] = tries[chosen], worth[chosen]
    assert split(letters, begin) == expected
    np.testing.assert_allclose(scores, values, rtol=1e-12)


@pytest.mark.parametrize("how", [MUTATED, MUTATED_TO_ANY])
def test_mutated_instances_lose_half_the_score_with_letters_that_the_matrix_allows_or_with_any(
    how: int,
) -> None:
    sharp = Motif("sharp", np.array([[0.89, 0.0, 0.7, 0.0], [0.0, 0.8, 0.3, 0.0],
                                     [0.1, 0.0, 0.0, 1.0], [0.01, 0.2, 0.0, 0.0]]))  # fmt: skip
    chosen = np.arange(40) % 4 == 3
    uses, which = [MotifUse(SURE), MotifUse(sharp)], np.where(chosen, 1, np.arange(40) % 2)
    letters, begin, scores = sampler_of(*uses).draw(
        which, np.where(chosen, how, INTACT), np.random.default_rng(2)
    )
    intact, values = drawn_by_loops(uses, which, np.random.default_rng(2))
    odds = sharp.log_odds()
    for i, found in enumerate(split(letters, begin)):
        if not chosen[i]:
            assert found == intact[i] and scores[i] == pytest.approx(values[i])
            continue
        assert scores[i] == pytest.approx(sum(odds[letter, k] for k, letter in enumerate(found)))
        assert all(sharp.pwm[letter, k] > 0 for k, letter in enumerate(found)) == (how == MUTATED)
        if how == MUTATED:
            assert found[0] == 3  # the least likely letter, where most is lost by it
        else:
            assert scores[i] <= 0.5 * sharp.best_score


def units_of(rows: list[list[tuple[int, int]]]) -> Units:
    """Units of one instance each, given as (width, wanted start or -1) for each sequence."""
    row = np.repeat(np.arange(len(rows)), [len(units) for units in rows])
    width, wanted = (
        np.array([unit for units in rows for unit in units], dtype=np.int64).reshape(-1, 2).T.copy()
    )
    zeros, number = np.zeros(len(row), dtype=np.int64), np.arange(len(row))
    return Units(row, width, wanted, number, zeros, number, zeros, zeros - 1, zeros, zeros.astype(bool))


class Drawn:
    """A layout that draws what it is told, round by round (the last one again and again), for what is pending."""

    def __init__(self, *rounds: list[list[tuple[int, int]]]) -> None:
        self.rounds = list(rounds)

    def draw(self, one: SequenceClass, rng: np.random.Generator, lengths: np.ndarray) -> Units:
        found = self.rounds.pop(0) if len(self.rounds) > 1 else self.rounds[0][: len(lengths)]
        assert len(found) == len(lengths)
        return units_of(found)


def placed(
    *rounds: list[list[tuple[int, int]]], lengths: list[int], gaps: str = "arrangements", seed: int = 0
) -> Placed:
    one = SequenceClass("all", 1.0, gaps=gaps)  # type: ignore[arg-type]
    layout = cast(Layout, Drawn(*rounds))
    return place_class(layout, one, np.random.default_rng(seed), np.array(lengths))


def contents(found: Placed) -> dict[int, list[int]]:
    """The widths of each sequence's units, after a look that they lie inside and apart."""
    widths: dict[int, list[int]] = {}
    for row in set(found.units.row.tolist()):
        here = np.flatnonzero(found.units.row == row)
        here = here[np.argsort(found.start[here])]
        assert (found.start[here][1:] >= (found.start + found.units.width)[here][:-1]).all()
        widths[row] = sorted(found.units.width[here].tolist())
    return widths


@pytest.mark.parametrize("gaps", ["arrangements", "shares"])
def test_what_does_not_fit_is_drawn_again_and_counted_once(gaps: str) -> None:
    fits, wide = [(6, -1)], [(6, -1), (30, -1)]
    rounds = [fits, wide, fits, wide, wide], [fits, wide, [(7, -1)]], [[(8, -1), (9, -1)]]
    found = placed(*(list(r) for r in rounds), lengths=[20, 20, 20, 30, 20], gaps=gaps)
    assert found.redrawn == 3
    assert contents(found) == {0: [6], 1: [6], 2: [6], 3: [8, 9], 4: [7]}
    assert found.units.motif[found.units.row[found.units.unit] == 3].tolist() == [0, 1]
    assert placed([fits, fits], lengths=[20, 20], gaps=gaps).redrawn == 0


def test_in_the_end_it_is_said_which_sequences_are_too_short() -> None:
    with pytest.raises(
        SpecError, match=r"class 'all': in 1 of 2 sequences .* in 100 draws \(first one: 7 bp\)"
    ):
        placed([[(6, -1)], [(8, -1)]], [[(8, -1)]], lengths=[9, 7])


@pytest.mark.parametrize("gaps", ["arrangements", "shares"])
def test_sequences_without_units_and_such_that_are_filled_to_the_last_base(gaps: str) -> None:
    found = placed([[], [(6, -1), (4, -1)], []], lengths=[5, 10, 5], gaps=gaps)
    assert contents(found) == {1: [4, 6]} and sorted(found.start.tolist())[0] == 0
    assert found.start.dtype == np.int64


@pytest.mark.parametrize("wanted", [0, 1, 8])
def test_around_a_unit_at_its_place_the_others_are_placed_again_before_any_is_drawn_again(
    wanted: int,
) -> None:
    many = 200
    found = placed([[(6, wanted), (5, -1), (4, -1)]] * many, lengths=[22] * many)
    assert found.redrawn == 0
    assert set(found.start[found.units.width == 6].tolist()) == {wanted}
    assert contents(found) == {row: [4, 5, 6] for row in range(many)}


def test_around_a_unit_at_its_place_every_arrangement_is_equally_likely() -> None:
    # 6 bp at 8 in 22 bp: 8 free bases on either side, for units of 5 and 4.
    many = 20_000
    found = placed([[(6, 8), (5, -1), (4, -1)]] * many, lengths=[22] * many)
    starts = [found.start[found.units.width == width].tolist() for width in (5, 4)]
    free = [set(range(8)), set(range(14, 22))]

    def lies_well(a: int, b: int) -> bool:
        one, other = set(range(a, a + 5)), set(range(b, b + 4))
        return not one & other and all(any(x <= side for side in free) for x in (one, other))

    possible = [pair for pair in product(range(18), range(19)) if lies_well(*pair)]
    seen = Counter(zip(*starts, strict=True))
    assert set(seen) == set(possible)
    expected = many / len(possible)
    chi_square = sum((count - expected) ** 2 / expected for count in seen.values())
    assert chi_square < len(possible) - 1 + 5 * np.sqrt(2 * (len(possible) - 1))


def test_gaps_by_shares_are_those_of_as_many_uniform_numbers_by_loops() -> None:
    units = units_of([[(6, -1), (4, -1)], [(6, -1)], [(3, -1)], [], [(2, -1)] * 5])
    lengths = np.array([10, 5, 20, 4, 60])
    start, failed = arrange_by_shares(units, lengths, np.random.default_rng(3))
    assert failed.tolist() == [False, True, False, False, False] and start.dtype == np.int64
    rng, pending, expected = np.random.default_rng(3), [0, 2, 4], {}
    while pending:
        for row in pending.copy():
            here = np.flatnonzero(units.row == row)
            room = lengths[row] - units.width[here].sum()
            u = rng.random(len(here) + 1)
            gaps = np.rint(u / u.sum() * room).astype(int)
            if gaps.sum() == room:
                pending.remove(row)
                expected[row] = (
                    np.cumsum(gaps[:-1]) + np.cumsum(units.width[here]) - units.width[here]
                ).tolist()
    assert {row: start[units.row == row].tolist() for row in expected} == expected
