"""Planting: units get places that do not overlap, instances get letters, and both go into the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from genoplrp.errors import SpecError
from genoplrp.synthetic.grammar import (
    INTACT,
    MUTATED,
    SHUFFLED,
    Layout,
    Units,
    join_units,
    select_rows,
)
from genoplrp.synthetic.near_miss import LEAST_LETTER, SPOILT_SHARE, mutated

if TYPE_CHECKING:
    from genoplrp.synthetic.spec import Spec
from genoplrp.synthetic.spec_parts import SequenceClass

_PLACE_ROUNDS = 50
_DRAW_ROUNDS = 100
_SCORE_ROUNDS = 1000


class Placed(NamedTuple):
    """Units with their starts.

    Attributes
    ----------
    units : Units
        The units, ordered by sequence.
    start : array, (U,), int
        Start of each unit.
    redrawn : int
        Sequences whose motifs had to be drawn again because they did not fit.
    """

    units: Units
    start: Int[np.ndarray, " u"]
    redrawn: int


class Sampler:
    """The PWMs of a specification, laid out for drawing instances.

    Parameters
    ----------
    spec : Spec
        Its motifs.
    """

    def __init__(self, spec: Spec) -> None:
        uses = list(spec.motifs.values())
        self.width = np.array([use.motif.width for use in uses], dtype=np.int64)
        self.column = np.concatenate([[0], np.cumsum(self.width)])[:-1].astype(np.int64)
        pwm = np.concatenate(
            [_sampled_pwm(use.motif.pwm, use.sampling) for use in uses] or [np.zeros((4, 0))], axis=1
        )
        self.pwm = np.ascontiguousarray(pwm.T)
        edges = np.cumsum(pwm, axis=0)[:3].T
        # A base of probability 0 after the last possible one must not be reached by rounding: its edge is 1.
        edges[edges > 1 - 1e-12] = 1.0
        self.edges = np.ascontiguousarray(edges)
        odds = [use.motif.log_odds() for use in uses] or [np.zeros((4, 0))]
        self.log_odds = np.ascontiguousarray(np.concatenate(odds, axis=1).T)
        self.best = np.array([use.motif.best_score for use in uses])
        self.floor = np.array([-np.inf if use.min_score is None else use.min_score for use in uses])
        self.once = bool((self.floor == -np.inf).all())
        self.name = [use.motif.name for use in uses]

    def draw(
        self, motif: Int[np.ndarray, " i"], how: Int[np.ndarray, " i"], rng: np.random.Generator
    ) -> tuple[UInt8[np.ndarray, " letters"], Int[np.ndarray, " i"], Float[np.ndarray, " i"]]:
        """Draw the letters of instances.

        Parameters
        ----------
        motif, how : array, (I,)
            Motif number, and INTACT, MUTATED, MUTATED_TO_ANY or SHUFFLED.
        rng : Generator
            Source of chance.

        Returns
        -------
        letters, begin, score
            All letters in a row, on each motif's own strand; where each instance begins; log-odds in bits.

        Raises
        ------
        SpecError
            If a motif's minimum score is not reached in a thousand draws.
        """
        from genoplrp.synthetic.kernels import sample_instances

        width = self.width[motif]
        begin = np.concatenate([[0], np.cumsum(width)])[:-1].astype(np.int64)
        letters = np.empty(int(width.sum()), dtype=np.uint8)
        scores = np.empty(len(motif))
        pending = np.arange(len(motif))
        for _ in range(_SCORE_ROUNDS):
            u = np.empty(len(letters)) if len(pending) < len(motif) else rng.random(len(letters))
            if len(pending) < len(motif):
                u[_positions(begin[pending], width[pending])] = rng.random(int(width[pending].sum()))
            drawn = np.empty(len(pending))
            tables = (self.column, self.width, self.edges, self.log_odds)
            sample_instances(motif[pending], begin[pending], *tables, u, letters, drawn)
            scores[pending] = drawn
            pending = pending[drawn < self.floor[motif[pending]]]
            if len(pending) == 0:
                break
        else:
            worst = int(motif[pending[0]])
            raise SpecError(
                f"motifs: {self.name[worst]} did not reach its min_score of {self.floor[worst]:g} bits in "
                f"{_SCORE_ROUNDS} draws (its best score is {self.best[worst]:.2f}); lower it."
            )
        if (how != INTACT).any():
            self._spoil(motif, how, begin, letters, scores, rng)
        return letters, begin, scores

    def _spoil(
        self,
        motif: np.ndarray,
        how: np.ndarray,
        begin: np.ndarray,
        letters: np.ndarray,
        scores: np.ndarray,
        rng: np.random.Generator,
    ) -> None:
        """Mutate or shuffle instances until their score falls below half of the best."""
        for one in np.flatnonzero(how != INTACT):
            first, width = self.column[motif[one]], self.width[motif[one]]
            odds = self.log_odds[first : first + width]
            here = letters[begin[one] : begin[one] + width]
            if how[one] == SHUFFLED:
                here[:] = _shuffled(here, odds, self.best[motif[one]], rng)
            else:
                pwm = self.pwm[first : first + width]
                some = pwm >= LEAST_LETTER if how[one] == MUTATED else np.ones_like(pwm, dtype=bool)
                here[:] = mutated(here, odds, some, self.best[motif[one]], rng)
            scores[one] = odds[np.arange(width), here].sum()


def place_class(
    layout: Layout, one: SequenceClass, rng: np.random.Generator, lengths: Int[np.ndarray, " n"]
) -> Placed:
    """Draw the units of sequences of one class, and places for them that do not overlap.

    Where they do not fit, the places are drawn again, and then the units; both a bounded number of times.

    Raises
    ------
    SpecError
        If some sequences cannot hold what is drawn for them.
    """
    pending = np.arange(len(lengths))
    done: list[Units] = []
    starts: list[np.ndarray] = []
    redrawn = 0
    for attempt in range(_DRAW_ROUNDS):
        units = layout.draw(one, rng, lengths[pending])
        arranged = _arrange if one.gaps == "arrangements" else arrange_by_shares
        start, failed = arranged(units, lengths[pending], rng)
        if attempt == 0 and not failed.any():
            return Placed(units, start, 0)
        done.append(select_rows(units, ~failed, pending))
        starts.append(start[~failed[units.row]] if failed.any() else start)
        pending = pending[failed]
        redrawn += len(pending) if attempt == 0 else 0
        if len(pending) == 0:
            return Placed(join_units(done), np.concatenate(starts), redrawn)
    raise SpecError(
        f"class {one.name!r}: in {len(pending)} of {len(lengths)} sequences the motifs did not fit without overlap, in "
        f"{_DRAW_ROUNDS} draws (first one: {int(lengths[pending[0]])} bp); make the sequences longer, plant fewer, or "
        "loosen fixed positions."
    )


def write_units(
    codes: UInt8[np.ndarray, "n length"], placed: Placed, sampler: Sampler, rng: np.random.Generator
) -> Float[np.ndarray, " i"]:
    """Write the instances of placed units into the sequences; return their scores, in bits."""
    from genoplrp.synthetic.kernels import plant_instances, write_instances

    units = placed.units
    row, start = instance_places(placed)
    if sampler.once and not (units.how != INTACT).any():
        scores = np.empty(len(units.motif))
        u = rng.random(int(sampler.width[units.motif].sum()))
        tables = (sampler.column, sampler.width, sampler.edges, sampler.log_odds)
        plant_instances(codes, units.motif, units.minus, row, start, *tables, u, scores)
        return scores
    letters, begin, scores = sampler.draw(units.motif, units.how, rng)
    write_instances(codes, row, start, sampler.width[units.motif], units.minus, begin, letters)
    return scores


def instance_places(placed: Placed) -> tuple[Int[np.ndarray, " i"], Int[np.ndarray, " i"]]:
    """Return the sequence and the start of each instance of placed units."""
    units = placed.units
    return units.row[units.unit], placed.start[units.unit] + units.offset


def _arrange(
    units: Units, lengths: np.ndarray, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " u"], Bool[np.ndarray, " n"]]:
    from genoplrp.synthetic.kernels import arrange

    first = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(np.bincount(units.row, minlength=len(lengths)), out=first[1:])
    draws = rng.random((2, len(units.row)))
    start, failed = arrange(first, units.width, units.wanted, lengths, draws[0], draws[1])
    if not (units.wanted >= 0).any():
        return start, failed
    for _ in range(_PLACE_ROUNDS):
        if not failed.any():
            break
        draws = rng.random((2, len(units.row)))
        other, still = arrange(first, units.width, units.wanted, lengths, draws[0], draws[1])
        mended = failed & ~still
        start = np.where(mended[units.row], other, start)
        failed = failed & still
    return start, failed


def arrange_by_shares(
    units: Units, lengths: Int[np.ndarray, " n"], rng: np.random.Generator
) -> tuple[Int[np.ndarray, " u"], Bool[np.ndarray, " n"]]:
    """Give the k units of each row k + 1 gaps that have the shares of as many uniform numbers, rounded.

    Where the rounded gaps do not sum to the room that there is, they are drawn again. The units keep their order.

    Returns
    -------
    start, failed
        Start of each unit; the rows whose units are too wide.

    References
    ----------
    Koo and Ploenzke, *Nature Machine Intelligence* 3, 2021 (its synthetic data of task 3, ``generate_model``).
    """
    from genoplrp.synthetic.kernels import arrange_shares

    count = np.bincount(units.row, minlength=len(lengths))
    first = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(count, out=first[1:])
    room = lengths - np.bincount(units.row, weights=units.width, minlength=len(lengths)).astype(np.int64)
    failed = room < 0
    start = np.zeros(len(units.row), dtype=np.int64)
    pending = np.flatnonzero((count > 0) & ~failed)
    while len(pending):
        shares = rng.random(int((count[pending] + 1).sum()))
        pending = pending[arrange_shares(first, units.width, room, pending, shares, start)]
    return start, failed


def _sampled_pwm(pwm: np.ndarray, sampling: str) -> np.ndarray:
    if sampling == "pwm":
        return pwm
    best: np.ndarray = (np.arange(4)[:, None] == pwm.argmax(axis=0)).astype(np.float64)
    return best


def _positions(begin: np.ndarray, width: np.ndarray) -> np.ndarray:
    """All positions of several stretches, one after the other."""
    ends = np.cumsum(width)
    return np.repeat(begin - ends + width, width) + np.arange(int(ends[-1]))


def _shuffled(letters: np.ndarray, odds: np.ndarray, best: float, rng: np.random.Generator) -> np.ndarray:
    """Permute the letters; of up to twenty permutations the first that loses half the score, or else the worst."""
    where = np.arange(len(letters))
    tries = [letters[np.argsort(rng.random(len(letters)), kind="stable")] for _ in range(20)]
    scores = np.array([odds[where, one].sum() for one in tries])
    low = np.flatnonzero(scores <= SPOILT_SHARE * best)
    return tries[int(low[0]) if len(low) else int(scores.argmin())]
