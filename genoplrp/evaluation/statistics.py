"""How sure a mean or a comparison is: intervals over training seeds and sequences; no metric is defined here.

Sequences of one trained network are not independent of each other as evidence about a method: another training run
moves all of them. A few seeds show little of how seeds differ, and Student's t says by how much the interval must be
wider for it: with three seeds by more than twice.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from genoplrp.errors import InputError, check_columns

if TYPE_CHECKING:
    import pandas as pd

#: What is compared under the same conditions; a row of results belongs to one cell, one seed and one sequence.
CELL = ("dataset", "architecture")


class Interval(NamedTuple):
    """A mean with its confidence interval.

    Attributes
    ----------
    mean : float
        Mean over groups of the mean over members.
    low, high : float
        Limits of the confidence interval.
    p_value : float
        Two-sided, of a true mean of 0.
    """

    mean: float
    low: float
    high: float
    p_value: float


def mean_interval(
    groups: Sequence[np.ndarray], *, members: Sequence[np.ndarray] | None = None, level: float = 0.95
) -> Interval:
    """Confidence interval of a mean over two levels: groups (training seeds), and members (sequences) within each.

    Parameters
    ----------
    groups : sequence of arrays
        The values of each group; NaN are left out, and groups without a value are too.
    members : sequence of arrays, optional
        Which member each value is of, in the shape of `groups`: the same sequences explained by several networks are
        not new sequences. By default no two groups share one.
    level : float
        Confidence level of the interval.

    Returns
    -------
    Interval
        Without limits (NaN) where there are fewer than two values. With a single group it is about that group: it
        leaves out what another training run would change.

    Raises
    ------
    InputError
        If the level is out of range or the members do not fit the groups.

    Notes
    -----
    The mean of S groups of n members each is mu + a + b + e, of the effects of groups, members and both. The variance
    of the group means over S holds those of a and e, on S - 1 degrees of freedom; their mean covariance, from the
    members that they share, is that of b, on n - 1. The sum has the degrees of freedom of Satterthwaite's
    approximation, and the limits are Student's t.

    References
    ----------
    Satterthwaite, *An approximate distribution of estimates of variance components*, Biometrics Bulletin 2 (1946);
    Clark, *The language-as-fixed-effect fallacy*, J. Verbal Learning and Verbal Behavior 12 (1973), for two crossed
    random effects.

    Examples
    --------
    >>> np.round(mean_interval([np.array([1.0, 2.0, 3.0])])[:3], 3).tolist()
    [2.0, -0.484, 4.484]
    """
    from scipy.stats import t

    if not 0 < level < 1:
        raise InputError(f"level must lie in (0, 1); got {level}")
    values, names = _kept(groups, members)
    if not values:
        return Interval(np.nan, np.nan, np.nan, np.nan)
    mean = float(np.mean([v.mean() for v in values]))
    variance, freedom = _variance_of_mean(values, names)
    if np.isnan(variance):
        return Interval(mean, np.nan, np.nan, np.nan)
    error = np.sqrt(variance)
    half = t.ppf((1 + level) / 2, freedom) * error
    statistic = abs(mean) / error if error > 0 else np.inf * abs(mean) if mean else 0.0
    return Interval(mean, float(mean - half), float(mean + half), float(2 * t.sf(statistic, freedom)))


def bootstrap_mean(
    groups: Sequence[np.ndarray], *, level: float = 0.95, n_draws: int | None = None, seed: int | None = None
) -> Interval:
    """Give what `mean_interval` gives; the former name, under which intervals of few groups were too narrow.

    Parameters
    ----------
    groups, level
        As in `mean_interval`.
    n_draws, seed
        Without effect: nothing is drawn.

    Returns
    -------
    Interval

    Raises
    ------
    InputError
        As in `mean_interval`.

    Examples
    --------
    >>> bootstrap_mean([np.ones(10), np.ones(10)]).mean    # doctest: +SKIP
    1.0
    """
    warnings.warn("bootstrap_mean is now mean_interval", DeprecationWarning, stacklevel=2)
    return mean_interval(groups, level=level)


def summarise_methods(results: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Mean of every metric for every data set, architecture and method, with a confidence interval.

    Parameters
    ----------
    results : pandas.DataFrame
        One row per data set, architecture, seed, method and sequence; one column per metric.
    metrics : sequence of str
        The columns to summarise.

    Returns
    -------
    pandas.DataFrame
        ``dataset, architecture, method, metric, mean, low, high`` (95 %), ``seeds`` and ``n`` (values over all seeds).
        With one seed the interval is that of one trained network and says nothing of another training run.

    Raises
    ------
    InputError
        If a column is missing.

    References
    ----------
    See `mean_interval`.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"dataset": "a", "architecture": "koo", "seed": 0, "method": "ism", "sequence": [0, 1],
    ...                      "rma": [0.4, 0.6]})
    >>> summarise_methods(rows, ["rma"])["mean"].tolist()
    [0.5]
    """
    import pandas as pd

    _check_columns(results, [*CELL, "seed", "method", "sequence", *metrics])
    rows = []
    for (dataset, architecture, method), part in results.groupby(
        [*CELL, "method"], sort=False, observed=True
    ):
        seeds, sequences = part["seed"].to_numpy(), part["sequence"].to_numpy()
        for metric in metrics:
            values = part[metric].to_numpy(dtype=np.float64, na_value=np.nan)
            interval, *counts = _over_seeds(values, seeds, sequences)
            rows.append((dataset, architecture, method, metric, *interval[:3], *counts))
    columns = [*CELL, "method", "metric", "mean", "low", "high", "seeds", "n"]
    return pd.DataFrame(rows, columns=columns)


