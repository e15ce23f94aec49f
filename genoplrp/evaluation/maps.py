"""The door of the metrics: per-nucleotide maps and masks become checked numpy arrays; nothing is scored."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

from genoplrp.errors import InputError, NonFiniteError

if TYPE_CHECKING:
    from torch import Tensor

Arrays: TypeAlias = "ArrayLike | Tensor"
"""What a user may pass as an array."""
Maps = Float[np.ndarray, "n length"]
Masks = Bool[np.ndarray, "n length"]
Scores = Float[np.ndarray, " n"]

_ROWS_AT_A_TIME = 256


def check_maps(per_nucleotide: Arrays) -> Maps:
    """Turn per-nucleotide relevance into a float64 array, or say what is wrong with it.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        One number per position and sequence.

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
    values = read_maps(per_nucleotide)
    check_finite(values)
    return values.astype(np.float64, copy=False)


def read_maps(per_nucleotide: Arrays, *, name: str = "per_nucleotide") -> np.ndarray:
    """Check the shape and the type of per-nucleotide relevance, without a copy of it; see `check_maps`.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        One number per position and sequence.
    name : str
        What to call the array in messages.

    Returns
    -------
    numpy.ndarray, shape (N, L)
        Of the type that it has.

    Raises
    ------
    InputError
        If it is not a numeric array of shape (N, L) with at least one position.

    Examples
    --------
    >>> read_maps([[0, 1, 2]]).dtype.kind
    'i'
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
    return values


def check_finite(
    values: np.ndarray, lengths: Int[np.ndarray, " n"] | None = None, *, name: str = "per_nucleotide"
) -> None:
    """Raise an error where a map holds NaN or infinity, padding aside.

    Parameters
    ----------
    values : numpy.ndarray, shape (N, L)
        The maps.
    lengths : numpy.ndarray, shape (N,), optional
        Real positions of each sequence; by default all L.
    name : str
        What to call the array in messages.

    Raises
    ------
    NonFiniteError
        The message names the first such entry.

    Examples
    --------
    >>> check_finite(np.array([[1.0, np.nan]]), np.array([1]))
    """
    if values.dtype.kind != "f":
        return
    found, first = 0, None
    for start in range(0, len(values), _ROWS_AT_A_TIME):
        bad = ~np.isfinite(values[start : start + _ROWS_AT_A_TIME])
        if not bad.any():
            continue
        if lengths is not None:
            bad &= np.arange(values.shape[1]) < lengths[start : start + _ROWS_AT_A_TIME, None]
        where = np.argwhere(bad)
        found += len(where)
        if first is None and len(where):
            first = (start + where[0, 0], where[0, 1])
    if first is not None:
        raise NonFiniteError(
            f"{name} holds {found} entries that are NaN or infinite, "
            f"the first ({values[first]}) at sequence {first[0]}, position {first[1]}"
        )


def check_masks(
    mask: Arrays, shape: tuple[int, ...], *, lengths: Int[np.ndarray, " n"] | None = None
) -> Masks:
    """Turn a ground-truth mask into a boolean array of the given shape, or say what is wrong with it.

    Parameters
    ----------
    mask : array or tensor, shape (N, L)
        Truth per position: boolean, or numbers that are all 0 or 1.
    shape : tuple of int
        The shape of the relevance that the mask belongs to.
    lengths : numpy.ndarray, shape (N,), optional
        Real positions of each sequence; by default all L.

    Returns
    -------
    numpy.ndarray, shape (N, L), bool

    Raises
    ------
    InputError
        If the shape differs from `shape`, an entry is neither 0 nor 1, or the mask marks padding.

    Examples
    --------
    >>> check_masks([[0, 1]], (1, 2))
    array([[False,  True]])
    """
    values = as_array(mask, "mask")
    if values.shape != tuple(shape):
        raise InputError(
            f"mask has shape {values.shape}, the relevance {tuple(shape)}; both must be (N, L), row for row"
        )
    if values.dtype == np.bool_:
        return _without_padding(values, lengths)
    if values.dtype.kind not in "fiu":
        raise InputError(f"mask must be boolean; got dtype {values.dtype}")
    odd = (values != 0) & (values != 1)
    if odd.any():
        row, position = np.argwhere(odd)[0]
        raise InputError(
            f"mask must hold only 0 and 1; got {values[row, position]} at sequence {row}, "
            f"position {position} (for truth with weights use the information-weighted metrics)"
        )
    return _without_padding(values.astype(np.bool_), lengths)


def as_array(values: Arrays, name: str) -> np.ndarray:
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
        Same shape and type; tensors of bfloat16, which numpy lacks, become float32.

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
        values = values.float() if str(values.dtype) == "torch.bfloat16" else values
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise InputError(f"{name} cannot be read as an array: {error}") from error
    if array.dtype == object:
        raise InputError(
            f"{name} cannot be read as one rectangular array of numbers; got {type(values).__name__}"
        )
    return array


def _without_padding(masks: Masks, lengths: Int[np.ndarray, " n"] | None) -> Masks:
    """Refuse a mask that marks positions behind the end of a sequence: one of the two is of something else."""
    if lengths is None:
        return masks
    for start in range(0, len(masks), _ROWS_AT_A_TIME):
        some = masks[start : start + _ROWS_AT_A_TIME]
        beyond = some & (np.arange(masks.shape[1]) >= lengths[start : start + _ROWS_AT_A_TIME, None])
        if beyond.any():
            row, position = np.argwhere(beyond)[0]
            raise InputError(
                f"mask marks position {position} of sequence {start + row}, which has {lengths[start + row]} "
                "positions; pass the lengths that belong to it"
            )
    return masks
