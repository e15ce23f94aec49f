"""First-layer filters as motif logos, ordered by the relevance that each carried; making the PWMs is not done here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure, SubFigure

from genoplrp.errors import InputError
from genoplrp.plotting.arrays import as_array
from genoplrp.plotting.motif import plot_motif
from genoplrp.plotting.options import MotifOptions

if TYPE_CHECKING:
    import torch


def plot_filters(
    pwms: Sequence[Float[np.ndarray, "4 width"]] | Float[np.ndarray, "filters 4 width"] | torch.Tensor,
    relevance: Float[np.ndarray, " filters"] | torch.Tensor,
    *,
    names: Sequence[str] | None = None,
    most: int = 24,
    columns: int = 4,
    figure: Figure | SubFigure | None = None,
    **motif: Unpack[MotifOptions],
) -> np.ndarray:
    """Draw filters as motif logos, those first that carried most relevance.

    Parameters
    ----------
    pwms : sequence of (4, W) arrays, or array (F, 4, W)
        Probabilities of the bases in the windows that excite each filter.
    relevance : array or tensor, shape (F,)
        Relevance that each filter carried, signed; the share of its absolute value stands in the title.
    names : sequence of str, optional
        Names of the filters; by default their numbers.
    most : int
        Draw at most this many.
    columns : int
        Logos beside one another.
    figure : matplotlib Figure or SubFigure, optional
        An empty figure to draw in; by default a new one of pyplot's.
    **motif
        Passed to `plot_motif`.

    Returns
    -------
    array of matplotlib.axes.Axes
        One for each filter that is drawn.

    Raises
    ------
    InputError
        If the numbers of filters differ, or a filter is no PWM.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> axes = plot_filters([np.eye(4), np.eye(4)[::-1]], [1.0, 3.0], figure=Figure())
    >>> [ax.get_title(loc="left") for ax in axes]
    ['filter 1, 75 %', 'filter 0, 25 %']
    """
    carried = as_array(relevance, "relevance")
    if carried.ndim != 1 or len(carried) != len(pwms) or len(carried) == 0:
        raise InputError(
            f"relevance needs one number per filter; got shape {carried.shape} for {len(pwms)} filters"
        )
    if names is not None and len(names) != len(pwms):
        raise InputError(f"names needs one entry per filter; got {len(names)} for {len(pwms)} filters")
    total = np.abs(carried).sum() or 1.0
    order = np.argsort(-np.abs(carried), kind="stable")[:most]
    rows = -(-len(order) // columns)
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=(2.6 * min(columns, len(order)), 1.35 * rows))
    if isinstance(figure, Figure) and figure.get_layout_engine() is None:
        figure.set_layout_engine("constrained")
    grid = figure.subplots(rows, min(columns, len(order)), squeeze=False).ravel()
    for ax, index in zip(grid, order, strict=False):
        sign = "−" if carried[index] < 0 else ""
        name = names[index] if names is not None else f"filter {index}"
        share = 100 * abs(carried[index]) / total
        plot_motif(pwms[index], ax, title=f"{name}, {sign}{share:.0f} %", **motif)
        ax.set_ylabel("")
    for ax in grid[len(order) :]:
        ax.remove()
    return np.asarray(grid[: len(order)])
