"""Pruning on a GPU, in Triton: the bounds of all samples and both signs by histograms, in a few launches.

The definition it follows to the bit is that of `thresholds`; nothing is decided here. Short samples (a dense layer's)
take one launch, a sample in the registers of one program. Long ones take six, each over all samples at once:

1. `_binade_sums`: number of entries and integer sum of significands of each binade. A thread keeps the sixteen largest
   binades of either sign in registers; the few entries below them are added to memory as integers.
2. `_locate`: the masses, and the binade where p times the mass is crossed.
3. `_sub_sums`: the same sums over sixteen parts of that binade.
4. `_gather`: the entries of the part where it is crossed (a few in a thousand) are copied out.
5. `_refine`: four bits at a time, the bound among them; the kept masses and lambda.
6. `_write`: zeros and scaled entries, one pass.

No entry is sorted, no float is added in an order that could change, and only single numbers a sample are float64.
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
_WINDOW = 16  # binades that a thread sums in registers
_BLOCK = 1024
_PROGRAMS = 4096  # over a whole launch: enough to fill a large card several times
# A packed word is the number of entries << 44 | the sum of their significands.
_ONE = tl.constexpr(1 << 44)
_SUM = tl.constexpr((1 << 44) - 1)


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
    shares = torch.stack((p_pos, p_neg), dim=1)
    masses = torch.empty(rows, 4, dtype=torch.float64, device=g.device)
    counts = torch.empty(rows, 4, dtype=torch.int64, device=g.device)
    by_mean = policy == "mean"
    if entries <= IN_ONE_PROGRAM:
        block = max(triton.next_power_of_2(entries), 16)
        _prune_row[(rows,)](
            a, g, out, shares, masses, counts, entries, by_mean, mode, block, num_warps=8 if block > 2048 else 4
        )  # fmt: skip
    else:
        _prune_long(a, g, out, shares, masses, counts, by_mean, mode)
    return PruneStats(*masses.unbind(1), *counts.unbind(1))


def _prune_long(
    a: Tensor,
    g: Tensor,
    out: Tensor,
    shares: Tensor,
    masses: Tensor,
    counts: Tensor,
    by_mean: bool,
    mode: int,
) -> None:
    rows, entries = g.shape
    # Of a row and sign: 256 binades (number, sum), 16 parts (number, sum), candidates.
    sums = torch.zeros(rows, 2, 2 * 256 + 2 * 16 + 1, dtype=torch.int64, device=g.device)
    # Of a row and sign: crossing binade, bits of the bound where they are known, last binade, bits of the bound.
    places = torch.empty(rows, 2, 4, dtype=torch.int64, device=g.device)
    # Of a row and sign: mass of the lower binades, mass that may be pruned, lambda.
    values = torch.empty(rows, 2, 3, dtype=torch.float64, device=g.device)
    candidates = torch.empty(rows, entries, dtype=torch.int32, device=g.device)
    parts = max(1, min(triton.cdiv(entries, 2 * _TURN), triton.cdiv(_PROGRAMS, rows)))
    chunk = triton.cdiv(triton.cdiv(entries, parts), _TURN) * _TURN
    by_part = (triton.cdiv(entries, chunk), rows)
    by_block = (triton.cdiv(entries, _BLOCK), rows)
    _binade_sums[by_part](a, g, sums, entries, chunk, _WINDOW, _LANES, num_warps=4)
    _locate[(2 * rows,)](sums, shares, masses, counts, places, values, entries, by_mean, num_warps=1)
    _sub_sums[by_part](a, g, sums, places, entries, chunk, _LANES, num_warps=4)
    _gather[by_block](a, g, sums, places, values, candidates, entries, _BLOCK, num_warps=4)
    _refine[(2 * rows,)](
        sums, places, values, candidates, masses, counts, entries, mode, 2 * _LANES, num_warps=4
    )
    _write[by_block](a, g, out, places, values, entries, mode, _BLOCK, num_warps=4)


@triton.jit
def _significand(magnitude):  # type: ignore[no-untyped-def]
    return (magnitude & 0x7FFFFF) | tl.where(magnitude > 0x7FFFFF, 0x800000, 0)


@triton.jit
def _mass(high, binade):  # type: ignore[no-untyped-def]
    """Return sums of significands of one binade in float64 (exact: they are below 2^53)."""
    exponent = tl.maximum(binade, 1).to(tl.int64) - 150 + 1023
    return high.to(tl.float64) * (exponent << 52).to(tl.float64, bitcast=True)


@triton.jit
def _goal(mass, p, entries, BY_MEAN: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the mass that may be pruned, and the bits of the bound where it is known from the start (else -1)."""
    if BY_MEAN:
        # The smallest float32 that is not below the mean.
        mean = mass / entries.to(tl.float64)
        near = mean.to(tl.float32)
        key = near.to(tl.int32, bitcast=True).to(tl.int64)
        key = tl.where(near.to(tl.float64) < mean, key + 1, key)
        return mass, tl.maximum(key, 1)
    # Whatever p is, the largest entries stay: the whole mass is never given away.
    less = (tl.maximum(mass.to(tl.int64, bitcast=True) - 1, 0)).to(tl.float64, bitcast=True)
    return tl.minimum(p * mass, less), (mass * 0).to(tl.int64) - 1


