"""Long windows and many sequences at a glance: overview, heat map, logos of the best stretches; not whole logos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Unpack

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from genoplrp.errors import InputError
from genoplrp.plotting.arrays import as_array, as_logo, as_profile
from genoplrp.plotting.curves import new_axes
from genoplrp.plotting.highlights import Highlight, Span, draw_highlights, read_spans
from genoplrp.plotting.logo import logo_limits, plot_logo, set_logo_axes
from genoplrp.plotting.options import RowOptions

if TYPE_CHECKING:
    import torch

_POSITIVE, _NEGATIVE = "#b2182b", "#2166ac"
_MOST_BINS = 800


def plot_overview(
    relevance: Float[np.ndarray, "4 length"] | Float[np.ndarray, " length"] | torch.Tensor,
    ax: Axes | None = None,
    *,
    bins: int | None = None,
    highlight: Highlight | None = None,
    start: int = 0,
    chrom: str | None = None,
    strand: Literal["+", "-"] = "+",
    title: str | None = None,
    figsize: tuple[float, float] = (12.0, 1.8),
) -> Axes:
    """Draw a long window in little room: in each bin the largest positive and the largest negative relevance.

    Parameters
    ----------
    relevance : array or tensor, shape (4, L) or (L,)
        Relevance per base, or per position.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.
    bins : int, optional
        Number of bins; by default one per position up to 800.
    highlight, start, chrom, strand, title
        As in `plot_logo`.
    figsize : (float, float)
        Size of the new figure in inches.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If the shape is another, NaN occurs, or `bins` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> ax = plot_overview(np.sin(np.arange(5000.0)), Figure().subplots(), bins=100)
    >>> [float(end) for end in ax.get_xlim()]
    [-0.5, 4999.5]
    """
    values = as_array(relevance, "relevance")
    values = values if values.ndim == 1 else as_logo(values).sum(axis=0)
    if not len(values):
        raise InputError("relevance holds no position; there is nothing to draw")
    bins = min(len(values), _MOST_BINS) if bins is None else bins
    if bins < 1:
        raise InputError(f"bins must be at least 1; got {bins}")
    edges = np.linspace(0, len(values), min(bins, len(values)) + 1).astype(int)
    high = np.maximum(np.maximum.reduceat(values, edges[:-1]), 0)
    low = np.minimum(np.minimum.reduceat(values, edges[:-1]), 0)
    ax = new_axes(figsize) if ax is None else ax
    forward = strand == "+"
    x = start - 0.5 + edges if forward else start + len(values) - 0.5 - edges
    set_logo_axes(ax, values[None], start, None, forward=forward)
    room = draw_highlights(ax, read_spans(highlight, start, chrom), strand=strand)
    ax.stairs(high[:: 1 if forward else -1], x[:: 1 if forward else -1], fill=True, color=_POSITIVE, zorder=2)
    ax.stairs(low[:: 1 if forward else -1], x[:: 1 if forward else -1], fill=True, color=_NEGATIVE, zorder=2)
    ax.set_xlabel(f"{chrom or 'position'} (bp)", fontsize=8)
    ax.set_ylabel("relevance", fontsize=8)
    if title:
        ax.set_title(title, fontsize=10, loc="left", pad=room + 5)
    return ax


def plot_heatmap(
    relevance: Float[np.ndarray, "n length"] | torch.Tensor,
    ax: Axes | None = None,
    *,
    start: int = 0,
    limit: float | None = None,
    sort: bool = False,
    colorbar: bool = True,
    title: str | None = None,
    figsize: tuple[float, float] = (9.0, 4.0),
) -> Axes:
    """Draw the relevance of many sequences as a heat map, red for positive and blue for negative.

    Parameters
    ----------
    relevance : array or tensor, shape (N, L) or (N, 4, L)
        Relevance per position; (N, 4, L) is summed over the bases first.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.
    start : int
        Coordinate of the first position.
    limit : float, optional
        Relevance of the darkest colour; by default the 99.5th percentile of |relevance|.
    sort : bool
        Order the sequences by where their |relevance| has its largest value.
    colorbar : bool
        Draw the scale.
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
        If the shape is another, NaN occurs, or `limit` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> ax = plot_heatmap(np.eye(5), Figure().subplots())
    >>> ax.images[0].get_array().shape
    (5, 5)
    """
    values = as_profile(relevance)
    if limit is not None and not limit > 0:
        raise InputError(f"limit must be positive; got {limit}")
    if sort:
        values = values[np.argsort(np.abs(values).argmax(axis=1), kind="stable")]
    limit = limit or float(np.percentile(np.abs(values), 99.5)) or float(np.abs(values).max()) or 1.0
    ax = new_axes(figsize) if ax is None else ax
    n, length = values.shape
    image: AxesImage = ax.imshow(
        values,
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        aspect="auto",
        interpolation="nearest",
        extent=(start - 0.5, start + length - 0.5, n - 0.5, -0.5),
    )
    ax.tick_params(labelsize=8, width=0.6, length=3)
    ax.set_xlabel("position (bp)", fontsize=9)
    ax.set_ylabel("sequence", fontsize=9)
    if colorbar:
        bar = ax.get_figure().colorbar(image, ax=ax, shrink=0.8, pad=0.02)  # type: ignore[union-attr]
        bar.set_label("relevance", fontsize=9)
        bar.ax.tick_params(labelsize=8)
    if title:
        ax.set_title(title, fontsize=10, loc="left")
    return ax


def plot_long(
    relevance: Float[np.ndarray, "4 length"] | torch.Tensor,
    *,
    zooms: int = 3,
    width: int = 80,
    highlight: Highlight | None = None,
    start: int = 0,
    chrom: str | None = None,
    figure: Figure | None = None,
    title: str | None = None,
    **logo: Unpack[RowOptions],
) -> np.ndarray:
    """Draw a long window as an overview, and below it logos of the stretches with the most |relevance|.

    Parameters
    ----------
    relevance : array or tensor, shape (4, L)
        Relevance on the + strand.
    zooms : int
        Number of stretches; fewer are drawn where the window has no more that do not overlap.
    width : int
        Length of a stretch in bases.
    highlight, start, chrom, title
        As in `plot_logo`.
    figure : matplotlib.figure.Figure, optional
        An empty figure to draw in; by default a new one of pyplot's.
    **logo
        Other options of `plot_logo`.

    Returns
    -------
    array of matplotlib.axes.Axes
        The overview, then the logos from left to right.

    Raises
    ------
    InputError
        As in `plot_logo`, or if `zooms` or `width` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> relevance = np.zeros((4, 2000))
    >>> relevance[0, [300, 1500]] = 1.0
    >>> axes = plot_long(relevance, zooms=2, width=50, figure=Figure())
    >>> [tuple(float(x) for x in ax.get_xlim()) for ax in axes[1:]]
    [(274.5, 324.5), (1474.5, 1524.5)]
    """
    heights = as_logo(relevance)
    if zooms < 1 or width < 1:
        raise InputError(f"zooms and width must be at least 1; got {zooms} and {width}")
    spans = read_spans(highlight, start, chrom)
    lefts = _peak_windows(np.abs(heights).sum(axis=0), zooms, min(width, heights.shape[1]))
    width = min(width, heights.shape[1])
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=(12.0, 1.7 + 1.5 * len(lefts)))
    if figure.get_layout_engine() is None:
        figure.set_layout_engine("constrained")
    axes = np.asarray(figure.subplots(1 + len(lefts), 1, squeeze=False)[:, 0])
    marks = [Span(start + left, start + left + width, str(i + 1)) for i, left in enumerate(lefts)]
    plot_overview(heights, axes[0], highlight=marks, start=start, chrom=chrom, title=title)
    limits = logo_limits(heights)
    for ax, mark, left in zip(axes[1:], marks, lefts, strict=True):
        plot_logo(
            heights[:, left : left + width],
            ax,
            highlight=spans,
            start=start + left,
            chrom=chrom,
            ylim=limits,
            **logo,
        )
        ax.set_ylabel(mark.label, fontsize=10, rotation=0, ha="right", va="center")
        ax.set_xlabel("")
    return axes


def _peak_windows(mass: Float[np.ndarray, " length"], n: int, width: int) -> list[int]:
    """Left ends of up to `n` windows that do not overlap, those of most mass, from left to right."""
    # A triangle rather than a box: of all windows that hold a peak, the one with it in the middle.
    triangle = np.minimum(np.arange(1, width + 1), np.arange(width, 0, -1)).astype(np.float64)
    score = np.convolve(mass, triangle, mode="valid")
    free = np.ones(len(score), dtype=bool)
    chosen: list[int] = []
    while len(chosen) < n and free.any():
        left = int(np.where(free, score, -1.0).argmax())
        if chosen and score[left] <= 0:
            break
        chosen.append(left)
        free[max(0, left - width + 1) : left + width] = False
    return sorted(chosen)
