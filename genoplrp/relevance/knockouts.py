"""What stands in for parts of a sequence: blocks that are knocked out, and shuffles of the whole.

Not here: which of them are explained (`views`), and what they are worth (`genoplrp.evaluation`).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from genoplrp.sequence import shuffle_codes

#: Parts that a sequence's blocks are dealt out to.
PARTS = 4
_UNKNOWN = 4  # the code of a column that is no base


def shuffled(x: Float[Tensor, "n 4 length"], *seed: int) -> Float[Tensor, "n 4 length"]:
    """Shuffle sequences so that the number of each dinucleotide is kept; each as it would be alone.

    Parameters
    ----------
    x
        (N, 4, L) one-hot; columns of zeros count as a fifth letter.
    seed
        Seeds.

    Returns
    -------
    Tensor, shape (N, 4, L)

    Examples
    --------
    >>> x = torch.eye(4)[torch.tensor([[0, 1, 0, 1, 2, 0, 3]])].mT
    >>> bool((shuffled(x, 0).sum(dim=2) == x.sum(dim=2)).all())
    True
    """
    values = x.detach().cpu()
    codes = torch.where(values.sum(dim=1) > 0, values.argmax(dim=1), _UNKNOWN).numpy().astype(np.uint8)
    rows = [shuffle_codes(row[None], np.random.default_rng(seed))[0] for row in codes]
    drawn = torch.from_numpy(np.stack(rows).astype(np.int64)) if rows else torch.zeros(0, x.shape[2]).long()
    table = torch.cat([torch.eye(4), torch.zeros(1, 4)]).to(x)
    return table[drawn.to(x.device)].mT.contiguous()


def knockout_parts(length: int, rounds: int, width: int, seed: int) -> Int[np.ndarray, "rounds length"]:
    """Deal blocks of a sequence out to four parts: of four neighbours, at a random offset, each to another part.

    Parameters
    ----------
    length
        Length L of the sequences.
    rounds
        How often.
    width
        Length of a block.
    seed
        Seed.

    Returns
    -------
    numpy.ndarray, shape (rounds, L), int64
        The part, 0 to 3, of each position.

    Examples
    --------
    >>> sorted(knockout_parts(8, 1, 2, seed=0)[0].tolist())[-1]
    3
    """
    rng = np.random.default_rng(seed)
    dealt = np.empty((rounds, length), dtype=np.int64)
    for row in dealt:
        blocks = (np.arange(length) + rng.integers(0, width)) // width
        hands = rng.permuted(np.tile(np.arange(PARTS), (length // width // PARTS + 2, 1)), axis=1)
        row[:] = hands.reshape(-1)[blocks]
    return dealt


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
