"""The graph of a flow: columns from the sites to the output, what passes as bands; the figures are made elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, PathPatch, Rectangle
from matplotlib.path import Path

from genoplrp.errors import InputError
from genoplrp.plotting.logo import plot_logo, sized_figure

if TYPE_CHECKING:
    import pandas as pd

    from genoplrp.sites.flow import Flow

POSITIVE, NEGATIVE, POOLED, INK = "#b2182b", "#2166ac", "#b8b8b8", "#333333"
_BAR, _LOGO, _PITCH = 0.05, 0.6, 2.0
"""Widths of a node's bar and of the logo beside it, and the distance of two columns, in inches-like units."""
_LEGEND = 0.3
"""Height of the legend, in inches."""
_KINDS = (
    (POSITIVE, "speaks for the output"),
    (NEGATIVE, "speaks against it"),
    (POOLED, "pooled: other channels, bases outside the sites"),
)
_GAP = 0.25
_SWEEPS = 4


def plot_flow(
    flow: Flow, *, share: float = 0.9, title: str | None = None, figure: Figure | None = None
) -> Figure:
    """Draw a flow: sites on the left, the output on the right, layers as columns between them.

    Parameters
    ----------
    flow : Flow
        As `genoplrp.flow` makes it.
    share : float
        Of the relevance between two columns: the fewest bands that hold it are drawn.
    title : str, optional
        Text above.
    figure : matplotlib Figure, optional
        An empty figure to draw in, made as large as the graph asks for; by default a new one of pyplot's.

    Returns
    -------
    Figure
        A bar is as high as its node's share of its column, red for positive and blue for negative relevance; what is
        pooled is grey, as the legend says. The letters beside a channel are the mean relevance of the bases where it
        gathers, those beside a site its own.

    Raises
    ------
    InputError
        If the share makes no sense.
    """
    if not 0 < share <= 1:
        raise InputError(f"share={share:g}: a share in (0, 1]")
    edges = flow.strongest(share)
    columns = ["sites", *flow.layers, "output"]
    nodes = flow.nodes[flow.nodes["relevance"] != 0].set_index("node")
    members = {column: list(nodes.index[nodes["layer"] == column]) for column in columns}
    tallest = max(len(names) for names in members.values())
    size = _PITCH * len(columns) + 1.0, max(3.0, 0.62 * tallest + 0.9) + _LEGEND
    figure = sized_figure(figure, size)
    low = 0.02 + _LEGEND / size[1]
    ax = figure.add_axes((0.02, low, 0.96, (0.98 if title is None else 0.92) - low))
    figure.legend(
        handles=[Patch(color=color, label=label) for color, label in _KINDS],
        loc="lower left",
        ncols=len(_KINDS),
        fontsize=8,
        frameon=False,
    )
    places = _places(nodes, edges, members, columns, float(tallest))
    ax.set_xlim(-0.15, _PITCH * (len(columns) - 1) + 1.0)
    ax.set_ylim(-0.15, tallest + 0.75)
    ax.axis("off")
    _draw_edges(ax, nodes, edges, places)
    for k, column in enumerate(columns):
        count = int(flow.nodes.loc[flow.nodes["layer"] == column, "channels"].sum())
        of = f", {count} channels" if column in flow.layers else ""
        ax.text(
            places.x[k],
            tallest + 0.35,
            f"{column}{of}",
            fontsize=9,
            fontweight="bold",
            color=INK,
            va="bottom",
        )
        for name in members[column]:
            _draw_node(ax, flow, nodes.loc[name], name, places.x[k], *places.span[name])
    if title is not None:
        figure.suptitle(title, fontsize=10, color=INK)
    return figure


class _Places:
    """Where columns and nodes stand."""

    def __init__(self, x: list[float], span: dict[str, tuple[float, float]], column: dict[str, int]) -> None:
        self.x, self.span, self.column = x, span, column


def _places(
    nodes: pd.DataFrame, edges: pd.DataFrame, members: dict[str, list[str]], columns: list[str], height: float
) -> _Places:
    """Order the nodes of each column so that bands cross little, and give each a slot of equal height."""
    column = {name: k for k, layer in enumerate(columns) for name in members[layer]}
    y = _heights(nodes, edges, members, columns, height)
    span = {}
    for layer in columns:
        size = nodes.loc[members[layer], "relevance"].abs()
        slot = height / max(len(members[layer]), 1)
        # A node that holds a quarter of its column or more fills its slot.
        for name in members[layer]:
            half = 0.5 * min(slot, 1.0) * (1 - _GAP) * min(1.0, 4 * size[name] / (size.sum() or 1.0))
            span[name] = y[name] - max(half, 0.02), y[name] + max(half, 0.02)
    return _Places([_PITCH * k for k in range(len(columns))], span, column)


