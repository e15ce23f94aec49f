"""Where relevance gathers: the best windows of each sequence, trimmed; whether chance does the same is not here."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numba import njit

from genoplrp.errors import InputError

WIDTH = 12
"""Width of the window in bp: about that of a transcription factor's motif."""
TRIM = 0.1
"""A position at an end of a site below this share of the site's largest one is cut off."""


class Candidates(NamedTuple):
    """Stretches where relevance gathers, in the order of sequence and start.

    Attributes
    ----------
    sequence, start, end : array, (K,), int64
        Row, and 0-based, half-open positions, trimmed.
    score : array, (K,), float64
        Relevance of the whole window before trimming, in units of the explained output; above 0.
    """

    sequence: Int[np.ndarray, " k"]
    start: Int[np.ndarray, " k"]
    end: Int[np.ndarray, " k"]
    score: Float[np.ndarray, " k"]


def candidate_sites(
    relevance: Float[np.ndarray, "n length"],
    width: int = WIDTH,
    *,
    blocked: np.ndarray | None = None,
) -> Candidates:
    """Windows of the most positive relevance in each sequence, the best first, without overlap, then trimmed.

    Windows are taken until no free one has a positive sum, so sequences of exact zeros give none. The ends of a window
    are cut off as far as they hold nothing (zero, the other sign, or less than a tenth of its largest position).

    Parameters
    ----------
    relevance : array, (N, L)
        Relevance per position. For negative sites pass ``-relevance``.
    width : int
        Width of the window in bp.
    blocked : array, (N, L), bool, optional
        Positions that no window may touch.

    Returns
    -------
    Candidates

    Raises
    ------
    InputError
        If the window is wider than the sequences, or relevance is not finite.

    Examples
    --------
    >>> r = np.zeros((1, 30)); r[0, 10:14] = 1.0
    >>> candidate_sites(r, 8)._asdict()["start"].tolist(), candidate_sites(r, 8).end.tolist()
    ([10], [14])
    """
    values = np.ascontiguousarray(relevance, dtype=np.float64)
    if values.ndim != 2 or not 1 <= width <= values.shape[1]:
        raise InputError(
            f"relevance has the shape {values.shape}, the window {width} bp: expected (N, L) and 1 <= width <= L"
        )
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        raise InputError(f"relevance holds NaN or infinity, first in sequence {bad[0][0]}: remove it")
    n, length = values.shape
    taken = np.zeros((n, length), dtype=np.bool_) if blocked is None else np.array(blocked, dtype=np.bool_)
    if taken.shape != values.shape:
        raise InputError(f"blocked has the shape {taken.shape}, relevance {values.shape}: they must agree")
    rows = np.empty((n * (length // width), 3), dtype=np.int64)
    score = np.empty(len(rows))
    count = _best_windows(values, width, TRIM, taken, rows, score)
    rows, score = rows[:count], score[:count]
    order = np.lexsort((rows[:, 1], rows[:, 0]))
    sequence, start, end = rows[order].T
    return Candidates(sequence.copy(), start.copy(), end.copy(), score[order])


@njit(cache=True)
def _best_windows(values: Any, width: int, trim: float, taken: Any, rows: Any, score: Any) -> int:
    n, length = values.shape
    sums = np.empty(length - width + 1)
    count = 0
    for i in range(n):
        # Each sum afresh: a running sum would leave rounding where there is only zero.
        for j in range(length - width + 1):
            total = 0.0
            for k in range(j, j + width):
                total += values[i, k]
            sums[j] = total
        for j in np.argsort(-sums, kind="mergesort"):
            if sums[j] <= 0:
                break
            free = True
            largest = 0.0
            for k in range(j, j + width):
                if taken[i, k]:
                    free = False
                    break
                largest = max(largest, values[i, k])
            if not free:
                continue
            taken[i, j : j + width] = True
            start, end = j, j + width
            while values[i, start] < trim * largest or values[i, start] <= 0:
                start += 1
            while values[i, end - 1] < trim * largest or values[i, end - 1] <= 0:
                end -= 1
            rows[count, 0], rows[count, 1], rows[count, 2] = i, start, end
            score[count] = sums[j]
            count += 1
    return count
