"""The bounds of one sample's relevance by a radix selection on the bits of the floats, compiled; a few passes over it.

The definition it follows to the bit is that of `thresholds`; nothing is decided here. For each sample:

1. One pass multiplies and leaves out zeros, one adds each entry's significand to the histogram over the first 11 bits
   after the sign (both signs at once). All entries of a bucket share an exponent, so the sums are exact integers.
2. A scan over the groups of binades, then over the buckets of one, finds where the cumulated mass crosses p times the
   whole.
3. The entries of that bucket (a few per cent) are compacted and go through the remaining bits, 10 at a time: the last
   digit's bucket is one value, the bound.
4. One pass writes zeros and scaled entries.
"""

from __future__ import annotations

import math
import threading
from typing import Any, NamedTuple

import numba
import numpy as np

from genoplrp.relevance.pruning.compiling import compiled

KEEP, RESCALE, INPUTS = range(3)
"""What is to be written: the kept multipliers, the same rescaled, or the activations of the kept."""

# Bits of a float: sign, exponent, F bits of fraction (F = 23 or 52). A bucket is the 11 bits after the sign: eight
# buckets make a binade in float32, one in float64. A sum of significands is two integers, high and low, in units of
# 2^B and 1 (B = 0 in float32, 27 in float64), so that no sum overflows or is rounded.
_BUCKETS = 2048
_PACK = 44  # a packed word is the number of entries << 44 | the sum of the high parts of their fractions
_CHUNK = 1 << 18  # entries after which packed words must be emptied
_DIGIT = 10
_BLOCK = 2048
_SHORT = 48  # so few candidates are sorted
_MEAN, _EFFECTIVE = 1, 2  # positions in POLICIES
_NO_LIMIT = 1 << 62
_UNITS = np.ldexp(1.0, np.arange(-1074, 1024))  # the powers of two


class Workspace(NamedTuple):
    """The memory that one thread works in, for samples of M entries; the histograms are zero between samples."""

    relevance: np.ndarray  # (M,), of the entries that are not zero
    bits: np.ndarray  # the same as integers
    bounds: np.ndarray  # (2,), of either sign
    bound_bits: np.ndarray  # the same as integers
    candidates: np.ndarray  # (M,) integers
    packed: np.ndarray  # (2: number and high, low, buckets of both signs)
    wide: np.ndarray  # (2 signs, 3: number, high, low, buckets)
    digits: np.ndarray  # (3: number, high, low, digits)


_KEPT = threading.local()


def workspace(entries: int, dtype: np.dtype[Any]) -> Workspace:
    """Return the calling thread's memory; its histograms (180 kB) are kept for the next call."""
    relevance, bounds = np.empty(entries, dtype), np.empty(2, dtype)
    integer = np.int32 if relevance.itemsize == 4 else np.int64
    bits = relevance.view(integer)
    if not hasattr(_KEPT, "histograms"):
        shapes = (2, 2 * _BUCKETS), (2, 3, _BUCKETS), (3, 1 << _DIGIT)
        _KEPT.histograms = tuple(np.zeros(shape, np.int64) for shape in shapes)
    return Workspace(relevance, bits, bounds, bounds.view(integer), np.empty_like(bits), *_KEPT.histograms)


@compiled
def prune_rows(a, g, out, p, masses, counts, policy, mode, work):  # type: ignore[no-untyped-def]
    """Write the pruned multipliers of (N, M) rows, their masses (N, 4) and counts (N, 4) as in `PruneStats`.

    Modes: `KEEP` and `RESCALE` the kept ones; `INPUTS`: ``a`` is written where the relevance is kept, else 0.
    (One function, as a second one would take as long again to compile.)
    """
    r = work.relevance
    for row in range(len(g)):
        a_row, g_row, out_row, mass, count = a[row], g[row], out[row], masses[row], counts[row]
        # Half of a rectified layer's relevance is zero: only the rest goes through the selection.
        n = 0
        for i in range(len(g_row)):
            v = a_row[i] * g_row[i]
            r[n] = v
            n += v != 0
        above, below = _select(work, n, len(g_row), p[row], policy, mass, count)
        # A sign that lost nothing keeps its multipliers to the bit.
        scale = mass[0] / mass[2] if mode == RESCALE and count[2] < count[0] else 1.0
        scale_negative = mass[1] / mass[3] if mode == RESCALE and count[3] < count[1] else 1.0
        # In blocks by way of r, for where out is g: no loop over memory that overlaps is vectorised.
        for begin in range(0, len(g_row), _BLOCK):
            a_block, g_block = a_row[begin : begin + _BLOCK], g_row[begin : begin + _BLOCK]
            for i in range(len(g_block)):
                v = a_block[i] * g_block[i]
                factor = scale if v > 0 else scale_negative
                factor = 1.0 if v == 0 else factor
                new = np.float64(a_block[i] if mode == INPUTS else g_block[i]) * factor
                r[i] = new if (v >= above) | (v <= below) | (v == 0) else 0.0
            out_row[begin : begin + _BLOCK] = r[: len(g_block)]


