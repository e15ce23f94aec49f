"""From base codes to one-hot batches, augmented or not: the order and the draws depend on the generator alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor


def one_hot(
    codes: UInt8[Tensor, "n length"], dtype: torch.dtype = torch.float32
) -> Float[Tensor, "n 4 length"]:
    """One-hot of base codes; code 4 (no base) is a zero column.

    Examples
    --------
    >>> import torch
    >>> from genoplrp.training.batches import one_hot
    >>> one_hot(torch.tensor([[0, 4]], dtype=torch.uint8))[0, :, 0].tolist()
    [1.0, 0.0, 0.0, 0.0]
    """
    bases = torch.arange(4, dtype=codes.dtype, device=codes.device)
    return (codes[:, None, :] == bases[None, :, None]).to(dtype)


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """The generator of one epoch: a function of seed and epoch alone, so that a resumed run draws the same."""
    state = np.random.SeedSequence((seed, epoch)).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(state[0]) << 31 ^ int(state[1]))


def shuffled_batches(
    codes: UInt8[Tensor, "n length"],
    labels: Float[Tensor, "n n_tasks"],
    batch_size: int,
    generator: torch.Generator,
    *,
    reverse_complement: bool = False,
    max_shift: int = 0,
) -> Iterator[tuple[Float[Tensor, "b 4 length"], Float[Tensor, "b n_tasks"]]]:
    """One epoch of batches in random order; a last batch of one sequence is left out (BatchNorm needs two).

    Parameters
    ----------
    codes, labels
        The training part.
    batch_size
        Sequences a batch.
    generator
        Source of the order and of the augmentation.
    reverse_complement
        Turn every sequence round with probability one half.
    max_shift
        Shift every sequence by -max_shift to +max_shift bp; what moves in is a zero column.
    """
    order = torch.randperm(len(codes), generator=generator).to(codes.device)
    for chosen in order.split(batch_size):
        if len(chosen) == 1 and len(order) > 1:
            return
        batch = codes[chosen]
        if reverse_complement:
            batch = _turned(batch, torch.rand(len(batch), generator=generator) < 0.5)
        if max_shift:
            batch = _shifted(
                batch, torch.randint(-max_shift, max_shift + 1, (len(batch),), generator=generator)
            )
        yield one_hot(batch), labels[chosen]


def _turned(codes: UInt8[Tensor, "n length"], turn: Tensor) -> UInt8[Tensor, "n length"]:
    flipped = codes.flip(1)
    flipped = torch.where(flipped < 4, 3 - flipped, flipped)  # the code 4 (no base) stays
    return torch.where(turn.to(codes.device)[:, None], flipped, codes)


def _shifted(codes: UInt8[Tensor, "n length"], shift: Tensor) -> UInt8[Tensor, "n length"]:
    source = torch.arange(codes.shape[1], device=codes.device)[None] - shift.to(codes.device)[:, None]
    outside = (source < 0) | (source >= codes.shape[1])
    moved = codes.gather(1, source.clamp(0, codes.shape[1] - 1))
    return moved.masked_fill(outside, 4)
