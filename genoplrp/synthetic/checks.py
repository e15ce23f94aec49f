"""What a data set is made of, checked at the door: labels, tasks, names, kinds; the split is checked in ``splits``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from genoplrp.errors import InputError
from genoplrp.synthetic.splits import SPLITS

if TYPE_CHECKING:
    from genoplrp.synthetic.dataset import Kind


def check_labels(labels: ArrayLike, n: int, *, missing: bool = False) -> Float[np.ndarray, "n tasks"]:
    """Return labels as (n, tasks) float32, or raise InputError; NaN only where labels may be missing."""
    try:
        array = np.asarray(labels, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"Labels are not numbers ({error}); give an array (N,) or (N, T).") from error
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or array.shape[0] != n or array.shape[1] == 0:
        raise InputError(
            f"Labels have the shape {np.shape(labels)} for {n} sequences; expected ({n},) or ({n}, T)."
        )
    odd = np.isinf(array) if missing else ~np.isfinite(array)
    if odd.any():
        row, task = np.argwhere(odd)[0]
        else_nan = " (NaN where one is missing)" if missing else ""
        raise InputError(
            f"The label of sequence {row}, task {task} is {array[row, task]}; labels must be finite{else_nan}."
        )
    return array


def check_tasks(tasks: Sequence[str] | None, n: int) -> list[str]:
    """Return the tasks' names, made up where there are none, or raise InputError."""
    if tasks is None:
        return ["label"] if n == 1 else [f"label{i}" for i in range(n)]
    names = [tasks] if isinstance(tasks, str) else list(tasks)
    if len(names) != n:
        raise InputError(f"{len(names)} task names for {n} columns of labels; give one each.")
    if len(set(names)) != n:
        raise InputError(f"Task names repeat: {', '.join(names)}; name each task differently.")
    for name in names:
        if not name or any(letter in name for letter in ",\t\n\r"):
            raise InputError(
                f"The task name {name!r} is empty or holds a comma, tab or line break; rename it."
            )
    return names


def check_names(names: Sequence[str] | None, n: int) -> list[str]:
    """Return the sequences' names, made up where there are none, or raise InputError."""
    if names is None:
        return [f"seq{i}" for i in range(n)]
    if len(names) != n:
        raise InputError(f"{len(names)} names for {n} sequences; give one each.")
    seen: set[str] = set()
    for index, name in enumerate(names):
        if not name or any(letter.isspace() for letter in name):
            raise InputError(f"Name {index} is {name!r}; a name is one word without white space.")
        if name in seen:
            raise InputError(
                f"The name {name!r} occurs twice (again at {index}); name each sequence differently."
            )
        seen.add(name)
    return list(names)


def check_kinds(kinds: Sequence[Kind] | None, labels: np.ndarray, tasks: list[str]) -> list[Kind]:
    """Return the kind of each task, read off the labels where it is not said, or raise InputError.

    Labels that are missing (NaN) fit any kind.
    """
    present = [column[~np.isnan(column)] for column in labels.T]
    for task, column in zip(tasks, present, strict=True):
        if not len(column):
            raise InputError(f"Task {task!r} has no label at all; leave it out.")
    if kinds is None:
        return ["binary" if np.isin(column, (0, 1)).all() else "real" for column in present]
    if len(kinds) != len(tasks):
        raise InputError(f"{len(kinds)} kinds for {len(tasks)} tasks; give one each.")
    for kind, task, column in zip(kinds, tasks, present, strict=True):
        if kind not in ("binary", "count", "real"):
            raise InputError(f"The kind of task {task!r} is {kind!r}; expected binary, count or real.")
        if kind == "binary" and not np.isin(column, (0, 1)).all():
            raise InputError(
                f"Task {task!r} is binary but holds labels other than 0 and 1: correct them, or name another kind."
            )
        if kind == "count" and ((column < 0) | (column != np.round(column))).any():
            raise InputError(f"Task {task!r} counts, but holds labels that are not whole numbers >= 0.")
    return list(kinds)


def check_rows(which: str | Sequence[int] | np.ndarray | slice, split: np.ndarray) -> Int[np.ndarray, " m"]:
    """Return the numbers of the sequences that are asked for, each at most once; ``split`` names each one's part."""
    if isinstance(which, str):
        if which not in SPLITS:
            raise InputError(f"There is no part {which!r}; parts are {', '.join(SPLITS)}.")
        return np.flatnonzero(split == which)
    if isinstance(which, slice):
        return np.arange(len(split))[which]
    chosen = np.asarray(which)
    if chosen.dtype == bool:
        if chosen.shape != (len(split),):
            raise InputError(f"The boolean mask has the shape {chosen.shape}; expected ({len(split)},).")
        return np.flatnonzero(chosen)
    if chosen.size == 0:
        return np.zeros(0, dtype=np.int64)
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
        raise InputError("Give a part's name, a list of indices, a boolean mask or a slice.")
    outside = (chosen < -len(split)) | (chosen >= len(split))
    if outside.any():
        raise InputError(
            f"Index {int(chosen[outside][0])} is out of range; there are {len(split)} sequences, 0 to {len(split) - 1}."
        )
    rows = np.where(chosen < 0, chosen + len(split), chosen).astype(np.int64)
    if len(np.unique(rows)) != len(rows):
        raise InputError("An index is given twice; each sequence can be taken once.")
    return rows
