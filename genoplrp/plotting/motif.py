"""Motif logos: probabilities drawn by their information content; relevance is drawn in ``logo``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from genoplrp.errors import InputError
from genoplrp.plotting.arrays import as_array, as_logo
from genoplrp.plotting.logo import plot_logo

if TYPE_CHECKING:
    import torch


def information_content(
    pwm: Float[np.ndarray, "4 width"] | torch.Tensor, background: Sequence[float] | None = None
) -> Float[np.ndarray, "4 width"]:
    """Letter heights of a motif logo: each column's relative entropy in bits, shared out by probability.

    Parameters
    ----------
    pwm : array or tensor, shape (4, W)
        Probabilities of A, C, G, T at each position; columns sum to 1.
    background : four floats, optional
        Probabilities of the bases elsewhere; by default 0.25 each.

    Returns
    -------
    array, shape (4, W)
        p * sum_b p_b log2(p_b / background_b), in bits.

    Raises
    ------
    InputError
        If a column is not a probability distribution (counts are named as such), or the background is none.

    References
    ----------
    Schneider and Stephens (1990), "Sequence logos: a new way to display consensus sequences", Nucleic Acids
    Research 18(20); with a background, the relative entropy of Stormo (2000), Bioinformatics 16(1).

    Examples
    --------
    >>> information_content([[1.0, 0.25], [0.0, 0.25], [0.0, 0.25], [0.0, 0.25]])[0].tolist()
    [2.0, 0.0]
    """
    p = as_logo(pwm, "pwm")
    bad = np.flatnonzero((np.abs(p.sum(axis=0) - 1) > 1e-3) | (p < 0).any(axis=0))
    if len(bad):
        total = p[:, bad[0]].sum()
        hint = "; divide counts by their column's sum" if total > 1.5 and (p >= 0).all() else ""
        raise InputError(f"pwm holds no probabilities: column {bad[0]} sums to {total:g}{hint}")
    q = as_array([0.25] * 4 if background is None else background, "background")
    if q.shape != (4,) or (q <= 0).any() or abs(q.sum() - 1) > 1e-3:
        raise InputError(f"background must be four positive probabilities that sum to 1; got {q.tolist()}")
    ratio = np.where(p > 0, p, 1.0) / np.where(p > 0, q[:, None], 1.0)
    bits = (p * np.log2(ratio)).sum(axis=0)
    heights: np.ndarray = p * np.maximum(bits, 0.0)
    return heights


def plot_motif(
    pwm: Float[np.ndarray, "4 width"] | torch.Tensor,
    ax: Axes | None = None,
    *,
    background: Sequence[float] | None = None,
    scheme: str | Mapping[str, str] = "classic",
    title: str | None = None,
    figsize: tuple[float, float] | None = None,
) -> Axes:
    """Draw a motif by its information content.

    Parameters
    ----------
    pwm : array or tensor, shape (4, W)
        Probabilities of A, C, G, T at each position.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.
    background : four floats, optional
        Probabilities of the bases elsewhere; by default 0.25 each.
    scheme : str or mapping
        Colours, as in `plot_logo`.
    title : str, optional
        The motif's name.
    figsize : (float, float), optional
        Size of the new figure in inches.

    Returns
    -------
    matplotlib.axes.Axes
        Positions count from 1, the y axis runs from 0 to 2 bits (to the largest possible with a background).

    Raises
    ------
    InputError
        As in `information_content`.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> ax = plot_motif(np.eye(4), Figure().subplots(), title="ACGT")
    >>> ax.get_title(loc="left")
    'ACGT'
    """
    bits = information_content(pwm, background)
    width = bits.shape[1]
    most = 2.0 if background is None else float(-np.log2(min(background)))
    ax = plot_logo(
        bits,
        ax,
        start=1,
        scheme=scheme,
        ylim=(0.0, most),
        title=title,
        ylabel="bits",
        figsize=figsize or (float(np.clip(0.28 * width + 0.8, 2.0, 12.0)), 1.7),
    )
    ax.set_xlabel("")
    if background is None:
        ax.set_yticks([0, 1, 2])
    ax.set_xticks(range(1, width + 1) if width <= 15 else range(5, width + 1, 5))
    return ax
