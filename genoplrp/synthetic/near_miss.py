"""Near misses: instances of a motif with letters changed until half of the score is lost; nothing is placed here."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, UInt8

from genoplrp.synthetic.motifs import Motif

#: Share of a motif's best score below which a spoilt instance must fall.
SPOILT_SHARE = 0.5

#: A matrix allows the letters that have at least this probability at their place.
LEAST_LETTER = 0.01


def mutated(
    letters: UInt8[np.ndarray, " width"],
    odds: Float[np.ndarray, "width 4"],
    allowed: Bool[np.ndarray, "width 4"],
    best: float,
    rng: np.random.Generator,
) -> UInt8[np.ndarray, " width"]:
    """Replace letters by the least likely ones that are allowed until half the score is lost, most telling ones first.

    Parameters
    ----------
    letters : array, (width,), uint8
        Base numbers of an instance.
    odds : array, (width, 4)
        Log-odds of each base at each position, in bits.
    allowed : array, (width, 4), bool
        Which bases may stand at each position; letters of the instance that may not are replaced first.
    best : float
        The motif's best score, in bits.
    rng : Generator
        Breaks ties.

    Returns
    -------
    array, (width,), uint8
    """
    where = np.arange(len(letters))
    worst = np.where(allowed, odds, np.inf)
    spoilt = np.where(allowed[where, letters], letters, worst.argmin(axis=1)).astype(letters.dtype)
    for position in np.argsort(worst.min(axis=1) - odds[where, letters] + 1e-3 * rng.random(len(letters))):
        if odds[where, spoilt].sum() <= SPOILT_SHARE * best:
            break
        spoilt[position] = worst[position].argmin()
    return spoilt


def lowest_allowed_score(motif: Motif) -> float:
    """Lowest score, in bits, that letters which the matrix allows can have."""
    allowed = motif.pwm >= LEAST_LETTER
    return float(np.where(allowed, motif.log_odds(), np.inf).min(axis=0).sum())


def can_be_near_missed(motif: Motif) -> bool:
    """Whether the letters that a matrix allows can lose half of the score."""
    return lowest_allowed_score(motif) <= SPOILT_SHARE * motif.best_score