def compare_methods(
    results: pd.DataFrame,
    pairs: Sequence[tuple[str, str]],
    metrics: Sequence[str],
    *,
    n_draws: int | None = None,
    seed: int | None = None,
) -> pd.DataFrame:
    """Compare methods in pairs, on the same sequences of the same networks.

    Parameters
    ----------
    results : pandas.DataFrame
        As in `summarise_methods`, with the column ``sequence``.
    pairs : sequence of (str, str)
        Method and reference.
    metrics : sequence of str
        The columns to compare.
    n_draws, seed
        Without effect: nothing is drawn.

    Returns
    -------
    pandas.DataFrame
        ``dataset, architecture, method, reference, metric``; ``difference`` (method minus reference, mean over pairs),
        ``low`` and ``high`` (95 %); ``win_rate`` (share of sequences where the method is higher, ties counting half);
        ``p_value`` (two-sided, of no difference) and ``p_holm`` (the same after Holm's correction over the whole
        table); ``seeds``, ``n``. With one seed interval and p-value are about one trained network and say nothing of
        another training run. Higher is not better for every metric.

    Raises
    ------
    InputError
        If a column is missing, or a method has no results.

    References
    ----------
    See `mean_interval`; Holm, *A simple sequentially rejective multiple test procedure*, Scand. J. Statist. 6 (1979).

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"dataset": "a", "architecture": "koo", "seed": 0, "method": ["x", "x", "y", "y"],
    ...                      "sequence": [0, 1, 0, 1], "rma": [0.5, 0.7, 0.4, 0.4]})
    >>> compare_methods(rows, [("x", "y")], ["rma"])[["difference", "win_rate"]].round(6).to_numpy().tolist()
    [[0.2, 1.0]]
    """
    import pandas as pd

    _check_columns(results, [*CELL, "seed", "method", "sequence", *metrics])
    known = set(results["method"])
    missing = {name for pair in pairs for name in pair} - known
    if missing:
        raise InputError(f"there are no results for {', '.join(sorted(missing))}")
    rows = []
    for (dataset, architecture), cell in results.groupby(list(CELL), sort=False, observed=True):
        by_method = {
            name: part.set_index(["seed", "sequence"])[list(metrics)] for name, part in cell.groupby("method")
        }
        for method, reference in pairs:
            if method not in by_method or reference not in by_method:
                continue
            difference = by_method[method] - by_method[reference]
            seeds, sequences = (
                difference.index.get_level_values(name).to_numpy() for name in ("seed", "sequence")
            )
            for metric in metrics:
                values = difference[metric].to_numpy(dtype=np.float64, na_value=np.nan)
                interval, *counts = _over_seeds(values, seeds, sequences)
                known = values[~np.isnan(values)]
                wins = np.mean((known > 0) + 0.5 * (known == 0)) if len(known) else np.nan
                key = (dataset, architecture, method, reference, metric)
                rows.append((*key, *interval[:3], wins, interval.p_value, *counts))
    columns = [
        *CELL,
        "method",
        "reference",
        "metric",
        "difference",
        "low",
        "high",
        "win_rate",
        "p_value",
        "seeds",
        "n",
    ]
    table = pd.DataFrame(rows, columns=columns)
    table.insert(columns.index("p_value") + 1, "p_holm", holm(table["p_value"].to_numpy(dtype=float)))
    return table


