"""What a benchmark plants, drawn: motifs as arrows, GC content, instances, similarity; no relevance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from genoplrp.errors import InputError
from genoplrp.plotting.curves import new_axes, quiet_axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from genoplrp.synthetic import Dataset
    from genoplrp.synthetic.describe import Description

_COLORS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")  # Tol's "bright" scheme
_CLASS_COLORS = ("#332288", "#ddaa33", "#44aa99", "#cc6677", "#999933", "#88ccee")  # Tol's "muted"
_OTHER = "#bbbbbb"
_HEIGHT = 0.55


def plot_examples(data: Dataset, rows: Sequence[int], ax: Axes | None = None) -> Axes:
    """Draw sequences as lines and their planted instances as arrows that point along their strand.

    Core instances are filled, decoys grey, instances whose grammar or letters are broken have an outline only.

    Parameters
    ----------
    data
        A generated data set.
    rows
        Which sequences, from the top.
    ax
        Axes to draw on; new ones by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If a sequence is not there, or none is asked for.

    Examples
    --------
    >>> from genoplrp.synthetic import simulate
    >>> ax = plot_examples(simulate("spacing", n=8), [0, 1])
    >>> ax.get_xlabel()
    'position (bp)'
    """
    if not len(rows) or not all(0 <= row < len(data) for row in rows):
        raise InputError(f"rows are {list(rows)}; name sequences from 0 to {len(data) - 1}.")
    ax = new_axes((7.0, 0.6 + 0.28 * len(rows))) if ax is None else ax
    table = data.instances[data.instances["sequence"].isin(rows)]
    colors = _colors(table)
    for place, row in enumerate(rows):
        ax.plot([0, len(data.sequences[row])], [place, place], color="0.6", lw=0.8, zorder=1)
        here = table[table["sequence"] == row]
        columns = (here[name].tolist() for name in ("start", "end", "motif", "strand", "role"))
        for start, end, motif, strand, role in zip(*columns, strict=True):
            _arrow(ax, place, start, end, colors.get(motif, _OTHER), strand, role)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlim(0, data.length)
    ax.set_yticks(range(len(rows)), [_title(data, row) for row in rows])
    ax.set_xlabel("position (bp)")
    quiet_axes(ax)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    _legend(ax, table, colors)
    return ax


def plot_description(found: Description, *, per_class: int = 2) -> Figure:
    """Draw a specification's description: examples of each class, GC content, instances, similarity of the motifs.

    Parameters
    ----------
    found
        What :func:`genoplrp.synthetic.describe.describe` returned.
    per_class
        Examples of each class.

    Returns
    -------
    matplotlib.figure.Figure
        A new figure, on no screen.

    Examples
    --------
    >>> from genoplrp.synthetic.describe import describe
    >>> len(plot_description(describe("xor", n=80)).axes) >= 4
    True
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    sample = found.sample
    assert sample.classes is not None, "generated data sets have classes"
    rows = [
        int(i) for name in found.classes.index for i in np.flatnonzero(sample.classes == name)[:per_class]
    ]
    figure = Figure(figsize=(9.0, 3.6 + 0.26 * len(rows)), layout="constrained")
    halves = figure.subfigures(2, 1, height_ratios=[0.9 + 0.26 * len(rows), 2.7])
    above, below = np.ravel(np.asarray(halves, dtype=object))
    plot_examples(sample, rows, above.subplots())
    figure.suptitle(f"{found.spec.name}: {found.spec.description}", x=0.01, ha="left", fontsize=10)
    content, counts, similar = below.subplots(1, 3)
    classes = {str(name): _CLASS_COLORS[k % len(_CLASS_COLORS)] for k, name in enumerate(found.classes.index)}
    _draw_gc(content, sample, classes)
    _draw_counts(counts, sample, classes)
    below.legend(
        handles=[Patch(facecolor=color, label=name) for name, color in classes.items()],
        loc="outside upper left",
        ncols=min(len(classes), 6),
        frameon=False,
        fontsize=8,
    )
    _draw_similarity(similar, found)
    return figure


