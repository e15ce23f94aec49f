"""Which bases a position of a layer sees, measured by gradients, and how active its channels are; no motifs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genoplrp.relevance.tracing.guards import autograd_on, evaluation_mode

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
    model: nn.Module, length: int, layers: Sequence[str], *, like: Tensor | None = None
) -> dict[str, ReceptiveField]:
    """Measure the receptive fields of layers with outputs (N, C, positions).

    Parameters
    ----------
    model : torch.nn.Module
        Takes (N, 4, L).
    length : int
        Length L of the sequences, in bp.
    layers : sequence of str
        Names of modules.
    like : Tensor, optional
        Has the type and the device of the input.

    Returns
    -------
    dict
        Layer -> `ReceptiveField`, in the order given; layers with another output, or fewer than three positions, are
        left out.

    Notes
    -----
    The gradients of two positions in the middle, all channels with random signs, over several random inputs: a base is
    seen where one of them is not zero. A pooling layer answers to another base in each input.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv1d(4, 3, 5), nn.MaxPool1d(2), nn.Conv1d(3, 2, 3))
    >>> receptive_fields(model, 60, ["0", "2"])["2"]
    ReceptiveField(start=0, stride=2, width=10)
    """
    like = next((p for p in model.parameters()), torch.zeros(0)) if like is None else like
    n = max(2, min(32, _BASES // length))
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(n, 4, length, generator=rng).to(next(iter(model.parameters()), like)).requires_grad_()
    fields = {}
    with autograd_on(), evaluation_mode(model), _kept(model, layers) as outputs:
        model(x)
        for name in layers:
            y = outputs.get(name)
            if y is None or y.dim() != 3 or y.shape[2] < 3 or not y.requires_grad:
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
    model: nn.Module, layer: str, X: Float[Tensor, "n 4 length"], batch_size: int = 64
) -> Float[Tensor, "n channels positions"]:
    """Return the output of a layer for each sequence, on the CPU."""
    like = next((p for p in model.parameters()), X)
    parts = []
    with torch.no_grad(), evaluation_mode(model), _kept(model, [layer]) as outputs:
        for batch in X.split(batch_size):
            model(batch.to(like))
            parts.append(outputs.pop(layer).float().cpu())
    return torch.cat(parts)


@contextmanager
def _kept(model: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Keep the outputs of modules while the model is called."""
    outputs: dict[str, Tensor] = {}
    modules = dict(model.named_modules())

    def keeper(name: str) -> Callable[[nn.Module, object, object], None]:
        def keep(module: nn.Module, args: object, output: object) -> None:
            if isinstance(output, Tensor):
                outputs[name] = output

        return keep

    handles = []
    try:
        for name in layers:
            # Behind an adapter the names begin with that of the model in it.
            own = name if name in modules else next((n for n in modules if n.endswith(f".{name}")), None)
            handles += [] if own is None else [modules[own].register_forward_hook(keeper(name))]
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _seen(value: Tensor, x: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(value, x, retain_graph=True, allow_unused=True)
    if gradient is None:
        return torch.zeros(0)
    return torch.nonzero(gradient.abs().amax(dim=(0, 1)))[:, 0]
