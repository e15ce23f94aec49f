"""Localization beyond the standard scores: top of the map, contrast, truth with weights; no model here.

The conventions are those of `genoplrp.evaluation.localization`: signed relevance, ties in expectation, a map
that says nothing at chance, NaN where there is no site.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from genoplrp.errors import InputError
from genoplrp.evaluation.localization import expected_hits
from genoplrp.evaluation.maps import Maps, Scores, as_array, check_maps, check_masks


def top_k_intersection(per_nucleotide: Any, mask: Any, *, k: int = 10) -> Scores:
    """Share of the k most relevant positions that lie in the mask (precision at k).

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position; the largest signed value ranks first.
    mask : array or tensor, shape (N, L)
        True at the positions of the sites.
    k : int
        How many positions, 1 to L.

    Returns
    -------
    numpy.ndarray, shape (N,)
        From 0 to 1; chance, and a constant map, is the share of positions in the mask. NaN where the mask is
        empty.

    Raises
    ------
    InputError, NonFiniteError
        If the arrays do not fit together, the map is not finite, or k is out of range.

    References
    ----------
    Theiner, Mueller-Budack and Ewerth, *Interpretable semantic photo geolocation*, WACV 2022.

    Examples
    --------
    >>> top_k_intersection([[4.0, 3.0, 2.0, 1.0]], [[1, 0, 0, 1]], k=2)
    array([0.5])
    """
    maps = check_maps(per_nucleotide)
    n, length = maps.shape
    masks = check_masks(mask, (n, length))
    if not 1 <= k <= length:
        raise InputError(f"k must lie between 1 and the length {length}; got {k}")
    share: Scores = expected_hits(maps, masks, np.full(n, k)) / k
    share[~masks.any(axis=1)] = np.nan
    return share


def pointing_game(per_nucleotide: Any, mask: Any) -> Scores:
    """Whether the most relevant position lies in the mask.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position.
    mask : array or tensor, shape (N, L)
        True at the positions of the sites.

    Returns
    -------
    numpy.ndarray, shape (N,)
        1 for a hit, 0 for a miss, the share of hits among positions that tie for the maximum. Chance, and a
        constant map, is the share of positions in the mask. NaN where the mask is empty.

    Raises
    ------
    InputError, NonFiniteError
        If the arrays do not fit together, or the map is not finite.

    References
    ----------
    Zhang et al., *Top-down neural attention by excitation backprop*, IJCV 126 (2018).

    Examples
    --------
    >>> pointing_game([[4.0, 3.0], [1.0, 1.0]], [[1, 0], [1, 0]])
    array([1. , 0.5])
    """
    return top_k_intersection(per_nucleotide, mask, k=1)


def signal_contrast(per_nucleotide: Any, mask: Any) -> Scores:
    """Signal against noise: mean positive relevance inside the mask against outside, in a bounded form.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position; negative relevance counts as none.
    mask : array or tensor, shape (N, L)
        True at the positions of the sites.

    Returns
    -------
    numpy.ndarray, shape (N,)
        (s - 1) / (s + 1) of the signal-to-noise ratio s = mean inside / mean outside: from -1 (all of it
        outside) over 0 (chance, a constant or an all-zero map) to 1 (nothing outside, where the ratio itself
        would be infinite, as on every sparse map). NaN where the mask is empty or covers the whole sequence.

    Raises
    ------
    InputError, NonFiniteError
        If the arrays do not fit together, or the map is not finite.

    References
    ----------
    Koo and Ploenzke, *Improving representations of genomic sequence motifs in convolutional networks with
    exponential activations*, Nature Machine Intelligence 3 (2021), for the ratio; Michelson's contrast for
    the form.

    Examples
    --------
    >>> signal_contrast([[3.0, 1.0, 1.0, 1.0]], [[1, 0, 0, 0]])
    array([0.5])
    """
    maps = check_maps(per_nucleotide)
    n, length = maps.shape
    masks = check_masks(mask, (n, length))
    positive = np.maximum(maps, 0.0)
    inside, outside = masks.sum(axis=1), (~masks).sum(axis=1)
    signal = (positive * masks).sum(axis=1) / np.maximum(inside, 1)
    noise = (positive * ~masks).sum(axis=1) / np.maximum(outside, 1)
    total = signal + noise
    contrast: Scores = np.divide(signal - noise, total, out=np.zeros(n), where=total > 0)
    contrast[(inside == 0) | (outside == 0)] = np.nan
    return contrast


def weighted_cosine(per_nucleotide: Any, weights: Any) -> Scores:
    """Cosine of the positive relevance with a truth that has weights (bits of each planted base).

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position; negative relevance counts as none.
    weights : array, shape (N, L)
        How much each position matters, 0 or more (bits of the planted motif's column; 0 outside the sites).

    Returns
    -------
    numpy.ndarray, shape (N,)
        From 0 to 1 (relevance proportional to the weights). Mass outside the sites and mass heaped on a few
        of them both lower it. An all-zero map scores as the constant map does, which is chance. NaN where no
        weight is positive.

    Raises
    ------
    InputError, NonFiniteError
        If the arrays do not fit together, are not finite, or a weight is negative.

    References
    ----------
    Koo and Ploenzke (2021), for truth in bits per position; the cosine is ours.

    Examples
    --------
    >>> weighted_cosine([[2.0, 1.0, 0.0], [0.0, 0.0, 5.0]], [[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]]).round(6)
    array([1., 0.])
    """
    maps, truth = check_maps(per_nucleotide), check_weights(weights, per_nucleotide)
    positive = np.maximum(maps, 0.0)
    peak = positive.max(axis=1, keepdims=True)
    positive = np.divide(positive, peak, out=np.ones_like(positive), where=peak > 0)
    norms = np.sqrt(np.square(positive).sum(axis=1) * np.square(truth).sum(axis=1))
    cosine: Scores = np.full(len(maps), np.nan)
    np.divide((positive * truth).sum(axis=1), norms, out=cosine, where=norms > 0)
    return cosine


def check_weights(weights: Any, per_nucleotide: Any) -> Maps:
    """Check a truth with weights against the map it belongs to.

    Parameters
    ----------
    weights : array, shape (N, L)
        Finite and not negative.
    per_nucleotide : array or tensor, shape (N, L)
        The map.

    Returns
    -------
    numpy.ndarray, shape (N, L), float64

    Raises
    ------
    InputError, NonFiniteError
        If the shapes differ or a weight is negative or not finite.

    Examples
    --------
    >>> check_weights([[1, 0]], [[0.5, 0.5]])
    array([[1., 0.]])
    """
    truth = check_maps(weights, name="weights")
    expected = as_array(per_nucleotide, "per_nucleotide").shape
    if truth.shape != expected:
        raise InputError(f"weights have shape {truth.shape}, the relevance {expected}; both must be (N, L)")
    if (truth < 0).any():
        row, position = np.argwhere(truth < 0)[0]
        raise InputError(
            f"weights must not be negative; got {truth[row, position]} at sequence {row}, position {position}"
        )
    return truth
