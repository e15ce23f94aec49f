"""The exact truth as files beside the instance table: what sites, pairs of sites and bases are worth for each task."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from genoplrp.synthetic.substitutions import effects_of_tasks

if TYPE_CHECKING:
    import pandas as pd

    from genoplrp.synthetic.dataset import Dataset

#: Files of a data set's folder.
SITES, PAIRS, BASES = "site_effects.tsv", "pair_effects.tsv", "base_effects.npy"

_SITE = ("task", "sequence", "start", "end", "motif", "strand", "role", "sign", "effect")
_PAIR = (
    *("task", "sequence", "start_first", "motif_first", "start_second", "motif_second"),
    *("effect_first", "effect_second", "joint", "interaction"),
)
HEADERS = {SITES: "\t".join(_SITE) + "\n", PAIRS: "\t".join(_PAIR) + "\n"}


class Truth(NamedTuple):
    """The truth about some consecutive sequences, ready to be written.

    Attributes
    ----------
    texts : dict of str to str
        Rows of each table, by the name of its file.
    bases : array, (n, T, L), float32
        What each base is worth; 0 beyond a sequence's end.
    """

    texts: dict[str, str]
    bases: Float[np.ndarray, "n tasks length"]


def truth_of(data: Dataset) -> Truth:
    """Work out the truth about a generated data set.

    Parameters
    ----------
    data : Dataset
        A generated data set, or a part of one.

    Returns
    -------
    Truth
        Sites that matter for a task, and pairs of them, by sequence and then by task.

    Raises
    ------
    InputError
        If the data set has no specification.
    """
    import pandas as pd

    sites, pairs = [], []
    for task in data.tasks:
        matters = data.instances.index.isin(data.instances_of(task).index)
        table = data.site_effects(task)[matters].assign(task=task)
        sites.append(table)
        pair = data.pair_effects(task).assign(task=task)
        starts = data.instances["start"].to_numpy()
        pairs.append(pair.assign(start_first=starts[pair["first"]], start_second=starts[pair["second"]]))
    bases = 0 - effects_of_tasks(data, range(len(data.tasks))).sum(axis=2) / 3
    longest = data.length if data.spec is None else data.spec.length_range[1]
    padded = np.pad(bases, ((0, 0), (0, 0), (0, longest - bases.shape[2])))
    texts = {SITES: _rows(data, pd.concat(sites), _SITE), PAIRS: _rows(data, pd.concat(pairs), _PAIR)}
    return Truth(texts, padded)


def _rows(data: Dataset, table: pd.DataFrame, columns: tuple[str, ...]) -> str:
    """Rows as text, with the names of the sequences."""
    table = table.sort_values("sequence", kind="stable")
    named = table.assign(sequence=[data.names[i] for i in table["sequence"]])
    return str(named[list(columns)].to_csv(sep="\t", header=False, index=False, lineterminator="\n"))
