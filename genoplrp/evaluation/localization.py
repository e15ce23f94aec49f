"""How well a map points at known sites: relevance against a ground-truth mask; no model is needed here.

Common to all: the score is per sequence, of the signed per-nucleotide relevance (positive relevance claims a
site). Ties are broken in expectation, over all orders of the tied positions, so that a map that says nothing
(all zero, or constant) scores exactly what a random map scores on average. A sequence without a site has no
truth to find: NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Int

from genoplrp.errors import check_choice
from genoplrp.evaluation.blocks import by_blocks, check_lengths
from genoplrp.evaluation.maps import Arrays, Maps, Masks, Scores, check_masks, read_maps

Sign = Literal["positive", "absolute"]


def relevance_mass_accuracy(
    per_nucleotide: Arrays, mask: Arrays, *, sign: Sign = "positive", lengths: Arrays | None = None
) -> Scores:
    """Relevance mass accuracy (RMA): the share of the relevance mass that lies in the mask.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position.
    mask : array or tensor, shape (N, L)
        True at the positions of the sites.
    sign : {"positive", "absolute"}
        Which mass is counted: positive relevance only (negative relevance argues against the target and
        claims no site), or the absolute value of all of it.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

    Returns
    -------
    numpy.ndarray, shape (N,)
        From 0 to 1. Chance is the share of positions in the mask; a map without any such mass scores chance.
        NaN where the mask is empty.

    Raises
    ------
    InputError, NonFiniteError
        If the arrays do not fit together, or the map is not finite.

    References
    ----------
    Arras, Osman and Samek, *CLEVR-XAI: A benchmark dataset for the ground truth evaluation of neural network
    explanations*, Information Fusion 81 (2022), equation 1.

    Examples
    --------
    >>> relevance_mass_accuracy([[3.0, 1.0, -4.0, 0.0]], [[1, 0, 0, 0]])
    array([0.75])
    >>> relevance_mass_accuracy([[3.0, 1.0, -4.0, 0.0]], [[1, 0, 0, 0]], sign="absolute")
    array([0.375])
    """
    check_choice("sign", sign, get_args(Sign))
    return against_mask(
        _positive_share if sign == "positive" else _absolute_share, per_nucleotide, mask, lengths
    )


def relevance_rank_accuracy(per_nucleotide: Arrays, mask: Arrays, *, lengths: Arrays | None = None) -> Scores:
    """Relevance rank accuracy (RRA): the share of the K most relevant positions in the mask, K its size.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position; the largest signed value ranks first.
    mask : array or tensor, shape (N, L)
        True at the positions of the sites.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

    Returns
    -------
    numpy.ndarray, shape (N,)
        From 0 to 1. Positions that tie at rank K count with the share of them that fits, so that a constant
        map scores chance, K / L. NaN where the mask is empty.

    Raises
    ------
    InputError, NonFiniteError
        If the arrays do not fit together, or the map is not finite.

    References
    ----------
    Arras, Osman and Samek, *CLEVR-XAI*, Information Fusion 81 (2022), equation 2; ties in expectation are
    ours.

    Examples
    --------
    >>> relevance_rank_accuracy([[9.0, 5.0, 5.0, 0.0]], [[1, 1, 0, 0]])
    array([0.75])
    """
    return against_mask(_relevance_rank_accuracy, per_nucleotide, mask, lengths)


def average_precision(per_nucleotide: Arrays, mask: Arrays, *, lengths: Arrays | None = None) -> Scores:
    """Average precision: the mean, over the positions of the mask, of the precision at their rank.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position; the largest signed value ranks first.
    mask : array or tensor, shape (N, L)
        True at the positions of the sites.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

    Returns
    -------
    numpy.ndarray, shape (N,)
        From slightly above 0 to 1. Without ties it is scikit-learn's ``average_precision_score``; with ties
        it is the mean over all orders of the tied positions. The chance level is what a constant map gets, a
        little above the share of positions in the mask (.185 for 32 of 200). NaN where the mask is empty.

    Raises
    ------
    InputError, NonFiniteError
        If the arrays do not fit together, or the map is not finite.

    Notes
    -----
    In a group of n tied positions, t of them in the mask, behind N0 positions with P0 in the mask, the j-th
    of the group is in the mask with probability t / n, and then the precision at its rank is in expectation
    (P0 + 1 + (j - 1) (t - 1) / (n - 1)) / (N0 + j). It is *not* the trapezoid area under the precision-recall
    curve, which gives an all-zero map .58 at a prevalence of .16.

    References
    ----------
    Bestgen, *Exact expected average precision of the random baseline for system evaluation*, Prague Bulletin
    of Mathematical Linguistics 103 (2015): the formula for one group, applied here to each group of ties.

    Examples
    --------
    >>> average_precision([[3.0, 2.0, 1.0, 0.0]], [[1, 0, 1, 0]]).round(3)
    array([0.833])
    """
    return against_mask(_average_precision, per_nucleotide, mask, lengths)


def auroc(per_nucleotide: Arrays, mask: Arrays, *, lengths: Arrays | None = None) -> Scores:
    """Area under the ROC curve: the chance that a position in the mask outranks one outside it.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position; the largest signed value ranks first.
    mask : array or tensor, shape (N, L)
        True at the positions of the sites.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

    Returns
    -------
    numpy.ndarray, shape (N,)
        From 0 to 1, ties counting half; chance, and a constant map, is 0.5. NaN where the mask is empty or
        covers the whole sequence.

    Raises
    ------
    InputError, NonFiniteError
        If the arrays do not fit together, or the map is not finite.

    References
    ----------
    Fawcett, *An introduction to ROC analysis*, Pattern Recognition Letters 27 (2006); the Mann-Whitney form.

    Examples
    --------
    >>> auroc([[3.0, 2.0, 1.0, 0.0]], [[1, 0, 1, 0]])
    array([0.75])
    """
    return against_mask(_auroc, per_nucleotide, mask, lengths)


def against_mask(
    metric: Callable[[Maps, Masks], Scores],
    per_nucleotide: Arrays,
    mask: Arrays,
    lengths: Arrays | None = None,
) -> Scores:
    """Apply a metric to maps and masks, checked, block by block.

    Parameters
    ----------
    metric : callable
        From maps (n, l) and masks (n, l) to n scores.
    per_nucleotide, mask : array or tensor, shape (N, L)
        Relevance and truth per position.
    lengths : array, shape (N,), optional
        Real positions of each sequence; by default all L.

    Returns
    -------
    numpy.ndarray, shape (N,)

    Raises
    ------
    InputError, NonFiniteError
        If the arrays do not fit together, or the map is not finite.

    Examples
    --------
    >>> against_mask(lambda maps, masks: masks.mean(axis=1), [[0.0, 1.0, 0.0]], [[0, 1, 0]], lengths=[2]).tolist()
    [0.5]
    """
    maps = read_maps(per_nucleotide)
    sizes = check_lengths(lengths, maps.shape)
    return by_blocks(metric, maps, check_masks(mask, maps.shape, lengths=sizes), lengths=sizes)


def _mass_share(mass: Maps, masks: Masks) -> Scores:
    total = mass.sum(axis=1)
    inside = np.where(masks, mass, 0.0).sum(axis=1)
    accuracy = np.divide(inside, total, out=masks.mean(axis=1), where=total > 0)
    # The sums may run in different orders: their quotient can pass 1 by rounding.
    return np.where(masks.any(axis=1), np.minimum(accuracy, 1.0), np.nan)


def _positive_share(maps: Maps, masks: Masks) -> Scores:
    return _mass_share(np.maximum(maps, 0.0), masks)


def _absolute_share(maps: Maps, masks: Masks) -> Scores:
    return _mass_share(np.abs(maps), masks)


def _relevance_rank_accuracy(maps: Maps, masks: Masks) -> Scores:
    size = masks.sum(axis=1)
    hits = expected_hits(maps, masks, size)
    return _ratio(hits, size)


def _average_precision(maps: Maps, masks: Masks) -> Scores:
    order = np.argsort(-maps, axis=1)
    ranked = np.take_along_axis(maps, order, axis=1)
    found = np.cumsum(np.take_along_axis(masks, order, axis=1), axis=1)
    first, last = tie_bounds(ranked)
    found_before = np.take_along_axis(found, np.maximum(first - 1, 0), axis=1) * (first > 0)
    hits = np.take_along_axis(found, last, axis=1) - found_before
    size = last - first + 1
    within = np.arange(maps.shape[1]) - first
    expected = found_before + 1 + within * np.maximum(hits - 1, 0) / np.maximum(size - 1, 1)
    precision = expected / (first + within + 1)
    total = masks.sum(axis=1)
    summed = (precision * hits / size).sum(axis=1)
    return _ratio(summed, total)


def _auroc(maps: Maps, masks: Masks) -> Scores:
    order = np.argsort(maps, axis=1)
    first, last = tie_bounds(np.take_along_axis(maps, order, axis=1))
    midrank = (first + last) / 2 + 1
    inside = masks.sum(axis=1)
    outside = masks.shape[1] - inside
    rank_sum = np.where(np.take_along_axis(masks, order, axis=1), midrank, 0.0).sum(axis=1)
    wins = rank_sum - inside * (inside + 1) / 2
    pairs = inside * outside
    return _ratio(wins, pairs)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> Scores:
    """Divide, with NaN where there is nothing to divide by: no site, no score."""
    scores: Scores = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=scores, where=denominator > 0)
    return scores


def expected_hits(maps: Maps, masks: Masks, k: Int[np.ndarray, " n"]) -> Scores:
    """Count mask positions among the k highest ones, in expectation over all orders of tied positions."""
    ranked = -np.sort(-maps, axis=1)
    cut = np.take_along_axis(ranked, np.maximum(k - 1, 0)[:, None], axis=1)
    above = maps > cut
    tied = maps == cut
    seats = k - above.sum(axis=1)
    share = (tied & masks).sum(axis=1) / tied.sum(axis=1)
    hits: Scores = (above & masks).sum(axis=1) + seats * share
    return hits


def tie_bounds(
    ranked: Float[np.ndarray, "n length"],
) -> tuple[Int[np.ndarray, "n length"], Int[np.ndarray, "n length"]]:
    """First and last index of the group of equal values that each entry of a sorted row belongs to."""
    n, length = ranked.shape
    index = np.broadcast_to(np.arange(length), (n, length))
    changes = ranked[:, 1:] != ranked[:, :-1]
    edge = np.ones((n, 1), dtype=bool)
    starts = np.concatenate([edge, changes], axis=1)
    ends = np.concatenate([changes, edge], axis=1)
    first = np.maximum.accumulate(np.where(starts, index, 0), axis=1)
    last = np.minimum.accumulate(np.where(ends, index, length - 1)[:, ::-1], axis=1)[:, ::-1]
    return first, last
