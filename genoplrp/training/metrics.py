"""How well predictions match labels: AUROC, average precision, accuracy, correlations, bootstrap intervals; numpy only.

Every figure is computed from weights per sequence, so that a bootstrap resample is a row of counts and a thousand of
them are one array operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

Weights = Float[np.ndarray, "resamples n"]
Values = Float[np.ndarray, "resamples"]
Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def evaluate(
    prediction: Float[np.ndarray, "n n_tasks ..."],
    labels: Float[np.ndarray, "n n_tasks ..."],
    kinds: Sequence[str],
    tasks: Sequence[str],
    *,
    bootstrap: int = 0,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Figures of merit over the tasks and for each one, with percentile bootstrap intervals on demand.

    Parameters
    ----------
    prediction
        (N, T) probabilities, values or expected counts; of profiles (N, T, L), as the labels.
    labels
        (N, T), NaN where missing.
    kinds
        Kind of each task: "binary", "multiclass" (AUROC and average precision of each class against the rest,
        and accuracy), "regression" or "count" (Pearson, Spearman, mean squared error), "profile" (Pearson and Spearman
        of the sums, and the mean over the sequences of Pearson over the bases).
    tasks
        T names.
    bootstrap
        Number of resamples of the sequences; 0 leaves the intervals out.
    level
        Coverage of the intervals.
    seed
        Seed of the resampling.

    Returns
    -------
    dict
        ``n``; each metric, averaged over the tasks that have it; ``tasks``: for each task its ``n`` and metrics. Where
        intervals were asked for, ``<metric>_interval`` holds (low, high). NaN: not defined (one class only).

    References
    ----------
    Efron & Tibshirani 1993, *An Introduction to the Bootstrap*, chapter 13 (percentile interval).

    Examples
    --------
    >>> import numpy as np
    >>> from genoplrp.training.metrics import evaluate
    >>> evaluate(np.array([[0.9], [0.2], [0.7]]), np.array([[1.0], [0.0], [1.0]]), ["binary"], ["t"])["auroc"]
    1.0
    """
    columns: dict[tuple[str, str], list[Values]] = {}
    overall: list[Values] = []
    for weights in _weights(len(labels), bootstrap, seed):
        for i, (task, kind) in enumerate(zip(tasks, kinds, strict=True)):
            present = ~_missing(labels[:, i])
            for name, metric in METRICS[kind].items():
                value = metric(prediction[present, i], labels[present, i], weights[:, present])
                columns.setdefault((task, name), []).append(value)
        if "multiclass" in kinds:
            right = prediction.argmax(axis=1) == labels.argmax(axis=1)
            overall.append(_ratio((weights * right).sum(axis=1), weights.sum(axis=1)))
    values = {key: np.concatenate(parts) for key, parts in columns.items()}
    out: dict[str, Any] = {"n": len(labels)}
    if overall:
        _report(out, "accuracy", np.concatenate(overall), level)
    for name in dict.fromkeys(metric for _, metric in values):
        _report(out, name, _mean_over_tasks([v for (_, m), v in values.items() if m == name]), level)
    out["tasks"] = {task: {"n": int((~_missing(labels[:, i])).sum())} for i, task in enumerate(tasks)}
    for (task, name), value in values.items():
        _report(out["tasks"][task], name, value, level)
    return out


def auroc(score: Float[np.ndarray, " n"], label: Float[np.ndarray, " n"], weights: Weights) -> Values:
    """Area under the ROC curve, ties counting half, one value per row of weights; NaN without both classes.

    References
    ----------
    Hanley & McNeil 1982 (the Mann-Whitney form).
    """
    positive, negative = _tied_counts(score, label, weights)
    above = np.cumsum(positive, axis=1) - positive
    wins = (negative * (above + 0.5 * positive)).sum(axis=1)
    return _ratio(wins, positive.sum(axis=1) * negative.sum(axis=1))


def average_precision(
    score: Float[np.ndarray, " n"], label: Float[np.ndarray, " n"], weights: Weights
) -> Values:
    """Precision averaged over the steps of recall, tied scores one step; NaN without both classes.

    Without a negative it would be 1 whatever the scores are.

    References
    ----------
    Manning, Raghavan & Schuetze 2008, *Introduction to Information Retrieval*, chapter 8.4.
    """
    positive, negative = _tied_counts(score, label, weights)
    found = np.cumsum(positive, axis=1)
    retrieved = np.cumsum(positive + negative, axis=1)
    precision = np.divide(found, retrieved, out=np.zeros_like(found), where=retrieved > 0)
    both = (negative.sum(axis=1) > 0) * positive.sum(axis=1)
    return _ratio((positive * precision).sum(axis=1), both)


def pearson(prediction: Float[np.ndarray, " n"], label: Float[np.ndarray, " n"], weights: Weights) -> Values:
    """Pearson's correlation, one value per row of weights; NaN where one side is constant."""
    x, y = prediction.astype(np.float64)[None], label.astype(np.float64)[None]
    return _correlation(x, y, weights)


