"""What is made of a layer's weights once and used again: merged with the normalisation, blended, laid out.

Each use first compares the model's own weights with those that it was made of, value by value: a training step, an
edit of ``weight.data`` or another model's weights loaded into this one make it anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genoplrp.relevance.deferred import holds
from genoplrp.relevance.fastpath.reading import LayerCall, NormCall
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
class _Entry:
    source: tuple[Tensor | None, ...]
    settings: tuple[Any, ...]
    layer: Layer


class PreparedLayers:
    """Layer name -> what was made of its weights."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def layer(self, call: LayerCall, norm: NormCall | None, index: int, x: Tensor, z: Tensor) -> Layer:
        """Return the layer with its (merged) weights; ``x`` and ``z`` are for the caller to put in their places."""
        scale, shift = _affine(norm, call.weight)
        source = (call.weight, call.bias, scale, shift)
        settings = (call.identity, call.map, index)
        entry = self._entries.get(call.identity.name)
        if entry is None or entry.settings != settings or not _are_equal(entry.source, source):
            entry = _Entry(
                tuple(None if t is None else t.clone() for t in source),
                settings,
                _made(call, scale, shift, index, x, z),
            )
            if call.weight.numel() <= LARGEST:
                self._entries[call.identity.name] = entry
        return replace(entry.layer, x=x, z=z)


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


def _are_equal(a: tuple[Tensor | None, ...], b: tuple[Tensor | None, ...]) -> bool:
    return all(
        (x is None and y is None)
        or (x is not None and y is not None and x.shape == y.shape and holds("same weights", (x == y).all()))
        for x, y in zip(a, b, strict=True)
    )
