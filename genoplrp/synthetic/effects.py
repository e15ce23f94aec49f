"""What each planted site, and each pair of sites, is worth: the label's score with it, less the score without it.

Exact and counterfactual: sites are taken out of the list of what a sequence holds, and the task's rule is applied again
(:func:`genoplrp.synthetic.planted.score_tasks`). No letter is changed here; see ``substitutions`` for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from genoplrp.errors import InputError
from genoplrp.sequence import encode_padded
from genoplrp.synthetic.grammar import COUNTED
from genoplrp.synthetic.planted import Planted, score_tasks

if TYPE_CHECKING:
    import pandas as pd

    from genoplrp.synthetic.dataset import Dataset
    from genoplrp.synthetic.spec import Spec

#: Changed sequences that are scored at a time.
_CHUNK = 1 << 16


def site_effects(data: Dataset, task: int | str = 0) -> pd.DataFrame:
    """Return what each planted instance adds to the score under a task's rule.

    Parameters
    ----------
    data : Dataset
        A generated data set.
    task : int or str, default 0
        Number or name of the task.

    Returns
    -------
    pandas.DataFrame
        The instance table, row by row, with ``sign`` (+1 or -1: it speaks for a higher or a lower score; 0: it has
        no say; see :func:`genoplrp.synthetic.polarity.instance_signs`) and ``effect``: the score with all that the
        sequence holds, less the score with this instance taken out (what is left of a grammar site that loses a motif
        counts as single motifs). The score is the label before noise. An effect is 0 where another instance does the
        same work: see `pair_effects`.

    Raises
    ------
    InputError
        If the data set has no specification, or there is no such task.

    Examples
    --------
    >>> from genoplrp.synthetic import simulate
    >>> data = simulate("not", n=8, seed=1)
    >>> table = site_effects(data)[data.classes[data.instances["sequence"]] == "repressed"]
    >>> table.sort_values(["sequence", "motif"])[["motif", "role", "sign", "effect"]].head(2).values.tolist()
    [['GATA1', 'inhibitor', -1, -1.0], ['TAL1', 'core', 1, 0.0]]
    """
    from genoplrp.synthetic.polarity import instance_signs

    column = data.task_index(task)
    signs = instance_signs(data)[:, column]
    return data.instances.assign(sign=signs, effect=instance_effects(data)[:, column])


def pair_effects(data: Dataset, task: int | str = 0) -> pd.DataFrame:
    """Return what pairs of instances that matter for a task are worth together, and apart.

    Parameters
    ----------
    data : Dataset
        A generated data set.
    task : int or str, default 0
        Number or name of the task.

    Returns
    -------
    pandas.DataFrame
        One row for each pair within a sequence: ``sequence``, ``first`` and ``second`` (rows of the instance table),
        their motifs ``motif_first`` and ``motif_second``, ``effect_first``, ``effect_second`` (as `site_effects` gives
        them), ``joint`` (the score less the score with both taken out) and ``interaction``: the change when both are
        taken out, less the two changes when one is. It is above 0 where the two need each other (an AND, a bonus for
        the pair), below 0 where each does the other's work (an OR), 0 where they add up.

    Raises
    ------
    InputError
        If the data set has no specification, or there is no such task.

    References
    ----------
    The second-order difference f(ij) - f(i) - f(j) + f() of Grabisch and Roubens, *An axiomatic approach to the concept
    of interaction among players in cooperative games*, Int. J. Game Theory 28 (1999), with the other sites in place.

    Examples
    --------
    >>> from genoplrp.synthetic import simulate
    >>> table = pair_effects(simulate("and", n=4, seed=0))
    >>> table[["effect_first", "effect_second", "joint", "interaction"]].iloc[0].tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    import pandas as pd

    spec, column = spec_of(data), data.task_index(task)
    planted, places = planted_of(data)
    matters = np.isin(places, np.flatnonzero(data.instances.index.isin(data.instances_of(task).index)))
    first, second = _pairs(planted.row, np.flatnonzero(matters))
    rows = planted.row[first]
    whole = score_tasks(spec, planted)[:, column]
    joint = whole[rows] - scores_without(spec, planted, rows, np.stack([first, second], axis=1))[:, column]
    single = instance_effects(data)[places, column]
    names = data.instances["motif"].astype(str).to_numpy()
    return pd.DataFrame(
        {
            "sequence": rows,
            "first": places[first],
            "second": places[second],
            "motif_first": names[places[first]],
            "motif_second": names[places[second]],
            "effect_first": single[first],
            "effect_second": single[second],
            "joint": joint,
            "interaction": single[first] + single[second] - joint,
        }
    )


def instance_effects(data: Dataset) -> Float[np.ndarray, "instances tasks"]:
    """Return the effect of each row of the instance table on the score of each task; 0 of what counts for no rule."""
    spec = spec_of(data)
    planted, places = planted_of(data)
    effects = np.zeros((len(data.instances), len(spec.tasks)))
    whole = score_tasks(spec, planted)[planted.row]
    effects[places] = whole - scores_without(spec, planted, planted.row, np.arange(len(places))[:, None])
    return effects


