"""Scanning sequences with PWMs: scores, exact thresholds, hits; which hits were planted, ``accidental`` says."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from genoplrp.errors import InputError
from genoplrp.synthetic.motifs import Motif

#: Steps a bit in which scores are counted for the exact distribution.
_STEPS = 1000


class Hits(NamedTuple):
    """Places where a motif's score reaches its threshold.

    Attributes
    ----------
    row, start, motif : array, int
        Sequence, 0-based start, and number of the motif in the list that was scanned for.
    minus : array, bool
        Whether it is on the minus strand.
    score : array
        Log-odds in bits.
    """

    row: Int[np.ndarray, " hits"]
    start: Int[np.ndarray, " hits"]
    motif: Int[np.ndarray, " hits"]
    minus: Bool[np.ndarray, " hits"]
    score: Float[np.ndarray, " hits"]


def score_threshold(motif: Motif, p_value: float) -> float:
    """Lowest score that uniform random DNA reaches with at most a given probability, at one place on one strand.

    Parameters
    ----------
    motif : Motif
        The motif.
    p_value : float
        Probability, more than 0 and less than 1.

    Returns
    -------
    float
        Score in bits, exact to a thousandth; above the best score if even that is too likely.

    References
    ----------
    Staden, *Comput. Appl. Biosci.* 5, 1989 (the distribution of the sum of independent columns, by convolution).

    Examples
    --------
    >>> motif = Motif.from_consensus("ACGT")
    >>> score_threshold(motif, 1 / 256) <= motif.best_score
    True
    """
    if not 0 < p_value < 1:
        raise InputError(f"p_value is {p_value!r}; expected a probability between 0 and 1.")
    return _threshold(motif, p_value)


def best_scores(
    codes: UInt8[np.ndarray, "n length"], motif: Motif, lengths: Int[np.ndarray, " n"] | None = None
) -> Float[np.ndarray, " n"]:
    """Best score of a motif in each sequence, on both strands, in bits; -inf where it does not fit.

    Parameters
    ----------
    codes : array, (n, length), uint8
        Base numbers.
    motif : Motif
        The motif.
    lengths : array, (n,), int, optional
        Length of each sequence; all of ``length`` by default.

    Returns
    -------
    array, (n,), float
    """
    forward = strand_scores(codes, motif, lengths)
    backward = strand_scores(codes, motif.reverse_complement(), lengths)
    return np.asarray(np.maximum(forward, backward).max(axis=1, initial=-np.inf))


def strand_scores(
    codes: UInt8[np.ndarray, "n length"], motif: Motif, lengths: Int[np.ndarray, " n"] | None = None
) -> Float[np.ndarray, "n starts"]:
    """Score of a motif at every start of every sequence, on the plus strand, in bits.

    Parameters
    ----------
    codes, lengths
        As :func:`best_scores`.
    motif : Motif
        The motif.

    Returns
    -------
    array, (n, length - w + 1), float32
        -inf where a base is unknown or the motif reaches beyond the end.
    """
    from genoplrp.synthetic.kernels import scores_along

    starts = max(codes.shape[1] - motif.width + 1, 0)
    scores = np.empty((len(codes), starts), dtype=np.float32)
    if starts:
        scores_along(codes, np.ascontiguousarray(motif.log_odds().T), scores)
        if lengths is not None:
            scores[np.arange(starts) > (lengths - motif.width)[:, None]] = -np.inf
    return scores


def find_hits(
    codes: UInt8[np.ndarray, "n length"],
    motifs: Sequence[Motif],
    thresholds: Sequence[float],
    lengths: Int[np.ndarray, " n"] | None = None,
) -> Hits:
    """Find all places where motifs reach their thresholds, on both strands.

    Parameters
    ----------
    codes, lengths
        As :func:`best_scores`.
    motifs : sequence of Motif
        What to look for.
    thresholds : sequence of float
        One a motif, in bits.

    Returns
    -------
    Hits
        By motif, strand, sequence and start.
    """
    columns: list[tuple[np.ndarray, ...]] = []
    for number, (motif, threshold) in enumerate(zip(motifs, thresholds, strict=True)):
        for minus, turned in ((False, motif), (True, motif.reverse_complement())):
            scores = strand_scores(codes, turned, lengths)
            row, start = np.nonzero(scores >= threshold)
            columns.append(
                (row, start, np.full(len(row), number), np.full(len(row), minus), scores[row, start])
            )
    if not columns:
        none = np.zeros(0, dtype=np.int64)
        return Hits(none, none, none, np.zeros(0, dtype=bool), np.zeros(0))
    return Hits(*(np.concatenate(column) for column in zip(*columns, strict=True)))


@lru_cache(maxsize=4096)
def _threshold(motif: Motif, p_value: float) -> float:
    steps = np.round(motif.log_odds().T * _STEPS).astype(np.int64)
    lowest = steps.min(axis=1, keepdims=True)
    distribution = np.ones(1)
    for column in steps - lowest:
        longer = np.zeros(len(distribution) + int(column.max()))
        for step in column:
            longer[step : step + len(distribution)] += distribution / 4
        distribution = longer
    # Probability of a score of at least each step, from the top.
    at_least = np.cumsum(distribution[::-1])[::-1]
    allowed = np.flatnonzero((at_least <= p_value * (1 + 1e-9)) & (distribution > 0))
    if len(allowed) == 0:
        return motif.best_score + 1.0
    # Half a step for each column's rounding, so that what counts as reaching it does so in float arithmetic too.
    return float((allowed[0] + int(lowest.sum())) / _STEPS - 0.5 / _STEPS * motif.width)
