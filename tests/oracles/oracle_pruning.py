"""Pruning by its definition, one value at a time, in exact fractions; slow."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction


def kept_indices(relevance: Sequence[float], p_pos: Fraction, p_neg: Fraction) -> set[int]:
    """Return the indices of the entries that pruning keeps (zeros are kept)."""
    kept = {i for i, r in enumerate(relevance) if r == 0}
    for direction, p in ((1, p_pos), (-1, p_neg)):
        size = {i: Fraction(r) * direction for i, r in enumerate(relevance) if r * direction > 0}
        if not size:
            continue
        mass = sum(size.values())
        threshold = max(
            (t for t in size.values() if sum(s for s in size.values() if s <= t) <= p * mass),
            default=Fraction(0),
        )
        largest = max(size.values())
        kept |= {i for i, s in size.items() if s > threshold or s == largest}
    return kept
