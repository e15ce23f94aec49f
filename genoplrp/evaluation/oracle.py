"""What a reader who knows the planted matrices would mark: a scan with them, as the bar that no method has to reach.

It never sees the network, and it does not know where the instances were planted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from genoplrp.errors import InputError
from genoplrp.evaluation.blocks import blocks, check_lengths
from genoplrp.evaluation.maps import Arrays

if TYPE_CHECKING:
    from genoplrp.synthetic.motifs import Motif

_PSEUDO = 1e-3


def scan(
    X: Float[np.ndarray, "n 4 length"], motifs: Sequence[Motif], *, lengths: Arrays | None = None
) -> Float[np.ndarray, "n length"]:
    """Scan sequences with position weight matrices on both strands, and spread each hit over its bases.

    Parameters
    ----------
    X : array, shape (N, 4, L)
        One-hot sequences.
    motifs : sequence of Motif
        The matrices, (4, w) probabilities each.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

    Returns
    -------
    numpy.ndarray, shape (N, L)
        Bits: over all windows that cover a position, the log-odds of its base against a uniform background times the
        probability that the window is an instance (prior: one instance per sequence, motif and strand).

    Raises
    ------
    InputError
        If there is no motif, or the lengths do not fit.

    References
    ----------
    Stormo, *DNA binding sites: representation and discovery*, Bioinformatics 16 (2000), for log-odds scores.

    Examples
    --------
    >>> from genoplrp.synthetic.motifs import Motif
    >>> X = np.eye(4, dtype=np.float32)[[[3, 3, 0, 0, 0, 0, 0, 0, 3, 2, 1]]].transpose(0, 2, 1)
    >>> (scan(X, [Motif.from_consensus("AAAAAAT")]) > 0.2).astype(int).tolist()
    [[0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0]]
    """
    if not motifs:
        raise InputError("the scan needs the planted motifs; a data set without motifs has no oracle")
    one_hot = np.asarray(X)
    shape = (one_hot.shape[0], one_hot.shape[2])
    odds = [np.log2((motif.pwm + _PSEUDO) / (1 + 4 * _PSEUDO) / 0.25) for motif in motifs]
    total = np.zeros(shape)
    for rows, length in blocks(shape, check_lengths(lengths, shape)):
        block = one_hot[rows, :, :length].astype(np.float64, copy=False)
        for matrix in odds:
            total[rows, :length] += _scan_strand(block, matrix) + _scan_strand(block, matrix[::-1, ::-1])
    return total


def _scan_strand(X: np.ndarray, odds: np.ndarray) -> np.ndarray:
    n, _, length = X.shape
    width = odds.shape[1]
    spread = np.zeros((n, length))
    if width > length:
        return spread
    windows = length - width + 1
    # Log-odds of each base at each place of the matrix, then along every window.
    per_base = np.einsum("ncl,cw->nwl", X, odds)
    score = sum(per_base[:, w, w : w + windows] for w in range(width))
    probability = 1.0 / (1.0 + windows * np.exp2(-np.asarray(score)))
    for w in range(width):
        spread[:, w : w + windows] += probability * per_base[:, w, w : w + windows]
    return spread
