"""Is there anything to learn and to measure: what an hour of training could not show is refused or said before it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from genoplrp.errors import InputError
from genoplrp.training.data import SPLITS, TrainingData, group_of_equals
from genoplrp.training.kinds import exclusive
from genoplrp.training.metrics import HEADLINES
from genoplrp.wording import counted

_NAMES = {"train": "training", "valid": "validation", "test": "test"}
#: Below so many sequences a bootstrap says nothing.
FEWEST_FOR_INTERVAL = 10


def check_learnable(read: TrainingData, kinds: Sequence[str], monitor: str, bootstrap: int) -> list[str]:
    """Refuse data that nothing can be learned from or monitored on; return what a user should know of the others.

    Parameters
    ----------
    read
        Sequences, labels and split.
    kinds
        Kind of each task.
    monitor
        "loss" or "score".
    bootstrap
        Number of resamples asked for.

    Returns
    -------
    list of str
        One line each: tasks that cannot be learned or measured, sequences that stand in two parts, and how tasks of
        different kinds are combined.

    Raises
    ------
    InputError
        If each task's label is the same in the whole training part, the validation part has no label, or the
        monitored score is not defined there.
    """
    labels = {part: read.part(part)[1] for part in SPLITS}
    constant = {part: _constant(read, labels[part], kinds) for part in SPLITS}
    missing = [
        task for task, column in zip(read.tasks, labels["valid"].T, strict=True) if _is_missing(column)
    ]
    if len(constant["train"]) == len(read.tasks):
        raise InputError(
            f"Nothing can be learned: {_listed(constant['train'])} in the training part. Give sequences of the other "
            "class, too (or other values)."
        )
    if len(missing) == len(read.tasks):
        raise InputError(
            "The validation part has no label, so no epoch can be told from another; label it, or choose another split."
        )
    undefined = [*missing, *constant["valid"]]
    if monitor == "score" and len(undefined) == len(read.tasks):
        raise InputError(
            f"monitor='score' cannot change: {_listed(constant['valid'])} in the validation part, where the score is "
            "not defined. Use monitor='loss', or choose another split."
        )
    notes = (
        [f"{_listed(constant['train'])} in the training part: not to be learned"] if constant["train"] else []
    )
    for part in ("valid", "test"):
        notes += _of_part(part, labels[part], read.tasks, constant[part], bootstrap)
    if "multiclass" not in kinds and exclusive(read.labels):
        notes.append(
            f"Each sequence has exactly one of {', '.join(read.tasks)}; they are trained as {len(kinds)} binary tasks, "
            "as declared (task='multiclass' makes them the classes of one)"
        )
    return notes + _combination(read.tasks, kinds, monitor, undefined) + _repeated(read)


def _of_part(
    part: str, labels: np.ndarray, tasks: Sequence[str], constant: dict[str, str], bootstrap: int
) -> list[str]:
    """Say what the scores of the validation or the test part cannot tell."""
    notes = []
    if constant:
        notes.append(f"{_listed(constant)} in the {_NAMES[part]} part: no score can be given there")
    without = [task for task, column in zip(tasks, labels.T, strict=True) if _is_missing(column)]
    if len(labels) and without:
        notes.append(f"The {_NAMES[part]} part has no label of {', '.join(without)}")
    if bootstrap and 0 < len(labels) < FEWEST_FOR_INTERVAL:
        notes.append(
            f"The {_NAMES[part]} part has {counted(len(labels), 'sequence')}, too few for a bootstrap interval"
        )
    return notes


def monitored(tasks: Sequence[str], kinds: Sequence[str], monitor: str) -> str:
    """Say what early stopping looks at, and how the tasks are combined.

    Examples
    --------
    >>> monitored(["bound", "level"], ["binary", "regression"], "score")
    'mean over the tasks of AUROC (bound) and Pearson r (level)'
    """
    if monitor == "loss":
        losses = {
            "binary": "cross-entropy",
            "multiclass": "cross-entropy",
            "regression": "squared error in standard deviations",
            "count": "Poisson loss",
            "profile": "Poisson loss of the sum and multinomial loss of the shape",
        }
        return "mean over the labels of " + _by_name([losses[kind] for kind in kinds], tasks)
    return "mean over the tasks of " + _by_name([_SHOWN[HEADLINES[kind]] for kind in kinds], tasks)


_SHOWN = {"auroc": "AUROC", "pearson": "Pearson r"}


def _combination(
    tasks: Sequence[str], kinds: Sequence[str], monitor: str, undefined: Sequence[str]
) -> list[str]:
    if len(set(kinds)) < 2:
        return []
    left_out = [task for task in undefined if monitor == "score"]
    without = f"; {', '.join(left_out)} left out" if left_out else ""
    return [f"Tasks of different kinds: monitored is the {monitored(tasks, kinds, monitor)}{without}"]


def _repeated(read: TrainingData) -> list[str]:
    """Sequences (on either strand) that stand in training and test, or have two labels."""
    group = group_of_equals(read.codes)
    if len(group) == 0 or group.max() + 1 == len(group):
        return []
    notes = []
    in_train = np.zeros(group.max() + 1, dtype=bool)
    in_train[group[read.split == "train"]] = True
    for part in ("valid", "test"):
        shared = int(in_train[group[read.split == part]].sum())
        if shared:
            of = int((read.split == part).sum())
            notes.append(
                f"{shared} of {of} sequences of the {_NAMES[part]} part are in the training part, too"
            )
    first = np.full(group.max() + 1, -1, dtype=np.int64)
    first[group[::-1]] = np.arange(len(group))[::-1]
    same = np.nan_to_num(read.labels, nan=-1) == np.nan_to_num(read.labels[first[group]], nan=-1)
    contradicting = int((~same.all(axis=1)).sum())
    if contradicting:
        repeat = "sequence repeats" if contradicting == 1 else "sequences repeat"
        notes.append(f"{contradicting} {repeat} an earlier one (on either strand) with another label")
    return notes


def _constant(
    read: TrainingData, labels: Float[np.ndarray, "n n_tasks"], kinds: Sequence[str]
) -> dict[str, str]:
    """Tasks whose label is the same in a part, and how it is said."""
    found = {}
    for task, column, kind in zip(read.tasks, labels.T, kinds, strict=True):
        known = column[~np.isnan(column)]
        if len(known) and (known == known[0]).all():
            what = "class" if kind == "multiclass" else "task"
            found[task] = f"{what} {task!r} is {known[0]:g} in all {len(known)} sequences"
    return found


def _is_missing(column: Float[np.ndarray, " n"]) -> bool:
    return bool(np.isnan(column).all())


def _listed(tasks: dict[str, str]) -> str:
    said = list(tasks.values())
    more = f" (and {len(said) - 3} more)" if len(said) > 3 else ""
    return ", ".join(said[:3]) + more


def _by_name(what: Sequence[str], tasks: Sequence[str]) -> str:
    groups: dict[str, list[str]] = {}
    for name, task in zip(what, tasks, strict=True):
        groups.setdefault(name, []).append(task)
    *said, last = [f"{name} ({', '.join(members)})" for name, members in groups.items()]
    return f"{', '.join(said)} and {last}" if said else last
