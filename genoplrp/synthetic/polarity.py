"""Which way a motif moves a label's score: up, down, or now this way and now that; and the sign of each instance.

Found out by asking: a sample of what the specification plants is scored with and without instances. So it holds for
every rule, and the same specification always gives the same answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from genoplrp.errors import SpecError
from genoplrp.synthetic.effects import instance_effects, planted_of, scores_without
from genoplrp.synthetic.grammar import CORE, INHIBITOR, NEGATIVE, REPRESSOR, ROLES, Layout
from genoplrp.synthetic.labels import tasks_of_instances
from genoplrp.synthetic.masks import matters_for
from genoplrp.synthetic.plant import place_class
from genoplrp.synthetic.planted import Planted, planted_units, score_tasks

if TYPE_CHECKING:
    from genoplrp.synthetic.dataset import Dataset
    from genoplrp.synthetic.spec import Spec

#: Sequences of each class that are asked.
_SAMPLE = 64
#: Changes smaller than this are rounding.
_NOTHING = 1e-9


def polarity(spec: Spec) -> Int[np.ndarray, "motifs sites tasks"]:
    """Return which way an instance of each motif moves the score of each task.

    Parameters
    ----------
    spec : Spec
        The specification.

    Returns
    -------
    array, (M, S + 1, T), int8
        +1 or -1 where an instance of the motif in a site (the last column: in none) can move the score in one direction
        only, 0 where it moves it both ways (``A xor B``) or not at all.
    """
    up = np.zeros((len(spec.motifs), len(spec.sites) + 1, len(spec.tasks)), dtype=bool)
    down = up.copy()
    if len(spec.motifs) == 0:
        return np.zeros(up.shape, dtype=np.int8)
    # What is not planted may have no score at all (a ratio without its divisor): it says nothing.
    with suppress(SpecError):
        for motif, site, change in _changes(spec):
            np.logical_or.at(up, (motif, site), change > _NOTHING)
            np.logical_or.at(down, (motif, site), change < -_NOTHING)
    signs = up.astype(np.int8) - down.astype(np.int8)
    # A motif that the sample did not show in a site is taken for what it is alone.
    return np.where(up | down, signs, signs[:, -1:])


def roles_of_instances(spec: Spec) -> Int[np.ndarray, "motifs sites"]:
    """Return the role of an intact instance of each motif in each site (the last column: in none).

    Its role is ``inhibitor`` (of rules) or ``repressor`` (of all else) where it moves the scores of all
    tasks for which it matters down, and ``core`` elsewhere.
    """
    signs = polarity(spec)
    motifs, sites = tasks_of_instances(spec)
    matters = motifs[:, None, :] | np.append(sites, np.zeros((1, len(spec.tasks)), dtype=bool), axis=0)[None]
    against = matters.any(axis=2) & ((signs < 0) | ~matters).all(axis=2)
    rules = np.array([bool(task.rule) for task in spec.tasks])
    of_rules = (matters & rules).any(axis=2)
    return np.where(against, np.where(of_rules, INHIBITOR, REPRESSOR), CORE)


def instance_signs(data: Dataset) -> Int[np.ndarray, "instances tasks"]:
    """Return whether each row of the instance table speaks for a higher (+1) or a lower (-1) score of each task.

    That is the sign of its effect; where its effect is 0, the sign of the effect of all instances of its motif in the
    sequence; and where that is 0, too, the direction in which the motif can move the score at all. Without a
    specification, the roles say it.
    """
    table = data.instances
    matters = np.stack([matters_for(table, task) for task in data.tasks], axis=1)
    if data.spec is None:
        against = table["role"].isin([ROLES[role] for role in NEGATIVE]).to_numpy(dtype=bool)
        return (matters * np.where(against, -1, 1)[:, None]).astype(np.int8)
    planted, places = planted_of(data)
    signs = _signs(instance_effects(data)[places])
    usual = polarity(data.spec)[planted.motif, planted.site]
    open_ = np.flatnonzero(((signs == 0) & matters[places]).any(axis=1))
    if len(open_):
        together = _signs(_effects_of_motifs(data.spec, planted, open_))
        still = signs[open_] == 0
        signs[open_] = np.where(still, np.where(together != 0, together, usual[open_]), signs[open_])
    found = np.zeros(matters.shape, dtype=np.int8)
    found[places] = signs
    return np.where(matters, found, 0)


def _changes(spec: Spec) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Instances by motif and site, and how the scores change with each: what is planted, thinned out, and one more."""
    rng = np.random.Generator(np.random.PCG64(0))
    sample = _sample(spec, rng)
    sample = sample.instances(np.lexsort((sample.start, sample.row)))
    thinned = sample.without(rng.random(len(sample.row)) >= rng.choice([0.0, 0.5, 1.0], sample.n)[sample.row])
    for context in (sample, thinned):
        every = np.arange(len(context.row))[:, None]
        without = scores_without(spec, context, context.row, every)
        yield context.motif, context.site, score_tasks(spec, context)[context.row] - without
    before = score_tasks(spec, thinned)
    for motif in np.flatnonzero(tasks_of_instances(spec)[0].any(axis=1)):
        change = score_tasks(spec, _with_one_more(spec, thinned, int(motif), rng)) - before
        yield np.full(len(change), motif), np.full(len(change), -1), change


