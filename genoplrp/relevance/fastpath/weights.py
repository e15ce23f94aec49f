"""What is made of a layer's weights once and used again: merged with the normalisation, blended, laid out.

Each batch first compares the model's own weights with those that it was made of, value by value: a training step, an
edit of ``weight.data`` or another model's weights loaded into it make it anew. A GPU is asked once for all layers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genoplrp.relevance import devices
from genoplrp.relevance.deferred import holds
from genoplrp.relevance.fastpath.nodes import LayerCall, NormCall
from genoplrp.relevance.propagation.folding import can_fold, folded_conv1d, folded_filters
from genoplrp.relevance.propagation.layer import Layer
from genoplrp.relevance.propagation.layout import has_far_taps, tap_by_tap, widen
from genoplrp.relevance.propagation.linear_maps import Convolution

LARGEST = 4_000_000
"""Layers with more weights than this are merged anew for each batch: the copies would outweigh the time."""
_FORMS = 8


@dataclass(frozen=True, eq=False)
class PreparedConvolution:
    """A convolution that remembers the mirrored form of the weights it goes back through."""

    base: Convolution
    forms: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    kind = "convolution"

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return ``W x + b``."""
        return self.base.forward(x, weight, bias)

    def transpose(self, g: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        """Return ``W^T g``."""
        base = self.base
        mirrored = base.dilation[0] * (weight.shape[2] - 1) - base.padding[0]
        if not base._runs_channels_last(x) or base.stride[0] != 1 or mirrored < 0:
            return base.transpose(g, weight, x)
        folds = can_fold(weight.shape[1], 1, mirrored, base.dilation[0])
        if not folds and has_far_taps(g, weight.shape[2], 1, mirrored, base.dilation[0]):
            return tap_by_tap(g, weight.transpose(0, 1).flip(2), None, base.dilation[0])
        known = self.forms.get(id(weight))
        if known is not None and known[0] is weight:
            form = known[1]
        else:
            flipped = weight.transpose(0, 1).flip(2)
            form = folded_filters(flipped) if folds else widen(flipped)
            if len(self.forms) < _FORMS:
                self.forms[id(weight)] = (weight, form)
        if folds:
            return folded_conv1d(g, weight.transpose(0, 1), None, mirrored, folded=form)
        return F.conv2d(widen(g), form, None, 1, (0, mirrored), (1, base.dilation[0])).squeeze(2)

    def scale_outputs(self, weight: Tensor, scale: Tensor) -> Tensor:
        """Scale each filter."""
        return self.base.scale_outputs(weight, scale)


@dataclass(frozen=True, eq=False)
class Wanted:
    """A layer as the model has it now: the call, the normalisation that merges into it, its place in the order."""

    call: LayerCall
    norm: NormCall | None
    index: int

    @property
    def source(self) -> list[Tensor]:
        """The model's own tensors that it is made of."""
        norm = self.norm
        own = (self.call.weight, self.call.bias)
        merged = () if norm is None else (norm.mean, norm.variance, norm.weight, norm.bias)
        return [tensor for tensor in (*own, *merged) if tensor is not None]

    @property
    def settings(self) -> tuple[Any, ...]:
        """All that it is made of beside them."""
        norm = self.norm
        merged = None if norm is None else (norm.epsilon, norm.weight is None, norm.bias is None)
        shapes = tuple(tensor.shape for tensor in self.source)
        return self.call.identity, self.call.map, self.index, self.call.bias is None, merged, shapes


@dataclass(frozen=True, eq=False)
class _Entry:
    values: Tensor
    settings: tuple[Any, ...]
    layer: Layer


class PreparedLayers:
    """Layer name -> what was made of its weights."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    @property
    def entries(self) -> tuple[object, ...]:
        """What was made, to hold on to."""
        return tuple(self._entries.values())

    def check(self, layers: Iterable[Wanted]) -> None:
        """Forget what was made of other weights than those that the model has now."""
        known = []
        for wanted in layers:
            entry = self._entries.get(wanted.call.identity.name)
            if entry is not None and entry.settings == wanted.settings:
                known.append((wanted.call.identity.name, entry.values, wanted.source))
            elif entry is not None:
                self._entries.pop(wanted.call.identity.name, None)
        if not known:
            return
        if devices.kind_of(known[0][1]) == "cpu":
            for name, values, source in known:
                parts = values.split([tensor.numel() for tensor in source])
                if not all(torch.equal(a, b.reshape(-1)) for a, b in zip(parts, source, strict=True)):
                    self._entries.pop(name, None)
            return
        then = torch.cat([values for _, values, _ in known])
        if not holds("same weights", (then == _flat([t for _, _, source in known for t in source])).all()):
            self._entries.clear()

    def layer(self, wanted: Wanted, x: Tensor, z: Tensor) -> Layer:
        """Return a layer that was checked; ``x`` and ``z`` are for the caller to put in their places."""
        name = wanted.call.identity.name
        entry = self._entries.get(name)
        if entry is None:
            made = _made(wanted.call, *_affine(wanted.norm, wanted.call.weight), wanted.index, x, z)
            entry = _Entry(_flat(wanted.source), wanted.settings, made)
            if wanted.call.weight.numel() <= LARGEST:
                self._entries[name] = entry
        return replace(entry.layer, x=x, z=z)


def _flat(tensors: list[Tensor]) -> Tensor:
    """Return the values of tensors one after the other, in memory of their own."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def _made(
    call: LayerCall, scale: Tensor | None, shift: Tensor | None, index: int, x: Tensor, z: Tensor
) -> Layer:
    weight, bias = call.weight.clone(), None if call.bias is None else call.bias.clone()
    if scale is not None and shift is not None:
        weight = call.map.scale_outputs(call.weight, scale)
        bias = shift if call.bias is None else call.bias * scale + shift
    described: Any = call.map
    if isinstance(call.map, Convolution):
        described = PreparedConvolution(call.map)
        if weight.dtype == torch.float32:
            weight = widen(weight).squeeze(2)
    name, place, rule = call.identity
    return Layer(name, index, place, described, rule, x, weight, bias, z)


def _affine(norm: NormCall | None, like: Tensor) -> tuple[Tensor | None, Tensor | None]:
    if norm is None:
        return None, None
    scale = torch.rsqrt(norm.variance.to(like.dtype) + norm.epsilon)
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -norm.mean.to(like.dtype) * scale
    return scale, shift if norm.bias is None else shift + norm.bias
