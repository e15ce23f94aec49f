"""Arrays and tensors at the door of the plotting functions, turned into checked float64; nothing is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from genoplrp.errors import InputError


def as_array(values: object, name: str) -> np.ndarray:
    """A numpy array of finite float64 from an array, a tensor on any device, or nested lists.

    Raises
    ------
    InputError
        If it is not numeric, or holds NaN or infinity.
    """
    found: Any = values
    if hasattr(found, "detach"):  # a tensor; torch itself is not needed here
        found = found.detach().cpu()
        found = found.float().numpy() if found.is_floating_point() else found.numpy()
    try:
        array = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name} must be an array of numbers; got {type(values).__name__} ({error})"
        ) from error
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        raise InputError(
            f"{name} holds {len(bad)} entries that are NaN or infinite, the first at {bad[0].tolist()};"
            " replace them before drawing"
        )
    return array


def as_logo(values: object, name: str = "relevance") -> Float[np.ndarray, "4 length"]:
    """A (4, L) float64 array, channel order A C G T.

    Raises
    ------
    InputError
        If the shape is another; an (L, 4) array and a batch are recognised, and the message names the remedy.
    """
    array = as_array(values, name)
    if array.ndim == 2 and array.shape[0] == 4 and array.shape[1] > 0:
        return array
    if array.ndim == 2 and array.shape[1] == 4:
        remedy = f"the axes are the wrong way round; pass {name}.T"
    elif array.ndim == 3 and 4 in array.shape[1:]:
        remedy = f"this is a batch of {array.shape[0]}; choose one sequence, for example {name}[0]"
    elif array.ndim == 1:
        remedy = "this is one number per position; multiply it by the one-hot sequence to say which letters to draw"
    else:
        remedy = "rows are A, C, G, T, columns are positions"
    raise InputError(f"{name} must have shape (4, L); got {array.shape}: {remedy}")


def as_profile(values: object, name: str = "relevance") -> Float[np.ndarray, "n length"]:
    """An (N, L) float64 array from per-nucleotide scores (N, L), or from relevance (N, 4, L) summed over the bases.

    Raises
    ------
    InputError
        If the shape is another, or there is no sequence in it.
    """
    array = as_array(values, name)
    if array.ndim == 3 and array.shape[1] == 4:
        array = array.sum(axis=1)
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(
            f"{name} must have shape (N, L) or (N, 4, L) with N and L at least 1; got {array.shape}"
        )
    return array
