"""Rows of logos on shared scales (truth, LRP, PLRP, rivals), and the paper's comparison; one row is ``logo``'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Unpack

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure, SubFigure

from genoplrp.errors import InputError, check_choice
from genoplrp.plotting.arrays import as_array, as_logo
from genoplrp.plotting.highlights import Highlight, Span, read_spans, warn_if_outside
from genoplrp.plotting.logo import logo_limits, logo_width, plot_logo, sized_figure
from genoplrp.plotting.options import ComparisonOptions, RowOptions

if TYPE_CHECKING:
    import torch

_ROW_HEIGHT = 1.15  # inches
_NAME_SIZE = 9
_CONSTRAINED_ROWS = 12  # beyond, margins are set by hand: matplotlib's solver takes longer than the letters


def plot_logos(
    rows: Mapping[str, Float[np.ndarray, "4 length"] | torch.Tensor]
    | Sequence[Float[np.ndarray, "4 length"] | torch.Tensor],
    *,
    kinds: Sequence[str] | None = None,
    scale: Literal["kind", "own"] = "kind",
    highlight: Highlight | None = None,
    figure: Figure | SubFigure | None = None,
    start: int = 0,
    chrom: str | None = None,
    strand: Literal["+", "-"] = "+",
    title: str | None = None,
    row_height: float = _ROW_HEIGHT,
    **logo: Unpack[RowOptions],
) -> np.ndarray:
    """Draw logos of the same window below one another.

    Parameters
    ----------
    rows : mapping from name to (4, L) array or tensor, or a sequence of them
        One row each, from top to bottom; the names of a mapping label the rows.
    kinds : sequence of str, optional
        What each row measures. Rows of one kind share the y axis; by default all are of one kind.
    scale : {"kind", "own"}
        ``"own"`` scales the y axis of each row separately.
    highlight : DataFrame, list of tuples, or bool array of shape (L,), optional
        Marked in every row, labelled above the first; as in `plot_logo`.
    figure : matplotlib Figure or SubFigure, optional
        An empty figure to draw in; by default a new one of pyplot's.
    start, chrom, strand
        Coordinates of the window; as in `plot_logo`.
    title : str, optional
        Text above the rows.
    row_height : float
        Height of a row in inches, in a new figure.
    **logo
        Other options of `plot_logo`.

    Returns
    -------
    array of matplotlib.axes.Axes, shape (rows,)

    Raises
    ------
    InputError
        If there is no row, the lengths differ, or a row is not (4, L).

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> r = np.eye(4)
    >>> axes = plot_logos({"LRP": r, "PLRP": 2 * r}, figure=Figure())
    >>> axes[0].get_ylim() == axes[1].get_ylim()
    True
    """
    names = list(rows) if isinstance(rows, Mapping) else [""] * len(rows)
    arrays = [
        as_logo(row, f"row {i}") for i, row in enumerate(rows.values() if isinstance(rows, Mapping) else rows)
    ]
    _check_rows(arrays, names, kinds)
    check_choice("scale", scale, ("kind", "own"))
    length = arrays[0].shape[1]
    spans = read_spans(highlight, start, chrom)
    warn_if_outside(highlight, spans, start, length)
    axes = _row_axes(len(arrays), figure, (logo_width(length), 0.7 + row_height * len(arrays)))
    logo.setdefault("ylabel", "")
    limits = _shared_limits(arrays, list(kinds) if kinds else [""] * len(arrays), scale)
    for i, (ax, array) in enumerate(zip(axes, arrays, strict=True)):
        last = i == len(arrays) - 1
        plot_logo(
            array,
            ax,
            highlight=spans,
            highlight_labels=i == 0,
            start=start,
            chrom=chrom,
            strand=strand,
            ylim=limits[i],
            title=title if i == 0 else None,
            **logo,
        )
        if names[i]:
            ax.set_ylabel(names[i], fontsize=_NAME_SIZE, rotation=0, ha="right", va="center", labelpad=8)
        if not last:
            ax.set_xlabel("")
            ax.xaxis.set_visible(False)  # ticks that nobody sees still cost more than the letters
    return axes


def plot_comparison(
    one_hot: Float[np.ndarray, "4 length"] | torch.Tensor,
    relevance: Mapping[str, Float[np.ndarray, "4 length"] | torch.Tensor],
    truth: Highlight,
    *,
    truth_height: Float[np.ndarray, " length"] | None = None,
    figure: Figure | SubFigure | None = None,
    start: int = 0,
    **options: Unpack[ComparisonOptions],
) -> np.ndarray:
    """Draw the planted truth above what methods make of it: the paper's figure, with as many methods as wanted.

    Parameters
    ----------
    one_hot : array or tensor, shape (4, L)
        The sequence.
    relevance : mapping from name to (4, L) array or tensor
        One row per method, on one scale: ``{"LRP": ..., "PLRP, p = 0.25": ...}``.
    truth : DataFrame, list of tuples, or bool array of shape (L,)
        The planted motifs; as `highlight` in `plot_logo`. The first row shows their letters.
    truth_height : array, shape (L,), optional
        Height of the planted letters, for example the bits of the planted PWM's columns
        (``data.information()[i]``); by default 1 in each planted motif, decoys left out.
    figure, start
        As in `plot_logos`.
    **options
        Other options of `plot_logos`.

    Returns
    -------
    array of matplotlib.axes.Axes, shape (1 + methods,)

    Raises
    ------
    InputError
        As in `plot_logos`.

    References
    ----------
    Yanez Sarmiento et al. (2024), "Sparse Explanations of Neural Networks Using Pruned Layer-Wise Relevance
    Propagation", ECML PKDD.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> one_hot = np.eye(4)
    >>> axes = plot_comparison(one_hot, {"LRP": 0.5 * one_hot}, [(1, 3, "CG")], figure=Figure())
    >>> [ax.get_ylabel() for ax in axes]
    ['ground truth', 'LRP']
    """
    sequence = as_logo(one_hot, "one_hot")
    spans = read_spans(truth, start, options.get("chrom"))
    if truth_height is None:
        height = _covered(spans, start, sequence.shape[1], options.get("strand", "+")).astype(np.float64)
    else:
        height = as_array(truth_height, "truth_height")
    if height.shape != sequence.shape[1:]:
        raise InputError(f"truth_height must have shape ({sequence.shape[1]},); got {height.shape}")
    axes = plot_logos(
        {"ground truth": sequence * height, **relevance},
        kinds=["truth"] + ["relevance"] * len(relevance),
        highlight=spans,
        figure=figure,
        start=start,
        **options,
    )
    axes[0].set_ylim(0, 1.04 * max(height.max(), 1e-9))
    axes[0].set_yticks([])
    axes[0].spines["left"].set_visible(False)
    return axes


def _check_rows(
    arrays: Sequence[Float[np.ndarray, "4 length"]], names: Sequence[str], kinds: Sequence[str] | None
) -> None:
    if not arrays:
        raise InputError("there is no row to draw; pass at least one (4, L) array")
    lengths = {array.shape[1] for array in arrays}
    if len(lengths) > 1:
        raise InputError(f"rows must show the same window; their lengths are {sorted(lengths)}")
    if kinds is not None and len(kinds) != len(names):
        raise InputError(f"kinds needs one entry per row; got {len(kinds)} for {len(names)} rows")


def _row_axes(n: int, figure: Figure | SubFigure | None, size: tuple[float, float]) -> np.ndarray:
    if figure is None:
        figure = sized_figure(None, size)
    if isinstance(figure, Figure) and n <= _CONSTRAINED_ROWS and figure.get_layout_engine() is None:
        figure.set_layout_engine("constrained")
    axes = figure.subplots(n, 1, squeeze=False)[:, 0]
    if isinstance(figure, Figure) and n > _CONSTRAINED_ROWS:
        width, height = figure.get_size_inches()
        figure.subplots_adjust(
            left=1.1 / width, right=1 - 0.1 / width, top=1 - 0.4 / height, bottom=0.5 / height, hspace=0.12
        )
    return np.asarray(axes)


def _shared_limits(
    arrays: Sequence[Float[np.ndarray, "4 length"]], kinds: Sequence[str], scale: str
) -> list[tuple[float, float]]:
    own = [logo_limits(array) for array in arrays]
    if scale == "own":
        return own
    shared = []
    for kind, array in zip(kinds, arrays, strict=True):
        # An all-zero row has no scale to share.
        peers = [limit for k, limit, a in zip(kinds, own, arrays, strict=True) if k == kind and a.any()]
        shared.append((min(p[0] for p in peers), max(p[1] for p in peers)) if peers else logo_limits(array))
    return shared


def _covered(spans: Sequence[Span], start: int, length: int, strand: str) -> np.ndarray:
    coordinates = np.arange(start, start + length)
    inside = np.zeros(length, dtype=bool)
    for span in spans:
        if span.muted:
            continue
        inside |= (coordinates >= span.start) & (coordinates < span.end)
    return inside if strand == "+" else inside[::-1]
