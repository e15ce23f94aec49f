"""Numbers as messages say them: with their noun, or with decimals that can be read."""

from __future__ import annotations

import math


def counted(n: int, noun: str) -> str:
    """Return how many there are, in words.

    Examples
    --------
    >>> counted(1, "sequence"), counted(2000, "sequence")
    ('1 sequence', '2,000 sequences')
    """
    return f"{n:,} {noun if n == 1 else noun + 's'}"


def two_digits(largest: float) -> int:
    """Return the decimals, at most six, that show two digits of the largest of some figures.

    Examples
    --------
    >>> f"{2.99e-05:.{two_digits(0.0749)}f} to {0.0749:.{two_digits(0.0749)}f}"
    '0.000 to 0.075'
    """
    return 1 if largest == 0 else min(max(1 - math.floor(math.log10(abs(largest))), 0), 6)
