"""What the reference networks have in common: remembered parameters, seeded weights, pools that fit short inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn


class SequenceModel(nn.Module):
    """Base of the reference architectures: remembers the parameters that it was built with.

    Attributes
    ----------
    hyperparameters
        Everything that the constructor needs to build the same network again.
    gains
        Layers (by the beginning of their name) that start with other weights than He's; see :func:`initialise`.
    """

    gains: ClassVar[Mapping[str, float]] = {
        "output": 0.5
    }  # small first logits: the loss of a constant prediction

    def __init__(self, **hyperparameters: Any) -> None:
        super().__init__()
        self.hyperparameters = hyperparameters


def initialise(
    model: nn.Module, generator: torch.Generator, gains: Mapping[str, float] | None = None
) -> None:
    """Draw the weights of convolutions and linear layers anew, in place; biases 0, normalisation reset.

    Parameters
    ----------
    model
        Network whose parametrised layers are convolutions, linear layers or normalisations.
    generator
        Source of the random numbers.
    gains
        Standard deviation times sqrt(fan-in) for the layers whose name begins with the key; else sqrt(2).

    References
    ----------
    He et al. 2015, *Delving deep into rectifiers* (standard deviation sqrt(2 / fan-in)).
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv1d | nn.Linear):
            gain = next((g for prefix, g in (gains or {}).items() if name.startswith(prefix)), math.sqrt(2.0))
            fan_in = module.weight[0].numel()
            with torch.no_grad():
                module.weight.normal_(0.0, gain / math.sqrt(fan_in), generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
        elif isinstance(module, nn.BatchNorm1d):
            module.reset_running_stats()
            module.reset_parameters()


def adapt_pools(length: int, pools: Sequence[int], *, at_least: int = 10) -> tuple[int, ...]:
    """Pool sizes that leave at least ``at_least`` positions, shrinking the largest first.

    Parameters
    ----------
    length
        Length of the input of the first pooling.
    pools
        Sizes wanted.
    at_least
        Positions that have to be left after all of them.

    Examples
    --------
    >>> from genoplrp.training.sequence_model import adapt_pools
    >>> adapt_pools(200, (4, 5)), adapt_pools(60, (4, 5))
    ((4, 5), (3, 2))
    """
    sizes = list(pools)
    while _pooled(length, sizes) < at_least and max(sizes) > 1:
        largest = max(range(len(sizes)), key=lambda i: (sizes[i], i))
        sizes[largest] -= 1
    return tuple(sizes)


def _pooled(length: int, sizes: Sequence[int]) -> int:
    for size in sizes:
        length //= size
    return length
