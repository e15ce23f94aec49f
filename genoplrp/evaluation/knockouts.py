"""Which parts of a sequence are knocked out together. Not here: what the rest is worth (`contexts`)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool


def knockout_contexts(length: int, count: int, width: int, seed: int) -> Bool[np.ndarray, "count length"]:
    """Draw which positions are kept: blocks at a random offset, each kept with probability one half.

    Parameters
    ----------
    length
        Length L of the sequences.
    count
        How many contexts.
    width
        Length of a block.
    seed
        Seed.

    Returns
    -------
    numpy.ndarray, shape (count, L), bool

    Examples
    --------
    >>> knockout_contexts(6, 2, 3, seed=0).shape
    (2, 6)
    """
    rng = np.random.default_rng(seed)
    offsets = rng.integers(0, width, size=(count, 1))
    blocks = (np.arange(length) + offsets) // width
    draws = rng.random((count, length // width + 2)) < 0.5
    kept: np.ndarray = np.take_along_axis(draws, blocks, axis=1)
    return kept
