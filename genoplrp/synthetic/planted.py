"""The score of what a sequence holds under the rule of each label: the one function that says what a label is worth.

Labels are this score with noise on top, and the truth about a site is how the score changes when the site is taken out.
Nothing is planted here, and nothing is drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

if TYPE_CHECKING:
    from genoplrp.synthetic.plant import Placed
    from genoplrp.synthetic.spec import Spec
from genoplrp.synthetic.activity.planted_sites import score_activity
from genoplrp.synthetic.tasks import Task


class Planted(NamedTuple):
    """The intact instances of some sequences that count for labels.

    Attributes
    ----------
    classes : array, int
        Class number (in the order of the specification) of each of the N sequences.
    lengths : array, int
        Length of each sequence, in bp.
    row, motif : array, int
        Sequence and motif number (in the order of the specification) of each of the I instances.
    affinity : array
        Score divided by the motif's best score, at least 0.
    site : array, int
        Site number (in the order of the specification), or -1.
    unit : array, int
        Instances of one site share a number.
    start : array, int
        First position of each instance, in bp.
    minus : array, bool
        Whether it lies on the minus strand.
    """

    classes: Int[np.ndarray, " n"]
    lengths: Int[np.ndarray, " n"]
    row: Int[np.ndarray, " i"]
    motif: Int[np.ndarray, " i"]
    affinity: Float[np.ndarray, " i"]
    site: Int[np.ndarray, " i"]
    unit: Int[np.ndarray, " i"]
    start: Int[np.ndarray, " i"]
    minus: Bool[np.ndarray, " i"]

    @property
    def n(self) -> int:
        """Number of sequences."""
        return len(self.classes)

    def without(self, gone: Bool[np.ndarray, " i"]) -> Planted:
        """Take instances out; what is left of a site that loses one counts as single motifs."""
        split = self.site.copy()
        split[np.isin(self.unit, self.unit[gone & (self.site >= 0)])] = -1
        return self._replace(site=split).instances(~gone)

    def instances(self, chosen: np.ndarray) -> Planted:
        """Take some instances, in the order given (numbers, or a mask)."""
        return Planted(self.classes, self.lengths, *(column[chosen] for column in self[2:]))

    def repeated(self, rows: Int[np.ndarray, " k"]) -> tuple[Planted, Int[np.ndarray, " j"]]:
        """Take some sequences, each as often as it stands in ``rows``; instances must be ordered by sequence.

        Returns
        -------
        Planted
            Of K sequences.
        array, (J,), int
            The instance that each of its instances is a copy of.
        """
        first = np.searchsorted(self.row, np.arange(self.n + 1))
        many = (first[1:] - first[:-1])[rows]
        ends = np.cumsum(many)
        source = np.arange(int(many.sum())) + np.repeat(first[rows] - ends + many, many)
        row = np.repeat(np.arange(len(rows)), many)
        copies = self.instances(source)
        # Copies of one unit are units of their own.
        unit = copies.unit + row * (int(self.unit.max(initial=0)) + 1)
        classes, lengths = self.classes[rows], self.lengths[rows]
        return copies._replace(classes=classes, lengths=lengths, row=row, unit=unit), source


def planted_units(
    placed: Placed,
    affinity: Float[np.ndarray, " i"],
    counts: Bool[np.ndarray, " i"],
    classes: Int[np.ndarray, " n"],
    lengths: Int[np.ndarray, " n"],
) -> Planted:
    """Turn placed units into what counts for labels.

    Parameters
    ----------
    placed : Placed
        Units with their starts.
    affinity : array, (I,)
        Of all their instances.
    counts : array, (I,), bool
        Which instances count.
    classes, lengths : array, (N,)
        Class number and length of each sequence.

    Returns
    -------
    Planted
    """
    units, kept = placed.units, np.flatnonzero(counts)
    unit = units.unit[kept]
    return Planted(
        classes=classes,
        lengths=lengths,
        row=units.row[unit],
        motif=units.motif[kept],
        affinity=affinity[kept],
        site=units.site[kept],
        unit=unit,
        start=placed.start[unit] + units.offset[kept],
        minus=units.minus[kept],
    )


def score_tasks(spec: Spec, planted: Planted) -> Float[np.ndarray, "n tasks"]:
    """Score what each sequence holds under each task: its label before noise.

    Parameters
    ----------
    spec : Spec
        Its tasks are applied.
    planted : Planted
        What the sequences hold.

    Returns
    -------
    array, (N, T), float64
        1 or 0 of a rule that holds or not, a number of instances, or a real number; of an activity, its value, which
        is the expected number of a count, and the probability of a binary label.

    Raises
    ------
    SpecError
        If an activity has no value, or one that its label cannot have.
    """
    counts = count_names(spec, planted)
    scores = np.zeros((planted.n, len(spec.tasks)))
    for column, task in enumerate(spec.tasks):
        if task.activity:
            scores[:, column] = score_activity(spec, task, planted)
        elif task.kind == "binary":
            scores[:, column] = task.parsed(counts)
        elif task.kind == "count":
            scores[:, column] = sum(counts[name] for name in task.motifs)
        else:
            scores[:, column] = _real_label(spec, task, planted)
    return scores


def count_names(spec: Spec, planted: Planted) -> dict[str, Int[np.ndarray, " n"]]:
    """Count what the tasks name in each sequence: intact core instances of motifs, sets and sites; its class once."""
    wanted = {name for task in spec.tasks for name in task.names}
    numbers = {name: number for number, name in enumerate(spec.motifs)}
    class_numbers = {one.name: number for number, one in enumerate(spec.classes)}
    counts: dict[str, np.ndarray] = {}
    for name in wanted:
        if name in class_numbers:
            counts[name] = (planted.classes == class_numbers[name]).astype(np.int64)
            continue
        if name in spec.sites:
            counts[name] = _count_sites(list(spec.sites).index(name), planted)
            continue
        member = np.zeros(len(numbers), dtype=bool)
        member[[numbers[one] for one in spec.members(name)]] = True
        counts[name] = np.bincount(planted.row[member[planted.motif]], minlength=planted.n)
    return counts


def _count_sites(number: int, planted: Planted) -> Int[np.ndarray, " n"]:
    chosen = planted.site == number
    _, first = np.unique(planted.unit[chosen], return_index=True)
    return np.bincount(planted.row[chosen][first], minlength=planted.n)


def _real_label(spec: Spec, task: Task, planted: Planted) -> Float[np.ndarray, " n"]:
    members = set(spec.all_members(task.motifs))
    weight = np.array([task.weights.get(name, 1.0) if name in members else 0.0 for name in spec.motifs])
    x = np.bincount(planted.row, weights=weight[planted.motif] * planted.affinity, minlength=planted.n)
    if task.formula == "saturating":
        x = np.maximum(x, 0)
        return np.asarray(task.maximum * x / (x + task.half))
    if task.formula == "cooperative":
        chosen = planted.site == list(spec.sites).index(task.site)
        units, place = np.unique(planted.unit[chosen], return_inverse=True)
        together, row = np.ones(len(units)), np.zeros(len(units), dtype=np.int64)
        np.multiply.at(together, place, planted.affinity[chosen])
        row[place] = planted.row[chosen]
        x = x + task.strength * np.bincount(row, weights=together, minlength=planted.n)
    return np.asarray(x)
