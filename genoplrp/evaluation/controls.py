"""Controls for any claim of sparsity: a plain map post-processed to the same sparsity; not explanations.

Pruning inside the network is worth its name only where it does better than doing something as simple to the
finished map. Each control is matched to a pruned map sequence by sequence.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from genoplrp.errors import InputError
from genoplrp.evaluation.blocks import maps_by_blocks
from genoplrp.evaluation.maps import Arrays, Maps, Scores, as_array, read_maps
from genoplrp.evaluation.sparsity import gini

_LARGEST_POWER = 64.0


def threshold_at_gini(per_nucleotide: Arrays, target_gini: Arrays, *, lengths: Arrays | None = None) -> Maps:
    """Zero the smallest positive entries of a map until its positive part is as sparse as asked for.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        The plain map; negative entries stay as they are.
    target_gini : array, shape (N,)
        Gini index of the positive part to reach, usually ``gini(np.maximum(pruned, 0))``.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

    Returns
    -------
    numpy.ndarray, shape (N, L)
        The map with the number of zeroed entries that comes closest to the target. Entries that are equal go
        together. A map that is sparser than the target already is returned unchanged; the largest entry
        always stays.

    Raises
    ------
    InputError, NonFiniteError
        If the arrays do not fit together or are not finite.

    Examples
    --------
    >>> threshold_at_gini([[1.0, 2.0, 8.0, -1.0]], [0.75])
    array([[ 0.,  0.,  8., -1.]])
    """
    maps = read_maps(per_nucleotide)
    return maps_by_blocks(_threshold, maps, _check_targets(target_gini, len(maps)), lengths=lengths)


def sharpen_at_gini(per_nucleotide: Arrays, target_gini: Arrays, *, lengths: Arrays | None = None) -> Maps:
    """Raise a map to the power that makes its positive part as sparse as asked for; no rank changes.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        The plain map. Negative entries are raised to the same power, in absolute value, and stay negative.
    target_gini : array, shape (N,)
        Gini index of the positive part to reach.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

    Returns
    -------
    numpy.ndarray, shape (N, L)
        sign(r) |r / max|r||^t with t between 1/64 and 64, so the largest absolute entry is 1; all-zero maps
        stay.

    Raises
    ------
    InputError, NonFiniteError
        If the arrays do not fit together or are not finite.

    Examples
    --------
    >>> r = sharpen_at_gini([[1.0, 2.0, 4.0, 0.0]], [0.7])
    >>> gini(r).round(3)
    array([0.7])
    """
    maps = read_maps(per_nucleotide)
    return maps_by_blocks(_sharpen, maps, _check_targets(target_gini, len(maps)), lengths=lengths)


def weight_by_contiguity(per_nucleotide: Arrays, *, width: int = 5, lengths: Arrays | None = None) -> Maps:
    """Weight a map's positive part by the root of its own running mean: motifs are runs, noise is not.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        The plain map; negative entries stay as they are.
    width : int
        Width of the running mean in bases, odd; at the ends the window is cut short.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

    Returns
    -------
    numpy.ndarray, shape (N, L)
        max(r, 0) * sqrt(mean of max(r, 0) over `width` bases), and the negative entries.

    Raises
    ------
    InputError, NonFiniteError
        If the map is not a finite numeric array of shape (N, L), or the width is even or not positive.

    Examples
    --------
    >>> weight_by_contiguity([[0.0, 0.0, 5.0, 0.0, 0.0]])
    array([[0., 0., 5., 0., 0.]])
    """
    if width < 1 or width % 2 == 0:
        raise InputError(f"width must be odd and positive; got {width}")
    return maps_by_blocks(lambda maps: _weight(maps, width), per_nucleotide, lengths=lengths)


def running_mean(values: Float[np.ndarray, "n length"], width: int) -> Float[np.ndarray, "n length"]:
    """Mean over a centred window, cut short at the ends.

    Parameters
    ----------
    values : numpy.ndarray, shape (N, L)
        Anything finite.
    width : int
        Odd number of bases.

    Returns
    -------
    numpy.ndarray, shape (N, L)

    Examples
    --------
    >>> running_mean(np.array([[3.0, 0.0, 0.0, 3.0]]), 3)
    array([[1.5, 1. , 1. , 1.5]])
    """
    half, length = width // 2, values.shape[1]
    padded = np.pad(values, ((0, 0), (half, half)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, width, axis=1)
    index = np.arange(length)
    count = np.minimum(index, half) + np.minimum(length - 1 - index, half) + 1
    mean: Maps = windows.sum(axis=-1) / count
    return mean


def _threshold(maps: Maps, wanted: Scores) -> Maps:
    n, length = maps.shape
    ranked = np.sort(np.maximum(maps, 0.0), axis=1)
    # Gini of the map whose k smallest entries are zero, for every k at once, from sums over the entries that
    # stay.
    rank_weights = 2 * np.arange(1, length + 1) - length - 1
    kept_mass = np.cumsum(ranked[:, ::-1], axis=1)[:, ::-1]
    kept_weighted = np.cumsum((ranked * rank_weights)[:, ::-1], axis=1)[:, ::-1]
    reached = np.divide(
        kept_weighted, length * kept_mass, out=np.full((n, length), -np.inf), where=kept_mass > 0
    )
    # Only cuts between different values: equal entries go together.
    reached[:, 1:][ranked[:, 1:] == ranked[:, :-1]] = -np.inf
    cut = np.argmin(np.abs(reached - wanted[:, None]), axis=1)
    smallest_kept = np.take_along_axis(ranked, cut[:, None], axis=1)
    thresholded: Maps = np.where((maps > 0) & (maps < smallest_kept), 0.0, maps)
    return thresholded


def _sharpen(maps: Maps, wanted: Scores) -> Maps:
    peak = np.abs(maps).max(axis=1, keepdims=True)
    scaled = np.divide(np.abs(maps), peak, out=np.zeros_like(maps), where=peak > 0)
    positive = np.where(maps > 0, scaled, 0.0)
    top = positive.max(axis=1, keepdims=True)
    positive = np.divide(positive, top, out=np.zeros_like(positive), where=top > 0)
    low = np.full(len(maps), -np.log(_LARGEST_POWER))
    high = -low
    for _ in range(50):
        middle = (low + high) / 2
        too_flat = gini(_power(positive, np.exp(middle))) < wanted
        low, high = np.where(too_flat, middle, low), np.where(too_flat, high, middle)
    sharpened: Maps = np.sign(maps) * _power(scaled, np.exp((low + high) / 2))
    return sharpened


def _weight(maps: Maps, width: int) -> Maps:
    positive = np.maximum(maps, 0.0)
    weighted: Maps = np.where(maps > 0, positive * np.sqrt(running_mean(positive, width)), maps)
    return weighted


def _power(scaled: Maps, power: Scores) -> Maps:
    raised: Maps = np.power(scaled, power[:, None], out=np.zeros_like(scaled), where=scaled > 0)
    return raised


def _check_targets(target_gini: Arrays, n: int) -> Scores:
    targets: Scores = as_array(target_gini, "target_gini").astype(np.float64)
    if targets.shape != (n,):
        raise InputError(f"target_gini must have shape ({n},), one per sequence; got {targets.shape}")
    if not np.isfinite(targets).all():
        raise InputError("target_gini holds NaN or infinity; score the pruned map first")
    return targets
