"""Windows of one channel laid on one another, by what they hold; which windows is decided elsewhere."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

ROUNDS = 4


def align_windows(
    pieces: Float[np.ndarray, "n 4 long"], width: int
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, "4 width"]]:
    """Shift windows inside their flanks until they agree best with their mean.

    Parameters
    ----------
    pieces : array, (N, 4, W + 2 F)
        Relevance of the bases of each window of W positions and F beside it at either end.
    width : int
        W.

    Returns
    -------
    tuple of array (N,) and array (4, W)
        Where each window starts in its piece, and the mean of the windows there. The first template is the window that
        holds most, each later one the mean of the windows as they lie.

    Examples
    --------
    >>> pieces = np.zeros((3, 4, 9)); pieces[0, 2, 3] = 2; pieces[1, 2, 5] = pieces[2, 2, 2] = 1
    >>> start, profile = align_windows(pieces, 3)
    >>> (start - start[0]).tolist()
    [0, 2, -1]
    """
    n, _, long = pieces.shape
    shifts = long - width + 1
    flank = (shifts - 1) // 2
    views = np.lib.stride_tricks.sliding_window_view(pieces, width, axis=2)  # (N, 4, shifts, W)
    start = np.full(n, flank)
    strongest = int(np.abs(pieces[:, :, flank : flank + width]).sum(axis=(1, 2)).argmax())
    template = _centred(pieces[strongest], width)
    # Ties go to the smallest shift.
    order = np.argsort(np.abs(np.arange(shifts) - flank), kind="stable")
    for _ in range(ROUNDS):
        score = np.einsum("nbsw,bw->ns", views, template)
        found = order[score[:, order].argmax(axis=1)]
        template = views[np.arange(n), :, found].mean(axis=0)
        if np.array_equal(found, start):
            break
        start = found
    return start, template


def _centred(piece: Float[np.ndarray, "4 long"], width: int) -> Float[np.ndarray, "4 width"]:
    """Return the stretch of one piece that holds most."""
    size = np.lib.stride_tricks.sliding_window_view(np.abs(piece).sum(axis=0), width).sum(axis=1)
    first = int(size.argmax())
    stretch: np.ndarray = piece[:, first : first + width]
    return stretch
