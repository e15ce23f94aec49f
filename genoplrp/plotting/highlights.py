"""Marked stretches of a logo (motifs, genes, seqlets, variants): read from tables, drawn as bands and labels.

The letters are not drawn here.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from jaxtyping import Bool
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb

from genoplrp.errors import InputError, check_columns

# A table with start and end, tuples (start, end[, label[, strand]]), or a mask over the window's positions.
Highlight: TypeAlias = pd.DataFrame | Iterable[Sequence[object]] | Bool[np.ndarray, " length"]

# Tol's "light" qualitative scheme: apart for colour-blind eyes, pale enough for letters to stand on.
_BAND_COLORS = ("#77aadd", "#ee8866", "#bbcc33", "#ffaabb", "#99ddff", "#eedd88", "#44bb99", "#aaaa00")
_PLAIN_BAND = "#ffd75e"
_LABEL_COLUMNS = ("label", "motif", "name")
_MUTED_BAND = "#b8b8b8"
_MUTED_ROLES = ("decoy", "broken")  # planted, but of no matter for the task: marked in grey
_LABEL_SIZE = 7.5
_LANE_HEIGHT = 10.5  # points


class Span(NamedTuple):
    """A marked stretch [start, end) in the coordinates of the axis."""

    start: float
    end: float
    label: str = ""
    strand: str = ""
    muted: bool = False


def read_spans(highlight: Highlight | None, start: int = 0, chrom: str | None = None) -> list[Span]:
    """Spans from what a caller marks.

    Parameters
    ----------
    highlight : DataFrame, iterable of tuples, bool array of shape (L,), or None
        A table needs the columns ``start`` and ``end`` and may have ``label``, ``motif`` or ``name``,
        ``strand`` and ``role`` (decoys and broken sites are marked in grey); with a column ``chrom`` and
        `chrom` given, other chromosomes are left out. Tuples are (start, end), (start, end, label) or
        (start, end, label, strand). A mask marks its runs of True. Coordinates are 0-based, half-open, and
        those of the axis.
    start : int
        Coordinate of a mask's first position.
    chrom : str, optional
        Chromosome of the window.

    Returns
    -------
    list of Span

    Raises
    ------
    InputError
        If columns are missing, an interval is empty or not numeric, or the table mixes several sequences.

    Examples
    --------
    >>> read_spans([(3, 9, "SP1", "-")])
    [Span(start=3.0, end=9.0, label='SP1', strand='-', muted=False)]
    >>> [s[:2] for s in read_spans(np.array([False, True, True, False, True]), start=10)]
    [(11.0, 13.0), (14.0, 15.0)]
    """
    if highlight is None:
        return []
    if not isinstance(highlight, pd.DataFrame) and (
        isinstance(highlight, str) or not isinstance(highlight, Iterable)
    ):
        raise InputError(
            f"highlight={highlight!r}: give a table with start and end, tuples (start, end, label), or a mask"
        )
    if isinstance(highlight, pd.DataFrame):
        rows: Iterable[Any] = _table_rows(highlight, chrom)
    elif hasattr(highlight, "dtype"):
        rows = _mask_runs(np.asarray(highlight), start)
    else:
        rows = highlight
    return [_span(row, index) for index, row in enumerate(rows)]


def draw_highlights(ax: Axes, spans: Sequence[Span], *, labels: bool = True, strand: str = "+") -> float:
    """Draw pale bands behind the letters, and their labels above the axes.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        With its x limits set: what lies outside is left out.
    spans : sequence of Span
        What to mark; equal labels get equal colours.
    labels : bool
        Draw the labels, too.
    strand : str
        Strand that the axis shows; a label's arrow says which way its instance points on the page.

    Returns
    -------
    float
        Height above the axes that the labels take, in points.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = Figure().subplots()
    >>> _ = ax.set_xlim(0, 50)
    >>> draw_highlights(ax, [Span(3, 9, "SP1", "+")]) > 0
    True
    """
    low, high = sorted(ax.get_xlim())
    visible = [s for s in spans if s.end - 0.5 > low and s.start - 0.5 < high]
    if not visible:
        return 0.0
    color = _span_colors(spans)
    _draw_bands(ax, visible, color)
    return _draw_labels(ax, [s for s in visible if s.label], color, strand) if labels else 0.0


def warn_if_outside(highlight: Highlight | None, spans: Sequence[Span], start: int, length: int) -> None:
    """Warn where all that a caller marks lies beside the window; of spans that were read before, the reader has."""
    read = isinstance(highlight, list) and all(isinstance(row, Span) for row in highlight)
    if spans and not read and not any(s.end > start and s.start < start + length for s in spans):
        warnings.warn(_outside(spans, start, start + length), stacklevel=3)


def _outside(spans: Sequence[Span], start: float, end: float) -> str:
    first, last = min(s.start for s in spans), max(s.end for s in spans)
    size = end - start
    hint = ""
    if start > 0 and first >= 0 and last <= size:
        hint = f"; they look like positions in the window: add its start, {start:,.0f}"
    elif start == 0 and first >= size:
        hint = "; they look like positions on a chromosome: pass start=, the window's first coordinate"
    return (
        f"no highlight lies on the axis, {start:,.0f} to {end:,.0f}: they reach from {first:,.0f} to "
        f"{last:,.0f}{hint}"
    )


def _span_colors(spans: Sequence[Span]) -> dict[Span, str]:
    kinds = list(dict.fromkeys(s.label for s in spans if s.label and not s.muted))
    palette = {kind: _BAND_COLORS[i % len(_BAND_COLORS)] for i, kind in enumerate(kinds)}
    return {s: _MUTED_BAND if s.muted else palette.get(s.label, _PLAIN_BAND) for s in spans}


def _draw_bands(ax: Axes, spans: Sequence[Span], color: dict[Span, str]) -> None:
    corners = [
        [(s.start - 0.5, 0.0), (s.start - 0.5, 1.0), (s.end - 0.5, 1.0), (s.end - 0.5, 0.0)] for s in spans
    ]
    ax.add_collection(
        PolyCollection(
            corners,
            facecolors=[(*to_rgb(color[s]), 0.28) for s in spans],
            edgecolors="none",
            transform=ax.get_xaxis_transform(),
            zorder=0,
            label="_highlight",  # the underscore keeps it out of legends
        ),
        autolim=False,
    )


def _draw_labels(ax: Axes, spans: Sequence[Span], color: dict[Span, str], strand: str) -> float:
    low, high = sorted(ax.get_xlim())
    backwards = ax.get_xlim()[0] > ax.get_xlim()[1]
    points_wide = ax.get_window_extent().width * 72 / ax.get_figure(root=True).dpi  # type: ignore[union-attr]
    per_point = (high - low) / max(points_wide, 1.0)
    lanes: list[float] = []  # where each lane's last label ends, from the left of the page
    for span in sorted(spans, key=lambda s: -s.end if backwards else s.start):
        text = _with_arrow(span, strand)
        centre = (max(span.start - 0.5, low) + min(span.end - 0.5, high)) / 2
        half = len(text) * _LABEL_SIZE * 0.32 * per_point + per_point
        # Measured from the left of the page, whichever way the axis runs.
        left = (high - centre if backwards else centre - low) - half
        lane = next((i for i, end in enumerate(lanes) if left >= end), len(lanes))
        lanes[lane : lane + 1] = [left + 2 * half]
        ax.annotate(
            text,
            (centre, 1.0),
            (0, 2 + lane * _LANE_HEIGHT),
            xycoords=ax.get_xaxis_transform(),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=_LABEL_SIZE,
            color=_darker(color[span]),
            annotation_clip=False,
        )
    return len(lanes) * _LANE_HEIGHT


def _with_arrow(span: Span, strand: str) -> str:
    if span.strand not in ("+", "-"):
        return span.label
    return f"{span.label} ▸" if span.strand == strand else f"◂ {span.label}"


def _darker(color: str) -> tuple[float, float, float]:
    red, green, blue = to_rgb(color)
    return (0.45 * red, 0.45 * green, 0.45 * blue)


def _table_rows(table: pd.DataFrame, chrom: str | None) -> list[tuple[object, ...]]:
    check_columns("highlight", table.columns, ("start", "end"))
    sequences = table["sequence"].unique() if "sequence" in table.columns else ()
    if len(sequences) > 1:
        raise InputError(
            f"highlight holds instances of {len(sequences)} sequences; select those of the one that is"
            " drawn, for example instances[instances['sequence'] == i]"
        )
    if chrom is not None and "chrom" in table.columns:
        table = table[table["chrom"] == chrom]
    named = next((column for column in _LABEL_COLUMNS if column in table.columns), None)
    blank = pd.Series("", index=table.index)
    label = _text(table[named]) if named else blank
    strand = _text(table["strand"]) if "strand" in table.columns else blank
    muted = _text(table["role"]).isin(_MUTED_ROLES) if "role" in table.columns else blank
    return list(zip(table["start"], table["end"], label, strand, muted, strict=True))


def _text(column: pd.Series) -> pd.Series:
    # Through object: a categorical column takes no new value.
    return column.astype(object).where(column.notna(), "").astype(str)


def _mask_runs(mask: np.ndarray, start: int) -> list[tuple[int, int]]:
    if mask.ndim != 1 or mask.dtype.kind not in "bui":
        raise InputError(
            f"highlight as an array is a mask of shape (L,), bool; got {mask.dtype} of shape {mask.shape}"
        )
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (mask != 0).astype(np.int8), [0]])))
    return [(start + int(a), start + int(b)) for a, b in edges.reshape(-1, 2)]


def _span(row: Any, index: int) -> Span:
    try:
        first, last, *rest = row
        label, strand, muted = rest + ["", "", False][len(rest) :]
        span = Span(float(first), float(last), str(label), str(strand), bool(muted))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"highlight {index} is {row!r}; expected (start, end), (start, end, label) or (start, end, label, strand)"
        ) from error
    if not span.start < span.end:
        raise InputError(
            f"highlight {index} runs from {span.start:g} to {span.end:g}; intervals are half-open, start < end"
        )
    return span
