"""Which bases a position of a layer sees, measured by gradients, and how active its channels are; no motifs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from genoplrp.relevance import GradientTimesInput, Target
from genoplrp.relevance.methods.activations import layer_outputs

_BASES = 32_000  # of random input to measure with


class ReceptiveField(NamedTuple):
    """Position j of a layer sees the bases from ``start + stride * j`` on, `width` of them.

    Attributes
    ----------
    start, stride, width : int
        In bp; `start` is negative where the layer pads.
    """

    start: int
    stride: int
    width: int


def receptive_fields(
    explainer: GradientTimesInput, length: int, layers: Sequence[str], target: Target = 0
) -> dict[str, ReceptiveField]:
    """Measure the receptive fields of convolutions along the sequence.

    Parameters
    ----------
    explainer : GradientTimesInput
        Of the model; it has explained something already, so that the order of the axes is known.
    length : int
        Length L of the sequences, in bp.
    layers : sequence of str
        Names of convolutions, as of `genoplrp.relevance.channel_relevance`.
    target
        As in a call of the explainer.

    Returns
    -------
    dict
        Layer -> `ReceptiveField`, in the order given; layers of another kind, or with fewer than three positions, are
        left out.

    Notes
    -----
    The gradients of two positions in the middle, all channels with random signs, over several random inputs: a base is
    seen where one of them is not zero. A pooling layer answers to another base in each input.

    Examples
    --------
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv1d(4, 3, 5), nn.MaxPool1d(2), nn.Conv1d(3, 2, 3), nn.Flatten(), nn.Linear(52, 1))
    >>> receptive_fields(GradientTimesInput(model), 60, ["0", "2"])["2"]
    ReceptiveField(start=0, stride=2, width=10)
    """
    n = max(2, min(32, _BASES // length))
    rng = torch.Generator().manual_seed(0)
    x, outputs = layer_outputs(explainer, torch.randn(n, 4, length, generator=rng), layers, target)
    fields = {}
    for name in layers:
        y = None if name not in outputs else _along_sequence(outputs[name])
        if y is None or y.shape[2] < 3:
            continue
        sign = torch.randn(y.shape[:2], generator=rng).to(y)
        middle = y.shape[2] // 2
        seen = [_seen((y[:, :, at] * sign).sum(), x) for at in (middle, middle + 1)]
        if any(len(one) == 0 for one in seen):
            continue
        (low, high), (next_low, next_high) = ((int(one[0]), int(one[-1])) for one in seen)
        stride = max(next_low - low, next_high - high)
        if stride < 1:  # all positions see the same: no window belongs to one
            fields[name] = ReceptiveField(0, 1, length)
            continue
        fields[name] = ReceptiveField(low - stride * middle, stride, high - low + 1)
    return fields


def activations(
    explainer: GradientTimesInput, layer: str, X: Float[Tensor, "n 4 length"], target: Target = 0
) -> Float[Tensor, "n channels positions"]:
    """Return the output of a convolution, of which `receptive_fields` knows, for each sequence, on the CPU."""
    parts = []
    for batch in X.split(explainer.batch_size):
        y = _along_sequence(layer_outputs(explainer, batch, [layer], target)[1][layer])
        assert y is not None
        parts.append(y.detach().float().cpu())
    return torch.cat(parts)


def _along_sequence(y: Tensor) -> Tensor | None:
    """Return (N, C, positions), also of (N, C, 1, positions) and (N, C, positions, 1); None of anything else."""
    if y.dim() == 4 and 1 in y.shape[2:]:
        y = y.squeeze(2 if y.shape[2] == 1 else 3)
    return y if y.dim() == 3 else None


def _seen(value: Tensor, x: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(value, x, retain_graph=True, allow_unused=True)
    if gradient is None:
        return torch.zeros(0)
    return torch.nonzero(gradient.abs().amax(dim=(0, 1)))[:, 0]
