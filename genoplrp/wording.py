"""Numbers, names and errors as messages say them: with their noun, not too many, in one line."""

from __future__ import annotations

import math
from collections.abc import Sequence


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


def some(names: Sequence[str], most: int = 3) -> str:
    """Return the first of some names, and how many more there are.

    Examples
    --------
    >>> some(["a", "b", "c", "d"]), some([])
    ('a, b, c and 1 more', 'none')
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "none"


def first_line(error: BaseException) -> str:
    r"""Return the first line of what an error says; its type where it says nothing.

    Examples
    --------
    >>> first_line(ValueError("no such file\nlook elsewhere")), first_line(KeyboardInterrupt())
    ('no such file', 'KeyboardInterrupt')
    """
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
