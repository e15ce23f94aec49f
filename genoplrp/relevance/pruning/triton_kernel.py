"""Pruning on a GPU, in Triton: the bounds of all samples and both signs in a few launches, without a wait.

The definition it follows to the bit is that of `thresholds`; nothing is decided here. Short samples (a dense layer's)
take one launch, each in the registers of one program. Long ones take four, over all samples at once:

1. `_bracket`: between which two values the bound lies in all likelihood, from a sample of the entries.
2. `_sums`: one pass over memory. A thread keeps the integer sums of the four largest groups of binades in registers,
   of both signs together and of their difference (the few entries below them are added to memory as integers), and
   those of what lies under the bracket; the few entries in it are copied out.
3. `_refine`: the masses, then bit by bit the bound among the copied entries, held in registers, and lambda. Where the
   bracket has missed the bound, the sample's entries are gone through instead: slower, the same result.
4. `_write`: zeros and scaled entries, one pass.

No entry is sorted, no float is added in an order that could change, and only single numbers of a sample are float64.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from genoplrp.relevance.pruning.thresholds import PruneStats, Reference

KEEP, RESCALE, INPUTS = 0, 1, 2
"""What is to be written: the kept multipliers, the same rescaled, or the activations of the kept."""

IN_ONE_PROGRAM = 8192
"""Entries of a sample that fit the registers of one program."""
_LANES = 128
_TURN = 4 * _LANES
_SAMPLE = 8192
_TILE = 4096  # candidates that `_refine` holds at once
_BLOCK = 2048
_PROGRAMS = 4096  # over a whole launch: enough to fill a large card several times
_LARGEST_CHUNK = 1 << 19  # entries of one program: 16 bits hold the number of a thread's
# Of a sample and sign: number of entries under the bracket, in it (of both signs, 32 bits each, with the first),
# of all, whether one is not finite; the sum under the bracket in its own group; the sums of the 32 groups.
_WIDTH = tl.constexpr(5 + 32)


class OnDevice(Reference):
    """The Triton form of `thresholds.Reference`, for float32 rows on a CUDA device; not for the policy "effective"."""

    @staticmethod
    def prune(
        a: Tensor, g: Tensor, p_pos: Tensor, p_neg: Tensor, rescale: bool, policy: str, out: Tensor
    ) -> PruneStats:
        """Write the pruned multiplier of (N, M) rows into ``out``."""
        return _prune(a, g, p_pos, p_neg, policy, RESCALE if rescale else KEEP, out)

    @staticmethod
    def inputs(a: Tensor, g: Tensor, p_pos: Tensor, p_neg: Tensor, policy: str, out: Tensor) -> PruneStats:
        """Write the activations whose relevance is kept into ``out``, 0 for the others; (N, M) rows."""
        return _prune(a, g, p_pos, p_neg, policy, INPUTS, out)


def _prune(
    a: Tensor, g: Tensor, p_pos: Tensor, p_neg: Tensor, policy: str, mode: int, out: Tensor
) -> PruneStats:
    rows, entries = g.shape
    masses = torch.empty(rows, 4, dtype=torch.float64, device=g.device)
    counts = torch.empty(rows, 4, dtype=torch.int64, device=g.device)
    by_mean = policy == "mean"
    if entries <= IN_ONE_PROGRAM:
        block = max(triton.next_power_of_2(entries), 16)
        _prune_row[(rows,)](
            a, g, out, p_pos, p_neg, masses, counts, entries, by_mean, mode, block, num_warps=8 if block > 1024 else 4
        )  # fmt: skip
    else:
        _prune_long(a, g, out, p_pos, p_neg, masses, counts, by_mean, mode)
    return PruneStats(*masses.unbind(1), *counts.unbind(1))


def _prune_long(
    a: Tensor,
    g: Tensor,
    out: Tensor,
    p_pos: Tensor,
    p_neg: Tensor,
    masses: Tensor,
    counts: Tensor,
    by_mean: bool,
    mode: int,
) -> None:
    rows, entries = g.shape
    device = g.device
    sums = torch.empty(rows, 2, _WIDTH.value, dtype=torch.int64, device=device)
    # Bits of its ends for each sign, and the largest group of the sample.
    bracket = torch.empty(rows, 5, dtype=torch.int32, device=device)
    bound = torch.empty(rows, 2, dtype=torch.float32, device=device)
    scale = torch.empty(rows, 2, dtype=torch.float64, device=device)
    candidates = torch.empty(rows, entries, dtype=torch.int32, device=device)
    parts = max(1, min(triton.cdiv(entries, 4 * _TURN), triton.cdiv(_PROGRAMS, rows)))
    chunk = min(triton.cdiv(triton.cdiv(entries, parts), _TURN) * _TURN, _LARGEST_CHUNK)
    by_part = (triton.cdiv(entries, chunk), rows)
    _bracket[(rows,)](a, g, p_pos, p_neg, bracket, sums, entries, _SAMPLE, num_warps=8)
    if by_mean:
        _sums[by_part](a, g, sums, bracket, candidates, entries, chunk, True, False, _LANES, num_warps=4)
        _at_mean[(2 * rows,)](sums, bracket, entries, num_warps=1)
        _sums[by_part](a, g, sums, bracket, candidates, entries, chunk, False, True, _LANES, num_warps=4)
    else:
        _sums[by_part](a, g, sums, bracket, candidates, entries, chunk, True, True, _LANES, num_warps=4)
    _refine[(2 * rows,)](
        a, g, sums, bracket, candidates, p_pos, p_neg, masses, counts, bound, scale, entries, by_mean, _TILE,
        num_warps=8,
    )  # fmt: skip
    _write[(triton.cdiv(entries, _BLOCK), rows)](a, g, out, bound, scale, entries, mode, _BLOCK, num_warps=4)


@triton.jit
def _group(magnitude):
    return (tl.maximum(magnitude >> 23, 1) - 1) >> 3


@triton.jit
def _value(magnitude):
    """Return entries as integers (below 2^31) in the unit of their group."""
    significand = (magnitude & 0x7FFFFF) | tl.where(magnitude > 0x7FFFFF, 0x800000, 0)
    return significand << ((tl.maximum(magnitude >> 23, 1) - 1) & 7)


@triton.jit
def _mass(total, group):
    """Return sums of one group in float64, rounded once."""
    exponent = 8 * group.to(tl.int64) + (1 - 150 + 1023)
    return total.to(tl.float64) * (exponent << 52).to(tl.float64, bitcast=True)


@triton.jit
def _share(p_pos_ptr, p_neg_ptr, row, sign):
    """Return the share to prune of each sign (0: positive, 1: negative) of a sample."""
    return tl.where(sign == 0, tl.load(p_pos_ptr + row), tl.load(p_neg_ptr + row))


@triton.jit
def _goal(mass, p):
    """Return the mass that may be pruned: never the whole, so that the largest entries stay whatever p is."""
    less = (tl.maximum(mass.to(tl.int64, bitcast=True) - 1, 0)).to(tl.float64, bitcast=True)
    return tl.minimum(p * mass, less)


@triton.jit
def _mean_bits(mass, entries):
    """Return the bits of the smallest float32 that is not below the mean."""
    mean = mass / (tl.zeros_like(mass) + entries)
    near = mean.to(tl.float32)
    key = near.to(tl.int32, bitcast=True)
    return tl.maximum(tl.where(near.to(tl.float64) < mean, key + 1, key), 1)


@triton.jit
def _written(a, g, r, above, below, scale, scale_negative, MODE: tl.constexpr):
    """Return what is written for each entry."""
    is_kept = (r >= above) | (r <= below) | (r == 0)
    if MODE == 2:
        return tl.where(is_kept, a, 0.0)
    if MODE == 0:
        return tl.where(is_kept, g, 0.0)
    factor = tl.where(r > 0, scale, scale_negative)
    return tl.where(r == 0, g, tl.where(is_kept, (g.to(tl.float64) * factor).to(tl.float32), 0.0))


@triton.jit
def _prune_row(
    a_ptr, g_ptr, out_ptr, p_pos_ptr, p_neg_ptr, masses_ptr, counts_ptr, entries,
    BY_MEAN: tl.constexpr, MODE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, BLOCK)
    is_in = place < entries
    a = tl.load(a_ptr + row * entries + place, mask=is_in, other=0.0)
    g = tl.load(g_ptr + row * entries + place, mask=is_in, other=0.0)
    r = a * g
    bits = r.to(tl.int32, bitcast=True)
    magnitude = bits & 0x7FFFFFFF
    sign = tl.arange(0, 2)
    mine = (magnitude > 0)[None, :] & ((bits < 0).to(tl.int32)[None, :] == sign[:, None])
    group = _group(magnitude)[None, :]
    value = _value(magnitude).to(tl.int64)[None, :]
    number = tl.sum(mine.to(tl.int64), axis=1)
    first = tl.min(tl.min(tl.where(mine, group, 32), axis=1), axis=0)
    last = tl.max(tl.max(tl.where(mine, group, -1), axis=1), axis=0)
    slots = tl.arange(0, 32)[None, :]
    sums = tl.zeros([2, 32], tl.int64)
    mass = tl.zeros([2], tl.float64)
    for k in range(first, last + 1):
        total = tl.sum(tl.where(mine & (group == k), value, 0), axis=1)
        sums = tl.where(slots == k, total[:, None], sums)
        mass += _mass(total, tl.zeros([2], tl.int32) + k)
    if BY_MEAN:
        bound = _mean_bits(mass, entries)
    else:
        goal = _goal(mass, _share(p_pos_ptr, p_neg_ptr, row, sign))
        # The group that crosses the goal, and the mass below it.
        run = tl.zeros([2], tl.float64)
        base = tl.zeros([2], tl.float64)
        chosen = tl.zeros([2], tl.int32) - 1
        for k in range(first, last + 1):
            level = tl.zeros([2], tl.int32) + k
            more = run + _mass(tl.sum(tl.where(slots == k, sums, 0), axis=1), level)
            is_it = (more > goal) & (chosen < 0)
            chosen = tl.where(is_it, k, chosen)
            base = tl.where(is_it, run, base)
            run = more
        near = mine & (group == chosen[:, None])
        found = tl.zeros([2], tl.int64)
        for i in range(0, 31):
            trial = found + (tl.zeros([2], tl.int64) + 1 << (30 - i))
            below = tl.sum(tl.where(near & (value < trial[:, None]), value, 0), axis=1)
            found = tl.where(base + _mass(below, chosen) > goal, found, trial)
        bound = tl.max(tl.where(near & (value == found[:, None]), magnitude[None, :], 0), axis=1)
    is_pruned = mine & (magnitude[None, :] < bound[:, None])
    own = _group(bound)
    below = tl.sum(tl.where(is_pruned & (group == own[:, None]), value, 0), axis=1)
    kept_number = number - tl.sum(is_pruned.to(tl.int64), axis=1)
    kept = tl.zeros([2], tl.float64)
    for k in range(first, last + 1):
        level = tl.zeros([2], tl.int32) + k
        total = tl.sum(tl.where(slots == k, sums, 0), axis=1)
        kept += tl.where(k > own, _mass(total, level), tl.where(k == own, _mass(total - below, level), 0.0))
    is_finite = tl.max(magnitude, axis=0) < 0x7F800000
    mass = tl.where(tl.zeros([2], tl.int32) + is_finite.to(tl.int32) > 0, mass, float("nan"))
    kept = tl.where(number > 0, kept, 0.0)
    scale = tl.where(kept_number < number, mass / tl.where(kept > 0, kept, 1.0), 1.0)
    tl.store(masses_ptr + row * 4 + sign, mass)
    tl.store(masses_ptr + row * 4 + 2 + sign, kept)
    tl.store(counts_ptr + row * 4 + sign, number)
    tl.store(counts_ptr + row * 4 + 2 + sign, kept_number)
    edge = tl.where(number > 0, bound.to(tl.float32, bitcast=True), float("inf"))
    above = tl.sum(tl.where(sign == 0, edge, 0.0), axis=0)
    below_zero = -tl.sum(tl.where(sign == 1, edge, 0.0), axis=0)
    up = tl.sum(tl.where(sign == 0, scale, 0.0), axis=0)
    down = tl.sum(tl.where(sign == 1, scale, 0.0), axis=0)
    new = _written(a, g, r, above, below_zero, up, down, MODE)
    tl.store(out_ptr + row * entries + place, new, mask=is_in)


@triton.jit
def _bracket(
    a_ptr, g_ptr, p_pos_ptr, p_neg_ptr, bracket_ptr, sums_ptr, entries, SAMPLE: tl.constexpr
):  # fmt: skip
    """Store the bits of two values for each sign, four standard errors to either side of the sample's bound.

    So are the largest group of the sample and zeros, where the sums of `_sums` begin.
    """
    row = tl.program_id(0).to(tl.int64)
    slot = tl.arange(0, 128)
    tl.store(sums_ptr + row * 2 * _WIDTH + slot, tl.zeros([128], tl.int64), mask=slot < 2 * _WIDTH)
    pick = tl.arange(0, SAMPLE)
    # Runs of eight neighbours (a memory access) at about equal distances, none of them a multiple of the length.
    stride = tl.maximum(entries // (SAMPLE // 8), 8)
    run = pick // 8
    place = run * stride + (run * 7919) % (stride - 7) + pick % 8
    is_in = place < entries
    a = tl.load(a_ptr + row * entries + place, mask=is_in, other=0.0)
    r = a * tl.load(g_ptr + row * entries + place, mask=is_in, other=0.0)
    bits = r.to(tl.int32, bitcast=True)
    magnitude = bits & 0x7FFFFFFF
    end = tl.arange(0, 4)
    is_mine = (bits < 0).to(tl.int32)[None, :] == (end // 2)[:, None]
    tl.store(bracket_ptr + row * 5 + 4, _group(tl.max(magnitude, axis=0)))
    # Scaled, so that no square under- or overflows; a smaller constant would be float64, and so would all sums.
    largest = tl.max(tl.where(magnitude < 0x7F800000, tl.abs(r), 0.0), axis=0)
    size = tl.where(magnitude < 0x7F800000, tl.abs(r) / tl.maximum(largest, 1.2e-38), 0.0)
    weight = tl.where(is_mine, size[None, :], 0.0)
    total = tl.sum(weight, axis=1)
    p = _share(p_pos_ptr, p_neg_ptr, row, end // 2).to(tl.float32)
    error = 4 * tl.sqrt(p * (1 - p) * tl.sum(weight * weight, axis=1)) + 1e-4 * total
    wanted = p * total + tl.where(end % 2 == 0, -error, error)
    found = tl.zeros([4], tl.int32)
    for i in range(0, 15):  # to a 128th of a binade
        trial = found + (tl.zeros([4], tl.int32) + 1 << (30 - i))
        below = tl.sum(tl.where(magnitude[None, :] < trial[:, None], weight, 0.0), axis=1)
        found = tl.where(below > wanted, found, trial)
    # The upper end is one step on, and past everything where the sample's mass ends before it.
    step = 1 << 16
    upper = tl.where((wanted >= total) | (found > 0x7F800000 - step), 0x7F800000, found + step)
    tl.store(bracket_ptr + row * 5 + end, tl.where(end % 2 == 0, found, upper))


@triton.jit
def _pair(a_ptr, g_ptr, offset, stop):
    a = tl.load(a_ptr + offset, mask=offset < stop, other=0.0)
    return a, tl.load(g_ptr + offset, mask=offset < stop, other=0.0)


@triton.jit
def _product(a_ptr, g_ptr, offset, stop):
    a, g = _pair(a_ptr, g_ptr, offset, stop)
    return a * g


@triton.jit
def _taken_apart(r, top):
    """Return bits, magnitude, group, value, and 1 in the byte of the group's place among the four largest (else 0)."""
    bits = r.to(tl.int32, bitcast=True)
    magnitude = bits & 0x7FFFFFFF
    group = _group(magnitude)
    place = top - group
    is_near = (magnitude > 0) & (place >= 0) & (place < 4)
    return bits, magnitude, group, _value(magnitude), tl.where(is_near, 1 << (8 * (place & 3)), 0)


