"""Mean |relevance| at each position of aligned sequences (splice sites, peak summits); single sequences are logos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from genoplrp.errors import InputError
from genoplrp.plotting.arrays import as_array, as_profile
from genoplrp.plotting.curves import SERIES_COLORS, new_axes, quiet_axes
from genoplrp.plotting.highlights import Highlight, draw_highlights, read_spans
from genoplrp.plotting.options import Numbers

if TYPE_CHECKING:
    import torch


def plot_profile(
    relevance: Mapping[str, Numbers] | Numbers,
    ax: Axes | None = None,
    *,
    center: int | None = None,
    highlight: Highlight | None = None,
    absolute: bool = True,
    lengths: Mapping[str, Numbers] | Numbers | None = None,
    label: str | None = None,
    title: str | None = None,
    figsize: tuple[float, float] = (7.0, 2.8),
) -> Axes:
    """Draw the mean |relevance| over aligned sequences, with its 95 % band (Student's t).

    Parameters
    ----------
    relevance : array or tensor, shape (N, L) or (N, 4, L), or a mapping from name to such
        Relevance per position of N sequences that are aligned to one another; (N, 4, L) is summed over the
        bases first. A mapping draws one line per entry (donors and acceptors, LRP and PLRP).
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.
    center : int, optional
        Index of the position that the axis calls 0; by default the first. Position `center` - 1 is called -1.
    highlight : DataFrame, list of tuples, or bool array of shape (L,), optional
        Stretches to mark, in the coordinates of the axis.
    absolute : bool
        Average |relevance|; otherwise the signed relevance.
    lengths : array of shape (N,), or a mapping from name to such, optional
        Real positions of each sequence, from the left, where they are padded to L: a position's mean is over the
        sequences that have it. By default all L. A position that one sequence alone has is drawn without a band.
    label : str, optional
        Name of a single line.
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
        If the shape is another, NaN occurs, the lines differ in length, or the lengths do not fit them.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> ax = plot_profile({"donors": np.ones((5, 60)), "acceptors": np.zeros((4, 60))}, Figure().subplots(), center=30)
    >>> ax.lines[0].get_xdata()[[0, -1]].tolist()
    [-30, 29]
    """
    lines = dict(relevance) if isinstance(relevance, Mapping) else {label or "": relevance}
    profiles, length = _aligned(lines)
    real = {
        name: _real(lengths.get(name) if isinstance(lengths, Mapping) else lengths, profile.shape)
        for name, profile in profiles.items()
    }
    if center is not None and not 0 <= center < length:
        raise InputError(f"center must be a position of the sequences, 0 to {length - 1}; got {center}")
    first = -(center or 0)
    spans = read_spans(highlight, first)
    ax = new_axes(figsize) if ax is None else ax
    x = np.arange(first, first + length)
    for color, (name, profile) in zip(SERIES_COLORS * len(profiles), profiles.items(), strict=False):
        _draw_line(ax, x, np.abs(profile) if absolute else profile, real[name], color, name or None)
    ax.set_xlim(first - 0.5, first + length - 0.5)
    if absolute:
        ax.set_ylim(bottom=0)
    else:
        ax.axhline(0, color="#444444", linewidth=0.6)
    _label_axes(ax, signed=center is not None)
    ax.set_ylabel("mean |relevance|" if absolute else "mean relevance")
    room = draw_highlights(ax, spans)
    if any(profiles):
        ax.legend(frameon=False, fontsize=8)
    if title:
        ax.set_title(title, fontsize=10, loc="left", pad=room + 5)
    return ax


def _draw_line(
    ax: Axes, x: np.ndarray, profile: np.ndarray, real: np.ndarray, color: str, label: str | None
) -> None:
    """Draw a mean with its band."""
    mean, half = _mean_and_half_width(profile, real)
    # One step a base: a line between bases would invent values there.
    ax.fill_between(x, mean - half, mean + half, step="mid", color=color, alpha=0.2, linewidth=0)
    ax.step(x, mean, where="mid", color=color, linewidth=1.4, label=label)


def _aligned(lines: Mapping[str, Numbers]) -> tuple[dict[str, np.ndarray], int]:
    """Return relevance per position of each line, (N, L), and L."""
    profiles = {name: as_profile(values, name or "relevance") for name, values in lines.items()}
    widths = {profile.shape[1] for profile in profiles.values()}
    if len(widths) != 1:
        raise InputError(f"aligned sequences have one length; got {sorted(widths)}")
    return profiles, widths.pop()


def _label_axes(ax: Axes, *, signed: bool) -> None:
    """Count positions in bp, with a sign where they are counted from a centre."""
    quiet_axes(ax)
    ax.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:+.0f}" if signed and v else f"{v:.0f}"))
    ax.set_xlabel("position (bp)")


def mean_logo(
    relevance: Float[np.ndarray, "n 4 length"] | torch.Tensor, *, lengths: Numbers | None = None
) -> Float[np.ndarray, "4 length"]:
    """Mean relevance of each base at each position over aligned sequences, to be drawn by `plot_logo`.

    Parameters
    ----------
    relevance : array or tensor, shape (N, 4, L)
        Relevance of N aligned sequences.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left: a position's mean is over the sequences that have it. By
        default all L.

    Returns
    -------
    array, shape (4, L)
        0 where no sequence has the position.

    Raises
    ------
    InputError
        If the shape is another, or the lengths do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> mean_logo(np.ones((3, 4, 5))).shape
    (4, 5)
    """
    array = as_array(relevance, "relevance")
    if array.ndim != 3 or array.shape[1] != 4 or 0 in array.shape:
        raise InputError(f"relevance must have shape (N, 4, L) with N and L at least 1; got {array.shape}")
    real = _real(lengths, (array.shape[0], array.shape[2]))
    mean: np.ndarray = np.where(real[:, None], array, 0.0).sum(axis=0) / np.maximum(real.sum(axis=0), 1)
    return mean


def _real(lengths: Numbers | None, shape: tuple[int, ...]) -> Bool[np.ndarray, "n length"]:
    """Which positions are no padding."""
    if lengths is None:
        return np.ones(shape, dtype=bool)
    sizes = as_array(lengths, "lengths")
    if sizes.shape != shape[:1] or (sizes < 1).any() or (sizes > shape[1]).any():
        raise InputError(
            f"lengths must be {shape[0]} numbers from 1 to {shape[1]}, one for each sequence; got shape {sizes.shape}"
        )
    return np.arange(shape[1]) < sizes[:, None]


def _mean_and_half_width(
    values: Float[np.ndarray, "n length"], real: Bool[np.ndarray, "n length"]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the sequences that have a position, and half its 95 % interval; NaN where there are none, or one."""
    from scipy.stats import t

    n = real.sum(axis=0).astype(np.float64)
    n[n == 0] = np.nan
    mean = np.where(real, values, 0.0).sum(axis=0) / n
    squares = np.where(real, np.square(values - mean), 0.0).sum(axis=0)
    freedom = np.where(n > 1, n - 1, np.nan)
    half: np.ndarray = t.ppf(0.975, freedom) * np.sqrt(squares / freedom / n)
    return mean, half