def holm(p_values: np.ndarray) -> np.ndarray:
    """Correct p-values for their number (Holm's step-down procedure).

    Parameters
    ----------
    p_values : numpy.ndarray, shape (K,)
        NaN are left out of the count.

    Returns
    -------
    numpy.ndarray, shape (K,)

    References
    ----------
    Holm (1979).

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03])).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    corrected = np.full(len(p_values), np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0)
    return corrected


def _over_seeds(values: np.ndarray, seeds: np.ndarray, sequences: np.ndarray) -> tuple[Interval, int, int]:
    """Interval of the values that are no NaN, how many seeds have one, and their number."""
    known = ~np.isnan(values)
    values, seeds, sequences = values[known], seeds[known], sequences[known]
    parts = [seeds == seed for seed in np.unique(seeds)]
    interval = mean_interval([values[part] for part in parts], members=[sequences[part] for part in parts])
    return interval, len(parts), len(values)


def _kept(
    groups: Sequence[np.ndarray], members: Sequence[np.ndarray] | None
) -> tuple[list[np.ndarray], list[np.ndarray] | None]:
    """Values that are there, as float64, and their members."""
    values = [np.asarray(v, dtype=np.float64) for v in groups]
    known = [~np.isnan(v) for v in values]
    kept = [v[k] for v, k in zip(values, known, strict=True)]
    if members is None:
        return [v for v in kept if len(v)], None
    names = [np.asarray(m) for m in members]
    if [m.shape for m in names] != [v.shape for v in values]:
        raise InputError("members must name one member for each value of each group")
    return [v for v in kept if len(v)], [m[k] for m, k in zip(names, known, strict=True) if k.any()]


def _variance_of_mean(values: list[np.ndarray], names: list[np.ndarray] | None) -> tuple[float, float]:
    """Variance of the mean of group means with its degrees of freedom; NaN where nothing varies for lack of values."""
    n_groups = len(values)
    if n_groups == 1:
        n = len(values[0])
        return (float(values[0].var(ddof=1)) / n, n - 1) if n > 1 else (np.nan, np.nan)
    between = float(np.var([v.mean() for v in values], ddof=1)) / n_groups
    if names is None:
        return between, n_groups - 1
    shared, n_shared = _mean_covariance(values, names)
    if between + shared == 0 or n_shared < 2:
        return between, n_groups - 1
    squares = between**2 / (n_groups - 1) + shared**2 / (n_shared - 1)
    return between + shared, (between + shared) ** 2 / squares


def _mean_covariance(values: list[np.ndarray], names: list[np.ndarray]) -> tuple[float, int]:
    """Mean covariance of two group means, from the members that groups share, at least 0; and how many are shared."""
    n_groups, size = len(values), float(np.mean([len(v) for v in values]))
    parts = np.concatenate([(v - v.mean()) / len(v) for v in values])
    _, member, times = np.unique(np.concatenate(names), return_inverse=True, return_counts=True)
    sums = np.bincount(member, weights=parts)
    # The square of a sum over groups less its squares: all products of two different groups.
    products = float(np.square(sums).sum() - np.square(parts).sum()) / (n_groups * (n_groups - 1))
    return max(0.0, products * size / max(size - 1, 1.0)), int((times > 1).sum())


def _check_columns(results: pd.DataFrame, needed: Sequence[str]) -> None:
    check_columns("the table of results", results.columns, needed, "pass the table that benchmark returned")