@triton.jit
def _times(weight, value):
    """Return a product of 32-bit integers in 64 bits: one instruction, with the sum that it is added to."""
    return weight.to(tl.int64) * value.to(tl.int64)


@triton.jit
def _add_far(bits, magnitude, group, value, near, sums_ptr):
    """Add an entry a lane that lies outside of the four largest groups to memory."""
    to = sums_ptr + tl.where(bits < 0, _WIDTH, 0) + 5 + group
    tl.atomic_add(to, value.to(tl.int64), mask=(magnitude > 0) & (near == 0), sem="relaxed")


@triton.jit
def _add_groups(r, top, sums_ptr, both0, both1, both2, both3, net0, net1, net2, net3, number):
    """Return the register sums with one more entry a lane: of values, of values with their sign; numbers by sign."""
    bits, magnitude, group, value, near = _taken_apart(r, top)
    signed = tl.where(bits < 0, -value, value)
    here0, here1, here2, here3 = near & 255, (near >> 8) & 255, (near >> 16) & 255, near >> 24
    both0 += _times(here0, value)
    both1 += _times(here1, value)
    both2 += _times(here2, value)
    both3 += _times(here3, value)
    net0 += _times(here0, signed)
    net1 += _times(here1, signed)
    net2 += _times(here2, signed)
    net3 += _times(here3, signed)
    _add_far(bits, magnitude, group, value, near, sums_ptr)
    number += _one_by_sign(bits)
    return both0, both1, both2, both3, net0, net1, net2, net3, number