def _fraction_and_sub(bits):  # type: ignore[no-untyped-def]
    """Return the number of bits of the fraction, and of those among them that belong to the bucket."""
    return (23, 3) if bits.dtype == np.int32 else (52, 0)


@numba.extending.overload(_fraction_and_sub)
def _constants(bits):  # type: ignore[no-untyped-def]
    # Known while compiling: the loops are a third faster with constant shifts.
    if bits.dtype == numba.int32:
        return lambda bits: (23, 3)
    return lambda bits: (52, 0)


@compiled
def _select(work, n, entries, p, policy, masses, counts):  # type: ignore[no-untyped-def]
    """Return the bounds of one sample's positive and negative entries; fill in both signs' masses and counts."""
    r, bits, bounds, wide = work.relevance[:n], work.bits[:n], work.bounds, work.wide
    fraction, sub = _fraction_and_sub(bits)
    first, last = _fill(bits, fraction, sub, work.packed, wide)
    goal, limit = np.empty(2), np.empty(2, np.int64)
    for sign in range(2):
        mass, number = _whole(wide[sign], first, last, fraction, sub)
        masses[sign], counts[sign] = mass, number
        goal[sign], limit[sign] = _goal(r, entries, sign, p[sign], mass, number, policy)
        # Unless we find out otherwise all are kept; the bound of a sign without entries is out of reach.
        masses[2 + sign], counts[2 + sign] = mass, number
        bounds[sign] = np.inf
        if number > 0:
            work.bound_bits[sign] = 1
    positive = _crossing(wide[0], first, last, fraction, sub, goal[0], limit[0])
    negative = _crossing(wide[1], first, last, fraction, sub, goal[1], limit[1])
    if positive[0] >= 0 or negative[0] >= 0:
        n_positive, n_negative = _gather(bits, positive[0], negative[0], fraction - sub, work.candidates)
        if n_positive > 0:
            words = work.candidates[:n_positive]
            found = _refine(words, work.digits, positive, goal[0], limit[0], fraction, sub)
            work.bound_bits[0] = found[0]
            counts[2], masses[2] = counts[0] - found[3], _kept(wide[0], last, fraction, sub, found)
        if n_negative > 0:
            words = work.candidates[n - n_negative : n]
            found = _refine(words, work.digits, negative, goal[1], limit[1], fraction, sub)
            work.bound_bits[1] = found[0]
            counts[3], masses[3] = counts[1] - found[3], _kept(wide[1], last, fraction, sub, found)
    wide[:, :, first : last + 1] = 0
    return bounds[0], -bounds[1]


@compiled
def _fill(bits, fraction, sub, packed, wide):  # type: ignore[no-untyped-def]
    """Fill the histogram over both signs' buckets and return its first and last bucket."""
    shift, low_bits = fraction - sub, 0 if fraction == 23 else 27
    magnitude = (1 << 31) - 1 if fraction == 23 else (1 << 63) - 1
    fraction_mask, low_mask = (1 << fraction) - 1, (1 << low_bits) - 1
    smallest: Any = magnitude
    largest: Any = 0
    for i in range(len(bits)):
        word = np.int64(bits[i]) & magnitude
        largest = word if word > largest else largest
        smallest = word if word < smallest else smallest
    first, last = smallest >> shift, largest >> shift
    for begin in range(0, len(bits), _CHUNK):
        chunk = bits[begin : begin + _CHUNK]
        for i in range(len(chunk)):
            word = np.int64(chunk[i])
            bucket = (word >> shift) & (2 * _BUCKETS - 1)
            packed[0, bucket] += (1 << _PACK) + ((word & fraction_mask) >> low_bits)
            if low_bits > 0:
                packed[1, bucket] += word & low_mask
        for sign in range(2):
            for bucket in range(first, last + 1):
                word = packed[0, sign * _BUCKETS + bucket]
                if word != 0:
                    number = word >> _PACK
                    leading = number << (fraction - low_bits) if bucket >> sub > 0 else 0
                    wide[sign, 0, bucket] += number
                    wide[sign, 1, bucket] += (word & ((1 << _PACK) - 1)) + leading
                    wide[sign, 2, bucket] += packed[1, sign * _BUCKETS + bucket]
                    packed[0, sign * _BUCKETS + bucket] = 0
                    packed[1, sign * _BUCKETS + bucket] = 0
    return first, last