def _heights(
    nodes: pd.DataFrame, edges: pd.DataFrame, members: dict[str, list[str]], columns: list[str], height: float
) -> dict[str, float]:
    """Order the members of each column, in place, by where what they are connected with lies; return their middles."""
    y: dict[str, float] = {}

    def spread(names: list[str]) -> None:
        for k, name in enumerate(names):
            y[name] = height - (k + 0.5) * height / len(names)

    for names in members.values():
        spread(names)
    pairs = [
        (s, t, abs(r)) for s, t, r in zip(edges["source"], edges["target"], edges["relevance"], strict=True)
    ]
    near: dict[str, list[tuple[str, float]]] = {}
    for s, t, r in pairs:
        near.setdefault(s, []).append((t, r))
        near.setdefault(t, []).append((s, r))
    in_order = "start" in nodes and nodes["start"].notna().any()
    for _ in range(_SWEEPS):
        for layer in columns[1 if in_order else 0 : -1]:
            names = members[layer]
            mean = {}
            for name in names:
                ends = near.get(name, [])
                total = sum(r for _, r in ends)
                mean[name] = sum(y[other] * r for other, r in ends) / total if total else y[name]
            # What is pooled stands last, whatever it is connected with.
            names.sort(key=lambda name: (_is_pooled(nodes.loc[name]), -mean[name]))
            spread(names)
    return y


def _draw_edges(ax: Axes, nodes: pd.DataFrame, edges: pd.DataFrame, places: _Places) -> None:
    """Draw each edge as a band, at either end as high as its part of all that passes the node there."""
    out, into = _ends(edges, "source", "target", places), _ends(edges, "target", "source", places)
    rows = zip(edges["source"], edges["target"], edges["relevance"], strict=True)
    for k, (source, target, relevance) in enumerate(rows):
        (a0, a1), (b0, b1) = out[k], into[k]
        x0 = places.x[places.column[source]] + _BAR + _LOGO + 0.1
        x1 = places.x[places.column[target]]
        if places.column[source] == 0:
            x0 += 0.35
        middle = 0.5 * (x0 + x1)
        path = Path(
            [
                (x0, a0),
                (middle, a0),
                (middle, b0),
                (x1, b0),
                (x1, b1),
                (middle, b1),
                (middle, a1),
                (x0, a1),
                (x0, a0),
            ],
            [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3, Path.CLOSEPOLY],
        )
        pooled = _is_pooled(nodes.loc[source]) or _is_pooled(nodes.loc[target])
        color = POOLED if pooled else POSITIVE if relevance > 0 else NEGATIVE
        ax.add_patch(PathPatch(path, facecolor=color, alpha=0.3, linewidth=0, zorder=1))


def _ends(edges: pd.DataFrame, here: str, there: str, places: _Places) -> dict[int, tuple[float, float]]:
    """Return where each edge meets its node: the node's bar shared out, from top to bottom by the other end."""
    found: dict[int, tuple[float, float]] = {}
    size = edges["relevance"].abs().to_numpy()
    others = [str(name) for name in edges[there]]
    rows: dict[str, list[int]] = {}
    for k, name in enumerate(edges[here]):
        rows.setdefault(str(name), []).append(k)
    for name, own in rows.items():
        y, high = places.span[name]
        step = (high - y) / (size[own].sum() or 1.0)
        for k in sorted(own, key=lambda k: places.span[others[k]][0]):
            found[k] = (y, y + step * size[k])
            y += step * size[k]
    return found


def _draw_node(ax: Axes, flow: Flow, node: pd.Series, name: str, x: float, low: float, high: float) -> None:
    color = POOLED if _is_pooled(node) else POSITIVE if node["relevance"] > 0 else NEGATIVE
    ax.add_patch(Rectangle((x, low), _BAR, high - low, facecolor=color, linewidth=0, zorder=3))
    label = name.rpartition(":")[2] if node["layer"] in flow.layers else name
    if node["channel"] < 0 and node["layer"] in flow.layers:
        label = f"{node['channels']} others"
    text = f"{label}  {node['relevance']:+.2g}"
    middle = 0.5 * (low + high)
    logo = _letters(flow, node)
    if logo is None:
        ax.text(x + _BAR + 0.05, middle, text, fontsize=7, color=INK, va="center", zorder=4)
        return
    wide = _LOGO + (0.35 if node["layer"] == "sites" else 0.0)
    ax.text(x + _BAR + 0.04, middle + 0.14, text, fontsize=6.5, color=INK, va="bottom", zorder=4)
    inset = ax.inset_axes((x + _BAR + 0.04, middle - 0.3, wide, 0.42), transform=ax.transData, zorder=4)
    plot_logo(logo, inset, ylabel="")
    inset.axis("off")


def _letters(flow: Flow, node: pd.Series) -> np.ndarray | None:
    """Return the relevance of the bases to draw beside a node, or None."""
    if node["channel"] >= 0:
        values = flow.profiles.get((node["layer"], int(node["channel"])))
        if values is None or not np.any(values):
            return None
        return values if values.sum() >= 0 else -values
    if node["layer"] == "sites" and "start" in node and node["start"] == node["start"]:
        row, start, end = (int(node[key]) for key in ("sequence", "start", "end"))
        letters: np.ndarray = flow.X[row, :, start:end].numpy() * flow.per_nucleotide[row, start:end]
        return letters
    return None


def _is_pooled(node: Any) -> bool:
    return (
        bool(node["channel"] < 0 and node["layer"] != "output" and node["channels"] != 0)
        or node.name == "elsewhere"
    )
