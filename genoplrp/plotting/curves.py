"""Scores as lines: over the pruning strength p, over the bases removed; computing them is ``evaluation``'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from genoplrp.errors import InputError, check_columns
from genoplrp.plotting.arrays import as_array
from genoplrp.plotting.options import Numbers
from genoplrp.scores import described

# Okabe and Ito (2008), the darker ones first.
SERIES_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")
_LINE_STYLES = ("-", "--", ":", "-.")
_MARKERS = "os^Dv<>"


def plot_sweep(
    table: pd.DataFrame,
    metrics: str | Sequence[str] = ("gini", "rma"),
    ax: Axes | None = None,
    *,
    p: str = "p",
    by: str | None = None,
    title: str | None = None,
    figsize: tuple[float, float] = (5.2, 3.4),
) -> Axes:
    """Draw scores against the pruning strength p: the mean over sequences, with its 95 % band.

    Parameters
    ----------
    table : DataFrame
        One row per p and sequence (or one per p, then without a band), with a column `p` and the metrics.
    metrics : str or sequence of str
        Columns to draw, one line each.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.
    p : str
        Column of the pruning strength.
    by : str, optional
        Column that splits the rows (``"method"``): one line per metric and value, told apart by
        its stroke, and of a single metric by its colour too.
    title : str, optional
        Text above the axes.
    figsize : (float, float)
        Size of the new figure in inches.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If a column is missing or the table is empty.

    Examples
    --------
    >>> import pandas as pd
    >>> from matplotlib.figure import Figure
    >>> table = pd.DataFrame({"p": [0, 0, 0.5, 0.5], "gini": [0.6, 0.7, 0.8, 0.9]})
    >>> ax = plot_sweep(table, "gini", Figure().subplots())
    >>> [round(float(y), 3) for y in ax.lines[0].get_ydata()]
    [0.65, 0.85]
    """
    metrics = [metrics] if isinstance(metrics, str) else list(metrics)
    check_columns("the table", table.columns, [p, *metrics, *([by] if by else [])])
    if table.empty:
        raise InputError("the table has no rows; there is nothing to draw")
    ax = new_axes(figsize) if ax is None else ax
    groups = (
        [("", table)] if by is None else [(str(key), part) for key, part in table.groupby(by, sort=False)]
    )
    alone = len(metrics) == 1  # then colours tell the groups apart, else the metrics
    for i, metric in enumerate(metrics):
        for j, (name, part) in enumerate(groups):
            summary = part.groupby(p)[metric].agg(["mean", "sem"])
            x, mean = summary.index.to_numpy(dtype=float), summary["mean"].to_numpy(dtype=float)
            half = 1.96 * summary["sem"].fillna(0).to_numpy(dtype=float)
            series = j if alone else i
            color = SERIES_COLORS[series % len(SERIES_COLORS)]
            title_of = described(metric).title
            ax.plot(
                x,
                mean,
                color=color,
                linestyle=_LINE_STYLES[j % len(_LINE_STYLES)],
                marker=_MARKERS[series % len(_MARKERS)],
                markersize=3.5,
                linewidth=1.3,
                label=(name if alone else f"{title_of}, {name}") if name else title_of,
            )
            ax.fill_between(x, mean - half, mean + half, color=color, alpha=0.18, linewidth=0)
    quiet_axes(ax)
    ax.set_xlabel("pruned share of relevance p")
    ax.set_ylabel(described(metrics[0]).title if alone else "score")
    if not alone or by is not None:
        ax.legend(frameon=False, fontsize=8)
    if title:
        ax.set_title(title, fontsize=10, loc="left")
    return ax


def plot_deletion(
    curves: Mapping[str, Numbers],
    ax: Axes | None = None,
    *,
    fraction: Numbers | None = None,
    ylabel: str = "model output",
    title: str | None = None,
    figsize: tuple[float, float] = (5.2, 3.4),
) -> Axes:
    """Draw what is left of the model's output while bases are removed, most relevant first, with 95 % bands.

    Parameters
    ----------
    curves : mapping from name to array, shape (N, S) or (S,)
        Output of N sequences after each of S steps, one entry per method.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.
    fraction : array, shape (S,), optional
        Share of bases removed at each step; by default from 0 to 1 in even steps.
    ylabel, title : str
        Text beside and above the axes.
    figsize : (float, float)
        Size of the new figure in inches.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If there is no curve, shapes do not fit together, or NaN occurs.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> ax = plot_deletion({"LRP": np.array([[4.0, 2.0, 0.0], [2.0, 1.0, 0.0]])}, Figure().subplots())
    >>> ax.lines[0].get_ydata().tolist()
    [3.0, 1.5, 0.0]
    """
    if not curves:
        raise InputError("there is no curve to draw; pass a mapping from name to (N, S) array")
    arrays = {name: np.atleast_2d(as_array(values, name)) for name, values in curves.items()}
    steps = {array.shape[-1] for array in arrays.values()}
    if len(steps) != 1 or any(array.ndim != 2 for array in arrays.values()):
        raise InputError(
            f"curves must have one shape (N, S) each with the same S; got {[a.shape for a in arrays.values()]}"
        )
    n_steps = steps.pop()
    x = np.linspace(0, 1, n_steps) if fraction is None else as_array(fraction, "fraction")
    if x.shape != (n_steps,):
        raise InputError(f"fraction must have shape ({n_steps},), one per step; got {x.shape}")
    ax = new_axes(figsize) if ax is None else ax
    for color, (name, array) in zip(SERIES_COLORS * len(arrays), arrays.items(), strict=False):
        mean = array.mean(axis=0)
        half = 1.96 * array.std(axis=0, ddof=1) / np.sqrt(len(array)) if len(array) > 1 else np.zeros(n_steps)
        ax.plot(x, mean, color=color, linewidth=1.5, label=name)
        ax.fill_between(x, mean - half, mean + half, color=color, alpha=0.18, linewidth=0)
    quiet_axes(ax)
    ax.set_xlim(float(x.min()), float(x.max()))
    ax.set_xlabel("share of bases removed")
    ax.set_ylabel(ylabel)
    ax.legend(frameon=False, fontsize=8)
    if title:
        ax.set_title(title, fontsize=10, loc="left")
    return ax


def quiet_axes(ax: Axes) -> None:
    """No box around the axes, thin ticks, small numbers."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_linewidth(0.6)
    ax.tick_params(labelsize=8, width=0.6, length=3)
    ax.xaxis.label.set_fontsize(9)
    ax.yaxis.label.set_fontsize(9)


def new_axes(figsize: tuple[float, float]) -> Axes:
    """Return the axes of a new figure of a size in inches."""
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=figsize, layout="constrained")
    return ax