def _effects_of_motifs(spec: Spec, planted: Planted, chosen: np.ndarray) -> np.ndarray:
    """Effect of taking out, with each of some instances, all of its motif in the same sequence."""
    rows = planted.row[chosen]
    copies, _ = planted.repeated(rows)
    gone = copies.motif == planted.motif[chosen][copies.row]
    return np.asarray(score_tasks(spec, planted)[rows] - score_tasks(spec, copies.without(gone)))


def _signs(change: np.ndarray) -> np.ndarray:
    return (change > _NOTHING).astype(np.int8) - (change < -_NOTHING).astype(np.int8)


def _sample(spec: Spec, rng: np.random.Generator) -> Planted:
    """Some sequences of each class, all instances intact, of random affinity."""
    layout = Layout(spec)
    nothing = np.zeros(0, dtype=np.int64)
    parts = [Planted(*[nothing] * len(Planted._fields))._replace(minus=np.zeros(0, dtype=bool))]
    for number, one in enumerate(spec.classes):
        lengths = np.full(_SAMPLE, spec.length_range[1])
        try:
            placed = place_class(layout, one, rng, lengths)
        except SpecError:
            continue  # said when sequences are made, of these and not of a sample
        units = placed.units
        counts = (units.role == CORE) & (not one.shuffled)
        affinity = 0.2 + 0.8 * rng.random(len(units.motif))
        parts.append(planted_units(placed, affinity, counts, np.full(_SAMPLE, number), lengths))
    rows = np.cumsum([0] + [part.n for part in parts[:-1]])
    units_before = np.cumsum([0] + [int(part.unit.max(initial=-1)) + 1 for part in parts[:-1]])
    moved = [
        part._replace(row=part.row + row, unit=part.unit + unit)
        for part, row, unit in zip(parts, rows, units_before, strict=True)
    ]
    return Planted(*(np.concatenate(columns) for columns in zip(*moved, strict=True)))


def _with_one_more(spec: Spec, planted: Planted, motif: int, rng: np.random.Generator) -> Planted:
    """Put one more instance of a motif, in no site, somewhere into each sequence."""
    n = planted.n
    width = list(spec.motifs.values())[motif].motif.width
    more = {
        "row": np.arange(n),
        "motif": np.full(n, motif),
        "affinity": 0.2 + 0.8 * rng.random(n),
        "site": np.full(n, -1),
        "unit": int(planted.unit.max(initial=-1)) + 1 + np.arange(n),
        "start": np.floor(rng.random(n) * np.maximum(planted.lengths - width + 1, 1)).astype(np.int64),
        "minus": rng.random(n) < 0.5,
    }
    joined = {name: np.concatenate([getattr(planted, name), column]) for name, column in more.items()}
    return Planted(planted.classes, planted.lengths, **joined)