@compiled
def _group(binade):  # type: ignore[no-untyped-def]
    """Return the group of eight binades that a binade belongs to (subnormal numbers are the smallest binade's)."""
    return (max(binade, 1) - 1) >> 3


@compiled
def _shift(binade):  # type: ignore[no-untyped-def]
    """Return how many bits a binade's unit lies above its group's."""
    return (max(binade, 1) - 1) & 7


@compiled
def _mass(high, low, group, fraction):  # type: ignore[no-untyped-def]
    """Return the sum of one group, in its units, in float64, rounded once."""
    if fraction == 23:
        return np.float64(high) * _UNITS[8 * group + 1 - 150 + 1074]
    return (np.float64(high) * 134217728.0 + np.float64(low)) * _UNITS[8 * group]


@compiled
def _whole(wide, first, last, fraction, sub):  # type: ignore[no-untyped-def]
    """Return mass and number of a sign's entries; the mass is NaN if one of them is not finite."""
    number, high, low, total = 0, 0, 0, 0.0
    for bucket in range(first, last + 1):
        binade = bucket >> sub
        number += wide[0, bucket]
        high += wide[1, bucket] << _shift(binade)
        low += wide[2, bucket] << _shift(binade)
        if bucket == last or _group((bucket + 1) >> sub) != _group(binade):
            total += _mass(high, low, _group(binade), fraction)
            high, low = 0, 0
    if last >= _BUCKETS - (1 << sub) and wide[0, _BUCKETS - (1 << sub) :].sum() > 0:
        total = np.nan
    return total, number


@compiled
def _goal(r, entries, sign, p, mass, number, policy):  # type: ignore[no-untyped-def]
    """Return the mass and the number of entries that may be pruned; (0, 0) if none may."""
    if number == 0 or not np.isfinite(mass):
        return 0.0, 0
    direction = 1.0 if sign == 0 else -1.0
    if policy == _MEAN:
        mean, kept = mass / entries, 0
        for i in range(len(r)):
            kept += direction * np.float64(r[i]) >= mean
        return np.inf, number - max(kept, 1)
    if policy == _EFFECTIVE:
        kept = _effective_number(r, direction, mass)
        return np.inf, number - min(max(kept, 1), number)
    return p * mass, _NO_LIMIT


@compiled
def _effective_number(r, direction, mass):  # type: ignore[no-untyped-def]
    """Return ``round((sum v)^2 / sum v^2)``; the sum of squares is a mass as any other (exact within binades)."""
    largest = 0.0
    for i in range(len(r)):
        largest = max(largest, direction * np.float64(r[i]))
    exponent = math.frexp(largest)[1] - 1
    if r.itemsize == 4:
        exponent = max(exponent, -127)
    scale = math.ldexp(1.0, -max(exponent, -1023))
    sums = np.zeros((2, _BUCKETS >> 3), np.int64)
    square = np.empty(1)
    square_bits = square.view(np.int64)
    for i in range(len(r)):
        v = direction * np.float64(r[i]) * scale
        if v > 0:
            square[0] = v * v
            binade = square_bits[0] >> 52
            group, shift = _group(binade), _shift(binade)
            significand = (square_bits[0] & ((1 << 52) - 1)) | (np.int64(binade > 0) << 52)
            sums[0, group] += (significand >> 27) << shift
            sums[1, group] += (significand & ((1 << 27) - 1)) << shift
    total = 0.0
    for group in range(_BUCKETS >> 3):
        if sums[0, group] | sums[1, group] != 0:
            total += _mass(sums[0, group], sums[1, group], group, 52)
    return np.int64(math.floor((mass * scale) * (mass * scale) / total + 0.5)) if total > 0 else 0


@compiled
def _crossing(wide, first, last, fraction, sub, goal, limit):  # type: ignore[no-untyped-def]
    """Return the bucket of the bound (-1: nothing is pruned) and what lies below it.

    That is: the mass of all lower groups, high and low sum of the lower buckets in its own, number of entries.
    """
    chosen, base, high, low, number = -1, 0.0, 0, 0, 0
    if goal == 0.0 or limit == 0:
        return chosen, base, high, low, number
    group, mass, high_so_far, low_so_far, so_far = 0, 0.0, 0, 0, 0
    for bucket in range(first, last + 1):
        if wide[0, bucket] == 0:
            continue
        shift = _shift(bucket >> sub)
        if _group(bucket >> sub) != group:
            mass += _mass(high_so_far, low_so_far, group, fraction)
            group, high_so_far, low_so_far = _group(bucket >> sub), 0, 0
        chosen, base, high, low, number = bucket, mass, high_so_far, low_so_far, so_far
        so_far += wide[0, bucket]
        high_so_far += wide[1, bucket] << shift
        low_so_far += wide[2, bucket] << shift
        if so_far > limit or mass + _mass(high_so_far, low_so_far, group, fraction) > goal:
            break
    return chosen, base, high, low, number


