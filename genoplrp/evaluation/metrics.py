"""The registry of the metrics that `score` puts into its table, one column each; every metric is defined elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

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
_BUILT_IN = frozenset(METRICS)


def register_metric(name: str, metric: Metric) -> None:
    """Give `score`, and with it the command line and the benchmark, a column of one's own.

    Parameters
    ----------
    name : str
        The column.
    metric : callable
        From maps (n, L) and masks (n, L) of n sequences of one length to n numbers, NaN where there is nothing to
        score. A benchmark with several jobs needs a function of a module, and scores anew when its code changes.

    Raises
    ------
    InputError
        If the name is that of a metric of the package.

    Examples
    --------
    >>> register_metric("largest", lambda maps, masks: maps.max(axis=1))
    >>> METRICS.pop("largest")(np.array([[1.0, 3.0]]), np.array([[True, False]])).tolist()
    [3.0]
    """
    if name in _BUILT_IN:
        raise InputError(f"{name!r} is a metric of the package; take another name")
    METRICS[name] = metric


def registered_metrics() -> dict[str, Metric]:
    """All metrics of a user's own, by name: what another process must register first."""
    return {name: metric for name, metric in METRICS.items() if name not in _BUILT_IN}
