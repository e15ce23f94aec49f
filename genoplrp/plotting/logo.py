"""One logo of relevance, with coordinates and highlights; rows of logos are in ``stacked``, PWMs in ``motif``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Unpack

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from genoplrp.errors import InputError, check_choice
from genoplrp.plotting.arrays import as_logo
from genoplrp.plotting.curves import new_axes
from genoplrp.plotting.glyphs import BASES, scheme_colors
from genoplrp.plotting.highlights import Highlight, draw_highlights, read_spans, warn_if_outside
from genoplrp.plotting.letters import LETTER_WIDTH, draw_letters, stack_letters
from genoplrp.plotting.options import LogomakerOptions

if TYPE_CHECKING:
    import torch

_SMALL = 8  # points


def plot_logo(
    relevance: Float[np.ndarray, "4 length"] | torch.Tensor,
    ax: Axes | None = None,
    *,
    highlight: Highlight | None = None,
    start: int = 0,
    chrom: str | None = None,
    strand: Literal["+", "-"] = "+",
    scheme: str | Mapping[str, str] = "classic",
    flip_below: bool = True,
    ylim: tuple[float, float] | None = None,
    title: str | None = None,
    ylabel: str = "relevance",
    highlight_labels: bool = True,
    figsize: tuple[float, float] | None = None,
    renderer: Literal["batched", "logomaker"] = "batched",
    **style: Unpack[LogomakerOptions],
) -> Axes:
    """Draw relevance as a sequence logo: the height of a letter is its relevance, negative letters hang below the line.

    Parameters
    ----------
    relevance : array or tensor, shape (4, L)
        Signed height of A, C, G, T at each position, in units of the model's output. Zeros are not drawn.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure whose width depends on the length.
    highlight : DataFrame, list of tuples, or bool array of shape (L,), optional
        Stretches to mark: a table with ``start`` and ``end`` (and ``motif``, ``label`` or ``name``, ``strand``),
        tuples (start, end[, label[, strand]]), or a mask. In the coordinates of the axis, 0-based, half-open.
    start : int
        Coordinate of the window's first base (its lowest coordinate on either strand), 0-based.
    chrom : str, optional
        Chromosome, for the axis label.
    strand : {"+", "-"}
        Strand that `relevance` reads along. On "-" the axis runs from high to low coordinates, so that the
        letters stand in the order of the array, 5' to 3'.
    scheme : str or mapping
        ``"classic"``, ``"colorblind"``, or a colour for each of A, C, G, T.
    flip_below : bool
        Turn negative letters upside down.
    ylim : (float, float), optional
        Limits of the y axis; by default all letters fit.
    title, ylabel : str
        Text above and beside the axes.
    highlight_labels : bool
        Write the labels of the highlights above the axes.
    figsize : (float, float), optional
        Size of the new figure in inches.
    renderer : {"batched", "logomaker"}
        ``"batched"`` draws one collection a colour and takes thousands of bases; ``"logomaker"`` hands the
        letters to logomaker, with the same look, for its styling of single letters.
    **style
        Passed to ``logomaker.Logo`` (``font_name``, ``shade_below``, ``fade_below``, ...); only with it.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If `relevance` has another shape or holds NaN, or an option is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> relevance = np.zeros((4, 50))
    >>> relevance[[2, 0, 3, 0], [20, 21, 22, 23]] = [1.0, 2.0, 1.5, -0.5]
    >>> ax = plot_logo(relevance, ax=Figure().subplots(), highlight=[(20, 24, "GATA", "+")])
    >>> [letters.get_label() for letters in ax.collections]
    ['_highlight', 'A', 'G', 'T']
    """
    heights = as_logo(relevance)
    check_choice("strand", strand, ("+", "-"))
    check_choice("renderer", renderer, ("batched", "logomaker"))
    if style and renderer == "batched":
        raise InputError(f"plot_logo has no option {', '.join(style)}; logomaker's need renderer='logomaker'")
    colors = scheme_colors(scheme)
    if isinstance(start, bool) or not isinstance(start, int | np.integer):
        raise InputError(
            f"start={start!r}: a whole number is needed, the coordinate of the window's first base (0-based); its "
            "chromosome is chrom="
        )
    spans = read_spans(highlight, start, chrom)

    length = heights.shape[1]
    warn_if_outside(highlight, spans, start, length)
    ax = new_axes(figsize or (logo_width(length), 1.9)) if ax is None else ax
    forward = strand == "+"
    x = np.arange(start, start + length, dtype=np.float64)[:: 1 if forward else -1]
    if renderer == "logomaker":
        _draw_with_logomaker(ax, heights, x, colors, flip_below, mirror=not forward, style=style)
    set_logo_axes(ax, heights, start, ylim, forward=forward)
    room = draw_highlights(ax, spans, labels=highlight_labels, strand=strand)
    if renderer == "batched":
        draw_letters(ax, stack_letters(heights), x, colors, flip_below=flip_below, mirror=not forward)
    ax.set_xlabel(_coordinate_label(chrom, strand), fontsize=_SMALL)
    ax.set_ylabel(ylabel, fontsize=_SMALL)
    if title:
        ax.set_title(title, fontsize=_SMALL + 2, loc="left", pad=room + 5)
    return ax


def sized_figure(figure: Figure | None, size: tuple[float, float]) -> Figure:
    """Return a figure of a size in inches: the one that is given, or a new one of pyplot's."""
    if figure is None:
        import matplotlib.pyplot as plt

        return plt.figure(figsize=size)
    figure.set_size_inches(size)
    return figure