@triton.jit
def _one_by_sign(bits):
    """Return 1 for positive, 65536 for negative entries, else 0."""
    return tl.where(bits > 0, 1, tl.where((bits & 0x7FFFFFFF) > 0, 65536, 0))


@triton.jit
def _add_below(r, low, low_negative, both, net, number):
    """Return sums and numbers under the bracket with one more entry a lane (sums of the bracket's own group only)."""
    bits = r.to(tl.int32, bitcast=True)
    magnitude = bits & 0x7FFFFFFF
    mine = tl.where(bits < 0, low_negative, low)
    value = _value(magnitude)
    is_below = magnitude < mine
    is_counted = (is_below & (_group(magnitude) == _group(mine))).to(tl.int32)
    both += _times(is_counted, value)
    net += _times(is_counted, tl.where(bits < 0, -value, value))
    return both, net, number + tl.where(is_below, _one_by_sign(bits), 0)


@triton.jit
def _is_inside(r, low, high, low_negative, high_negative):
    """Return 1 for positive, 65536 for negative entries in the bracket of their sign, else 0."""
    bits = r.to(tl.int32, bitcast=True)
    magnitude = bits & 0x7FFFFFFF
    is_inside = (magnitude >= tl.where(bits < 0, low_negative, low)) & (
        magnitude < tl.where(bits < 0, high_negative, high)
    )
    return tl.where(is_inside, _one_by_sign(bits), 0)


