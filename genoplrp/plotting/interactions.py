"""Pairs of sites as a matrix, and as a curve over their distance; what is drawn is computed elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from genoplrp.errors import InputError
from genoplrp.plotting.curves import SERIES_COLORS
from genoplrp.plotting.logo import sized_figure
from genoplrp.wording import counted, two_digits

if TYPE_CHECKING:
    from genoplrp.sites.pairs import Interactions

_BARS = 2.0
"""Width of the bars beside the matrix, in its cells."""
_MOST_NUMBERS = 14
"""Sites up to which the numbers stand in the cells."""


def plot_interactions(found: Interactions, sequence: int = 0, *, figure: Figure | None = None) -> Figure:
    """Draw the pairs of one sequence: interactions above the diagonal, changes of relevance below it.

    Parameters
    ----------
    found : Interactions
        As `genoplrp.interactions` makes them.
    sequence : int
        Row of X.
    figure : matplotlib Figure, optional
        An empty figure to draw in, made as large as it needs to be; by default a new one of pyplot's.

    Returns
    -------
    Figure
        Above the diagonal are the interactions, where a dot marks pairs with a q-value of at most .05, below it the
        changes of relevance (mean of ``change_a`` and ``change_b``); either has colours of its own. The bars at the
        right are the effects of each site alone.

    Raises
    ------
    InputError
        If the sequence has no sites.
    """
    effects = found.matrix(sequence)
    n = len(effects)
    if n == 0:
        raise InputError(f"sequence {sequence} has no sites: there is nothing to draw; name one that has")
    changes, q = (found.matrix(sequence, value).to_numpy() for value in ("relevance_change", "q_value"))
    upper = np.where(np.tril(np.ones((n, n), dtype=bool)), np.nan, effects.to_numpy())
    lower = np.where(np.triu(np.ones((n, n), dtype=bool)), np.nan, changes)
    side = 1.9 + 0.62 * n
    figure = sized_figure(figure, (side + 3.2, side))
    figure.set_layout_engine("compressed")
    ax, beside = figure.subplots(1, 2, width_ratios=(n, _BARS))
    for values, label, colors in (
        (upper, f"above the diagonal:\ninteraction, {found.scale}", "RdBu_r"),
        (lower, "below it: change of relevance,\nmean of both sites", "PuOr_r"),
    ):
        finite = np.abs(values[np.isfinite(values)])
        limit = float(finite.max(initial=0.0)) or 1.0
        image = ax.imshow(np.ma.masked_invalid(values), cmap=colors, vmin=-limit, vmax=limit)
        if finite.size:
            bar = figure.colorbar(image, ax=[ax, beside], shrink=0.9, pad=0.02)
            bar.set_label(label, fontsize=8)
            bar.ax.tick_params(labelsize=7)
        if n <= _MOST_NUMBERS:
            for i, j in np.argwhere(np.isfinite(values)):
                dark = abs(values[i, j]) > 0.6 * limit
                text = f"{values[i, j]:.{two_digits(limit)}f}" + ("\n•" if i < j and q[i, j] <= 0.05 else "")
                ax.text(
                    j, i, text, ha="center", va="center", fontsize=7, color="white" if dark else "#333333"
                )
    ax.set_xticks(range(n), effects.columns, rotation=40, ha="right", fontsize=8)
    ax.set_yticks(range(n), effects.index, fontsize=8)
    for place in np.arange(n + 1) - 0.5:
        ax.axhline(place, color="white", linewidth=1.5)
        ax.axvline(place, color="white", linewidth=1.5)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    beside.set_box_aspect(n / _BARS)
    _draw_effects(beside, np.diag(effects), found.scale)
    return figure


def _draw_effects(ax: Axes, values: Float[np.ndarray, " sites"], scale: str) -> None:
    """Draw the effect of each site alone as a bar beside its row of the matrix."""
    ax.barh(range(len(values)), values, height=0.5, color="#888888")
    ax.axvline(0, color="#444444", linewidth=0.6)
    reach = float(np.abs(values).max()) or 1.0
    ax.set_xlim(min(values.min(), 0) - 0.45 * reach, max(values.max(), 0) + 0.45 * reach)
    ax.set_ylim(len(values) - 0.5, -0.5)
    for row, value in enumerate(values):
        side, sign = ("left", 1) if value >= 0 else ("right", -1)
        at = value + sign * 0.05 * reach
        ax.text(at, row, f"{value:.{two_digits(reach)}f}", ha=side, va="center", fontsize=7, color="#333333")
    ax.set_title(f"effect of each\nsite alone, {scale}", fontsize=8)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


def plot_distance(
    found: Interactions, *, width: int = 5, most: int = 6, figure: Figure | None = None
) -> Figure:
    """Draw the mean interaction of each pair of motifs against the distance between their sites.

    Parameters
    ----------
    found : Interactions
        As `genoplrp.interactions` makes them.
    width : int
        Bins of this many bp.
    most : int
        Pairs of motifs, the most frequent first.
    figure : matplotlib Figure, optional
        An empty figure to draw in, made as large as it needs to be; by default a new one of pyplot's.

    Returns
    -------
    Figure
        Points are single pairs, lines means at the mean distance of a bin's pairs, bands 1.96 standard errors.

    Raises
    ------
    InputError
        If there are no pairs.
    """
    if found.pairs.empty:
        raise InputError("there are no pairs of sites: there is nothing to draw")
    curves = found.by_distance(width)
    kinds = found.summary().sort_values("pairs", ascending=False)["motif_pair"].tolist()[:most]
    columns = min(len(kinds), 3)
    rows = -(-len(kinds) // columns)
    figure = sized_figure(figure, (3.6 * columns + 0.6, 2.5 * rows + 0.3))
    figure.set_layout_engine("constrained")
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    names = [" + ".join(sorted(p)) for p in zip(found.pairs["motif_a"], found.pairs["motif_b"], strict=True)]
    for k, (ax, kind) in enumerate(zip(axes, kinds, strict=False)):
        color = SERIES_COLORS[k % len(SERIES_COLORS)]
        points = found.pairs[np.array(names) == kind]
        curve = curves[curves["motif_pair"] == kind]
        # A mean stands where its pairs are on average: bins may be filled at one end only.
        at = curve["distance"].map(points.groupby(points["distance"] // width * width)["distance"].mean())
        ax.axhline(0, color="#444444", linewidth=0.6)
        ax.scatter(points["distance"], points["interaction"], s=6, color=color, alpha=0.25, linewidths=0)
        ax.fill_between(at, curve["low"], curve["high"], color=color, alpha=0.2, linewidth=0)
        ax.plot(at, curve["interaction"], color=color, marker="o", markersize=3)
        ax.set_title(f"{kind}, {counted(len(points), 'pair')}", fontsize=9)
        ax.set_xlabel("bp between the sites", fontsize=8)
        ax.tick_params(labelsize=7)
        ax.spines[["top", "right"]].set_visible(False)
        if k % columns == 0:
            ax.set_ylabel(f"interaction, {found.scale}", fontsize=8)
    for ax in axes[len(kinds) :]:
        ax.remove()
    return figure
