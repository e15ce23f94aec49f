"""How well a map agrees with a truth that has a sign, and with the true effects of bases, sites and variants.

A position of a site that speaks against the label must be negative: a wrong sign counts as a position outside the sites
does. The unsigned scores of `localization` ask only where a map is positive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from genoplrp.errors import InputError, check_columns
from genoplrp.evaluation.blocks import blocks, by_blocks, check_lengths
from genoplrp.evaluation.instances import sites_by_block
from genoplrp.evaluation.localization import tie_bounds
from genoplrp.evaluation.maps import Arrays, Maps, Scores, as_array, check_finite, read_maps

if TYPE_CHECKING:
    import pandas as pd

Signs = Int[np.ndarray, "n length"]


class Correlation(NamedTuple):
    """Agreement of two lists of numbers.

    Attributes
    ----------
    pearson, spearman : float
        Pearson's r and Spearman's rank correlation, -1 to 1; NaN where the true values are all alike, 0 where only the
        others are.
    cosine : float
        The same without subtracting the means: signs count, because an effect of 0 is no effect. NaN where the true
        values are all 0, 0 where only the others are.
    n : int
        How many pairs of numbers.
    """

    pearson: float
    spearman: float
    cosine: float
    n: int


def score_signed(
    per_nucleotide: Arrays,
    signed_mask: Arrays,
    effects: Arrays | None = None,
    *,
    lengths: Arrays | None = None,
) -> pd.DataFrame:
    """Score maps against a signed mask and, where they are known, the true effects of bases.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position, signed.
    signed_mask : array or tensor, shape (N, L)
        +1, -1 or 0 (`Dataset.signed_mask`).
    effects : array or tensor, shape (N, L), optional
        What each base is worth (`Dataset.base_effects`).
    lengths : array, shape (N,), optional
        Real positions of each sequence (`Dataset.lengths`); by default all L.

    Returns
    -------
    pandas.DataFrame
        One row per sequence (index ``sequence``): ``signed_rma``, ``signed_average_precision`` and, with effects,
        ``effect_correlation``.

    Raises
    ------
    InputError, NonFiniteError
        If the arrays do not fit together, or the map is not finite.

    Examples
    --------
    >>> score_signed([[1.0, -2.0, 0.0]], [[1, -1, 0]])["signed_average_precision"].tolist()
    [1.0]
    """
    import pandas as pd

    columns = {
        "signed_rma": signed_mass_accuracy(per_nucleotide, signed_mask, lengths=lengths),
        "signed_average_precision": signed_average_precision(per_nucleotide, signed_mask, lengths=lengths),
    }
    if effects is not None:
        columns["effect_correlation"] = base_correlation(per_nucleotide, effects, lengths=lengths)
    return pd.DataFrame(columns).rename_axis("sequence")


def signed_mass_accuracy(
    per_nucleotide: Arrays, signed_mask: Arrays, *, lengths: Arrays | None = None
) -> Scores:
    """Signed relevance mass accuracy: the share of the absolute relevance that lies in sites with their sign.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position, signed.
    signed_mask : array or tensor, shape (N, L)
        +1, -1 or 0.
    lengths : array, shape (N,), optional
        Real positions of each sequence; by default all L.

    Returns
    -------
    numpy.ndarray, shape (N,)
        From 0 to 1: 1 for a map that is the mask, 0 for its negative. Chance is half the share of positions in the
        mask; a map that is all zero scores chance. NaN where the mask is empty.

    Raises
    ------
    InputError, NonFiniteError
        If the arrays do not fit together, or the map is not finite.

    References
    ----------
    The mass accuracy of Arras, Osman and Samek, Information Fusion 81 (2022), equation 1, with a sign.

    Examples
    --------
    >>> signed_mass_accuracy([[3.0, -1.0, 1.0, 1.0]], [[1, -1, -1, 0]]).round(3)
    array([0.667])
    """
    return _against_signs(_mass_accuracy, per_nucleotide, signed_mask, lengths)


def signed_average_precision(
    per_nucleotide: Arrays, signed_mask: Arrays, *, lengths: Arrays | None = None
) -> Scores:
    """Signed average precision: positions ranked by absolute relevance, right where site and sign are right.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position, signed.
    signed_mask : array or tensor, shape (N, L)
        +1, -1 or 0.
    lengths : array, shape (N,), optional
        Real positions of each sequence; by default all L.

    Returns
    -------
    numpy.ndarray, shape (N,)
        From 0 to 1: 1 for a map that is the mask, 0 for its negative. The precision at the rank of each position of
        the mask that has its sign, summed, and divided by the number of positions in the mask. Ties are broken in
        expectation, and a zero has either sign with probability 1/2, so that a map that says nothing scores what
        random numbers score on average. NaN where the mask is empty.

    Raises
    ------
    InputError, NonFiniteError
        If the arrays do not fit together, or the map is not finite.

    Notes
    -----
    Without negative positions and with a map that is nowhere negative, it is `average_precision`.

    Examples
    --------
    >>> signed_average_precision([[3.0, -2.0, 1.0, 0.0]], [[1, 0, -1, 0]]).round(3)
    array([0.5])
    """
    return _against_signs(_average_precision, per_nucleotide, signed_mask, lengths)


def base_correlation(per_nucleotide: Arrays, effects: Arrays, *, lengths: Arrays | None = None) -> Scores:
    """Pearson's r between a map and the true effects of the bases, for each sequence.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position, signed.
    effects : array or tensor, shape (N, L)
        What each base is worth (`Dataset.base_effects`).
    lengths : array, shape (N,), optional
        Real positions of each sequence; by default all L.

    Returns
    -------
    numpy.ndarray, shape (N,)
        From -1 to 1; a constant map scores 0; NaN where no base differs from another.

    Raises
    ------
    InputError, NonFiniteError
        If the arrays do not fit together, or are not finite.

    Examples
    --------
    >>> base_correlation([[2.0, -4.0, 0.0]], [[1.0, -2.0, 0.0]]).round(6)
    array([1.])
    """
    maps = read_maps(per_nucleotide)
    sizes = check_lengths(lengths, maps.shape)
    truth = _like(read_maps(effects, name="effects"), maps, "effects")
    check_finite(truth, sizes, name="effects")
    return by_blocks(_pearson, maps, truth, lengths=sizes)


def site_correlation(per_nucleotide: Arrays, sites: pd.DataFrame) -> Correlation:
    """Correlation between the relevance that sites have and what they are worth, over the sites of all sequences.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position, signed; it is summed over each site.
    sites : pandas.DataFrame
        ``sequence``, ``start``, ``end`` and ``effect`` (`Dataset.site_effects`; decoys have the effect 0).

    Returns
    -------
    Correlation

    Raises
    ------
    InputError, NonFiniteError
        If a column is missing, a site lies outside the map, or the map is not finite.

    Examples
    --------
    >>> import pandas as pd
    >>> sites = pd.DataFrame({"sequence": 0, "start": [0, 2, 4], "end": [2, 4, 6], "effect": [1.0, -1.0, 0.0]})
    >>> site_correlation([[1.0, 1.0, -1.0, -2.0, 0.0, 0.0]], sites).spearman
    1.0
    """
    maps = read_maps(per_nucleotide)
    check_finite(maps)
    needed = ("sequence", "start", "end", "effect")
    check_columns("the table of sites", sites.columns, needed, "pass what Dataset.site_effects returns")
    row, start, end = (sites[name].to_numpy(dtype=np.int64) for name in ("sequence", "start", "end"))
    outside = (row < 0) | (row >= len(maps)) | (start < 0) | (end > maps.shape[1]) | (start >= end)
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        raise InputError(
            f"sites, row {first}: sequence {row[first]}, {start[first]} to {end[first]} is no part of maps of shape "
            f"{maps.shape}"
        )
    found = np.zeros(len(row))
    for here, place, block in sites_by_block(maps, row):
        sums = np.concatenate([np.zeros((len(block), 1)), np.cumsum(block, axis=1)], axis=1)
        found[here] = sums[place, end[here]] - sums[place, start[here]]
    return correlate(found, sites["effect"].to_numpy(dtype=np.float64))


def correlate(found: Arrays, true: Arrays) -> Correlation:
    """Correlation between found and true effects, of variants for example.

    Parameters
    ----------
    found, true : array, shape (n,)
        What a model or a map says, and the truth.

    Returns
    -------
    Correlation

    Raises
    ------
    InputError, NonFiniteError
        If there is not one finite number of each for every variant.

    Examples
    --------
    >>> correlate([0.1, 0.2, 0.9], [1.0, 2.0, 3.0]).spearman
    1.0
    """
    from scipy.stats import rankdata

    pair = [as_array(values, name).reshape(1, -1) for values, name in ((found, "found"), (true, "true"))]
    if pair[0].shape != pair[1].shape or pair[0].dtype.kind not in "fiub" or pair[1].dtype.kind not in "fiub":
        raise InputError(
            f"found and true hold {pair[0].size} and {pair[1].size} values; one number each is needed"
        )
    for values, name in zip(pair, ("found", "true"), strict=True):
        check_finite(values, name=name)
    x, y = (values.astype(np.float64) for values in pair)
    if x.size == 0:
        return Correlation(np.nan, np.nan, np.nan, 0)
    ranks = (rankdata(values, axis=1) for values in (x, y))
    cosine = np.nan if not y.any() else _cosine(x, y)[0]
    return Correlation(float(_pearson(x, y)[0]), float(_pearson(*ranks)[0]), float(cosine), x.size)


def _against_signs(
    metric: Callable[..., np.ndarray], per_nucleotide: Arrays, signed_mask: Arrays, lengths: Arrays | None
) -> Scores:
    maps = read_maps(per_nucleotide)
    signs = _like(as_array(signed_mask, "signed_mask"), maps, "signed_mask")
    sizes = check_lengths(lengths, maps.shape)
    for rows, length in blocks(maps.shape, sizes):
        odd = np.argwhere(~np.isin(signs[rows, :length], (-1, 0, 1)))
        if len(odd):
            row, position = np.arange(len(maps))[rows][odd[0, 0]], odd[0, 1]
            raise InputError(
                f"signed_mask must hold only -1, 0 and 1; got {signs[row, position]} at sequence {row}, position "
                f"{position}"
            )
    return by_blocks(metric, maps, signs, lengths=sizes)


def _like(values: np.ndarray, maps: Maps, name: str) -> np.ndarray:
    if values.shape != maps.shape:
        raise InputError(f"{name} has shape {values.shape}, the relevance {maps.shape}; both must be (N, L)")
    return values


def _mass_accuracy(maps: Maps, signs: Signs) -> Scores:
    masks = signs != 0
    mass = np.abs(maps)
    total = mass.sum(axis=1)
    right = np.where(masks & (np.sign(maps) == signs), mass, 0.0).sum(axis=1)
    accuracy = np.divide(right, total, out=masks.mean(axis=1) / 2, where=total > 0)
    return np.where(masks.any(axis=1), np.minimum(accuracy, 1.0), np.nan)


def _average_precision(maps: Maps, signs: Signs) -> Scores:
    size = np.abs(maps)
    order = np.argsort(-size, axis=1, kind="stable")
    ranked, truth = (np.take_along_axis(values, order, axis=1) for values in (size, signs))
    right = (truth != 0) & ((ranked == 0) | (np.take_along_axis(np.sign(maps), order, axis=1) == truth))
    # The sign of a zero is right with probability 1/2, for each by itself; zeros rank last.
    share = np.where(ranked == 0, 0.5, 1.0)
    found = np.cumsum(right, axis=1)
    first, last = tie_bounds(ranked)
    before = np.take_along_axis(found, np.maximum(first - 1, 0), axis=1) * (first > 0)
    hits = np.take_along_axis(found, last, axis=1) - before
    tied, within = last - first + 1, np.arange(maps.shape[1]) - first
    expected = before + 1 + share * within * np.maximum(hits - 1, 0) / np.maximum(tied - 1, 1)
    precision = expected / (first + within + 1)
    total = (signs != 0).sum(axis=1)
    scores: Scores = np.full(len(maps), np.nan)
    np.divide((precision * share * hits / tied).sum(axis=1), total, out=scores, where=total > 0)
    return scores


def _pearson(x: Float[np.ndarray, "n k"], y: Float[np.ndarray, "n k"]) -> Scores:
    """Pearson's r row by row: NaN where y is constant, 0 where only x is."""
    flat_x, flat_y = (np.ptp(values, axis=1) == 0 for values in (x, y))
    r = _cosine(*(values - values.mean(axis=1, keepdims=True, dtype=np.float64) for values in (x, y)))
    return np.asarray(np.where(flat_y, np.nan, np.where(flat_x, 0.0, r)))


def _cosine(x: Float[np.ndarray, "n k"], y: Float[np.ndarray, "n k"]) -> Scores:
    """Cosine of the angle between x and y row by row: 0 where one of them is all 0."""
    # Scaled first: squares of tiny effects underflow.
    x, y = (values / np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-300) for values in (x, y))
    norm = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    cosine: Scores = np.divide((x * y).sum(axis=1), norm, out=np.zeros(len(x)), where=norm > 0)
    return np.asarray(np.clip(cosine, -1, 1))
