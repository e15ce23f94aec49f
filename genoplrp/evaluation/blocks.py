"""Metrics over many sequences, a block of one length at a time, without their padding; nothing is scored here.

A metric is written for an array (n, l) of sequences of one length. What is padded to the longest sequence is handed to
it in blocks of equal length, cut to that length: so padding is not a position, and a sequence scores as it does alone.
Blocks are small, so that memory does not grow with the number of sequences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Int

from genoplrp.errors import InputError
from genoplrp.evaluation.maps import Arrays, Maps, Scores, as_array, check_finite, read_maps

#: Half a megabyte of float64: what a metric makes of it stays in a processor's cache.
POSITIONS_AT_A_TIME = 1 << 16

Rows = slice | Int[np.ndarray, " k"]


def blocks(
    shape: tuple[int, ...], lengths: Int[np.ndarray, " n"] | None = None
) -> Iterator[tuple[Rows, int]]:
    """Cut N sequences into blocks of one length each.

    Parameters
    ----------
    shape : tuple of int
        (N, L) of their arrays.
    lengths : numpy.ndarray, shape (N,), optional
        Real positions of each sequence, from the left; by default all L.

    Yields
    ------
    tuple of rows and int
        Rows of a block (a slice, or increasing indices) and the length that they have. Every row comes once.

    Examples
    --------
    >>> [(rows.tolist(), length) for rows, length in blocks((3, 9), np.array([9, 4, 9]))]
    [([1], 4), ([0, 2], 9)]
    """
    n, length = shape
    if lengths is None or (lengths == length).all():
        step = max(1, POSITIONS_AT_A_TIME // max(1, length))
        for first in range(0, n, step):
            yield slice(first, min(first + step, n)), length
        return
    order = np.argsort(lengths, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        size = int(lengths[group[0]])
        step = max(1, POSITIONS_AT_A_TIME // size)
        for first in range(0, len(group), step):
            yield group[first : first + step], size


def by_blocks(
    metric: Callable[..., Scores], per_nucleotide: Arrays, *truth: np.ndarray, lengths: Arrays | None = None
) -> Scores:
    """Apply a metric to maps block by block.

    Parameters
    ----------
    metric : callable
        From a float64 array (n, l), and as many of `truth`, to n scores.
    per_nucleotide : array or tensor, shape (N, L)
        The maps.
    *truth : numpy.ndarray, shape (N, L)
        What the maps are compared with; checked already.
    lengths : array, shape (N,), optional
        Real positions of each sequence; by default all L.

    Returns
    -------
    numpy.ndarray, shape (N,)

    Raises
    ------
    InputError, NonFiniteError
        If the maps or the lengths are no such arrays, or a map is not finite.

    Examples
    --------
    >>> by_blocks(lambda maps: maps.mean(axis=1), [[1.0, 3.0], [1.0, 0.0]], lengths=[2, 1]).tolist()
    [2.0, 1.0]
    """
    maps = read_maps(per_nucleotide)
    sizes = check_lengths(lengths, maps.shape)
    check_finite(maps, sizes)
    scores = np.full(len(maps), np.nan)
    for rows, length in blocks(maps.shape, sizes):
        block = maps[rows, :length].astype(np.float64, copy=False)
        scores[rows] = metric(block, *(values[rows, :length] for values in truth))
    return scores


def maps_by_blocks(
    change: Callable[..., Maps], per_nucleotide: Arrays, *given: np.ndarray, lengths: Arrays | None = None
) -> Maps:
    """Change maps block by block; what stands in the padding stays.

    Parameters
    ----------
    change : callable
        From a float64 array (n, l), and n entries of each of `given`, to an array (n, l).
    per_nucleotide : array or tensor, shape (N, L)
        The maps.
    *given : numpy.ndarray, shape (N,)
        What else the change takes of each sequence; checked already.
    lengths : array, shape (N,), optional
        Real positions of each sequence; by default all L.

    Returns
    -------
    numpy.ndarray, shape (N, L), float64

    Raises
    ------
    InputError, NonFiniteError
        If the maps or the lengths are no such arrays, or a map is not finite.

    Examples
    --------
    >>> maps_by_blocks(lambda maps: maps[:, ::-1], [[1.0, 2.0, 0.0]], lengths=[2]).tolist()
    [[2.0, 1.0, 0.0]]
    """
    maps = read_maps(per_nucleotide)
    sizes = check_lengths(lengths, maps.shape)
    check_finite(maps, sizes)
    changed: Maps = maps.astype(np.float64)
    for rows, length in blocks(maps.shape, sizes):
        changed[rows, :length] = change(changed[rows, :length], *(values[rows] for values in given))
    return changed


def check_lengths(lengths: Arrays | None, shape: tuple[int, ...]) -> Int[np.ndarray, " n"] | None:
    """Check the lengths of sequences whose arrays are padded; None stays None.

    Parameters
    ----------
    lengths : array, shape (N,), or None
        Real positions of each sequence, from the left.
    shape : tuple of int
        (N, L) of the arrays.

    Returns
    -------
    numpy.ndarray, shape (N,), int64, or None

    Raises
    ------
    InputError
        If there is not one whole number from 1 to L for each sequence.

    Examples
    --------
    >>> check_lengths([3, 2], (2, 3)).tolist()
    [3, 2]
    """
    if lengths is None:
        return None
    sizes = as_array(lengths, "lengths")
    if sizes.shape != shape[:1] or (sizes.size and sizes.dtype.kind not in "iu"):
        raise InputError(
            f"lengths must be {shape[0]} whole numbers, one per sequence; got shape {sizes.shape}, "
            f"dtype {sizes.dtype}"
        )
    wrong = np.flatnonzero((sizes < 1) | (sizes > shape[1]))
    if len(wrong):
        raise InputError(
            f"lengths must lie between 1 and the {shape[1]} positions of the arrays; got {sizes[wrong[0]]} for "
            f"sequence {wrong[0]}"
        )
    return sizes.astype(np.int64, copy=False)


def real_positions(lengths: Int[np.ndarray, " n"] | None, shape: tuple[int, int]) -> np.ndarray:
    """Say of each position whether it is one of the sequence, or padding.

    Parameters
    ----------
    lengths : numpy.ndarray, shape (N,), or None
        Real positions of each sequence; None: all.
    shape : tuple of int
        (N, L).

    Returns
    -------
    numpy.ndarray, shape (N, L), bool

    Examples
    --------
    >>> real_positions(np.array([1, 2]), (2, 2)).tolist()
    [[True, False], [True, True]]
    """
    if lengths is None:
        return np.ones(shape, dtype=bool)
    real: np.ndarray = np.arange(shape[1]) < lengths[:, None]
    return real


def pad(values: np.ndarray, length: int) -> np.ndarray:
    """Add positions of zeros at the end, up to a length: a part of a data set may lack its longest sequence.

    Parameters
    ----------
    values : numpy.ndarray, shape (..., l)
        Arrays of sequences.
    length : int
        Positions to have, at least l.

    Returns
    -------
    numpy.ndarray, shape (..., length)

    Examples
    --------
    >>> pad(np.ones((1, 2)), 3).tolist()
    [[1.0, 1.0, 0.0]]
    """
    if values.shape[-1] == length:
        return values
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, length - values.shape[-1])])