@triton.jit
def _store_sums(to, both, net, mask):
    """Add the sums of positive and of negative values, from those of values without and with their sign."""
    values, signed = tl.sum(both, axis=0), tl.sum(net, axis=0)
    tl.atomic_add(to, (values + signed) >> 1, mask=mask, sem="relaxed")
    tl.atomic_add(to + _WIDTH, (values - signed) >> 1, mask=mask, sem="relaxed")


@triton.jit
def _store_numbers(to, number):
    """Add numbers of entries by sign."""
    tl.atomic_add(to, tl.sum((number & 0xFFFF).to(tl.int64), axis=0), sem="relaxed")
    tl.atomic_add(to + _WIDTH, tl.sum((number >> 16).to(tl.int64), axis=0), sem="relaxed")


@triton.jit
def _copy_out(to, r, inside, at, begin, begin_negative, entries):
    """Store the magnitudes of the entries in the bracket: positive ones from the front, negative ones from the end."""
    magnitude = r.to(tl.int32, bitcast=True) & 0x7FFFFFFF
    tl.store(to + begin + (at & 0xFFFF), magnitude, mask=inside == 1)
    tl.store(to + entries - 1 - begin_negative - (at >> 16), magnitude, mask=inside == 65536)
    return at + inside


@triton.jit
def _sums(
    a_ptr, g_ptr, sums_ptr, bracket_ptr, candidates_ptr, entries, chunk,
    GROUPS: tl.constexpr, BRACKET: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(1).to(tl.int64)
    a_ptr += row * entries
    g_ptr += row * entries
    sums_ptr += row * 2 * _WIDTH
    to = candidates_ptr + row * entries
    start = tl.program_id(0) * chunk
    stop = tl.minimum(start + chunk, entries)
    signs = tl.arange(0, 2)
    both0 = tl.zeros([LANES], tl.int64)
    both1, both2, both3, under, net0, net1, net2, net3, net = (
        both0,
        both0,
        both0,
        both0,
        both0,
        both0,
        both0,
        both0,
        both0,
    )
    number = tl.zeros([LANES], tl.int32)
    number_under, largest = number, number
    lane = start + tl.arange(0, LANES)
    low = tl.load(bracket_ptr + row * 5)
    high = tl.load(bracket_ptr + row * 5 + 1)
    low_negative = tl.load(bracket_ptr + row * 5 + 2)
    high_negative = tl.load(bracket_ptr + row * 5 + 3)
    top = tl.load(bracket_ptr + row * 5 + 4)
    a0, g0 = _pair(a_ptr, g_ptr, lane, stop)
    a1, g1 = _pair(a_ptr, g_ptr, lane + LANES, stop)
    a2, g2 = _pair(a_ptr, g_ptr, lane + 2 * LANES, stop)
    a3, g3 = _pair(a_ptr, g_ptr, lane + 3 * LANES, stop)
    for _ in range(0, chunk, 4 * LANES):
        r0, r1, r2, r3 = a0 * g0, a1 * g1, a2 * g2, a3 * g3
        # The next ones are on their way while these are added.
        lane += 4 * LANES
        a0, g0 = _pair(a_ptr, g_ptr, lane, stop)
        a1, g1 = _pair(a_ptr, g_ptr, lane + LANES, stop)
        a2, g2 = _pair(a_ptr, g_ptr, lane + 2 * LANES, stop)
        a3, g3 = _pair(a_ptr, g_ptr, lane + 3 * LANES, stop)
        if GROUPS:
            both0, both1, both2, both3, net0, net1, net2, net3, number = _add_groups(
                r0, top, sums_ptr, both0, both1, both2, both3, net0, net1, net2, net3, number
            )
            both0, both1, both2, both3, net0, net1, net2, net3, number = _add_groups(
                r1, top, sums_ptr, both0, both1, both2, both3, net0, net1, net2, net3, number
            )
            both0, both1, both2, both3, net0, net1, net2, net3, number = _add_groups(
                r2, top, sums_ptr, both0, both1, both2, both3, net0, net1, net2, net3, number
            )
            both0, both1, both2, both3, net0, net1, net2, net3, number = _add_groups(
                r3, top, sums_ptr, both0, both1, both2, both3, net0, net1, net2, net3, number
            )
            largest = tl.maximum(largest, r0.to(tl.int32, bitcast=True) & 0x7FFFFFFF)
            largest = tl.maximum(largest, r1.to(tl.int32, bitcast=True) & 0x7FFFFFFF)
            largest = tl.maximum(largest, r2.to(tl.int32, bitcast=True) & 0x7FFFFFFF)
            largest = tl.maximum(largest, r3.to(tl.int32, bitcast=True) & 0x7FFFFFFF)
        if BRACKET:
            under, net, number_under = _add_below(r0, low, low_negative, under, net, number_under)
            under, net, number_under = _add_below(r1, low, low_negative, under, net, number_under)
            under, net, number_under = _add_below(r2, low, low_negative, under, net, number_under)
            under, net, number_under = _add_below(r3, low, low_negative, under, net, number_under)
            in0 = _is_inside(r0, low, high, low_negative, high_negative)
            in1 = _is_inside(r1, low, high, low_negative, high_negative)
            in2 = _is_inside(r2, low, high, low_negative, high_negative)
            in3 = _is_inside(r3, low, high, low_negative, high_negative)
            mine = in0 + in1 + in2 + in3
            in_all = tl.sum(mine, axis=0)
            if in_all > 0:
                numbers = (in_all & 0xFFFF).to(tl.int64) | (in_all >> 16).to(tl.int64) << 32
                begins = tl.atomic_add(sums_ptr + 1, numbers, sem="relaxed")
                begin, begin_negative = begins & 0xFFFFFFFF, begins >> 32
                at = tl.cumsum(mine, axis=0) - mine
                at = _copy_out(to, r0, in0, at, begin, begin_negative, entries)
                at = _copy_out(to, r1, in1, at, begin, begin_negative, entries)
                at = _copy_out(to, r2, in2, at, begin, begin_negative, entries)
                at = _copy_out(to, r3, in3, at, begin, begin_negative, entries)
    if GROUPS:
        _store_numbers(sums_ptr + 2, number)
        _store_sums(sums_ptr + 5 + top, both0, net0, top >= 0)
        _store_sums(sums_ptr + 4 + top, both1, net1, top >= 1)
        _store_sums(sums_ptr + 3 + top, both2, net2, top >= 2)
        _store_sums(sums_ptr + 2 + top, both3, net3, top >= 3)
        if tl.max(largest, axis=0) >= 0x7F800000:
            tl.atomic_max(sums_ptr + 3 + signs * _WIDTH, tl.zeros([2], tl.int64) + 1, sem="relaxed")
    if BRACKET:
        _store_numbers(sums_ptr, number_under)
        _store_sums(sums_ptr + 4, under, net, top >= 0)


@triton.jit
def _total_mass(sums_ptr):
    """Return the mass of one sign of a sample, and its last group (-1 where it has no entries)."""
    slots = tl.arange(0, 32)
    total = tl.load(sums_ptr + 5 + slots)
    last = tl.max(tl.where(total > 0, slots, -1), axis=0)
    first = tl.min(tl.where(total > 0, slots, 32), axis=0)
    mass = tl.zeros([1], tl.float64)
    for k in range(first, last + 1):
        mass += _mass(tl.load(sums_ptr + 5 + k), tl.zeros([1], tl.int32) + k)
    return mass, first, last


@triton.jit
def _at_mean(sums_ptr, bracket_ptr, entries):
    """Store an empty bracket at the mean."""
    pair = tl.program_id(0).to(tl.int64)
    mass, _, _ = _total_mass(sums_ptr + pair * _WIDTH)
    bound = _mean_bits(mass, entries)
    one = tl.arange(0, 1)
    ends = bracket_ptr + pair // 2 * 5 + pair % 2 * 2
    tl.store(ends + one, bound)
    tl.store(ends + 1 + one, bound)


@triton.jit
def _refine(
    a_ptr, g_ptr, sums_ptr, bracket_ptr, candidates_ptr, p_pos_ptr, p_neg_ptr, masses_ptr, counts_ptr, bound_ptr,
    scale_ptr, entries, BY_MEAN: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    pair = tl.program_id(0).to(tl.int64)
    row, sign = pair // 2, pair % 2
    mine = sums_ptr + pair * _WIDTH
    number = tl.load(mine + 2)
    mass, first, last = _total_mass(mine)
    low = tl.load(bracket_ptr + row * 5 + sign * 2)
    pruned = tl.load(mine)
    below = tl.load(mine + 4)
    group = _group(low)
    bound = low
    if BY_MEAN == 0:
        goal = _goal(mass, _share(p_pos_ptr, p_neg_ptr, row, sign))
        run = tl.zeros([1], tl.float64)
        base = tl.zeros([1], tl.float64)
        chosen = tl.zeros([1], tl.int32) - 1
        for k in range(first, last + 1):
            more = run + _mass(tl.load(mine + 5 + k), tl.zeros([1], tl.int32) + k)
            is_it = (more > goal) & (chosen < 0)
            chosen = tl.where(is_it, k, chosen)
            base = tl.where(is_it, run, base)
            run = more
        crossing = tl.max(chosen, axis=0)
        n = (tl.load(sums_ptr + row * 2 * _WIDTH + 1) >> (32 * sign) & 0xFFFFFFFF).to(tl.int32)
        lane = tl.arange(0, TILE)
        # What lies under the bracket counts where it shares the group; with all in the bracket the goal must be passed.
        lower = tl.where(crossing == group, below, 0)
        total = tl.zeros([TILE], tl.int64)
        for j in range(0, n, TILE):
            at = row * entries + tl.where(sign == 0, j + lane, entries - 1 - j - lane)
            found = tl.load(candidates_ptr + at, mask=j + lane < n, other=0)
            total += tl.where(_group(found) == crossing, _value(found).to(tl.int64), 0)
        ends = base + _mass(lower + tl.sum(total, axis=0), chosen)
        starts = base + _mass(tl.zeros([1], tl.int64) + lower, chosen)
        is_hit = (crossing >= group) & (starts <= goal) & (ends > goal)
        is_missed = tl.max(is_hit.to(tl.int32), axis=0) == 0
        n = tl.where(is_missed, entries, n)
        lower = tl.where(is_missed, 0, lower)
        value = tl.zeros([1], tl.int64)
        is_held = (is_missed == 0) & (n <= TILE)
        if is_held:
            at = row * entries + tl.where(sign == 0, lane, entries - 1 - lane)
            found = tl.load(candidates_ptr + at, mask=lane < n, other=0)
            held = tl.where(_group(found) == crossing, _value(found), 0x7FFFFFFF)
            for i in range(0, 31):
                trial = value + (tl.zeros([1], tl.int64) + 1 << (30 - i))
                under = tl.sum(tl.where(held < trial.to(tl.int32), held, 0).to(tl.int64), axis=0)
                value = tl.where(base + _mass(lower + under, chosen) > goal, value, trial)
        for i in range(0, tl.where(is_held, 0, 31)):
            trial = value + (tl.zeros([1], tl.int64) + 1 << (30 - i))
            total = tl.zeros([TILE], tl.int64)
            for j in range(0, n, TILE):
                if is_missed:
                    r = _product(a_ptr + row * entries, g_ptr + row * entries, j + lane, entries)
                    bits = r.to(tl.int32, bitcast=True)
                    found = tl.where((bits < 0).to(tl.int32) == sign, bits & 0x7FFFFFFF, 0)
                else:
                    at = row * entries + tl.where(sign == 0, j + lane, entries - 1 - j - lane)
                    found = tl.load(candidates_ptr + at, mask=j + lane < n, other=0)
                size = _value(found).to(tl.int64)
                total += tl.where((_group(found) == crossing) & (size < trial), size, 0)
            value = tl.where(base + _mass(lower + tl.sum(total, axis=0), chosen) > goal, value, trial)
        # The bound is the entry with this value; what lies under it is pruned.
        best = tl.zeros([TILE], tl.int32)
        count = tl.zeros([TILE], tl.int64)
        total = tl.zeros([TILE], tl.int64)
        for j in range(0, n, TILE):
            if is_missed:
                r = _product(a_ptr + row * entries, g_ptr + row * entries, j + lane, entries)
                bits = r.to(tl.int32, bitcast=True)
                found = tl.where((bits < 0).to(tl.int32) == sign, bits & 0x7FFFFFFF, 0)
            else:
                at = row * entries + tl.where(sign == 0, j + lane, entries - 1 - j - lane)
                found = tl.load(candidates_ptr + at, mask=j + lane < n, other=0)
            size = _value(found).to(tl.int64)
            is_same = _group(found) == crossing
            best = tl.maximum(best, tl.where(is_same & (size == value), found, 0))
            is_under = (found > 0) & ((_group(found) < crossing) | (is_same & (size < value)))
            count += is_under.to(tl.int64)
            total += tl.where(is_under & is_same, size, 0)
        bound = tl.max(best, axis=0)
        pruned = tl.where(is_missed, 0, pruned) + tl.sum(count, axis=0)
        below = lower + tl.sum(total, axis=0)
        group = crossing
    kept = tl.zeros([1], tl.float64)
    if number > 0:
        kept += _mass(
            tl.load(mine + 5 + group) - below + tl.zeros([1], tl.int64), tl.zeros([1], tl.int32) + group
        )
        for k in range(group + 1, last + 1):
            kept += _mass(tl.load(mine + 5 + k), tl.zeros([1], tl.int32) + k)
    one = tl.arange(0, 1)
    mass = tl.where(tl.load(mine + 3) > 0, float("nan"), mass)
    edge = (tl.where(number > 0, bound, 0x7F800000) + tl.zeros([1], tl.int32)).to(tl.float32, bitcast=True)
    pruned = tl.where(number > 0, pruned, 0)
    tl.store(bound_ptr + pair + one, edge)
    tl.store(scale_ptr + pair + one, tl.where(pruned > 0, mass / tl.where(kept > 0, kept, 1.0), 1.0))
    tl.store(masses_ptr + row * 4 + sign + one, mass)
    tl.store(masses_ptr + row * 4 + 2 + sign + one, kept)
    tl.store(counts_ptr + row * 4 + sign + one, number + tl.zeros([1], tl.int64))
    tl.store(counts_ptr + row * 4 + 2 + sign + one, number - pruned + tl.zeros([1], tl.int64))


@triton.jit
def _write(a_ptr, g_ptr, out_ptr, bound_ptr, scale_ptr, entries, MODE: tl.constexpr, BLOCK: tl.constexpr):
    # The last samples first: `_sums` has left those in the cache.
    row = (tl.num_programs(1) - 1 - tl.program_id(1)).to(tl.int64)
    above = tl.load(bound_ptr + row * 2)
    below = -tl.load(bound_ptr + row * 2 + 1)
    up = tl.load(scale_ptr + row * 2)
    down = tl.load(scale_ptr + row * 2 + 1)
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_in = place < entries
    a = tl.load(a_ptr + row * entries + place, mask=is_in, other=0.0)
    g = tl.load(g_ptr + row * entries + place, mask=is_in, other=0.0)
    new = _written(a, g, a * g, above, below, up, down, MODE)
    tl.store(out_ptr + row * entries + place, new, mask=is_in)