def spearman(prediction: Float[np.ndarray, " n"], label: Float[np.ndarray, " n"], weights: Weights) -> Values:
    """Spearman's rank correlation, mean ranks at ties (ranks within each resample)."""
    return _correlation(_ranks(prediction, weights), _ranks(label, weights), weights)


def mean_squared_error(
    prediction: Float[np.ndarray, " n"], label: Float[np.ndarray, " n"], weights: Weights
) -> Values:
    """Mean squared difference, in squared units of the label."""
    squared: np.ndarray = (prediction.astype(np.float64) - label) ** 2
    return _ratio(weights @ squared, weights.sum(axis=1))


def pearson_of_sums(
    prediction: Float[np.ndarray, "n length"], label: Float[np.ndarray, "n length"], weights: Weights
) -> Values:
    """Pearson's correlation of the sums of profiles."""
    return pearson(prediction.sum(axis=1), label.sum(axis=1), weights)


def spearman_of_sums(
    prediction: Float[np.ndarray, "n length"], label: Float[np.ndarray, "n length"], weights: Weights
) -> Values:
    """Spearman's rank correlation of the sums of profiles."""
    return spearman(prediction.sum(axis=1), label.sum(axis=1), weights)


def profile_pearson(
    prediction: Float[np.ndarray, "n length"], label: Float[np.ndarray, "n length"], weights: Weights
) -> Values:
    """Pearson's correlation over the bases of each sequence, then the mean over the sequences that have one."""
    each = _correlation(prediction.astype(np.float64), label.astype(np.float64), np.ones(label.shape))
    defined = ~np.isnan(each)
    return _ratio(weights[:, defined] @ each[defined], weights[:, defined].sum(axis=1))


METRICS: dict[str, dict[str, Metric]] = {
    "binary": {"auroc": auroc, "average_precision": average_precision},
    "multiclass": {"auroc": auroc, "average_precision": average_precision},
    "regression": {"pearson": pearson, "spearman": spearman, "mse": mean_squared_error},
    "count": {"pearson": pearson, "spearman": spearman, "mse": mean_squared_error},
    "profile": {
        "pearson": pearson_of_sums,
        "spearman": spearman_of_sums,
        "profile_pearson": profile_pearson,
    },
}
"""Metrics of each kind of task, the first one the headline."""

HEADLINES: dict[str, str] = {kind: next(iter(metrics)) for kind, metrics in METRICS.items()}
"""The metric that stands for each kind of task."""


def _missing(label: Float[np.ndarray, "n ..."]) -> Bool[np.ndarray, " n"]:
    return np.asarray(np.isnan(label).reshape(len(label), -1).any(axis=1))


def _weights(n: int, bootstrap: int, seed: int) -> Iterator[Weights]:
    """The sample itself first, then resamples as counts, some at a time to bound the memory."""
    yield np.ones((1, n))
    rng = np.random.default_rng(seed)
    rows = max(1, 2_000_000 // max(n, 1))
    for start in range(0, bootstrap, rows):
        count = min(rows, bootstrap - start)
        drawn = rng.integers(n, size=(count, n)) + n * np.arange(count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n).astype(np.float64)


def _tied_counts(score: np.ndarray, label: np.ndarray, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Weights of positives and negatives at each distinct score, highest score first."""
    if not len(score):
        return np.zeros((len(weights), 1)), np.zeros((len(weights), 1))
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=np.inf))
    ordered = weights[:, order]
    positive = np.add.reduceat(ordered * label[order], starts, axis=1)
    return positive, np.add.reduceat(ordered, starts, axis=1) - positive


def _ranks(values: np.ndarray, weights: Weights) -> np.ndarray:
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    size = np.add.reduceat(weights[:, order], starts, axis=1)
    mean_rank = np.cumsum(size, axis=1) - size + (size + 1) / 2
    ranks: np.ndarray = mean_rank[:, group]
    return ranks


def _correlation(x: np.ndarray, y: np.ndarray, weights: Weights) -> Values:
    total = weights.sum(axis=1, keepdims=True)
    rounding = 1e-24 * total[:, 0] ** 2 * np.abs(x).max(initial=0) ** 2 * np.abs(y).max(initial=0) ** 2
    x = x - (weights * x).sum(axis=1, keepdims=True) / total
    y = y - (weights * y).sum(axis=1, keepdims=True) / total
    spread = (weights * x * x).sum(axis=1) * (weights * y * y).sum(axis=1)
    return _ratio((weights * x * y).sum(axis=1), np.sqrt(np.where(spread > rounding, spread, 0.0)))


def _mean_over_tasks(values: list[Values]) -> Values:
    """Mean over the tasks for which the metric is defined on the sample itself."""
    defined = [v for v in values if not np.isnan(v[0])]
    mean: Values = np.mean(defined, axis=0) if defined else np.full_like(values[0], np.nan)
    return mean


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    ratio: np.ndarray = np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)
    return ratio


def _report(into: dict[str, Any], name: str, values: Values, level: float) -> None:
    into[name] = float(values[0])
    resampled = values[1:][~np.isnan(values[1:])]
    if len(resampled):
        tail = 100 * (1 - level) / 2
        low, high = np.percentile(resampled, [tail, 100 - tail])
        into[f"{name}_interval"] = (float(low), float(high))