def scores_without(
    spec: Spec, planted: Planted, rows: Int[np.ndarray, " k"], gone: Int[np.ndarray, "k m"]
) -> Float[np.ndarray, "k tasks"]:
    """Score sequences with instances taken out.

    Parameters
    ----------
    spec : Spec
        Its tasks are applied.
    planted : Planted
        What the sequences hold, ordered by sequence.
    rows : array, (K,), int
        The sequences; one may stand several times.
    gone : array, (K, m), int
        The instances that are taken out of each.

    Returns
    -------
    array, (K, T)
    """
    scores = np.zeros((len(rows), len(spec.tasks)))
    for begin in range(0, len(rows), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        copies, source = planted.repeated(rows[part])
        taken = (source[:, None] == gone[part][copies.row]).any(axis=1)
        scores[part] = score_tasks(spec, copies.without(taken))
    return scores


def planted_of(data: Dataset) -> tuple[Planted, Int[np.ndarray, " i"]]:
    """Read what counts for labels from a data set's instance table and letters.

    Parameters
    ----------
    data : Dataset
        A generated data set.

    Returns
    -------
    Planted
        Ordered by sequence and start.
    array, (I,), int
        Row of the instance table (by position) of each of its instances.
    """
    spec = spec_of(data)
    table = data.instances
    counted = np.flatnonzero(table["role"].isin(COUNTED))
    row, start = (table[name].to_numpy(dtype=np.int64)[counted] for name in ("sequence", "start"))
    order = np.lexsort((start, row))
    places, row, start = counted[order], row[order], start[order]
    chosen = table.iloc[places]
    motif = (
        chosen["motif"].astype(str).map({name: k for k, name in enumerate(spec.motifs)}).to_numpy(np.int64)
    )
    site = chosen["site"].astype(str).map({"": -1} | {name: k for k, name in enumerate(spec.sites)})
    minus = (chosen["strand"].astype(str) == "-").to_numpy(dtype=bool)
    classes = np.zeros(len(data), dtype=np.int64)
    if data.classes is not None:
        numbers = {one.name: k for k, one in enumerate(spec.classes)}
        classes = np.array([numbers[str(name)] for name in data.classes.tolist()], dtype=np.int64)
    sites = site.to_numpy(dtype=np.int64)
    return Planted(
        classes=classes,
        lengths=data.lengths,
        row=row,
        motif=motif,
        affinity=_affinities(data, spec, row, start, motif, minus),
        site=sites,
        unit=_units(spec, row, sites),
        start=start,
        minus=minus,
    ), places


def spec_of(data: Dataset) -> Spec:
    """Return a data set's specification, or raise InputError."""
    if data.spec is None:
        raise InputError(
            "The exact truth follows from the rule of a generated data set; this one has no specification: "
            "make one with simulate."
        )
    return data.spec


def _affinities(
    data: Dataset, spec: Spec, row: np.ndarray, start: np.ndarray, motif: np.ndarray, minus: np.ndarray
) -> np.ndarray:
    """Score of the letters of each instance divided by the best one, at least 0."""
    codes = encode_padded(data.sequences)
    affinity = np.zeros(len(row))
    for number, use in enumerate(spec.motifs.values()):
        odds = use.motif.log_odds()
        for strand in (False, True):
            here = np.flatnonzero((motif == number) & (minus == strand))
            if len(here):
                letters = codes[row[here][:, None], start[here][:, None] + np.arange(odds.shape[1])]
                letters = 3 - letters[:, ::-1] if strand else letters
                scores = odds[letters, np.arange(odds.shape[1])].sum(axis=1)
                affinity[here] = np.maximum(scores / use.motif.best_score, 0)
    return affinity


def _units(spec: Spec, row: np.ndarray, site: np.ndarray) -> np.ndarray:
    """Number the grammar sites: units never interleave, so that as many instances as a site has motifs make one."""
    unit = np.arange(len(row))
    slots = np.array([len(one.motifs) for one in spec.sites.values()], dtype=np.int64)
    for number, many in enumerate(slots.tolist()):
        here = np.flatnonzero(site == number)
        first = np.searchsorted(row[here], row[here])
        rank = np.arange(len(here)) - first
        unit[here] = here[first + rank // many * many]
    return unit


def _pairs(row: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of chosen instances (ordered by sequence) within one sequence."""
    rows = row[chosen]
    behind = np.searchsorted(rows, rows, side="right") - np.arange(len(rows)) - 1
    first = np.repeat(np.arange(len(rows)), behind)
    step = np.arange(len(first)) - np.repeat(np.cumsum(behind) - behind, behind)
    return chosen[first], chosen[first + 1 + step]
