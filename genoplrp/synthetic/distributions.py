"""What a specification leaves to chance: counts, gaps and positions, each a small table of values; no sequences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from genoplrp.errors import SpecError

#: A start that no sequence has.
_NOWHERE = np.iinfo(np.int64).max // 2


@dataclass(frozen=True)
class Count:
    """How many: a distribution over whole numbers >= 0.

    Attributes
    ----------
    kind : {"fixed", "uniform", "poisson", "choice"}
        Which distribution.
    value : int
        The number, where fixed.
    low, high : int
        Smallest and largest number of the uniform one (both included).
    mean : float
        Mean of the Poisson distribution before it is truncated.
    values, p : sequence
        Numbers and their probabilities, of the choice.
    min, max : int, optional
        Truncation: numbers outside are drawn again.
    zero : float, default 0
        Zero inflation: with this probability the number is 0, whatever else is set.

    Examples
    --------
    >>> Count(kind="poisson", mean=2, min=1, max=3).pmf()[0].tolist()
    [1, 2, 3]
    """

    kind: Literal["fixed", "uniform", "poisson", "choice"] = "fixed"
    value: int = 1
    low: int = 0
    high: int = 0
    mean: float = 0.0
    values: tuple[int, ...] = ()
    p: tuple[float, ...] = ()
    min: int | None = None
    max: int | None = None
    zero: float = 0.0

    def __post_init__(self) -> None:
        if self.kind == "poisson" and not 0 < self.mean < 1000:
            raise SpecError(f"mean is {self.mean:g}; a Poisson count needs a mean above 0 and below 1000.")
        if self.kind == "uniform" and not 0 <= self.low <= self.high:
            raise SpecError(f"low is {self.low} and high {self.high}; expected 0 <= low <= high.")
        if self.kind == "fixed" and self.value < 0:
            raise SpecError(f"value is {self.value}; expected a number >= 0.")
        if self.kind == "choice":
            _check_choice(self.values, self.p)
        if not 0 <= self.zero <= 1:
            raise SpecError(f"zero is {self.zero:g}; expected a probability.")
        if len(self._table()[0]) == 0:
            raise SpecError(f"min {self.min} and max {self.max} leave no number to draw.")

    def pmf(self) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, " k"]]:
        """Return the possible numbers and their probabilities."""
        values, p = self._pmf
        return values.copy(), p.copy()

    def draw(self, rng: np.random.Generator, n: int) -> Int[np.ndarray, " n"]:
        """Draw ``n`` numbers, from one uniform number each."""
        return draw_from(rng, n, *self._pmf)

    @cached_property
    def _pmf(self) -> tuple[np.ndarray, np.ndarray]:
        values, p = self._table()
        p = p / p.sum()
        if self.zero == 0:
            return values, p
        return np.append(0, values), np.append(self.zero, (1 - self.zero) * p)

    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        if self.kind == "fixed":
            values, p = np.array([self.value]), np.ones(1)
        elif self.kind == "uniform":
            values = np.arange(self.low, self.high + 1)
            p = np.ones(len(values))
        elif self.kind == "choice":
            values, p = np.array(self.values), np.array(self.p or [1.0] * len(self.values), dtype=np.float64)
        else:
            # Far enough that less than 1e-12 is left out.
            values = np.arange(int(self.mean + 12 * math.sqrt(self.mean) + 20))
            logs = values * math.log(self.mean) - self.mean - np.array([math.lgamma(v + 1) for v in values])
            p = np.exp(logs)
        inside = (
            (values >= (self.min or 0)) & (values <= (np.inf if self.max is None else self.max)) & (p > 0)
        )
        return values[inside].astype(np.int64), p[inside]


@dataclass(frozen=True)
class Spacing:
    """The gap between two neighbouring motifs of a site, in bp from the end of one to the start of the next.

    Attributes
    ----------
    kind : {"fixed", "range", "periodic", "choice"}
        Which gaps are allowed; those that are allowed are equally likely, but for a choice with ``p``.
    value : int
        The gap, where fixed.
    low, high : int
        Smallest and largest gap (both included) of a range, and bounds of a periodic one.
    period, offset : float
        Periodic gaps lie at ``offset + k * period``, rounded; DNA's helical period is 10.5 bp.
    values, p : sequence
        The gaps of a choice, and their probabilities (equal by default).

    Examples
    --------
    >>> Spacing(kind="periodic", low=0, high=40, period=10.5, offset=4).allowed().tolist()
    [4, 15, 25, 36]
    """

    kind: Literal["fixed", "range", "periodic", "choice"] = "fixed"
    value: int = 0
    low: int = 0
    high: int = 0
    period: float = 10.5
    offset: float = 0.0
    values: tuple[int, ...] = ()
    p: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.p and self.kind != "choice":
            raise SpecError(
                f"p is {list(self.p)}, which only a choice has; the gaps of a {self.kind} are equally likely."
            )
        if self.kind == "fixed" and self.value < 0:
            raise SpecError(f"value is {self.value}; a gap is at least 0 (motifs do not overlap).")
        if self.kind in ("range", "periodic") and not 0 <= self.low <= self.high:
            raise SpecError(f"low is {self.low} and high {self.high}; expected 0 <= low <= high.")
        if self.kind == "periodic" and self.period <= 1:
            raise SpecError(f"period is {self.period:g}; expected more than 1 bp.")
        if self.kind == "choice":
            _check_choice(self.values, self.p)
        if len(self.allowed()) == 0:
            raise SpecError(
                f"no gap between low {self.low} and high {self.high} fits the period; widen the range."
            )

    def allowed(self) -> Int[np.ndarray, " k"]:
        """Return the allowed gaps, ascending, in bp."""
        if self.kind == "fixed":
            return np.array([self.value])
        if self.kind == "range":
            return np.arange(self.low, self.high + 1)
        if self.kind == "choice":
            return np.unique(self.values)
        turns = np.arange(math.floor(-self.offset / self.period), math.ceil(self.high / self.period) + 1)
        gaps = np.unique(np.floor(self.offset + turns * self.period + 0.5).astype(np.int64))
        return gaps[(gaps >= self.low) & (gaps <= self.high)]

    def shares(self) -> Float[np.ndarray, " k"]:
        """Return the probabilities of the allowed gaps."""
        allowed = self.allowed()
        if not self.p:
            return np.full(len(allowed), 1 / len(allowed))
        p = np.array(self.p, dtype=np.float64)[np.argsort(self.values)]
        return np.asarray(p / p.sum())

    def forbidden(self) -> Int[np.ndarray, " k"]:
        """Return gaps that break the rule: the others up to twice the largest allowed one, at least up to 20 bp."""
        gaps = np.arange(max(20, 2 * int(self.allowed().max())) + 1)
        others = np.setdiff1d(gaps, self.allowed())
        if self.kind != "periodic":
            return others
        # Half a turn away lies on the other side of the helix: keep what is at least a quarter of a turn off.
        phase = np.abs((others - self.offset + self.period / 2) % self.period - self.period / 2)
        return others[(others <= self.high) & (phase >= self.period / 4)]


@dataclass(frozen=True)
class Position:
    """Where a motif or site is put.

    Attributes
    ----------
    kind : {"uniform", "fixed", "central", "normal", "inside", "outside"}
        Uniform over all arrangements that do not overlap; at one start; in the middle; normally distributed; or uniform
        over the places that lie wholly inside, or wholly outside, the ``width`` bp in the middle of the sequence.
    start : int
        0-based start, where fixed.
    mean : float, optional
        Mean of the normal distribution of the middle, in bp; by default the middle of the sequence.
    sd : float
        Its standard deviation, in bp.
    width : int
        Of the middle, in bp.
    """

    kind: Literal["uniform", "fixed", "central", "normal", "inside", "outside"] = "uniform"
    start: int = 0
    mean: float | None = None
    sd: float = 0.0
    width: int = 0

    def __post_init__(self) -> None:
        if self.kind in ("inside", "outside") and self.width <= 0:
            raise SpecError(
                f"width is {self.width}; how many bp in the middle are meant must be said (above 0)."
            )
        if self.kind == "fixed" and self.start < 0:
            raise SpecError(f"start is {self.start}; positions count from 0.")
        if self.kind == "normal" and self.sd <= 0:
            raise SpecError(f"sd is {self.sd:g}; a normal position needs a standard deviation above 0.")

    def draw(
        self, rng: np.random.Generator, widths: Int[np.ndarray, " n"], lengths: Int[np.ndarray, " n"]
    ) -> Int[np.ndarray, " n"]:
        """Draw a start for each unit of a given width; -1 stands for uniform, to be arranged with the others."""
        if self.kind == "uniform":
            return np.full(len(widths), -1, dtype=np.int64)
        if self.kind == "fixed":
            return np.full(len(widths), self.start, dtype=np.int64)
        if self.kind in ("inside", "outside"):
            return self._beside_the_middle(rng, widths, lengths)
        middle = (
            lengths / 2 if self.mean is None or self.kind == "central" else np.full(len(widths), self.mean)
        )
        if self.kind == "normal":
            middle = middle + self.sd * normal_numbers(rng, len(widths))
        # Outside the sequence it is no start at all: moved out of the way of -1, refused when it is placed.
        starts = np.floor(middle - widths / 2 + 0.5).astype(np.int64)
        return np.where(starts < 0, _NOWHERE, starts)

    def _beside_the_middle(
        self, rng: np.random.Generator, widths: Int[np.ndarray, " n"], lengths: Int[np.ndarray, " n"]
    ) -> Int[np.ndarray, " n"]:
        """Starts inside or outside the middle, each equally likely; where there is none, one that is refused."""
        lengths = np.broadcast_to(lengths, widths.shape)
        if self.kind == "inside":
            first, end = (lengths - self.width + 1) // 2, (lengths + self.width) // 2
            first, left = np.maximum(first, 0), np.zeros_like(widths)
            right = np.maximum(np.minimum(end, lengths) - widths - first + 1, 0)
        else:
            first = (lengths + self.width + 1) // 2
            left = np.maximum((lengths - self.width) // 2 - widths + 1, 0)
            right = np.maximum(lengths - widths - first + 1, 0)
        drawn = np.floor(rng.random(len(widths)) * (left + right)).astype(np.int64)
        starts = np.where(drawn < left, drawn, first + drawn - left)
        return np.where(left + right > 0, starts, _NOWHERE)


def draw_from(rng: np.random.Generator, n: int, values: np.ndarray, p: np.ndarray) -> Int[np.ndarray, " n"]:
    """Draw ``n`` of ``values`` with probabilities ``p``, by inverting the cumulated probabilities."""
    if len(values) == 1:
        return np.full(n, values[0])
    u = rng.random(n)
    if (p == p[0]).all():
        place = (u * len(values)).astype(np.int64)
    else:
        # Only compares sums of probabilities, so that every platform draws the same.
        edges = np.cumsum(p)[:-1]
        few = len(edges) <= 8
        place = (
            sum((u >= edge).astype(np.int64) for edge in edges)
            if few
            else np.searchsorted(edges, u, side="right")
        )
    drawn: np.ndarray = values[place]
    return drawn


def normal_numbers(rng: np.random.Generator, n: int) -> Float[np.ndarray, " n"]:
    """Draw ``n`` standard normal numbers from two uniform ones each.

    References
    ----------
    Box, Muller, *Ann. Math. Statist.* 29, 1958.
    """
    radius, angle = rng.random(n), rng.random(n)
    return np.asarray(np.sqrt(-2 * np.log1p(-radius)) * np.cos(2 * np.pi * angle))


def _check_choice(values: tuple[int, ...], p: tuple[float, ...]) -> None:
    if not values or min(values) < 0:
        raise SpecError(f"values are {list(values)}; expected one or more numbers >= 0.")
    if len(set(values)) != len(values):
        raise SpecError(f"values {list(values)} repeat; give each once.")
    if p and (len(p) != len(values) or min(p) < 0 or abs(sum(p) - 1) > 1e-6):
        raise SpecError(f"p is {list(p)}; expected {len(values)} probabilities that sum to 1.")
