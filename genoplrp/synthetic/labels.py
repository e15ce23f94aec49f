"""Labels from what was planted: rules, counts and affinities, with noise on top; nothing is planted here."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from genoplrp.synthetic.distributions import normal_numbers
from genoplrp.synthetic.spec import Spec
from genoplrp.synthetic.tasks import Task


class Planted(NamedTuple):
    """The intact core instances of some sequences, as labels need them.

    Attributes
    ----------
    classes : array, int
        Class number (in the order of the specification) of each of the N sequences.
    row, motif : array, int
        Sequence and motif number (in the order of the specification) of each instance.
    affinity : array
        Score divided by the motif's best score, at least 0.
    site : array, int
        Site number (in the order of the specification), or -1.
    unit : array, int
        Instances of one site share a number.
    """

    classes: Int[np.ndarray, " n"]
    row: Int[np.ndarray, " i"]
    motif: Int[np.ndarray, " i"]
    affinity: Float[np.ndarray, " i"]
    site: Int[np.ndarray, " i"]
    unit: Int[np.ndarray, " i"]

    @property
    def n(self) -> int:
        """Number of sequences."""
        return len(self.classes)


class Labels(NamedTuple):
    """Labels, and what they were before noise.

    Attributes
    ----------
    values, clean : array, (N, T), float32
        With and without noise.
    """

    values: Float[np.ndarray, "n tasks"]
    clean: Float[np.ndarray, "n tasks"]


def derive_labels(spec: Spec, planted: Planted, rng: np.random.Generator) -> Labels:
    """Derive the labels of some sequences from what was planted in them.

    Parameters
    ----------
    spec : Spec
        Its tasks are applied.
    planted : Planted
        Intact core instances.
    rng : Generator
        For the noise.

    Returns
    -------
    Labels
    """
    counts = count_names(spec, planted)
    clean = np.zeros((planted.n, len(spec.tasks)), dtype=np.float32)
    values = clean.copy()
    for column, task in enumerate(spec.tasks):
        if task.kind == "binary":
            truth = task.parsed(counts)
            clean[:, column] = truth
            values[:, column] = truth ^ (rng.random(planted.n) < task.noise) if task.noise else truth
            continue
        if task.kind == "count":
            values[:, column] = clean[:, column] = sum(counts[name] for name in task.motifs)
            continue
        exact = _real_label(spec, task, planted)
        clean[:, column] = exact
        values[:, column] = exact + task.noise * normal_numbers(rng, planted.n) if task.noise else exact
    return Labels(values, clean)


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


def tasks_of_instances(
    spec: Spec,
) -> tuple[Bool[np.ndarray, "motifs tasks"], Bool[np.ndarray, "sites tasks"]]:
    """Return for which tasks each motif, and each site, matters."""
    motifs = np.zeros((len(spec.motifs), len(spec.tasks)), dtype=bool)
    sites = np.zeros((len(spec.sites), len(spec.tasks)), dtype=bool)
    for column, task in enumerate(spec.tasks):
        members = {member for name in task.names for member in spec.members(name)}
        motifs[:, column] = [name in members for name in spec.motifs]
        sites[:, column] = [name in task.names for name in spec.sites]
    return motifs, sites


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
