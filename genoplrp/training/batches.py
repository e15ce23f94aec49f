"""From base codes to one-hot batches, augmented or not: the order and the draws depend on the generator alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
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
    labels: Float[Tensor, "n n_tasks ..."],
    batch_size: int,
    generator: torch.Generator,
    *,
    reverse_complement: bool = False,
    max_shift: int = 0,
) -> Iterator[tuple[Float[Tensor, "b 4 length"], Float[Tensor, "b n_tasks ..."]]]:
    """One epoch of batches in random order; a last batch of one sequence is left out (BatchNorm needs two).

    Parameters
    ----------
    codes, labels
        The training part; profiles, (n, n_tasks, length), are turned and shifted with their sequences.
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
        batch, wanted = codes[chosen], labels[chosen]
        if reverse_complement:
            turn = torch.rand(len(batch), generator=generator) < 0.5
            batch = _turned(batch, turn)
            if wanted.ndim == 3:
                wanted = torch.where(turn.to(wanted.device)[:, None, None], wanted.flip(2), wanted)
        if max_shift:
            shift = torch.randint(-max_shift, max_shift + 1, (len(batch),), generator=generator)
            batch = _shifted(batch, shift, 4)
            if wanted.ndim == 3:
                tasks = wanted.shape[1]
                wanted = _shifted(wanted.flatten(0, 1), shift.repeat_interleave(tasks), 0).unflatten(
                    0, (-1, tasks)
                )
        yield one_hot(batch), wanted


def _turned(codes: UInt8[Tensor, "n length"], turn: Tensor) -> UInt8[Tensor, "n length"]:
    flipped = codes.flip(1)
    flipped = torch.where(flipped < 4, 3 - flipped, flipped)  # the code 4 (no base) stays
    return torch.where(turn.to(codes.device)[:, None], flipped, codes)


def _shifted(values: Shaped[Tensor, "n length"], shift: Tensor, fill: int) -> Shaped[Tensor, "n length"]:
    source = torch.arange(values.shape[1], device=values.device)[None] - shift.to(values.device)[:, None]
    outside = (source < 0) | (source >= values.shape[1])
    moved = values.gather(1, source.clamp(0, values.shape[1] - 1))
    return moved.masked_fill(outside, fill)
