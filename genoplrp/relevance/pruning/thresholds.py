"""Which entries of a relevance tensor are pruned, and what the kept ones are multiplied by; not where it happens.

The definition, followed to the bit by every implementation (this sort-based one and the compiled one in `kernel`):

- Positive and negative entries of a sample are treated apart, on their absolute values. Zeros belong to neither.
- The *mass* of a set of entries is its sum in float64, taken so that it depends on the values alone: first the entries
  of each *group* of eight binades (a binade is ``2^e <= v < 2^(e + 1)``; the entries of a group are whole multiples of
  its smallest entry's unit, so that their sum is an integer, exact and rounded once), then the groups' sums one after
  the other from the smallest group to the largest.
- The *bound* of a sign is the smallest value v such that the mass of all entries <= v exceeds p times the mass of all;
  the largest value if there is none. Entries below their bound are pruned. So tied entries share their fate, p = 0
  prunes nothing, and the largest entries stay whatever p is.
- That is the policy "mass". By "mean" the bound (threshold) of a sign is its mass over the number of all entries of
  the sample; by "effective" as many of the largest entries stay as ``(sum r)^2 / sum r^2`` says, and what ties with the
  last.

References
----------
Yanez Sarmiento et al. 2024, ECML PKDD, "Sparse Explanations of Neural Networks Using Pruned Layer-Wise Relevance
Propagation", section 3 (arXiv 2404.14271).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from genoplrp.errors import NonFiniteError
from genoplrp.relevance.deferred import refuse_unless_finite

POLICIES = ("mass", "mean", "effective")


class PruneStats(NamedTuple):
    """What pruning did to each sample: masses (float64) and numbers of entries (int64), each of shape (N,).

    Attributes
    ----------
    positive_mass, negative_mass
        Sum of the entries of a sign before pruning, both >= 0.
    positive_kept, negative_kept
        The same over the kept entries, before they are rescaled.
    n_positive, n_negative, n_positive_kept, n_negative_kept
        Numbers of entries.
    """

    positive_mass: Tensor
    negative_mass: Tensor
    positive_kept: Tensor
    negative_kept: Tensor
    n_positive: Tensor
    n_negative: Tensor
    n_positive_kept: Tensor
    n_negative_kept: Tensor


def check_finite(stats: PruneStats) -> None:
    """Raise if the relevance of a sample is not finite.

    Raises
    ------
    NonFiniteError
        With the first such sample's number.
    """

    def error() -> NonFiniteError:
        finite = torch.isfinite(stats.positive_mass) & torch.isfinite(stats.negative_mass)
        return NonFiniteError(
            f"the relevance of sample {int((~finite).nonzero()[0])} is not finite (NaN, infinite, or too large to sum "
            "in float64): look for non-finite weights or inputs, or a denominator near zero (a larger epsilon helps)"
        )

    for masses in (stats.positive_mass, stats.negative_mass):
        refuse_unless_finite(masses, error)


class Reference:
    """The definition as a sort, a cumulated sum and a comparison; runs on any device."""

    @staticmethod
    def prune(
        a: Tensor, g: Tensor, p_pos: Tensor, p_neg: Tensor, rescale: bool, policy: str, out: Tensor
    ) -> PruneStats:
        """Write the pruned multiplier of (N, M) rows into ``out``."""
        r = a * g
        positive, negative = _Sign(r, p_pos, policy), _Sign(-r, p_neg, policy)
        stats = _stats(positive, negative)
        wide = g.to(torch.float64)
        kept_positive = wide * positive.scale(rescale)
        kept_negative = wide * negative.scale(rescale)
        new = torch.where(
            r >= positive.bound, kept_positive, torch.where(r <= -negative.bound, kept_negative, 0.0)
        )
        out.copy_(torch.where(r == 0, g, new.to(g.dtype)))
        return stats

    @staticmethod
    def inputs(a: Tensor, g: Tensor, p_pos: Tensor, p_neg: Tensor, policy: str, out: Tensor) -> PruneStats:
        """Write the activations whose relevance is kept into ``out``, 0 for the others; (N, M) rows."""
        r = a * g
        positive, negative = _Sign(r, p_pos, policy), _Sign(-r, p_neg, policy)
        stats = _stats(positive, negative)
        out.copy_(torch.where((r >= positive.bound) | (r <= -negative.bound) | (r == 0), a, 0))
        return stats


def cumulated_mass(ascending: Tensor) -> Tensor:
    """Return the mass of the first entry, of the first two, and so on (see the module's definition).

    Parameters
    ----------
    ascending
        (N, M) float32 or float64, >= 0, ascending along the rows.

    Returns
    -------
    Tensor
        (N, M) float64.
    """
    is_single = ascending.dtype == torch.float32
    fraction, bias, low, n_groups = (23, 150, 0, 32) if is_single else (52, 1075, 27, 256)
    bits = ascending.contiguous().view(torch.int32 if is_single else torch.int64).to(torch.int64)
    exponent = bits >> fraction
    significand = (bits & ((1 << fraction) - 1)) | ((exponent > 0).to(torch.int64) << fraction)
    above = exponent.clamp(min=1) - 1  # subnormal numbers share the unit of the smallest binade
    group, shift = above >> 3, above & 7
    # Integers, in two halves for float64: no sum of theirs overflows.
    high, rest = (significand >> low) << shift, (significand & ((1 << low) - 1)) << shift
    position = torch.arange(bits.shape[1], device=bits.device).expand_as(bits)
    starts = torch.ones_like(bits, dtype=torch.bool)
    starts[:, 1:] = group[:, 1:] != group[:, :-1]
    start = torch.where(starts, position, 0).cummax(dim=1).values

    def within_group(part: Tensor) -> Tensor:
        total = part.cumsum(dim=1)
        return (total - (total - part).gather(1, start)).to(torch.float64)

    unit = torch.pow(2.0, (8 * group + 1 - bias).to(torch.float64))
    mass = (within_group(high) * float(1 << low) + within_group(rest)) * unit
    groups = mass.new_zeros(len(bits), n_groups)
    ends = torch.ones_like(starts)
    ends[:, :-1] = starts[:, 1:]
    groups.scatter_add_(1, group, torch.where(ends, mass, 0.0))
    below = torch.zeros_like(groups)
    below[:, 1:] = groups.cumsum(dim=1)[:, :-1]
    return below.gather(1, group) + mass


class _Sign:
    """The positive entries of (N, M) rows: their bound and masses, each (N, 1)."""

    def __init__(self, r: Tensor, p: Tensor, policy: str) -> None:
        ascending = r.clamp(min=0).abs().sort(dim=1).values  # abs: a zero may carry a sign
        # NaN and infinity must reach the mass, but not the integer arithmetic on the way.
        finite = torch.isfinite(r).all(dim=1, keepdim=True)
        ascending = torch.where(finite, ascending, 0)
        cumulated = cumulated_mass(ascending)
        self.mass = torch.where(finite, cumulated[:, -1:], torch.nan)
        self.count = (ascending > 0).sum(dim=1, keepdim=True)
        largest = ascending[:, -1:]
        if policy == "mass":
            is_over = cumulated > p.reshape(-1, 1) * cumulated[:, -1:]
            first = is_over.to(torch.uint8).argmax(dim=1, keepdim=True)
            bound = torch.where(is_over.any(dim=1, keepdim=True), ascending.gather(1, first), largest)
        elif policy == "mean":
            mean = cumulated[:, -1:] / r.shape[1]
            is_over = (ascending > 0) & (ascending.to(torch.float64) >= mean)
            first = is_over.to(torch.uint8).argmax(dim=1, keepdim=True)
            bound = torch.where(is_over.any(dim=1, keepdim=True), ascending.gather(1, first), largest)
        else:
            kept = _effective_number(ascending, cumulated[:, -1:]).clamp(max=self.count).clamp(min=1)
            bound = ascending.gather(1, r.shape[1] - kept)
        self.bound = torch.where(bound > 0, bound, torch.inf)
        survivors = torch.where(ascending >= self.bound, ascending, 0)
        self.kept_mass = cumulated_mass(survivors)[:, -1:]
        self.kept_count = (survivors > 0).sum(dim=1, keepdim=True)

    def scale(self, rescale: bool) -> Tensor:
        """Return lambda."""
        is_pruned = self.kept_count < self.count
        return (
            torch.where(is_pruned, self.mass / self.kept_mass, 1.0) if rescale else torch.ones_like(self.mass)
        )


def _effective_number(ascending: Tensor, mass: Tensor) -> Tensor:
    """Return ``round((sum v)^2 / sum v^2)``, the values scaled by a power of two so that no square overflows."""
    is_single = ascending.dtype == torch.float32
    largest = ascending[:, -1:].contiguous()
    bits = largest.view(torch.int32 if is_single else torch.int64).to(torch.int64)
    exponent = (bits >> 23) - 127 if is_single else (bits >> 52) - 1023
    scale = torch.pow(2.0, -exponent.to(torch.float64))
    squares = cumulated_mass((ascending.to(torch.float64) * scale).square())[:, -1:]
    number = torch.where(squares > 0, (mass * scale).square() / squares, 0.0)
    return torch.floor(number + 0.5).to(torch.int64)


def _stats(positive: _Sign, negative: _Sign) -> PruneStats:
    columns = (
        positive.mass, negative.mass, positive.kept_mass, negative.kept_mass,
        positive.count, negative.count, positive.kept_count, negative.kept_count,
    )  # fmt: skip
    return PruneStats(*(column.squeeze(1) for column in columns))