@compiled
def _gather(bits, bucket, bucket_negative, shift, candidates):  # type: ignore[no-untyped-def]
    """Copy a positive bucket's entries to the front of ``candidates`` and a negative one's to its end."""
    # No bucket has the number 2 * _BUCKETS.
    wanted = bucket if bucket >= 0 else 2 * _BUCKETS
    wanted_negative = bucket_negative + _BUCKETS if bucket_negative >= 0 else 2 * _BUCKETS
    front, end = 0, len(bits)
    for i in range(len(bits)):
        word = bits[i]
        found = (np.int64(word) >> shift) & (2 * _BUCKETS - 1)
        if found == wanted:
            candidates[front] = word
            front += 1
        elif found == wanted_negative:
            end -= 1
            candidates[end] = word
    return front, len(bits) - end


@compiled
def _refine(words, digits, start, goal, limit, fraction, sub):  # type: ignore[no-untyped-def]
    """Find the bound among the entries of its bucket; return its bits, and high, low sum and number below it."""
    _, base, high, low, number = start
    low_bits = 0 if fraction == 23 else 27
    magnitude = (1 << 31) - 1 if fraction == 23 else (1 << 63) - 1
    binade = (np.int64(words[0]) & magnitude) >> fraction
    group, up = _group(binade), _shift(binade)
    leading = (np.int64(1) << fraction) if binade > 0 else np.int64(0)
    fraction_mask, low_mask = (1 << fraction) - 1, (1 << low_bits) - 1
    n, shift = len(words), fraction - sub
    while n > _SHORT and shift > 0:
        width = min(_DIGIT, shift)
        shift -= width
        digit_mask = (1 << width) - 1
        digits[:, : digit_mask + 1] = 0
        for i in range(n):
            word = np.int64(words[i])
            digit = (word >> shift) & digit_mask
            significand = (word & fraction_mask) | leading
            digits[0, digit] += 1
            digits[1, digit] += (significand >> low_bits) << up
            digits[2, digit] += (significand & low_mask) << up
        chosen, high_so_far, low_so_far, so_far = 0, high, low, number
        for digit in range(digit_mask + 1):
            if digits[0, digit] == 0:
                continue
            chosen, high, low, number = digit, high_so_far, low_so_far, so_far
            so_far += digits[0, digit]
            high_so_far += digits[1, digit]
            low_so_far += digits[2, digit]
            if so_far > limit or base + _mass(high_so_far, low_so_far, group, fraction) > goal:
                break
        stay = 0
        for i in range(n):
            if (np.int64(words[i]) >> shift) & digit_mask == chosen:
                words[stay] = words[i]
                stay += 1
        n = stay
    if shift > 0:
        # Few are left: sort them, then step from value to value.
        for i in range(1, n):
            word, j = words[i], i
            while j > 0 and (words[j - 1] & magnitude) > (word & magnitude):
                words[j] = words[j - 1]
                j -= 1
            words[j] = word
        high_so_far, low_so_far, so_far = high, low, number
        chosen = 0
        for i in range(n):
            if words[i] != words[chosen]:
                chosen, high, low, number = i, high_so_far, low_so_far, so_far
            significand = (np.int64(words[i]) & fraction_mask) | leading
            so_far += 1
            high_so_far += (significand >> low_bits) << up
            low_so_far += (significand & low_mask) << up
            if so_far > limit or base + _mass(high_so_far, low_so_far, group, fraction) > goal:
                break
        words[0] = words[chosen]
    return np.int64(words[0]) & magnitude, high, low, number


@compiled
def _kept(wide, last, fraction, sub, found):  # type: ignore[no-untyped-def]
    """Return the mass of the entries from the bound on."""
    word, high, low, _ = found
    own = _group(word >> fraction)
    high, low = -high, -low
    kept = 0.0
    # The group's smallest binade; the first group has the subnormal numbers besides.
    start = (8 * own + 1 if own > 0 else 0) << sub
    for bucket in range(start, last + 1):
        binade = bucket >> sub
        high += wide[1, bucket] << _shift(binade)
        low += wide[2, bucket] << _shift(binade)
        if bucket == last or _group((bucket + 1) >> sub) != _group(binade):
            kept += _mass(high, low, _group(binade), fraction)
            high, low = 0, 0
    return kept
