"""Where relevance goes on its way through a network: what each layer keeps; the numbers are the explanation's own."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from genoplrp.errors import InputError, check_columns
from genoplrp.plotting.curves import SERIES_COLORS, new_axes, quiet_axes

_NEEDED = ("layer", "entries", "entries_kept", "positive_mass", "positive_kept")
_MASS, _ENTRIES = SERIES_COLORS[0], SERIES_COLORS[4]


def plot_ledger(
    layers: pd.DataFrame,
    ax: Axes | None = None,
    *,
    title: str | None = None,
    figsize: tuple[float, float] | None = None,
) -> Axes:
    """Draw what pruning keeps in each layer: the share of its relevant entries and of its positive mass.

    Parameters
    ----------
    layers : DataFrame
        One row per layer and sequence, as in ``Explanation.layers``: the columns ``layer``, ``entries``,
        ``entries_kept``, ``positive_mass``, ``positive_kept``, and ``index`` for the order.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.
    title : str, optional
        Text above the axes.
    figsize : (float, float), optional
        Size of the new figure in inches.

    Returns
    -------
    matplotlib.axes.Axes
        Layers from the output (top) to the input (bottom), the way relevance runs. Bars are means over
        sequences of each sequence's share.

    Raises
    ------
    InputError
        If a column is missing or there is no row.

    Examples
    --------
    >>> import pandas as pd
    >>> from matplotlib.figure import Figure
    >>> layers = pd.DataFrame({"layer": ["conv1", "dense"], "index": [0, 1], "entries": [100, 50],
    ...     "entries_kept": [20, 25], "positive_mass": [4.0, 5.0], "positive_kept": [3.0, 5.0]})
    >>> ax = plot_ledger(layers, Figure().subplots())
    >>> [float(bar.get_width()) for bar in ax.containers[0]]
    [0.5, 0.2]
    """
    check_columns("layers", layers.columns, _NEEDED, "pass the `layers` of an explanation")
    if layers.empty:
        raise InputError(
            "layers has no rows, there is nothing to draw: explain with Explainer(..., diagnostics=True)"
        )
    shares = pd.DataFrame(
        {
            "layer": layers["layer"],
            "order": layers["index"] if "index" in layers.columns else pd.factorize(layers["layer"])[0],
            "entries": _share(layers["entries_kept"], layers["entries"]),
            "mass": _share(layers["positive_kept"], layers["positive_mass"]),
        }
    )
    means = shares.groupby(["order", "layer"], sort=True)[["entries", "mass"]].mean().reset_index()
    means = means.sort_values("order", ascending=False, ignore_index=True)
    ax = new_axes(figsize or (5.6, 0.9 + 0.45 * len(means))) if ax is None else ax
    y = np.arange(len(means))
    for offset, column, color, name in (
        (-0.19, "entries", _ENTRIES, "entries kept"),
        (0.19, "mass", _MASS, "positive mass kept"),
    ):
        bars = ax.barh(y + offset, means[column], height=0.36, color=color, label=name)
        ax.bar_label(bars, fmt="{:.0%}", padding=2, fontsize=7, color="#333333")
    ax.set_yticks(y, means["layer"].astype(str))
    ax.set_ylim(len(means) - 0.5, -0.5)
    ax.set_xlim(0, 1.12)
    ax.set_xticks(np.linspace(0, 1, 5), [f"{share:.0%}" for share in np.linspace(0, 1, 5)])
    quiet_axes(ax)
    ax.set_xlabel("share of what reaches the layer's input")
    ax.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
    if title:
        ax.set_title(title, fontsize=10, loc="left", pad=22)
    return ax


def _share(part: pd.Series, whole: pd.Series) -> pd.Series:
    # Nothing out of nothing: a layer that no relevance reached has no share, and stays out of the mean.
    return part.astype(float) / whole.astype(float).where(whole != 0)
