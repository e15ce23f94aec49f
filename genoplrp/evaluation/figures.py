"""The figures of a benchmark: scores against p, all methods at a glance, cost against quality; tables in, files out."""

from __future__ import annotations

import re
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genoplrp.plotting.curves import SERIES_COLORS
from genoplrp.scores import described, shown_in

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SWEEP = re.compile(r"plrp-(?P<kind>lambda|M|M-literal)-(?P<p>[\d.]+)@(?P<preset>[\w-]+)")
_FAMILY_COLORS = {
    "LRP": SERIES_COLORS[0],
    "PLRP": SERIES_COLORS[1],
    "control": SERIES_COLORS[6],
    "rival": SERIES_COLORS[2],
    "partial sequences": SERIES_COLORS[3],
    "consensus": SERIES_COLORS[4],
}


def draw_benchmark(summary: pd.DataFrame, timing: pd.DataFrame, folder: Path) -> list[str]:
    """Draw every figure that the results allow, as PNG and SVG.

    Parameters
    ----------
    summary, timing : pandas.DataFrame
        As `genoplrp.evaluation.write_report` makes them.
    folder : Path
        Where to write; it is created.

    Returns
    -------
    list of str
        Names of the files.

    Examples
    --------
    >>> draw_benchmark(summary, timing, Path("figures"))    # doctest: +SKIP
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures = {"methods": plot_methods(summary)}
    sweep = sweep_table(summary)
    if sweep["p"].nunique() > 4:
        figures["sweep"] = plot_sweeps(sweep)
    if len(timing):
        figures["cost"] = plot_cost(summary, timing)
    names = []
    for name, figure in figures.items():
        for suffix in ("png", "svg"):
            figure.savefig(folder / f"{name}.{suffix}", dpi=150, bbox_inches="tight")
            names.append(f"{name}.{suffix}")
    return names


def sweep_table(summary: pd.DataFrame) -> pd.DataFrame:
    """Pick the PLRP methods that differ in p from a summary.

    Parameters
    ----------
    summary : pandas.DataFrame
        As `genoplrp.evaluation.summarise_methods` returns it.

    Returns
    -------
    pandas.DataFrame
        The rows with the columns ``kind`` (lambda, M), ``p`` and ``preset`` added.

    Examples
    --------
    >>> import pandas as pd
    >>> sweep_table(pd.DataFrame({"method": ["ism", "plrp-M-0.25@gamma"]}))["p"].tolist()
    [0.25]
    """
    parts = summary["method"].str.extract(rf"^{_SWEEP.pattern}$")
    table = summary.join(parts)[parts["p"].notna()].copy()
    table["p"] = table["p"].astype(float)
    return table


def plot_sweeps(sweep: pd.DataFrame) -> Figure:
    """Draw each score against p, lambda and M, one colour per data set and network, with 95 % bands.

    Parameters
    ----------
    sweep : pandas.DataFrame
        From `sweep_table`.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> plot_sweeps(sweep_table(summary))    # doctest: +SKIP
    """
    from matplotlib.figure import Figure

    presets = sweep.groupby("preset")["p"].nunique()
    sweep = sweep[sweep["preset"] == presets.idxmax()]
    metrics = [name for name in shown_in("sweep") if sweep.loc[sweep["metric"] == name, "mean"].notna().any()]
    columns = 4
    rows = -(-len(metrics) // columns)
    figure = Figure(figsize=(3.1 * columns, 2.6 * rows + 0.6), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns, sharex=True)).ravel()
    cells = list(dict.fromkeys(zip(sweep["dataset"], sweep["architecture"], strict=True)))
    for ax, metric in zip(axes, metrics, strict=False):
        part = sweep[sweep["metric"] == metric]
        for color, cell in zip(cycle(SERIES_COLORS), cells, strict=False):
            own = part[(part["dataset"] == cell[0]) & (part["architecture"] == cell[1])]
            for kind, line in (("lambda", "-"), ("M", "--")):
                one = own[own["kind"] == kind].sort_values("p")
                label = f"{cell[0]}, {cell[1]}, {'λ' if kind == 'lambda' else kind}"
                ax.plot(
                    one["p"], one["mean"], line, color=color, linewidth=1.4, label=label if len(one) else None
                )
                ax.fill_between(one["p"], one["low"], one["high"], color=color, alpha=0.12, linewidth=0)
        ax.set_title(_title(metric), fontsize=9, loc="left")
        _quiet(ax)
    for ax in axes[len(metrics) :]:
        ax.set_visible(False)
    for ax in axes[max(0, len(metrics) - columns) : len(metrics)]:
        ax.set_xlabel("pruned share p", fontsize=9)
        ax.tick_params(labelbottom=True)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return figure


def plot_methods(summary: pd.DataFrame) -> Figure:
    """Draw all methods against the main metrics: the figure in each cell, shaded from worst to best of its column.

    Parameters
    ----------
    summary : pandas.DataFrame
        As `genoplrp.evaluation.summarise_methods` returns it; means over data sets and networks are shown.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> plot_methods(summary)    # doctest: +SKIP
    """
    from matplotlib.figure import Figure

    wide = summary.pivot_table(index="method", columns="metric", values="mean", aggfunc="mean", sort=False)
    swept = sweep_table(summary)
    if swept["p"].nunique() > 8:
        # A sweep has a figure of its own.
        dense = swept[~swept["p"].isin([0.05, 0.15, 0.25, 0.5])]["method"]
        wide = wide[~wide.index.isin(dense)]
    wide = wide[[name for name in shown_in("table") if name in wide and wide[name].notna().any()]]
    values = wide.to_numpy(dtype=float)
    shade = np.column_stack([_shade(values[:, j], str(name)) for j, name in enumerate(wide.columns)])
    figure = Figure(figsize=(1.0 * len(wide.columns) + 2.6, 0.27 * len(wide) + 1.2), layout="constrained")
    ax = figure.subplots()
    ax.imshow(shade, cmap="cividis", aspect="auto", vmin=0, vmax=1, alpha=0.9)
    for (i, j), value in np.ndenumerate(values):
        if not np.isnan(value):
            color = "white" if shade[i, j] < 0.55 else "black"
            ax.text(j, i, _short(value), ha="center", va="center", fontsize=7.5, color=color)
    labels = [f"{name} ↓" if described(name).better == "lower" else name for name in wide.columns]
    ax.set_xticks(range(len(labels)), [label.replace("_", "\n") for label in labels], fontsize=8)
    ax.set_yticks(range(len(wide)), list(wide.index), fontsize=8)
    ax.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    for side in ax.spines.values():
        side.set_visible(False)
    return figure


def _shade(values: np.ndarray, metric: str) -> np.ndarray:
    """Put the values of a column between 0, the worst, and 1, the best; .5 where neither way is better."""
    better = described(metric).better
    low, high = np.nanquantile(values, [0.05, 0.95])
    if better is None or not high > low:
        return np.full(len(values), 0.5)
    scaled: np.ndarray = np.clip((values - low) / (high - low), 0, 1)
    return 1 - scaled if better == "lower" else scaled


def plot_cost(summary: pd.DataFrame, timing: pd.DataFrame, *, metric: str = "average_precision") -> Figure:
    """Draw what a method costs against how well it ranks the planted bases.

    Parameters
    ----------
    summary, timing : pandas.DataFrame
        As `genoplrp.evaluation.write_report` makes them; means over data sets and networks are shown.
    metric : str
        What stands for quality.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> plot_cost(summary, timing)    # doctest: +SKIP
    """
    from matplotlib.figure import Figure

    quality = summary[summary["metric"] == metric].groupby("method", sort=False)["mean"].mean()
    seconds = timing.groupby("method")["seconds"].mean() * 1000
    names = [
        name for name in quality.index if not name.startswith(("random", "pwm-scan", "threshold", "sharpen"))
    ]
    swept = [name for name in names if _SWEEP.fullmatch(name)]
    if len(swept) > 12:
        names = [name for name in names if name not in swept or name.endswith(("-0.05@gamma", "-0.15@gamma"))]
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    ax = figure.subplots()
    shown = set()
    for name in names:
        family = _family(name)
        label = None if family in shown else family
        shown.add(family)
        ax.scatter(seconds[name], quality[name], color=_FAMILY_COLORS[family], s=28, label=label, zorder=3)
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    ax.set_xlim(low / 2, high * 4)
    _label_points(ax, {name: (float(seconds[name]), float(quality[name])) for name in names})
    ax.set_xlabel("milliseconds per sequence")
    ax.set_ylabel(metric.replace("_", " "))
    if shown:
        figure.legend(frameon=False, fontsize=8, loc="outside upper left", ncols=6)
    _quiet(ax)
    return figure


def _title(metric: str) -> str:
    score = described(metric)
    return f"{score.title} (lower is better)" if score.better == "lower" else score.title


def _short(value: float) -> str:
    text = f"{value:.2f}"
    return ".00" if float(text) == 0 else text.replace("0.", ".", 1) if abs(value) < 1 else text


def _label_points(ax: Axes, points: dict[str, tuple[float, float]]) -> None:
    """Name the points, the best first, to the right or to the left of them, wherever no other name stands."""
    (left, right), (bottom, top) = np.log10(ax.get_xlim()), ax.get_ylim()
    # Of the width and height of the axes: what one letter and one line take.
    letter, line = 0.0105, 0.032
    places = {
        name: ((np.log10(x) - left) / (right - left), (y - bottom) / (top - bottom))
        for name, (x, y) in points.items()
    }
    taken = [(x - 0.01, x + 0.01, y) for x, y in places.values()]
    for name in sorted(points, key=lambda n: -points[n][1]):
        x, y = places[name]
        width = letter * len(name)
        for start, end, offset, side in (
            (x + 0.012, x + 0.012 + width, (5, -2.5), "left"),
            (x - 0.012 - width, x - 0.012, (-5, -2.5), "right"),
        ):
            if start < 0 or end > 1 or any(a < end and b > start and abs(h - y) < line for a, b, h in taken):
                continue
            ax.annotate(name, points[name], xytext=offset, textcoords="offset points", fontsize=7, ha=side)
            taken.append((start, end, y))
            break


def _family(name: str) -> str:
    if name.startswith("consensus"):
        return "consensus"
    if name.startswith(("knockout:", "path:", "mean:")):
        return "partial sequences"
    if name.startswith(("plrp-", "pruned-")):
        return "PLRP"
    if name.startswith("lrp@"):
        return "LRP"
    return "control" if ":" in name else "rival"


def _quiet(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)
    ax.grid(axis="y", color="#dddddd", linewidth=0.6, zorder=0)