def logo_width(length: int) -> float:
    """Width of a figure for a logo of `length` bases, in inches: letters of a tenth of an inch while that fits."""
    return float(np.clip(0.1 * length + 1.0, 4.0, 16.0))


def logo_limits(heights: Float[np.ndarray, "4 length"]) -> tuple[float, float]:
    """Limits of the y axis in which every stack fits, zero included, with a little air."""
    low = float(np.minimum(heights, 0).sum(axis=0).min())
    high = float(np.maximum(heights, 0).sum(axis=0).max())
    if low == high:
        return (-1.0, 1.0)
    air = 0.04 * (high - low)
    return (low - air if low < 0 else 0.0, high + air if high > 0 else 0.0)


def set_logo_axes(
    ax: Axes,
    heights: Float[np.ndarray, "4 length"],
    start: int,
    ylim: tuple[float, float] | None,
    *,
    forward: bool = True,
) -> None:
    """Limits, the zero line, few ticks and no frame."""
    length = heights.shape[1]
    ends = (start - 0.5, start + length - 0.5)
    ax.set_xlim(*(ends if forward else ends[::-1]))
    ax.set_ylim(*(ylim or logo_limits(heights)))
    ax.axhline(0.0, color="#444444", linewidth=0.6, zorder=1)
    for side in ("top", "right", "bottom"):
        ax.spines[side].set_visible(False)
    ax.spines["left"].set_linewidth(0.6)
    ax.yaxis.set_major_locator(FixedLocator(_few_ticks(*ax.get_ylim())))
    ax.xaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=2))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.tick_params(labelsize=_SMALL - 1, width=0.6, length=3, color="#444444")


def _few_ticks(low: float, high: float) -> list[float]:
    """Round values within the limits; matplotlib's own locator also makes ticks outside, each at a cost."""
    inside = MaxNLocator(nbins=3, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(value) for value in inside if low <= value <= high]


def _coordinate_label(chrom: str | None, strand: str) -> str:
    if chrom is None:
        return "position (bp)" if strand == "+" else "position (bp), strand -"
    return f"{chrom} (bp), strand {strand}"


def _draw_with_logomaker(
    ax: Axes,
    heights: Float[np.ndarray, "4 length"],
    x: Float[np.ndarray, " length"],
    colors: Mapping[str, tuple[float, float, float]],
    flip_below: bool,
    *,
    mirror: bool,
    style: LogomakerOptions,
) -> None:
    import logomaker
    import pandas as pd

    table = pd.DataFrame(heights.T, index=x.astype(int), columns=list(BASES)).sort_index()
    options = {
        "width": LETTER_WIDTH,
        "font_name": "DejaVu Sans",
        "baseline_width": 0,
        "show_spines": False,
        "zorder": 2,
    }
    logo = logomaker.Logo(
        table, ax=ax, color_scheme=dict(colors), flip_below=flip_below, **options | dict(style)
    )
    if mirror:
        logo.style_glyphs(mirror=True)
