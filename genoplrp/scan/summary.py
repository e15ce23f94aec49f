"""What a scan gave, in a few lines: sparsity, predictions, conservation, and what is suspicious; nothing is stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from genoplrp.relevance.inputs import BASES_A_BATCH
from genoplrp.scan.blocks import Task
from genoplrp.scan.store import ScanStore

if TYPE_CHECKING:
    from genoplrp.relevance import Explanation

SAMPLE = 24
"""Windows that are explained once more, with a conservation ledger; as many again of those without relevance."""
_MANY = 0.5


class Relevance(NamedTuple):
    """Figures of many maps.

    Attributes
    ----------
    n
        Number of maps.
    zeros
        Share of positions whose relevance is exactly 0, of the maps that have any relevance.
    empty
        Rows of the maps without any relevance.
    low, median, high
        Of the predictions.
    same
        The largest number of maps that have the same prediction.
    """

    n: int
    zeros: float
    empty: np.ndarray
    low: float
    median: float
    high: float
    same: int


def relevance_figures(
    maps: Iterator[np.ndarray], prediction: np.ndarray, lengths: np.ndarray | None = None
) -> Relevance:
    """Summarise relevance per position, (n, L) arrays one after the other, and the predictions, (N,).

    With ``lengths``, (N,), what follows the real positions of a sequence is padding, and not counted.

    Examples
    --------
    >>> found = relevance_figures(iter([np.array([[0.0, 1.0], [0.0, 0.0]])]), np.array([2.0, 0.5]))
    >>> found.zeros, found.empty.tolist(), found.high
    (0.5, [1], 2.0)
    """
    zeros = positions = first = 0
    empty: list[np.ndarray] = []
    for values in maps:
        real = np.ones(values.shape, dtype=bool)
        if lengths is not None:
            real = np.arange(values.shape[1]) < lengths[first : first + len(values), None]
        without = ~values.any(axis=1)
        empty.append(first + np.flatnonzero(without))
        zeros += int(((values == 0) & real)[~without].sum())
        positions += int(real[~without].sum())
        first += len(values)
    low, median, high = np.quantile(prediction, [0, 0.5, 1])
    return Relevance(
        first,
        zeros / max(1, positions),
        np.concatenate([np.zeros(0, dtype=int), *empty]),
        float(low),
        float(median),
        float(high),
        int(np.unique(prediction, return_counts=True)[1].max(initial=0)),
    )


def summary_lines(
    found: Relevance, units: str = "output", *, what: str = "windows", ends_at: str = ""
) -> list[str]:
    """Say the figures; lines that begin with ``Note:`` are what should not be.

    Parameters
    ----------
    found
        The figures.
    units
        Of the predictions.
    what
        What a map is of.
    ends_at
        Why maps without relevance have none, where it is known.
    """
    explained = "logit" if units == "logit" else "explained output"
    lines = [
        f"{explained}: {found.low:.3g} to {found.high:.3g}, median {found.median:.3g}; "
        f"{found.zeros:.0%} of bases exactly 0"
    ]
    if len(found.empty):
        lines.append(
            f"Note: {len(found.empty):,} of {found.n:,} {what} ({len(found.empty) / found.n:.0%}) have no relevance at "
            f"all: {ends_at or 'nothing in them reaches the explained output (dead units, or a constant)'}. They add "
            "nothing to sites or motifs"
        )
    if found.n > 2 and found.same > _MANY * found.n:
        lines.append(
            f"Note: {found.same:,} of {found.n:,} {what} have the same prediction: does the model see the "
            "sequence, is it of this length, are these its trained weights?"
        )
    return lines


def summarise(store: ScanStore, task: Task) -> list[str]:
    """Summarise a finished scan; a sample of its windows is explained again, for the conservation ledger.

    Parameters
    ----------
    store
        The scan.
    task
        How it was made.

    Returns
    -------
    list of str
        Lines to print.
    """
    step = int(store.manifest["rows_per_block"])
    maps = (store.per_nucleotide(slice(first, first + step)) for first in range(0, len(store), step))
    found = relevance_figures(maps, store.prediction)
    if task.consensus is not None:
        shift, strands = (task.consensus[name] for name in ("max_shift", "both_strands"))
        shown = f"shifted by up to {shift} bp" if shift else "unshifted"
        where = "on both strands" if strands else "on the given strand only"
        copies = task.consensus.get("references") == "shuffled"
        return [
            *summary_lines(found, store.units),
            f"views: {shown}, {where}; views that change the model's output are left out",
            f"differences from {'shuffled copies' if copies else 'uniform columns'}",
        ]
    explainer = task.explainer()
    explainer.diagnostics = True
    # As many bases as a batch has: of long windows fewer, which cost as much.
    size = max(4, min(SAMPLE, BASES_A_BATCH // store.length))
    spread = np.unique(np.linspace(0, len(store) - 1, size).astype(int))
    e = explainer(torch.from_numpy(store.one_hot(spread)), task.target)
    ends_at = ""
    if len(found.empty):
        without = explainer(torch.from_numpy(store.one_hot(found.empty[:size])), task.target)
        ends_at = where_relevance_ends(without)
    sample = "" if len(spread) == len(store) else f" Checked in {len(spread)} of {len(store):,} windows."
    return [*summary_lines(found, store.units, ends_at=ends_at), f"{e.check()}{sample}"]


def where_relevance_ends(e: Explanation) -> str:
    """Say in which layer relevance ends, of an explanation of sequences that have none.

    Returns
    -------
    str
        Empty where it ends nowhere in particular.
    """
    layers: Any = e.layers
    if not len(layers):
        return ""
    flow = layers.assign(mass=layers["positive_mass"] + layers["negative_mass"].abs())
    ends: list[str] = []
    for _, rows in flow.groupby("sequence"):
        # From the output down: the first layer that hands nothing on.
        silent = rows.sort_values("index", ascending=False).query("mass == 0")
        ends.extend(silent["layer"].head(1))
    if not ends:
        return ""
    name = max(set(ends), key=ends.count)
    return f"it ends at the layer {name!r}, whose input units are all off there (dead units: the network sees nothing)"