@triton.jit
def _written(a, g, r, above, below, scale, scale_negative, MODE: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return what is written for each entry."""
    is_kept = (r >= above) | (r <= below) | (r == 0)
    if MODE == 2:
        return tl.where(is_kept, a, 0.0)
    if MODE == 0:
        return tl.where(is_kept, g, 0.0)
    factor = tl.where(r > 0, scale, scale_negative)
    return tl.where(r == 0, g, tl.where(is_kept, (g.to(tl.float64) * factor).to(tl.float32), 0.0))


@triton.jit
def _prune_row(  # type: ignore[no-untyped-def]
    a_ptr, g_ptr, out_ptr, shares_ptr, masses_ptr, counts_ptr, entries,
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
    exponent = (magnitude >> 23)[None, :]
    significand = _significand(magnitude).to(tl.int64)[None, :]
    number = tl.sum(mine.to(tl.int64), axis=1)
    first = tl.min(tl.min(tl.where(mine, exponent, 256), axis=1), axis=0)
    last = tl.max(tl.max(tl.where(mine, exponent, -1), axis=1), axis=0)
    slots = tl.arange(0, 256)[None, :]
    sums = tl.zeros([2, 256], tl.int64)
    mass = tl.zeros([2], tl.float64)
    for k in range(first, last + 1):
        total = tl.sum(tl.where(mine & (exponent == k), significand, 0), axis=1)
        sums = tl.where(slots == k, total[:, None], sums)
        mass += _mass(total, k)
    p = tl.load(shares_ptr + row * 2 + sign)
    goal, known = _goal(mass, p, entries, BY_MEAN)
    # The binade that crosses the goal, and the mass below it.
    run = tl.zeros([2], tl.float64)
    base = tl.zeros([2], tl.float64)
    binade = tl.zeros([2], tl.int32) - 1
    for k in range(first, last + 1):
        more = run + _mass(tl.sum(tl.where(slots == k, sums, 0), axis=1), k)
        if BY_MEAN:  # noqa: SIM108  (a branch of the compiler's)
            is_it = (known >> 23) == k
        else:
            is_it = (more > goal) & (binade < 0)
        binade = tl.where(is_it, k, binade)
        base = tl.where(is_it, run, base)
        run = more
    key = binade.to(tl.int64) << 23
    near = mine & (exponent == binade[:, None])
    if BY_MEAN:
        key = known
    else:
        for i in range(0, 23):
            trial = key + (tl.zeros([2], tl.int64) + 1 << (22 - i))
            is_below = near & (magnitude.to(tl.int64)[None, :] < trial[:, None])
            below = tl.sum(tl.where(is_below, significand, 0), axis=1)
            key = tl.where(base + _mass(below, binade) > goal, key, trial)
    is_pruned = mine & (magnitude.to(tl.int64)[None, :] < key[:, None])
    below = tl.sum(tl.where(is_pruned & near, significand, 0), axis=1)
    kept_number = number - tl.sum(is_pruned.to(tl.int64), axis=1)
    kept = tl.zeros([2], tl.float64)
    level = (key >> 23).to(tl.int32)
    for k in range(first, last + 1):
        total = tl.sum(tl.where(slots == k, sums, 0), axis=1)
        kept += tl.where(k > level, _mass(total, k), tl.where(k == level, _mass(total - below, k), 0.0))
    is_finite = tl.zeros([2], tl.int32) + last < 255
    mass = tl.where(is_finite, mass, float("nan"))
    kept = tl.where(number > 0, kept, 0.0)
    scale = tl.where(kept_number < number, mass / tl.where(number > 0, kept, 1.0), 1.0)
    tl.store(masses_ptr + row * 4 + sign, mass)
    tl.store(masses_ptr + row * 4 + 2 + sign, kept)
    tl.store(counts_ptr + row * 4 + sign, number)
    tl.store(counts_ptr + row * 4 + 2 + sign, kept_number)
    bound = tl.where(number > 0, key.to(tl.int32).to(tl.float32, bitcast=True), float("inf"))
    above = tl.sum(tl.where(sign == 0, bound, 0.0), axis=0)
    below_zero = -tl.sum(tl.where(sign == 1, bound, 0.0), axis=0)
    up = tl.sum(tl.where(sign == 0, scale, 0.0), axis=0)
    down = tl.sum(tl.where(sign == 1, scale, 0.0), axis=0)
    new = _written(a, g, r, above, below_zero, up, down, MODE)
    tl.store(out_ptr + row * entries + place, new, mask=is_in)


@triton.jit
def _add_binades(acc, r, top, sums_ptr, bins, WINDOW: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the register sums with one more entry a lane; entries outside of the window go to memory."""
    bits = r.to(tl.int32, bitcast=True)
    magnitude = bits & 0x7FFFFFFF
    exponent = magnitude >> 23
    slot = top - exponent
    negative = (bits < 0).to(tl.int32)
    packed = _significand(magnitude).to(tl.int64) | _ONE
    is_there = magnitude > 0
    is_near = is_there & (slot >= 0) & (slot < WINDOW)
    index = tl.where(is_near, slot + WINDOW * negative, -1)
    acc += tl.where(index[None, :] == bins[:, None], packed[None, :], 0)
    is_far = is_there & (index < 0)
    far = sums_ptr + negative * 545 + exponent
    tl.atomic_add(far, tl.zeros_like(packed) + 1, mask=is_far, sem="relaxed")
    tl.atomic_add(far + 256, packed & _SUM, mask=is_far, sem="relaxed")
    return acc


@triton.jit
def _product(a_ptr, g_ptr, offset, stop):  # type: ignore[no-untyped-def]
    a = tl.load(a_ptr + offset, mask=offset < stop, other=0.0)
    return a * tl.load(g_ptr + offset, mask=offset < stop, other=0.0)


@triton.jit
def _binade_sums(  # type: ignore[no-untyped-def]
    a_ptr, g_ptr, sums_ptr, entries, chunk, WINDOW: tl.constexpr, LANES: tl.constexpr
):
    row = tl.program_id(1).to(tl.int64)
    a_ptr += row * entries
    g_ptr += row * entries
    sums_ptr += row * 1090
    start = tl.program_id(0) * chunk
    stop = tl.minimum(start + chunk, entries)
    bins = tl.arange(0, 2 * WINDOW)
    acc = tl.zeros([2 * WINDOW, LANES], tl.int64)
    lane = start + tl.arange(0, LANES)
    head = _product(a_ptr, g_ptr, lane, stop).to(tl.int32, bitcast=True) & 0x7FFFFFFF
    top = tl.minimum(tl.max(head >> 23, axis=0) + 1, 254)
    for i in range(0, chunk, 4 * LANES):
        r0 = _product(a_ptr, g_ptr, lane + i, stop)
        r1 = _product(a_ptr, g_ptr, lane + i + LANES, stop)
        r2 = _product(a_ptr, g_ptr, lane + i + 2 * LANES, stop)
        r3 = _product(a_ptr, g_ptr, lane + i + 3 * LANES, stop)
        acc = _add_binades(acc, r0, top, sums_ptr, bins, WINDOW)
        acc = _add_binades(acc, r1, top, sums_ptr, bins, WINDOW)
        acc = _add_binades(acc, r2, top, sums_ptr, bins, WINDOW)
        acc = _add_binades(acc, r3, top, sums_ptr, bins, WINDOW)
    number = tl.sum(acc >> 44, axis=1)
    total = tl.sum(acc & _SUM, axis=1)
    exponent = top - bins % WINDOW
    to = sums_ptr + (bins // WINDOW) * 545 + exponent
    tl.atomic_add(to, number, mask=number > 0, sem="relaxed")
    tl.atomic_add(to + 256, total, mask=number > 0, sem="relaxed")


@triton.jit
def _locate(  # type: ignore[no-untyped-def]
    sums_ptr, shares_ptr, masses_ptr, counts_ptr, places_ptr, values_ptr, entries, BY_MEAN: tl.constexpr
):
    pair = tl.program_id(0).to(tl.int64)
    row, sign = pair // 2, pair % 2
    mine = sums_ptr + pair * 545
    slots = tl.arange(0, 256)
    count = tl.load(mine + slots)
    number = tl.sum(count, axis=0)
    first = tl.min(tl.where(count > 0, slots, 256), axis=0)
    last = tl.max(tl.where(count > 0, slots, -1), axis=0)
    mass = tl.zeros([1], tl.float64)
    for k in range(first, last + 1):
        mass += _mass(tl.load(mine + 256 + k), k)
    p = tl.load(shares_ptr + pair)
    goal, known = _goal(mass, p, entries, BY_MEAN)
    run = tl.zeros([1], tl.float64)
    base = tl.zeros([1], tl.float64)
    binade = tl.zeros([1], tl.int32) - 1
    for k in range(first, last + 1):
        more = run + _mass(tl.load(mine + 256 + k), k)
        if BY_MEAN:  # noqa: SIM108  (a branch of the compiler's)
            is_it = (known >> 23) == k
        else:
            is_it = (more > goal) & (binade < 0)
        binade = tl.where(is_it, k, binade)
        base = tl.where(is_it, run, base)
        run = more
    if BY_MEAN:
        binade = (known >> 23).to(tl.int32)
    # Of either sign: an entry that is not finite spoils the sample.
    spoiled = tl.load(sums_ptr + row * 1090 + 255) + tl.load(sums_ptr + row * 1090 + 545 + 255)
    one = tl.arange(0, 1)
    tl.store(masses_ptr + row * 4 + sign + one, tl.where(spoiled > 0, float("nan"), mass))
    tl.store(counts_ptr + row * 4 + sign + one, number + tl.zeros([1], tl.int64))
    tl.store(places_ptr + pair * 4 + one, tl.where(number > 0, binade.to(tl.int64), -1))
    tl.store(places_ptr + pair * 4 + 1 + one, known)
    tl.store(places_ptr + pair * 4 + 2 + one, last + tl.zeros([1], tl.int64))
    tl.store(values_ptr + pair * 3 + one, base)
    tl.store(values_ptr + pair * 3 + 1 + one, goal)


@triton.jit
def _add_parts(acc, r, binade, binade_negative, bins):  # type: ignore[no-untyped-def]
    """Return the register sums over the sixteen parts of either sign's binade with one more entry a lane."""
    bits = r.to(tl.int32, bitcast=True)
    magnitude = bits & 0x7FFFFFFF
    is_near = (magnitude >> 23) == tl.where(bits < 0, binade_negative, binade)
    part = ((magnitude >> 19) & 15) + 16 * (bits < 0).to(tl.int32)
    index = tl.where(is_near & (magnitude > 0), part, -1)
    packed = _significand(magnitude).to(tl.int64) | _ONE
    return acc + tl.where(index[None, :] == bins[:, None], packed[None, :], 0)


@triton.jit
def _sub_sums(a_ptr, g_ptr, sums_ptr, places_ptr, entries, chunk, LANES: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(1).to(tl.int64)
    a_ptr += row * entries
    g_ptr += row * entries
    start = tl.program_id(0) * chunk
    stop = tl.minimum(start + chunk, entries)
    binade = tl.load(places_ptr + row * 8).to(tl.int32)
    binade_negative = tl.load(places_ptr + row * 8 + 4).to(tl.int32)
    bins = tl.arange(0, 32)
    acc = tl.zeros([32, LANES], tl.int64)
    lane = start + tl.arange(0, LANES)
    for i in range(0, chunk, 4 * LANES):
        r0 = _product(a_ptr, g_ptr, lane + i, stop)
        r1 = _product(a_ptr, g_ptr, lane + i + LANES, stop)
        r2 = _product(a_ptr, g_ptr, lane + i + 2 * LANES, stop)
        r3 = _product(a_ptr, g_ptr, lane + i + 3 * LANES, stop)
        acc = _add_parts(acc, r0, binade, binade_negative, bins)
        acc = _add_parts(acc, r1, binade, binade_negative, bins)
        acc = _add_parts(acc, r2, binade, binade_negative, bins)
        acc = _add_parts(acc, r3, binade, binade_negative, bins)
    number = tl.sum(acc >> 44, axis=1)
    total = tl.sum(acc & _SUM, axis=1)
    to = sums_ptr + row * 1090 + (bins // 16) * 545 + 512 + bins % 16
    tl.atomic_add(to, number, mask=number > 0, sem="relaxed")
    tl.atomic_add(to + 16, total, mask=number > 0, sem="relaxed")


@triton.jit
def _digit(number, total, high, base, binade, goal, known):  # type: ignore[no-untyped-def]
    """Return which of sixteen digits crosses the goal, and the number and sum of the entries of the lower ones."""
    digits = tl.arange(0, 16)
    is_over = (base + _mass(high + tl.cumsum(total, axis=0), binade) > goal) & (number > 0)
    chosen = tl.min(tl.where(is_over, digits, 16), axis=0)
    chosen = tl.where(chosen == 16, tl.max(tl.where(number > 0, digits, 0), axis=0), chosen)
    chosen = tl.where(known >= 0, known, chosen.to(tl.int64))
    is_lower = digits < chosen
    return chosen, tl.sum(tl.where(is_lower, number, 0), axis=0), tl.sum(tl.where(is_lower, total, 0), axis=0)


@triton.jit
def _part(sums_ptr, places_ptr, values_ptr, pair):  # type: ignore[no-untyped-def]
    """Return binade and part where the goal is crossed (one number, -1 for no entries), and what lies below it."""
    digits = tl.arange(0, 16)
    number = tl.load(sums_ptr + pair * 545 + 512 + digits)
    total = tl.load(sums_ptr + pair * 545 + 528 + digits)
    binade = tl.load(places_ptr + pair * 4)
    known = tl.load(places_ptr + pair * 4 + 1)
    known = tl.where(known >= 0, (known >> 19) & 15, -1)
    base = tl.load(values_ptr + pair * 3)
    goal = tl.load(values_ptr + pair * 3 + 1)
    nothing = tl.zeros([16], tl.int64)
    chosen, below, high = _digit(number, total, nothing, base, binade, goal, known)
    return tl.where(binade < 0, -1, binade * 16 + chosen), below, high


@triton.jit
def _gather(  # type: ignore[no-untyped-def]
    a_ptr, g_ptr, sums_ptr, places_ptr, values_ptr, candidates_ptr, entries, BLOCK: tl.constexpr
):
    row = tl.program_id(1).to(tl.int64)
    wanted, _, _ = _part(sums_ptr, places_ptr, values_ptr, row * 2)
    wanted_negative, _, _ = _part(sums_ptr, places_ptr, values_ptr, row * 2 + 1)
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    r = _product(a_ptr + row * entries, g_ptr + row * entries, place, entries)
    bits = r.to(tl.int32, bitcast=True)
    magnitude = bits & 0x7FFFFFFF
    found = (magnitude >> 19).to(tl.int64)
    to = candidates_ptr + row * entries
    is_positive = (bits > 0) & (found == wanted)
    is_negative = (bits < 0) & (magnitude > 0) & (found == wanted_negative)
    # Positive ones from the front, negative ones from the end: the order does not matter.
    at = tl.cumsum(is_positive.to(tl.int32), axis=0)
    at_negative = tl.cumsum(is_negative.to(tl.int32), axis=0)
    n = tl.max(at, axis=0).to(tl.int64)
    n_negative = tl.max(at_negative, axis=0).to(tl.int64)
    counter = sums_ptr + row * 1090 + 544
    begin = tl.atomic_add(counter, n, sem="relaxed")
    begin_negative = tl.atomic_add(counter + 545, n_negative, sem="relaxed")
    tl.store(to + begin + at - 1, magnitude, mask=is_positive)
    tl.store(to + entries - begin_negative - at_negative, magnitude, mask=is_negative)


@triton.jit
def _refine(  # type: ignore[no-untyped-def]
    sums_ptr, places_ptr, values_ptr, candidates_ptr, masses_ptr, counts_ptr, entries,
    MODE: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    pair = tl.program_id(0).to(tl.int64)
    row, sign = pair // 2, pair % 2
    prefix, below, high = _part(sums_ptr, places_ptr, values_ptr, pair)
    binade = tl.load(places_ptr + pair * 4)
    known = tl.load(places_ptr + pair * 4 + 1)
    last = tl.load(places_ptr + pair * 4 + 2)
    base = tl.load(values_ptr + pair * 3)
    goal = tl.load(values_ptr + pair * 3 + 1)
    n = tl.load(sums_ptr + pair * 545 + 544).to(tl.int32)
    bins = tl.arange(0, 16)
    lane = tl.arange(0, LANES)
    for i in range(0, 5):
        shift = tl.maximum(15 - 4 * i, 0)
        width = tl.where(i < 4, 4, 3)
        acc = tl.zeros([16, LANES], tl.int64)
        for j in range(0, n, LANES):
            offset = j + lane
            at = row * entries + tl.where(sign == 0, offset, entries - 1 - offset)
            magnitude = tl.load(candidates_ptr + at, mask=offset < n, other=0)
            is_near = (offset < n) & ((magnitude >> (shift + width)).to(tl.int64) == prefix)
            digit = tl.where(is_near, (magnitude >> shift) & ((1 << width) - 1), -1)
            packed = _significand(magnitude).to(tl.int64) | _ONE
            acc += tl.where(digit[None, :] == bins[:, None], packed[None, :], 0)
        number = tl.sum(acc >> 44, axis=1)
        total = tl.sum(acc & _SUM, axis=1)
        given = tl.where(known >= 0, (known >> shift) & ((1 << width) - 1), -1)
        chosen, fewer, lower = _digit(number, total, high, base, binade, goal, given)
        below += fewer
        high += lower
        prefix = (prefix << width) | chosen
    # What is kept: the rest of the bound's binade, then all higher ones.
    mine = sums_ptr + pair * 545
    slots = tl.arange(0, 256)
    count = tl.load(mine + slots)
    number = tl.sum(count, axis=0)
    below += tl.sum(tl.where(slots < binade, count, 0), axis=0)
    kept = tl.zeros([1], tl.float64)
    if number > 0:
        kept += _mass(tl.load(mine + 256 + binade) - high, binade)
        for k in range(binade.to(tl.int32) + 1, last.to(tl.int32) + 1):
            kept += _mass(tl.load(mine + 256 + k), k)
    one = tl.arange(0, 1)
    mass = tl.load(masses_ptr + row * 4 + sign + one)
    scale = tl.where(below > 0, mass / tl.where(kept > 0, kept, 1.0), 1.0)
    # NaN's bits lie above those of any number: without entries, or with one that is not finite, no bound is reached.
    bound = tl.where(number > 0, prefix, 0x7F800000)
    tl.store(places_ptr + pair * 4 + 3 + one, bound + tl.zeros([1], tl.int64))
    tl.store(values_ptr + pair * 3 + 2 + one, scale)
    tl.store(masses_ptr + row * 4 + 2 + sign + one, kept)
    tl.store(counts_ptr + row * 4 + 2 + sign + one, number - below + tl.zeros([1], tl.int64))


@triton.jit
def _write(  # type: ignore[no-untyped-def]
    a_ptr, g_ptr, out_ptr, places_ptr, values_ptr, entries, MODE: tl.constexpr, BLOCK: tl.constexpr
):
    row = tl.program_id(1).to(tl.int64)
    above = tl.load(places_ptr + row * 8 + 3).to(tl.int32).to(tl.float32, bitcast=True)
    below = -(tl.load(places_ptr + row * 8 + 7).to(tl.int32).to(tl.float32, bitcast=True))
    up = tl.load(values_ptr + row * 6 + 2)
    down = tl.load(values_ptr + row * 6 + 5)
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_in = place < entries
    a = tl.load(a_ptr + row * entries + place, mask=is_in, other=0.0)
    g = tl.load(g_ptr + row * entries + place, mask=is_in, other=0.0)
    new = _written(a, g, a * g, above, below, up, down, MODE)
    tl.store(out_ptr + row * entries + place, new, mask=is_in)
