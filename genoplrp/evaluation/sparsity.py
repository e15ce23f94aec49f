"""How concentrated a map is, whatever it points at; no ground truth is used here.

All of them look at the absolute relevance per position, do not change with the scale of the map or with the
order of the positions, and treat an all-zero map as the constant map that it is: not sparse.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from genoplrp.evaluation.blocks import by_blocks
from genoplrp.evaluation.maps import Arrays, Maps, Scores


def gini(per_nucleotide: Arrays, *, lengths: Arrays | None = None) -> Scores:
    """Gini index of the absolute relevance over the positions of each sequence.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position; the sign is ignored. For the sparsity of the positive part alone pass that.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

    Returns
    -------
    numpy.ndarray, shape (N,)
        From 0 (every position alike) to 1 - 1/L (one position holds everything). An all-zero map is a
        constant map: 0.

    Raises
    ------
    InputError, NonFiniteError
        If the map is not a finite numeric array of shape (N, L), or the lengths do not fit it.

    References
    ----------
    Hurley and Rickard, *Comparing measures of sparsity*, IEEE Trans. Inf. Theory 55 (2009).
    Chalasani et al., *Concise explanations of neural networks using adversarial training*, ICML 2020.

    Examples
    --------
    >>> gini([[0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    array([0.75, 0.  ])
    """
    return by_blocks(_gini, per_nucleotide, lengths=lengths)


def hoyer(per_nucleotide: Arrays, *, lengths: Arrays | None = None) -> Scores:
    """Hoyer's sparsity: how far the ratio of the 1-norm to the 2-norm is from that of a constant map.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position; the sign is ignored.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

    Returns
    -------
    numpy.ndarray, shape (N,)
        (sqrt(L) - |r|_1 / |r|_2) / (sqrt(L) - 1): from 0 (every position alike, or all zero) to 1 (one
        position). 0 where L = 1.

    Raises
    ------
    InputError, NonFiniteError
        If the map is not a finite numeric array of shape (N, L), or the lengths do not fit it.

    References
    ----------
    Hoyer, *Non-negative matrix factorization with sparseness constraints*, JMLR 5 (2004), section 3.1.

    Examples
    --------
    >>> hoyer([[0.0, 0.0, 0.0, 2.0], [1.0, 1.0, 1.0, 1.0]])
    array([1., 0.])
    """
    return by_blocks(_hoyer, per_nucleotide, lengths=lengths)


def entropy(per_nucleotide: Arrays, *, lengths: Arrays | None = None) -> Scores:
    """Shannon entropy of the absolute relevance, taken as a distribution over positions.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position; the sign is ignored.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

    Returns
    -------
    numpy.ndarray, shape (N,)
        In bits, from 0 (one position) to log2(L) (every position alike, or all zero); lower is sparser.

    Raises
    ------
    InputError, NonFiniteError
        If the map is not a finite numeric array of shape (N, L), or the lengths do not fit it.

    References
    ----------
    Bhatt, Weller and Moura, *Evaluating and aggregating feature-based model explanations*, IJCAI 2020
    (complexity).

    Examples
    --------
    >>> entropy([[0.0, 0.0, 1.0, -1.0], [0.0, 0.0, 0.0, 0.0]])
    array([1., 2.])
    """
    return by_blocks(_entropy, per_nucleotide, lengths=lengths)


def zero_fraction(per_nucleotide: Arrays, *, lengths: Arrays | None = None) -> Scores:
    """Share of the positions whose relevance is exactly zero.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

    Returns
    -------
    numpy.ndarray, shape (N,)
        From 0 to 1. It is *not* a measure of quality: an all-zero map has 1, and a wide first convolution
        leaves almost no exact zeros in the sparsest of maps.

    Raises
    ------
    InputError, NonFiniteError
        If the map is not a finite numeric array of shape (N, L), or the lengths do not fit it.

    Examples
    --------
    >>> zero_fraction([[0.0, 0.0, 1.0, -1.0]])
    array([0.5])
    """
    return by_blocks(_zero_fraction, per_nucleotide, lengths=lengths)


def effective_bases(per_nucleotide: Arrays, *, lengths: Arrays | None = None) -> Scores:
    """Effective number of bases: the number of equal positions that would be as spread out.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position; the sign is ignored.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

    Returns
    -------
    numpy.ndarray, shape (N,)
        (sum |r|)^2 / sum r^2, in bases: from 1 (one position) to L (every position alike, or all zero).

    Raises
    ------
    InputError, NonFiniteError
        If the map is not a finite numeric array of shape (N, L), or the lengths do not fit it.

    References
    ----------
    Hill, *Diversity and evenness*, Ecology 54 (1973): the number of order 2 (inverse Simpson, participation
    ratio).

    Examples
    --------
    >>> effective_bases([[0.0, 0.0, 3.0, -3.0], [0.0, 0.0, 0.0, 0.0]])
    array([2., 4.])
    """
    return by_blocks(_effective_bases, per_nucleotide, lengths=lengths)


def _gini(maps: Maps) -> Scores:
    magnitude: Maps = np.sort(np.abs(maps), axis=1)
    length = magnitude.shape[1]
    weights = 2 * np.arange(1, length + 1) - length - 1
    total = magnitude.sum(axis=1)
    index: Scores = np.zeros_like(total)
    np.divide(magnitude @ weights, length * total, out=index, where=total > 0)
    # Rounding can leave a constant map an ulp below zero.
    index[index < 0] = 0.0
    return index


def _hoyer(maps: Maps) -> Scores:
    root = np.sqrt(maps.shape[1])
    if maps.shape[1] == 1:
        return np.zeros(len(maps))
    # 1-norm over 2-norm is the root of the effective number of bases.
    sparsity: Scores = np.clip((root - np.sqrt(_effective_bases(maps))) / (root - 1), 0.0, 1.0)
    return sparsity


def _entropy(maps: Maps) -> Scores:
    share = _shares(maps)
    logs = np.log2(share, out=np.zeros_like(share), where=share > 0)
    bits: Scores = np.maximum(-(share * logs).sum(axis=1), 0.0)
    return bits


def _zero_fraction(maps: Maps) -> Scores:
    fraction: Scores = (maps == 0).mean(axis=1)
    return fraction


def _effective_bases(maps: Maps) -> Scores:
    number: Scores = 1.0 / np.square(_shares(maps)).sum(axis=1)
    return number


def _shares(maps: Maps) -> Float[np.ndarray, "n length"]:
    """Absolute relevance as a distribution over positions; uniform where there is none."""
    magnitude = np.abs(maps)
    # The largest entry first: squares of tiny scores would underflow.
    peak = magnitude.max(axis=1, keepdims=True)
    magnitude = np.divide(magnitude, peak, out=np.ones_like(magnitude), where=peak > 0)
    shares: Maps = magnitude / magnitude.sum(axis=1, keepdims=True)
    return shares
