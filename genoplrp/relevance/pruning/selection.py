"""The bounds of relevance by histograms of the floats' bits, in plain torch operations: for devices without Triton.

The definition it follows to the bit is that of `thresholds`; nothing is decided here. Sums of significands are
integers, so that scattered additions come out the same in any order; nothing is sorted or waits for the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from genoplrp.relevance.pruning.thresholds import PruneStats, Reference

_DIGIT = 8
_NO_LIMIT = 1 << 62


class Selection(Reference):
    """The histogram form of `thresholds.Reference`, for float32 and float64 rows on any device with both integers."""

    @staticmethod
    def prune(
        a: Tensor, g: Tensor, p_pos: Tensor, p_neg: Tensor, rescale: bool, policy: str, out: Tensor
    ) -> PruneStats:
        """Write the pruned multiplier of (N, M) rows into ``out``."""
        r = a * g
        found = _select(r, torch.stack((p_pos, p_neg), dim=1), policy)
        scale = found.scale() if rescale else torch.ones_like(found.mass)
        factor = torch.where(r > 0, scale[:, :1], scale[:, 1:])
        new = (g.to(torch.float64) * factor).to(g.dtype)
        # The old value last: out may be g.
        out.copy_(torch.where(r == 0, g, torch.where(found.is_kept(r), new, 0)))
        return found.stats()

    @staticmethod
    def inputs(a: Tensor, g: Tensor, p_pos: Tensor, p_neg: Tensor, policy: str, out: Tensor) -> PruneStats:
        """Write the activations whose relevance is kept into ``out``, 0 for the others; (N, M) rows."""
        r = a * g
        found = _select(r, torch.stack((p_pos, p_neg), dim=1), policy)
        out.copy_(torch.where(found.is_kept(r) | (r == 0), a, 0))
        return found.stats()


class _Float(NamedTuple):
    """How a float is laid out: bits of the fraction, bias of the unit of a significand, low bits summed apart."""

    integer: torch.dtype
    fraction: int
    bias: int
    low: int
    binades: int


_FLOATS = {
    torch.float32: _Float(torch.int32, 23, 150, 0, 256),
    torch.float64: _Float(torch.int64, 52, 1075, 27, 2048),
}


@dataclass(frozen=True, eq=False)
class _Found:
    """Both signs' bounds, masses and numbers of entries, each (N, 2)."""

    bound: Tensor
    mass: Tensor
    kept_mass: Tensor
    count: Tensor
    kept_count: Tensor

    def is_kept(self, r: Tensor) -> Tensor:
        return (r >= self.bound[:, :1]) | (r <= -self.bound[:, 1:])

    def scale(self) -> Tensor:
        """Return lambda of both signs."""
        return torch.where(self.kept_count < self.count, self.mass / self.kept_mass, 1.0)

    def stats(self) -> PruneStats:
        columns = (*self.mass.unbind(1), *self.kept_mass.unbind(1))
        return PruneStats(*columns, *self.count.unbind(1), *self.kept_count.unbind(1))


