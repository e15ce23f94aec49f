"""A number with its noun, as messages say it."""

from __future__ import annotations


def counted(n: int, noun: str) -> str:
    """Return how many there are, in words.

    Examples
    --------
    >>> counted(1, "sequence"), counted(2000, "sequence")
    ('1 sequence', '2,000 sequences')
    """
    return f"{n:,} {noun if n == 1 else noun + 's'}"
