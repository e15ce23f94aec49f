"""Letters by the thousand: heights to outlines, one collection a colour; axes and highlights are elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.path import Path

from genoplrp.plotting.glyphs import BASES, unit_glyph

LETTER_WIDTH = 0.95  # of the distance between two bases


class Stack(NamedTuple):
    """Letters of a logo, one entry per letter that is drawn (zeros are left out)."""

    base: Int[np.ndarray, " letter"]
    position: Int[np.ndarray, " letter"]
    bottom: Float[np.ndarray, " letter"]
    top: Float[np.ndarray, " letter"]
    negative: Bool[np.ndarray, " letter"]


def stack_letters(heights: Float[np.ndarray, "4 length"]) -> Stack:
    """Where each letter of a logo stands: positive ones above zero, negative ones below, the largest outermost.

    Parameters
    ----------
    heights : array, shape (4, L)
        Signed height of A, C, G, T at each position.

    Returns
    -------
    Stack
        Only letters whose height is not zero.

    Examples
    --------
    >>> s = stack_letters(np.array([[1.0], [2.0], [0.0], [-3.0]]))
    >>> {"ACGT"[b]: (float(lo), float(hi)) for b, lo, hi in zip(s.base, s.bottom, s.top)}
    {'T': (-3.0, 0.0), 'A': (0.0, 1.0), 'C': (1.0, 3.0)}
    """
    order = np.argsort(heights, axis=0, kind="stable")
    ascending = np.take_along_axis(heights, order, axis=0)
    zero = np.zeros((1, heights.shape[1]))
    up = np.concatenate([zero, np.cumsum(np.maximum(ascending, 0), axis=0)])
    down = np.concatenate([np.cumsum(np.minimum(ascending, 0)[::-1], axis=0)[::-1], zero])
    negative = ascending < 0
    bottom, top = np.where(negative, (down[:-1], down[1:]), (up[:-1], up[1:]))
    row, position = np.nonzero(ascending)
    return Stack(
        base=order[row, position],
        position=position,
        bottom=bottom[row, position],
        top=top[row, position],
        negative=negative[row, position],
    )


def draw_letters(
    ax: Axes,
    stack: Stack,
    x: Float[np.ndarray, " length"],
    colors: Mapping[str, tuple[float, float, float]],
    *,
    flip_below: bool = True,
    mirror: bool = False,
) -> list[PathCollection]:
    """Draw letters, one collection a base.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw; limits stay as they are.
    stack : Stack
        What to draw.
    x : array, shape (L,)
        Centre of each position, in data coordinates.
    colors : mapping
        Colour of each base.
    flip_below : bool
        Turn negative letters upside down.
    mirror : bool
        Mirror each letter left to right: for an axis that runs from right to left, on which it then reads right.

    Returns
    -------
    list of matplotlib.collections.PathCollection
        One for each base that occurs, labelled with it, in the order A C G T.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from genoplrp.plotting.glyphs import scheme_colors
    >>> ax = Figure().subplots()
    >>> drawn = draw_letters(ax, stack_letters(np.eye(4)), np.arange(4.0), scheme_colors("classic"))
    >>> [c.get_label() for c in drawn]
    ['A', 'C', 'G', 'T']
    """
    drawn = []
    for index, base in enumerate(BASES):
        mine = np.flatnonzero(stack.base == index)
        if not len(mine):
            continue
        glyph, codes = unit_glyph(base)
        across = (1 - glyph[:, 0] if mirror else glyph[:, 0]) - 0.5
        bottom, top = stack.bottom[mine], stack.top[mine]
        if flip_below:
            bottom, top = np.where(stack.negative[mine], (top, bottom), (bottom, top))
        vertices = np.empty((len(mine), len(glyph), 2))
        vertices[..., 0] = x[stack.position[mine], None] + LETTER_WIDTH * across
        vertices[..., 1] = bottom[:, None] + (top - bottom)[:, None] * glyph[:, 1]
        letters = PathCollection(
            [Path(outline, codes) for outline in vertices],
            facecolors=[colors[base]],
            edgecolors="none",
            linewidths=0,
            label=base,
            zorder=2,
        )
        ax.add_collection(letters, autolim=False)
        drawn.append(letters)
    return drawn
