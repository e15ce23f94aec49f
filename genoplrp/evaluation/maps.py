"""The door of the metrics: per-nucleotide maps and masks become checked numpy arrays; nothing is scored."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from genoplrp.errors import InputError, NonFiniteError

Maps = Float[np.ndarray, "n length"]
Masks = Bool[np.ndarray, "n length"]
Scores = Float[np.ndarray, " n"]


def check_maps(per_nucleotide: Any, *, name: str = "per_nucleotide") -> Maps:
    """Turn per-nucleotide relevance into a float64 array, or say what is wrong with it.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        One number per position and sequence.
    name : str
        What to call the array in messages.

    Returns
    -------
    numpy.ndarray, shape (N, L), float64
        A copy or a view; the metrics never write into it.

    Raises
    ------
    InputError
        If it is not a numeric array of shape (N, L) with at least one position.
    NonFiniteError
        If it holds NaN or infinity; the message names the first such entry.

    Examples
    --------
    >>> check_maps([[0, 1, 2]]).shape
    (1, 3)
    """
    values = as_array(per_nucleotide, name)
    if values.ndim == 3 and values.shape[1] == 4:
        raise InputError(
            f"{name} has shape {values.shape}, which looks like relevance per base (N, 4, L); "
            "pass the sum over the four bases, shape (N, L) (Explanation.per_nucleotide, or relevance.sum(1))"
        )
    if values.ndim != 2:
        raise InputError(f"{name} must have shape (N, L), one row per sequence; got shape {values.shape}")
    if values.shape[1] == 0:
        raise InputError(f"{name} has shape {values.shape}: no positions to score")
    if values.dtype.kind not in "fiub":
        raise InputError(f"{name} must be numeric; got dtype {values.dtype}")
    values = values.astype(np.float64, copy=False)
    finite = np.isfinite(values)
    if not finite.all():
        row, position = np.argwhere(~finite)[0]
        raise NonFiniteError(
            f"{name} holds {np.count_nonzero(~finite)} entries that are NaN or infinite, "
            f"the first ({values[row, position]}) at sequence {row}, position {position}"
        )
    return values


def check_masks(mask: Any, shape: tuple[int, int], *, name: str = "mask") -> Masks:
    """Turn a ground-truth mask into a boolean array of the given shape, or say what is wrong with it.

    Parameters
    ----------
    mask : array or tensor, shape (N, L)
        Truth per position: boolean, or numbers that are all 0 or 1.
    shape : tuple of int
        The shape of the relevance that the mask belongs to.
    name : str
        What to call the array in messages.

    Returns
    -------
    numpy.ndarray, shape (N, L), bool

    Raises
    ------
    InputError
        If the shape differs from `shape`, or an entry is neither 0 nor 1.

    Examples
    --------
    >>> check_masks([[0, 1]], (1, 2))
    array([[False,  True]])
    """
    values = as_array(mask, name)
    if values.shape != tuple(shape):
        raise InputError(
            f"{name} has shape {values.shape}, the relevance {tuple(shape)}; both must be (N, L), row for row"
        )
    if values.dtype == np.bool_:
        return values
    if values.dtype.kind not in "fiu":
        raise InputError(f"{name} must be boolean; got dtype {values.dtype}")
    odd = (values != 0) & (values != 1)
    if odd.any():
        row, position = np.argwhere(odd)[0]
        raise InputError(
            f"{name} must hold only 0 and 1; got {values[row, position]} at sequence {row}, "
            f"position {position} (for truth with weights use the information-weighted metrics)"
        )
    return values.astype(np.bool_)


def as_array(values: Any, name: str) -> np.ndarray:
    """Make a numpy array of an array, a nested list or a tensor on any device (torch is never imported).

    Parameters
    ----------
    values : array-like or tensor
        What the caller handed in.
    name : str
        What to call it in messages.

    Returns
    -------
    numpy.ndarray
        Same shape; floating-point tensors become float64 (numpy has no bfloat16).

    Raises
    ------
    InputError
        If it cannot be read as one rectangular array.

    Examples
    --------
    >>> as_array([1.0, 2.0], "x").dtype
    dtype('float64')
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.double() if values.is_floating_point() else values
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise InputError(f"{name} cannot be read as an array: {error}") from error
    if array.dtype == object:
        raise InputError(
            f"{name} cannot be read as one rectangular array of numbers; got {type(values).__name__}"
        )
    return array
