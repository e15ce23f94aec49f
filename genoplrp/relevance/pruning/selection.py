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
    """How a float is laid out: bits of the fraction, bias of a significand's unit, low bits summed apart, groups."""

    integer: torch.dtype
    fraction: int
    bias: int
    low: int
    groups: int


_FLOATS = {
    torch.float32: _Float(torch.int32, 23, 150, 0, 32),
    torch.float64: _Float(torch.int64, 52, 1075, 27, 256),
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


class _Entries:
    """Relevance (N, M) as signs, groups and integers in the unit of the group."""

    def __init__(self, r: Tensor, is_negative: Tensor, is_there: Tensor) -> None:
        self.kind = kind = _FLOATS[r.dtype]
        bits = r.abs().view(kind.integer).to(torch.int64)
        exponent = bits >> kind.fraction
        above = exponent.clamp(min=1) - 1
        leading = (exponent > 0).to(torch.int64) << kind.fraction
        self.group = above >> 3
        self.value = ((bits & ((1 << kind.fraction) - 1)) | leading) << (above & 7)
        self.sign = is_negative.to(torch.int64)
        self.is_there = is_there & (bits > 0)

    def of_sign(self, values: Tensor) -> Tensor:
        """Return (N, 2) values of the signs for each entry."""
        return torch.where(self.sign > 0, values[:, 1:], values[:, :1])


@dataclass(eq=False)
class _Histogram:
    """Numbers of entries and sums of their values (high and low halves) over buckets of both signs, (N, 2, buckets)."""

    count: Tensor
    high: Tensor
    low: Tensor

    @classmethod
    def over(cls, bucket: Tensor, is_in: Tensor, entries: _Entries, buckets: int) -> _Histogram:
        # What is in no bucket goes into one behind the last.
        index = torch.where(is_in, bucket + buckets * entries.sign, 2 * buckets)
        low = entries.kind.low

        def summed(values: Tensor) -> Tensor:
            total = torch.zeros(len(bucket), 2 * buckets + 1, dtype=torch.int64, device=index.device)
            return total.scatter_add_(1, index, values)[:, :-1].reshape(-1, 2, buckets)

        # A value is a significand of 24 or 53 bits, up to 7 bits further up: the halves take those along.
        high = summed(entries.value >> low)
        lower = summed(entries.value & ((1 << low) - 1)) if low else torch.zeros_like(high)
        return cls(summed(torch.ones_like(index)), high, lower)

    def below(self, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return count, high and low sum of the buckets under the chosen one, (N, 2) each."""
        is_below = torch.arange(self.count.shape[2], device=chosen.device) < chosen[..., None]
        return tuple((part * is_below).sum(dim=2) for part in (self.count, self.high, self.low))  # type: ignore[return-value]


def _mass(high: Tensor, low: Tensor, group: Tensor, kind: _Float) -> Tensor:
    """Return sums of one group in float64, rounded once."""
    unit = torch.pow(2.0, (8 * group + 1 - kind.bias).to(torch.float64))
    return (high.to(torch.float64) * float(1 << kind.low) + low.to(torch.float64)) * unit


def _in_order(values: Tensor) -> Tensor:
    """Return the float64 sums of (N, 2, groups) through each group, added one after the other."""
    # A device adds in an order of its own; these few numbers are the CPU's.
    return values.cpu().cumsum(dim=2).to(values.device)


def _select(r: Tensor, p: Tensor, policy: str) -> _Found:
    finite = torch.isfinite(r).all(dim=1, keepdim=True)
    entries = _Entries(r, r < 0, finite.expand_as(r))
    kind = entries.kind
    whole = _Histogram.over(entries.group, entries.is_there, entries, kind.groups)
    groups = torch.arange(kind.groups, device=r.device)
    by_group = _mass(whole.high, whole.low, groups, kind)
    cumulated = _in_order(by_group)
    mass, number = cumulated[..., -1], whole.count.sum(dim=2)
    goal, limit = _goal(r, entries, p, policy, mass, number)
    group = _first((cumulated > goal[..., None]) | (whole.count.cumsum(2) > limit[..., None]), whole.count)
    base = torch.where(group > 0, cumulated.gather(2, (group - 1).clamp(min=0)[..., None])[..., 0], 0.0)
    count_below = whole.below(group)[0]
    high, low, bound = torch.zeros_like(group), torch.zeros_like(group), torch.zeros_like(group)
    is_near = entries.is_there & (entries.group == entries.of_sign(group))
    shift = kind.fraction + 8
    while shift > 0:
        width = min(_DIGIT, shift)
        shift -= width
        digits = _Histogram.over((entries.value >> shift) & ((1 << width) - 1), is_near, entries, 1 << width)
        masses = base[..., None] + _mass(
            high[..., None] + digits.high.cumsum(2),
            low[..., None] + digits.low.cumsum(2),
            group[..., None],
            kind,
        )
        is_over = (masses > goal[..., None]) | (
            count_below[..., None] + digits.count.cumsum(2) > limit[..., None]
        )
        digit = _first(is_over, digits.count)
        below = digits.below(digit)
        count_below, high, low = count_below + below[0], high + below[1], low + below[2]
        bound = (bound << width) | digit
        is_near &= (entries.value >> shift) == entries.of_sign(bound)
    of_bound = _mass(whole.high - high[..., None], whole.low - low[..., None], groups, kind)
    kept = torch.where(
        groups == group[..., None], of_bound, torch.where(groups > group[..., None], by_group, 0.0)
    )
    is_empty = number == 0
    return _Found(
        bound=torch.where(
            is_empty, torch.inf, _mass(bound >> kind.low, bound & ((1 << kind.low) - 1), group, kind)
        ).to(r.dtype),
        mass=torch.where(finite, mass, torch.nan),
        kept_mass=torch.where(is_empty, 0.0, _in_order(kept)[..., -1]),
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
        is_over = entries.is_there & (r.abs().to(torch.float64) >= entries.of_sign(mean))
        negative = (is_over & (entries.sign > 0)).sum(dim=1)
        kept = torch.stack((is_over.sum(dim=1) - negative, negative), dim=1)
    else:
        kept = _effective_number(r, entries, mass)
    limit = number - torch.minimum(kept.clamp(min=1), number)
    return torch.full_like(mass, torch.inf), limit


def _effective_number(r: Tensor, entries: _Entries, mass: Tensor) -> Tensor:
    """Return ``round((sum v)^2 / sum v^2)`` of both signs, scaled by a power of two so that no square overflows."""
    kind = entries.kind
    bits = r.abs().view(kind.integer).to(torch.int64)
    largest = [torch.where(entries.is_there & (entries.sign == s), bits, 0).amax(dim=1) for s in (0, 1)]
    exponent = (torch.stack(largest, dim=1) >> kind.fraction) - (127 if kind.fraction == 23 else 1023)
    scale = torch.pow(2.0, -exponent.to(torch.float64))
    squares = (r.abs().to(torch.float64) * entries.of_sign(scale)).square()
    squared = _Entries(squares, entries.sign > 0, entries.is_there)
    histogram = _Histogram.over(squared.group, squared.is_there, squared, squared.kind.groups)
    groups = torch.arange(squared.kind.groups, device=r.device)
    total = _in_order(_mass(histogram.high, histogram.low, groups, squared.kind))[..., -1]
    number = torch.where(total > 0, (mass * scale).square() / total, 0.0)
    return torch.floor(number + 0.5).to(torch.int64)