@dataclass(eq=False)
class _Histogram:
    """Numbers of entries and sums of significands (high and low halves) over buckets of both signs, (N, 2, buckets)."""

    count: Tensor
    high: Tensor
    low: Tensor

    @classmethod
    def over(cls, bucket: Tensor, is_in: Tensor, entries: _Entries, buckets: int) -> _Histogram:
        n, kind = len(bucket), entries.kind
        # What is in no bucket goes into one behind the last.
        index = torch.where(is_in, bucket + buckets * entries.is_negative, 2 * buckets)
        significand = entries.significand()

        def summed(values: Tensor) -> Tensor:
            total = torch.zeros(n, 2 * buckets + 1, dtype=torch.int64, device=index.device)
            return total.scatter_add_(1, index, values)[:, :-1].reshape(n, 2, buckets)

        high = summed(significand >> kind.low)
        low = summed(significand & ((1 << kind.low) - 1)) if kind.low else torch.zeros_like(high)
        return cls(summed(torch.ones_like(index)), high, low)

    def below(self, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return count, high and low sum of the buckets under the chosen one, (N, 2) each."""
        is_below = torch.arange(self.count.shape[2], device=chosen.device) < chosen[..., None]
        return tuple((part * is_below).sum(dim=2) for part in (self.count, self.high, self.low))  # type: ignore[return-value]

    def through(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the same with all the buckets up to each one."""
        return self.count.cumsum(2), self.high.cumsum(2), self.low.cumsum(2)


class _Entries:
    """Relevance (N, M) as signs and bits."""

    def __init__(self, r: Tensor) -> None:
        self.kind = _FLOATS[r.dtype]
        self.bits = r.abs().view(self.kind.integer).to(torch.int64)
        self.is_negative = (r < 0).to(torch.int64)
        self.is_there = self.bits > 0

    def significand(self) -> Tensor:
        fraction = self.kind.fraction
        leading = ((self.bits >> fraction) > 0).to(torch.int64) << fraction
        return (self.bits & ((1 << fraction) - 1)) | leading

    def of_sign(self, values: Tensor) -> Tensor:
        """Return (N, 2) values of the signs for each entry."""
        return torch.where(self.is_negative > 0, values[:, 1:], values[:, :1])


def _mass(high: Tensor, low: Tensor, binade: Tensor, kind: _Float) -> Tensor:
    """Return sums of significands of one binade in float64, rounded once."""
    unit = torch.pow(2.0, (binade.clamp(min=1) - kind.bias).to(torch.float64))
    return (high.to(torch.float64) * float(1 << kind.low) + low.to(torch.float64)) * unit


def _in_order(values: Tensor) -> Tensor:
    """Return the float64 sums of (N, 2, buckets) through each bucket, added one after the other."""
    # Along the first axis a device adds one after the other, too; along the last it need not.
    return values.movedim(2, 0).contiguous().cumsum(dim=0).movedim(0, 2)


def _select(r: Tensor, p: Tensor, policy: str) -> _Found:
    entries = _Entries(r)
    kind = entries.kind
    finite = torch.isfinite(r).all(dim=1, keepdim=True)
    entries.is_there &= finite
    exponent = entries.bits >> kind.fraction
    whole = _Histogram.over(exponent, entries.is_there, entries, kind.binades)
    binades = torch.arange(kind.binades, device=r.device)
    by_binade = _mass(whole.high, whole.low, binades, kind)
    cumulated = _in_order(by_binade)
    mass, number = cumulated[..., -1], whole.count.sum(dim=2)
    goal, limit = _goal(r, entries, p, policy, mass, number)
    binade = _first((cumulated > goal[..., None]) | (whole.count.cumsum(2) > limit[..., None]), whole.count)
    base = torch.where(binade > 0, cumulated.gather(2, (binade - 1).clamp(min=0)[..., None])[..., 0], 0.0)
    count_below = whole.below(binade)[0]
    high, low = torch.zeros_like(binade), torch.zeros_like(binade)
    key, shift = binade, kind.fraction
    while shift > 0:
        width = min(_DIGIT, shift)
        is_near = entries.is_there & ((entries.bits >> shift) == entries.of_sign(key))
        shift -= width
        digits = _Histogram.over((entries.bits >> shift) & ((1 << width) - 1), is_near, entries, 1 << width)
        counts, highs, lows = digits.through()
        masses = base[..., None] + _mass(
            high[..., None] + highs, low[..., None] + lows, binade[..., None], kind
        )
        digit = _first(
            (masses > goal[..., None]) | (count_below[..., None] + counts > limit[..., None]), digits.count
        )
        below = digits.below(digit)
        count_below, high, low = count_below + below[0], high + below[1], low + below[2]
        key = (key << width) | digit
    bound = key.to(kind.integer).view(r.dtype)
    is_lower = binades < binade[..., None]
    is_same = binades == binade[..., None]
    kept_by_binade = torch.where(
        is_same, _mass(whole.high - high[..., None], whole.low - low[..., None], binades, kind), by_binade
    )
    kept = _in_order(torch.where(is_lower, 0.0, kept_by_binade))[..., -1]
    is_empty = number == 0
    return _Found(
        bound=torch.where(is_empty, torch.inf, bound),
        mass=torch.where(finite, mass, torch.nan),
        kept_mass=torch.where(is_empty, 0.0, kept),
        count=number,
        kept_count=torch.where(is_empty, 0, number - count_below),
    )


def _first(is_over: Tensor, count: Tensor) -> Tensor:
    """Return the first bucket with entries where the bound is passed; the last with entries if there is none."""
    is_over &= count > 0
    buckets = torch.arange(count.shape[2], device=count.device)
    last = torch.where(count > 0, buckets, 0).amax(dim=2)
    return torch.where(is_over.any(dim=2), is_over.to(torch.uint8).argmax(dim=2), last)


def _goal(
    r: Tensor, entries: _Entries, p: Tensor, policy: str, mass: Tensor, number: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the mass and the number of entries that may be pruned, (N, 2) each."""
    if policy == "mass":
        return p * mass, torch.full_like(number, _NO_LIMIT)
    if policy == "mean":
        mean = mass / r.shape[1]
        values = r.abs().to(torch.float64)
        is_over = entries.is_there & (values >= entries.of_sign(mean))
        negative = (is_over & (entries.is_negative > 0)).sum(dim=1)
        kept = torch.stack((is_over.sum(dim=1) - negative, negative), dim=1)
    else:
        kept = _effective_number(r, entries, mass)
    limit = number - torch.minimum(kept.clamp(min=1), number)
    return torch.full_like(mass, torch.inf), limit


def _effective_number(r: Tensor, entries: _Entries, mass: Tensor) -> Tensor:
    """Return ``round((sum v)^2 / sum v^2)`` of both signs, scaled by a power of two so that no square overflows."""
    kind = entries.kind
    keys = [torch.where(entries.is_there & (entries.is_negative == s), entries.bits, 0) for s in (0, 1)]
    largest = torch.stack([key.amax(dim=1) for key in keys], dim=1)
    exponent = (largest >> kind.fraction) - (127 if kind.fraction == 23 else 1023)
    scale = torch.pow(2.0, -exponent.to(torch.float64))
    values = r.abs().to(torch.float64)
    squares = (values * entries.of_sign(scale)).square()
    squared = _Entries(torch.where(entries.is_there, squares, 0))
    squared.is_negative = entries.is_negative
    histogram = _Histogram.over(squared.bits >> squared.kind.fraction, squared.is_there, squared, 2048)
    binades = torch.arange(2048, device=r.device)
    total = _in_order(_mass(histogram.high, histogram.low, binades, squared.kind))[..., -1]
    number = torch.where(total > 0, (mass * scale).square() / total, 0.0)
    return torch.floor(number + 0.5).to(torch.int64)
