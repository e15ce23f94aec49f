"""The sequences of the background null: strong windows stay, all else is shuffled; no model is asked here."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, UInt8

from genoplrp.sequence import shuffle_codes
from genoplrp.sites.candidates import WIDTH, candidate_sites

KEPT = 0.9
"""Share of a sequence's relevance whose windows the background null leaves alone; measured in docs/genome.md."""
_MOST = 0.3  # of the positions: where relevance is spread evenly, the null would have no room
_FLANK = 2
_RIPPLE = 0.5  # of the score of a stronger window nearby: what has less belongs to that one


def strongest(
    relevance: Float[np.ndarray, "n length"], width: int = WIDTH, share: float = KEPT
) -> Bool[np.ndarray, "n length"]:
    """Where the strongest windows lie that together hold a share of each sequence's positive relevance.

    A window that is closer than its width to one more than twice as strong is left out: a site has ripples of relevance
    beside it, and these are chance sites that the null must be free to make (measured in docs/genome.md).

    Parameters
    ----------
    relevance : array, (N, L)
        Relevance per position.
    width : int
        Width of a window in bp.
    share : float
        Windows are taken, the strongest first, until they hold this share, with those left out, or until three tenths
        of the positions are taken.

    Returns
    -------
    array, (N, L), bool
        The windows, trimmed, and two positions on either side.
    """
    values = np.asarray(relevance, dtype=np.float64)
    found = candidate_sites(values, width)
    mask, near = np.zeros(values.shape, dtype=bool), np.zeros(values.shape)
    wanted = share * np.maximum(values, 0).sum(axis=1)
    held = np.zeros(len(values))
    for k in np.lexsort((-found.score, found.sequence)):
        row = found.sequence[k]
        if held[row] < wanted[row] and mask[row].mean() < _MOST:
            held[row] += found.score[k]
            start, end = found.start[k], found.end[k]
            if found.score[k] < _RIPPLE * near[row, start:end].max():
                continue
            mask[row, max(0, start - _FLANK) : end + _FLANK] = True
            around = near[row, max(0, start - width) : end + width]
            np.maximum(around, found.score[k], out=around)
    return mask


def fill_between(
    codes: UInt8[np.ndarray, "n length"], kept: Bool[np.ndarray, "n length"], rng: np.random.Generator
) -> UInt8[np.ndarray, "n length"]:
    """Put a dinucleotide shuffle of each whole sequence in place of its bases that are not kept.

    A stretch between sites that is shuffled on its own has the bases of a place without sites: chance makes sites there
    less often than elsewhere, and a null made so is too low (measured in docs/genome.md).
    """
    return np.where(kept, codes, shuffle_codes(codes, rng)).astype(np.uint8)
