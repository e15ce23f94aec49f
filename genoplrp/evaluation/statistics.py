"""How sure a comparison is: bootstrap over sequences and training seeds, paired differences; no metric is defined here.

Sequences of one trained network are not independent of each other as evidence about a method: another training run
moves all of them. So seeds are resampled first, then sequences within each seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from genoplrp.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

#: What is compared under the same conditions; a row of results belongs to one cell, one seed and one sequence.
CELL = ("dataset", "architecture")


class Interval(NamedTuple):
    """A mean with its bootstrap confidence interval.

    Attributes
    ----------
    mean : float
        Mean over seeds of the mean over sequences.
    low, high : float
        Percentiles of the bootstrap distribution.
    draws : numpy.ndarray, shape (B,)
        The bootstrap distribution.
    """

    mean: float
    low: float
    high: float
    draws: np.ndarray


def bootstrap_mean(
    groups: Sequence[np.ndarray], *, level: float = 0.95, n_draws: int = 2000, seed: int = 0
) -> Interval:
    """Bootstrap a mean over two levels: groups (training seeds), and members (sequences) within each.

    Parameters
    ----------
    groups : sequence of arrays
        The values of each group; NaN are left out, and groups without a value are too.
    level : float
        Confidence level of the interval.
    n_draws : int
        Bootstrap samples.
    seed : int
        Seed of the resampling.

    Returns
    -------
    Interval
        NaN throughout if there is no value. With a single group only the members are resampled, and the interval
        leaves out what another training run would change.

    Raises
    ------
    InputError
        If the level or the number of draws is out of range.

    References
    ----------
    Davison and Hinkley, *Bootstrap Methods and their Application* (1997), section 3.8 (hierarchical resampling).

    Examples
    --------
    >>> bootstrap_mean([np.ones(10), np.ones(10)])[:3]
    (1.0, 1.0, 1.0)
    """
    if not 0 < level < 1 or n_draws < 1:
        raise InputError(f"level must lie in (0, 1) and n_draws be positive; got {level} and {n_draws}")
    kept = [values[~np.isnan(values)] for values in map(np.asarray, groups)]
    kept = [values.astype(np.float64) for values in kept if len(values)]
    if not kept:
        return Interval(np.nan, np.nan, np.nan, np.full(n_draws, np.nan))
    weights = _resampling(tuple(map(len, kept)), n_draws, seed)
    draws = weights @ np.concatenate(kept)
    tail = (1 - level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(float(np.mean([values.mean() for values in kept])), float(low), float(high), draws)


def summarise_methods(results: pd.DataFrame, metrics: Sequence[str], *, n_draws: int = 2000) -> pd.DataFrame:
    """Mean of every metric for every data set, architecture and method, with a confidence interval.

    Parameters
    ----------
    results : pandas.DataFrame
        One row per data set, architecture, seed, method and sequence; one column per metric.
    metrics : sequence of str
        The columns to summarise.
    n_draws : int
        Bootstrap samples.

    Returns
    -------
    pandas.DataFrame
        ``dataset, architecture, method, metric, mean, low, high`` (95 %), ``seeds`` and ``n`` (values over all seeds).

    Raises
    ------
    InputError
        If a column is missing.

    References
    ----------
    See `bootstrap_mean`.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"dataset": "a", "architecture": "koo", "seed": 0, "method": "ism", "sequence": [0, 1],
    ...                      "rma": [0.4, 0.6]})
    >>> summarise_methods(rows, ["rma"])["mean"].tolist()
    [0.5]
    """
    import pandas as pd

    _check_columns(results, [*CELL, "seed", "method", *metrics])
    rows = []
    for (dataset, architecture, method), part in results.groupby(
        [*CELL, "method"], sort=False, observed=True
    ):
        for metric in metrics:
            groups = [values.to_numpy() for _, values in part.groupby("seed")[metric]]
            interval = bootstrap_mean(groups, n_draws=n_draws)
            rows.append(
                (dataset, architecture, method, metric, *interval[:3], len(groups), part[metric].count())
            )
    columns = [*CELL, "method", "metric", "mean", "low", "high", "seeds", "n"]
    return pd.DataFrame(rows, columns=columns)


def compare_methods(
    results: pd.DataFrame,
    pairs: Sequence[tuple[str, str]],
    metrics: Sequence[str],
    *,
    n_draws: int = 2000,
    seed: int = 0,
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
    n_draws : int
        Bootstrap samples.
    seed : int
        Seed of the resampling.

    Returns
    -------
    pandas.DataFrame
        ``dataset, architecture, method, reference, metric``; ``difference`` (method minus reference, mean over pairs),
        ``low`` and ``high`` (95 %); ``win_rate`` (share of sequences where the method is higher, ties counting half);
        ``p_value`` (two-sided, of no difference, from the bootstrap: at least 2 / draws, and too small where there are
        few seeds, since three seeds hardly show how seeds differ) and ``p_holm`` (the same after Holm's correction
        over the whole table); ``seeds``, ``n``. Higher is not better for every metric.

    Raises
    ------
    InputError
        If a column is missing, or a method has no results.

    References
    ----------
    Holm, *A simple sequentially rejective multiple test procedure*, Scand. J. Statist. 6 (1979).

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
            for metric in metrics:
                values = difference[metric].dropna()
                groups = [part.to_numpy() for _, part in values.groupby(level="seed")]
                interval = bootstrap_mean(groups, n_draws=n_draws, seed=seed)
                wins = np.mean((values > 0) + 0.5 * (values == 0)) if len(values) else np.nan
                key = (dataset, architecture, method, reference, metric)
                rows.append((*key, *interval[:3], wins, _two_sided(interval.draws), len(groups), len(values)))
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


@lru_cache(maxsize=8)
def _resampling(sizes: tuple[int, ...], n_draws: int, seed: int) -> np.ndarray:
    """Weight of every value in every bootstrap mean, (draws, values): the same for all metrics of the same size."""
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(sizes), size=(n_draws, len(sizes)))
    blocks = []
    for g, size in enumerate(sizes):
        times = (chosen == g).sum(axis=1)
        counts = np.zeros((n_draws, size))
        for repeat in range(1, int(times.max()) + 1):
            rows = np.flatnonzero(times >= repeat)
            members = rng.integers(0, size, size=(len(rows), size))
            cells = (rows[:, None] * size + members).ravel()
            counts += np.bincount(cells, minlength=n_draws * size).reshape(n_draws, size)
        blocks.append(counts / (size * len(sizes)))
    return np.concatenate(blocks, axis=1)


def _two_sided(draws: np.ndarray) -> float:
    """Twice the smaller share of draws beyond zero; never 0, since there are only so many draws."""
    if np.isnan(draws).all():
        return np.nan
    smaller = min(float(np.mean(draws <= 0)), float(np.mean(draws >= 0)))
    return float(min(1.0, 2 * max(smaller, 1 / len(draws))))


def _check_columns(results: pd.DataFrame, needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in results.columns]
    if missing:
        raise InputError(f"the results lack the columns {', '.join(missing)}")
