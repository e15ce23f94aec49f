"""What is planted in some sequences, as an expression sees it: the instances of each name, the classes, the score."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from genoplrp.errors import SpecError
from genoplrp.synthetic.activity.sites import Instances, Sites

if TYPE_CHECKING:
    from genoplrp.synthetic.planted import Planted
    from genoplrp.synthetic.spec import Spec
    from genoplrp.synthetic.tasks import Task


def score_activity(spec: Spec, task: Task, planted: Planted) -> Float[np.ndarray, " n"]:
    """Score what each sequence holds under a task's activity.

    Parameters
    ----------
    spec : Spec
        The specification.
    task : Task
        One of its tasks, with an activity.
    planted : Planted
        What the sequences hold.

    Returns
    -------
    array, (N,), float64
        The activity; of a count, at least 0; of a binary task, a probability; of a profile, the sum over its bases.

    Raises
    ------
    SpecError
        If a value is not finite, or no probability where it has to be one.
    """
    if task.kind == "profile":
        return np.asarray(expected_profile(spec, task, planted).sum(axis=1))
    values = task.parsed_activity(sites_of(spec, planted, task.names))
    _check_finite(spec, task, planted, values)
    if task.kind == "count":
        return np.asarray(np.maximum(values, 0))
    wrong = (values < 0) | (values > 1)
    if task.kind == "binary" and wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise SpecError(
            f"task {task.name!r}: the activity {task.activity!r} is {values[row]:g} for a sequence "
            f"{_held(spec, planted, row)}; the activity of a binary task is a probability: put it into "
            "logistic(...) or hill(..., half)."
        )
    return values


def expected_profile(spec: Spec, task: Task, planted: Planted) -> Float[np.ndarray, "n length"]:
    """Reads that a profile task expects at each base.

    Parameters
    ----------
    spec : Spec
        The specification.
    task : Task
        One of its profile tasks.
    planted : Planted
        What the sequences hold.

    Returns
    -------
    array, (N, L), float64
        At least 0, and 0 beyond a sequence's own end; L is the specification's largest length.

    Raises
    ------
    SpecError
        If a value is not finite.
    """
    values = task.parsed_activity.per_base(sites_of(spec, planted, task.names), spec.length_range[1])
    _check_finite(spec, task, planted, values)
    return np.asarray(np.maximum(values, 0))


def sites_of(spec: Spec, planted: Planted, names: Iterable[str]) -> Sites:
    """Return the instances of some names.

    Parameters
    ----------
    spec : Spec
        Says what a name stands for.
    planted : Planted
        What the sequences hold.
    names : iterable of str
        Motifs, sets, sites and classes.

    Returns
    -------
    Sites
    """
    width = np.array([use.motif.width for use in spec.motifs.values()], dtype=np.int64)
    whole = Instances(
        planted.row,
        planted.start,
        planted.start + width[planted.motif],
        np.where(planted.minus, -1, 1),
        planted.affinity,
    )
    class_numbers = {one.name: number for number, one in enumerate(spec.classes)}
    motif_numbers = {name: number for number, name in enumerate(spec.motifs)}
    site_numbers = {name: number for number, name in enumerate(spec.sites)}
    instances, classes = {}, {}
    for name in names:
        if name in class_numbers:
            classes[name] = planted.classes == class_numbers[name]
        elif name in site_numbers:
            number = site_numbers[name]
            instances[name] = _joined(whole.chosen(planted.site == number), planted, number)
        else:
            members = [motif_numbers[member] for member in spec.members(name)]
            instances[name] = whole.chosen(np.isin(planted.motif, members))
    return Sites(planted.lengths, instances, classes)


def _joined(parts: Instances, planted: Planted, site: int) -> Instances:
    """One instance for each site: from its first to its last base, on the strand of its leftmost motif."""
    unit = planted.unit[planted.site == site]
    order = np.lexsort((parts.start, unit))
    parts = parts.chosen(order)
    _, first = np.unique(unit[order], return_index=True)
    if len(first) == 0:
        return parts
    return Instances(
        parts.row[first],
        parts.start[first],
        np.maximum.reduceat(parts.end, first),
        parts.strand[first],
        np.multiply.reduceat(parts.affinity, first),
    )


def _check_finite(spec: Spec, task: Task, planted: Planted, values: np.ndarray) -> None:
    finite = np.isfinite(values).reshape(len(values), math.prod(values.shape[1:]))
    if finite.all():
        return
    row = int(np.flatnonzero(~finite.all(axis=1))[0])
    value = values.reshape(len(values), -1)[row, int(np.flatnonzero(~finite[row])[0])]
    raise SpecError(
        f"task {task.name!r}: the activity {task.activity!r} is {value} for a sequence {_held(spec, planted, row)}; "
        "keep divisors, logarithms and roots away from 0 and below."
    )


def _held(spec: Spec, planted: Planted, row: int) -> str:
    """What a sequence holds, in words."""
    motifs = list(spec.motifs)
    held = [motifs[number] for number in planted.motif[planted.row == row].tolist()]
    return (
        "with " + ", ".join(f"{held.count(name)} {name}" for name in dict.fromkeys(held))
        if held
        else "without sites"
    )
