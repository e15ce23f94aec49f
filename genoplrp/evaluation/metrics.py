"""The registry of the metrics that `score` puts into its table, one column each; every metric is defined elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np

from genoplrp.errors import InputError
from genoplrp.evaluation.localization import (
    auroc,
    average_precision,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
)
from genoplrp.evaluation.maps import Maps, Masks, Scores
from genoplrp.evaluation.sparsity import gini
from genoplrp.scores import PLACES, SCORES, Score

Metric = Callable[[Maps, Masks], Scores]
"""Maps (n, L) float64 and masks (n, L) bool of one length, without padding -> (n,), NaN where undefined."""


def _prevalence(maps: Maps, masks: Masks) -> Scores:
    """Share of positions in the mask: chance where there is something to find."""
    return np.where(masks.any(axis=1), masks.mean(axis=1), np.nan)


METRICS: dict[str, Metric] = {
    "gini": lambda maps, masks: gini(maps),
    "rma": relevance_mass_accuracy,
    "rma_absolute": partial(relevance_mass_accuracy, sign="absolute"),
    "rra": relevance_rank_accuracy,
    "average_precision": average_precision,
    "auroc": auroc,
    "prevalence": _prevalence,
}
"""Column -> metric, in the order of the table."""
_BUILT_IN = frozenset(METRICS) | frozenset(SCORES)


def register_metric(
    name: str,
    metric: Metric,
    *,
    title: str | None = None,
    says: str = "",
    better: Literal["higher", "lower"] | None = None,
    chance: float | str | None = None,
) -> None:
    """Give `score`, and with it the benchmark, its report and figures, and the live report, your own column.

    Parameters
    ----------
    name : str
        The column.
    metric : callable
        From maps (n, L) and masks (n, L) of n sequences of one length to n numbers, NaN where there is nothing to
        score. A benchmark with several jobs needs a function of a module, and scores anew when its code changes.
    title : str, optional
        Its name in figures; by default that of the column.
    says : str
        What it measures, in half a sentence.
    better : {"higher", "lower"}, optional
        Which way is better: then the best value of a table is bold, figures are shaded, and methods are compared in
        pairs. By default neither.
    chance : float or str, optional
        What a map that says nothing scores: a number, or the column that holds it (``"prevalence"``).

    Raises
    ------
    InputError
        If the name is that of a score of the package, or `better` is neither way.

    Examples
    --------
    >>> register_metric("largest", lambda maps, masks: maps.max(axis=1), title="largest relevance")
    >>> METRICS.pop("largest")(np.array([[1.0, 3.0]]), np.array([[True, False]])).tolist()
    [3.0]
    >>> SCORES.pop("largest").title
    'largest relevance'
    """
    if name in _BUILT_IN:
        raise InputError(f"{name!r} is a score of the package; take another name")
    if better not in ("higher", "lower", None):
        raise InputError(
            f'better={better!r}: say "higher" or "lower", or leave it out where neither is better'
        )
    if isinstance(chance, str) and chance not in METRICS and chance not in SCORES:
        raise InputError(f"chance={chance!r}: give a number, or a column of score")
    METRICS[name] = metric
    shown = [place for place in PLACES if better is not None or place != "comparison"]
    SCORES[name] = Score(title or name.replace("_", " "), "", says, better, chance, shown)


def registered_metrics() -> dict[str, Metric]:
    """All metrics of a user's own, by name: what another process must register first."""
    return {name: metric for name, metric in METRICS.items() if name not in _BUILT_IN}
