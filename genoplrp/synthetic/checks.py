"""What a data set is made of, checked at the door: labels, tasks, names, kinds; the split is checked in ``splits``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from genoplrp.errors import InputError

if TYPE_CHECKING:
    from genoplrp.synthetic.dataset import Kind


def check_labels(labels: Any, n: int) -> Float[np.ndarray, "n tasks"]:
    """Return labels as (n, tasks) float32, or raise InputError."""
    try:
        array = np.asarray(labels, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"Labels are not numbers ({error}); give an array (N,) or (N, T).") from error
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or array.shape[0] != n or array.shape[1] == 0:
        raise InputError(
            f"Labels have the shape {np.shape(labels)} for {n} sequences; expected ({n},) or ({n}, T)."
        )
    if not np.isfinite(array).all():
        row, task = np.argwhere(~np.isfinite(array))[0]
        raise InputError(
            f"The label of sequence {row}, task {task} is {array[row, task]}; labels must be finite."
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
                f"The name {name!r} stands twice (again at {index}); name each sequence differently."
            )
        seen.add(name)
    return list(names)


def check_kinds(kinds: Sequence[Kind] | None, labels: np.ndarray, tasks: list[str]) -> list[Kind]:
    """Return the kind of each task, read off the labels where it is not said, or raise InputError."""
    if kinds is None:
        return ["binary" if np.isin(column, (0, 1)).all() else "real" for column in labels.T]
    if len(kinds) != len(tasks):
        raise InputError(f"{len(kinds)} kinds for {len(tasks)} tasks; give one each.")
    for kind, task, column in zip(kinds, tasks, labels.T, strict=True):
        if kind not in ("binary", "count", "real"):
            raise InputError(f"The kind of task {task!r} is {kind!r}; expected binary, count or real.")
        if kind == "binary" and not np.isin(column, (0, 1)).all():
            raise InputError(f"Task {task!r} is binary but holds labels other than 0 and 1.")
        if kind == "count" and ((column < 0) | (column != np.round(column))).any():
            raise InputError(f"Task {task!r} counts, but holds labels that are not whole numbers >= 0.")
    return list(kinds)
