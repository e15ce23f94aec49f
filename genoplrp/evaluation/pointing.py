"""Localization beyond the standard scores: top of the map, contrast, truth with weights; no model here.

The conventions are those of `genoplrp.evaluation.localization`: signed relevance, ties in expectation, a map
that says nothing at chance, NaN where there is no site.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from genoplrp.errors import InputError
from genoplrp.evaluation.blocks import blocks, by_blocks, check_lengths
from genoplrp.evaluation.localization import against_mask, expected_hits
from genoplrp.evaluation.maps import Arrays, Maps, Masks, Scores, as_array, check_finite, read_maps


def top_k_intersection(
    per_nucleotide: Arrays, mask: Arrays, *, k: int = 10, lengths: Arrays | None = None
) -> Scores:
    """Share of the k most relevant positions that lie in the mask (precision at k).

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position; the largest signed value ranks first.
    mask : array or tensor, shape (N, L)
        True at the positions of the sites.
    k : int
        How many positions, 1 to L; all of a sequence that has fewer.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

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
    length = read_maps(per_nucleotide).shape[1]
    if not 1 <= k <= length:
        raise InputError(f"k must lie between 1 and the length {length}; got {k}")

    def share(maps: Maps, masks: Masks) -> Scores:
        size = min(k, maps.shape[1])
        hits = expected_hits(maps, masks, np.full(len(maps), size)) / size
        return np.where(masks.any(axis=1), hits, np.nan)

    return against_mask(share, per_nucleotide, mask, lengths)


def pointing_game(per_nucleotide: Arrays, mask: Arrays, *, lengths: Arrays | None = None) -> Scores:
    """Whether the most relevant position lies in the mask.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position.
    mask : array or tensor, shape (N, L)
        True at the positions of the sites.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

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
    return top_k_intersection(per_nucleotide, mask, k=1, lengths=lengths)


def signal_contrast(per_nucleotide: Arrays, mask: Arrays, *, lengths: Arrays | None = None) -> Scores:
    """Signal against noise: mean positive relevance inside the mask against outside, in a bounded form.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position; negative relevance counts as none.
    mask : array or tensor, shape (N, L)
        True at the positions of the sites.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

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
    return against_mask(_signal_contrast, per_nucleotide, mask, lengths)


def weighted_cosine(per_nucleotide: Arrays, weights: Arrays, *, lengths: Arrays | None = None) -> Scores:
    """Cosine of the positive relevance with a truth that has weights (bits of each planted base).

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position; negative relevance counts as none.
    weights : array, shape (N, L)
        How much each position matters, 0 or more (bits of the planted motif's column; 0 outside the sites).
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

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
    maps = read_maps(per_nucleotide)
    sizes = check_lengths(lengths, maps.shape)
    return by_blocks(_weighted_cosine, maps, check_weights(weights, maps, lengths=sizes), lengths=sizes)


def check_weights(
    weights: Arrays, per_nucleotide: Arrays, *, lengths: Int[np.ndarray, " n"] | None = None
) -> np.ndarray:
    """Check a truth with weights against the map it belongs to.

    Parameters
    ----------
    weights : array, shape (N, L)
        Finite and not negative.
    per_nucleotide : array or tensor, shape (N, L)
        The map.
    lengths : numpy.ndarray, shape (N,), optional
        Real positions of each sequence; by default all L.

    Returns
    -------
    numpy.ndarray, shape (N, L)
        Of the type that it has.

    Raises
    ------
    InputError, NonFiniteError
        If the shapes differ or a weight is negative or not finite.

    Examples
    --------
    >>> check_weights([[1, 0]], [[0.5, 0.5]])
    array([[1, 0]])
    """
    truth = read_maps(weights, name="weights")
    expected = as_array(per_nucleotide, "per_nucleotide").shape
    if truth.shape != expected:
        raise InputError(f"weights have shape {truth.shape}, the relevance {expected}; both must be (N, L)")
    check_finite(truth, lengths, name="weights")
    for rows, length in blocks(truth.shape, lengths):
        wrong = np.argwhere(truth[rows, :length] < 0)
        if len(wrong):
            row, position = int(np.arange(len(truth))[rows][wrong[0, 0]]), wrong[0, 1]
            raise InputError(
                f"weights must not be negative; got {truth[row, position]} at sequence {row}, position {position}"
            )
    return truth


def _signal_contrast(maps: Maps, masks: Masks) -> Scores:
    positive = np.maximum(maps, 0.0)
    inside, outside = masks.sum(axis=1), (~masks).sum(axis=1)
    signal = (positive * masks).sum(axis=1) / np.maximum(inside, 1)
    noise = (positive * ~masks).sum(axis=1) / np.maximum(outside, 1)
    total = signal + noise
    contrast: Scores = np.divide(signal - noise, total, out=np.zeros(len(maps)), where=total > 0)
    contrast[(inside == 0) | (outside == 0)] = np.nan
    return contrast


def _weighted_cosine(maps: Maps, weights: np.ndarray) -> Scores:
    positive, truth = np.maximum(maps, 0.0), weights.astype(np.float64, copy=False)
    peak = positive.max(axis=1, keepdims=True)
    positive = np.divide(positive, peak, out=np.ones_like(positive), where=peak > 0)
    norms = np.sqrt(np.square(positive).sum(axis=1) * np.square(truth).sum(axis=1))
    cosine: Scores = np.full(len(maps), np.nan)
    np.divide((positive * truth).sum(axis=1), norms, out=cosine, where=norms > 0)
    return cosine