def _arrow(ax: Axes, place: int, start: int, end: int, color: str, strand: str, role: str) -> None:
    from matplotlib.patches import Polygon

    tip = min(3.0, (end - start) / 2)
    low, high = place - _HEIGHT / 2, place + _HEIGHT / 2
    corners = [(start, low), (end - tip, low), (end, place), (end - tip, high), (start, high)]
    if strand == "-":
        corners = [(start + end - x, y) for x, y in corners]
    face = {"decoy": _OTHER, "broken": "white"}.get(role, color)
    ax.add_patch(
        Polygon(corners, facecolor=face, edgecolor=_OTHER if role == "decoy" else color, lw=1.0, zorder=2)
    )


def _colors(table: pd.DataFrame) -> dict[str, str]:
    """The commonest motifs that are no decoys each have a colour, the rest none."""
    names = table["motif"][(table["role"] != "decoy").to_numpy(dtype=bool)].astype(str)
    return dict(zip(sorted(names.value_counts().index[: len(_COLORS)]), _COLORS, strict=False))


def _legend(ax: Axes, table: pd.DataFrame, colors: dict[str, str]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=color, label=name) for name, color in colors.items()]
    if (table["role"] == "decoy").any():
        handles.append(Patch(facecolor=_OTHER, label="decoy"))
    if (table["role"] == "broken").any():
        handles.append(Patch(facecolor="white", edgecolor="0.3", label="broken"))
    if handles:
        ax.legend(handles=handles, frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _title(data: Dataset, row: int) -> str:
    labels = " ".join(f"{value:.3g}" for value in data.labels[row])
    return f"{data.classes[row]}  {labels}" if data.classes is not None else labels


def _draw_gc(ax: Axes, sample: Dataset, colors: dict[str, str]) -> None:
    content = np.array([(s.count("G") + s.count("C")) / len(s) for s in map(str.upper, sample.sequences)])
    # Bins of whole steps of one base, so that none holds more possible values than its neighbour.
    step = max(1, round(np.ptp(content) * sample.length / 16)) / sample.length
    bins = np.arange(content.min() - step / 2, content.max() + step, step)
    for name, color in colors.items():
        here = content[sample.classes == name]
        ax.hist(
            here,
            bins.tolist(),
            histtype="step",
            weights=np.full(len(here), 1 / len(here)),
            lw=1.2,
            color=color,
        )
    ax.set_xlabel("GC content")
    ax.set_ylabel("share of the class")
    quiet_axes(ax)


def _draw_counts(ax: Axes, sample: Dataset, colors: dict[str, str]) -> None:
    number = np.bincount(sample.instances["sequence"], minlength=len(sample))
    below = np.zeros(int(number.max(initial=0)) + 1)
    for name, color in colors.items():
        share = np.bincount(number[sample.classes == name], minlength=len(below)) / len(sample)
        ax.bar(np.arange(len(below)), share, bottom=below, color=color, width=0.8)
        below = below + share
    ax.set_xlabel("instances in a sequence")
    ax.set_ylabel("share of sequences")
    ax.locator_params(axis="x", integer=True)
    quiet_axes(ax)


def _draw_similarity(ax: Axes, found: Description) -> None:
    table = found.similarity.iloc[:20]
    shown = ax.imshow(table.to_numpy(dtype=float), vmin=0, vmax=1, cmap="Blues", aspect="auto")
    across, down = ([_short(str(name)) for name in names] for names in (table.columns, table.index))
    ax.set_xticks(range(len(across)), across, rotation=60, ha="right", fontsize=7)
    ax.set_yticks(range(len(down)), down, fontsize=min(7, 90 / len(table)))
    ax.tick_params(length=0)
    bar = ax.get_figure(root=False).colorbar(shown, ax=ax)  # type: ignore[union-attr]
    bar.set_label("similarity", fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _short(name: str, most: int = 14) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
