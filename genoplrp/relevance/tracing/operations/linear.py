"""Convolutions and linear maps: each becomes a node with a rule; and normalisations that merge into them.

Here is decided what place a layer has (input, convolution, dense) and whether its gauge can be fixed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from genoplrp.relevance.deferred import holds
from genoplrp.relevance.propagation.backward import AmbiguousBatchError, RelevanceNode
from genoplrp.relevance.propagation.layer import Layer
from genoplrp.relevance.propagation.linear_maps import (
    Convolution,
    Dense,
    LinearMap,
    convolution_map,
    per_dimension,
)
from genoplrp.relevance.rules import Place, Rule
from genoplrp.relevance.tracing.calls import Args, Call, Kwargs
from genoplrp.relevance.tracing.marks import Marks
from genoplrp.relevance.tracing.registry import handles
from genoplrp.relevance.tracing.tracer import Tracer

BASES = 4
TOLERANCE = 1e-4
"""How far the shares of the bases at a position may be from 1 in sum."""


@handles("conv1d", "conv2d", "conv3d", linear=True)
def convolution(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``F.conv*d(input, weight, bias, stride, padding, dilation, groups)``."""
    call = _bind(args, kwargs, ("input", "weight", "bias", "stride", "padding", "dilation", "groups"))
    weight = call["weight"]
    _refuse_traced_weight(tracer, func, weight)
    described = convolution_map(
        weight, call.get("stride", 1), call.get("padding", 0), call.get("dilation", 1), call.get("groups", 1)
    )
    x = call["input"]
    if x.dim() == weight.dim() - 1:  # unbatched: one sequence
        return apply_layer(
            tracer, described, x.unsqueeze(0), weight, call.get("bias"), func.__name__
        ).squeeze(0)
    return apply_layer(tracer, described, x, weight, call.get("bias"), func.__name__)


@handles("conv_transpose1d", "conv_transpose2d", "conv_transpose3d", linear=True)
def transposed_convolution(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``F.conv_transpose*d(input, weight, bias, stride, padding, output_padding, groups, dilation)``."""
    names = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
    call = _bind(args, kwargs, names)
    weight = call["weight"]
    _refuse_traced_weight(tracer, func, weight)
    n = weight.dim() - 2
    described = Convolution(
        stride=per_dimension(call.get("stride", 1), n),
        padding=per_dimension(call.get("padding", 0), n),
        dilation=per_dimension(call.get("dilation", 1), n),
        groups=call.get("groups", 1),
        transposed=True,
        output_padding=per_dimension(call.get("output_padding", 0), n),
    )
    return apply_layer(tracer, described, call["input"], weight, call.get("bias"), func.__name__)


@handles("linear", linear=True)
def linear(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``F.linear(input, weight, bias)``."""
    call = _bind(args, kwargs, ("input", "weight", "bias"))
    _refuse_traced_weight(tracer, func, call["weight"])
    return apply_layer(tracer, Dense(), call["input"], call["weight"], call.get("bias"), "linear")


def dense(tracer: Tracer, x: Tensor, weight: Tensor, bias: Tensor | None, name: str) -> Tensor:
    """Apply a linear map that a composite operation contains (attention, a recurrent cell, ``x @ W``)."""
    return apply_layer(tracer, Dense(), x, weight, bias, name)


def apply_layer(
    tracer: Tracer, described: LinearMap, x: Tensor, weight: Tensor, bias: Tensor | None, fallback: str
) -> Tensor:
    """Compute a linear layer once and put a node with its rule into the graph."""
    with torch.no_grad():
        plain = x.detach()
        z = described.forward(plain, weight, bias)
    marks = tracer.marks_of(x)
    identity = identify(tracer, described, weight, is_input=marks.is_input, fallback=fallback)
    layer = Layer(
        name=identity.name,
        index=len(tracer.run.layers),
        place=identity.place,
        map=described,
        rule=identity.rule,
        x=plain,
        weight=weight,
        bias=bias,
        z=z,
        gauge_axis=gauge_axis(identity, described, plain, weight),
    )
    layer = tracer.at_layer(layer)
    tracer.run.layers.append(layer)
    return _join(tracer, x, marks, layer, z)


class Identity(NamedTuple):
    """What a layer is called, where it stands, and by which rule it is explained."""

    name: str
    place: Place
    rule: Rule


def identify(
    tracer: Tracer, described: LinearMap, weight: object, *, is_input: bool, fallback: str
) -> Identity:
    """Name a layer that is being called, and count it; traced or read, it is decided here."""
    name = tracer.name_layer(weight, fallback)
    place: Place = "input" if is_input else described.kind
    module = None
    if tracer.rules.by_type:
        module = next((m for m, path in tracer.names.items() if path == name.split("#")[0]), None)
    tracer.count("ruled", fallback)
    return Identity(name, place, tracer.rules.rule_for(name, place, module))


def merge_affine(tracer: Tracer, z: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor | None:
    """Merge ``scale * z + shift`` (per output of the layer) into the layer that made ``z``; None where no layer did.

    The merged output is an affine function of the one already computed: there is no second convolution.
    """
    marks = tracer.marks_of(z)
    if marks.affine is None:
        return None
    x, layer = marks.affine
    own = replace(marks, order=None).channel_axis
    shape = [-1 if axis == own else 1 for axis in range(layer.z.dim())]
    with torch.no_grad():
        weight, bias, value = layer.weight, layer.bias, layer.z
        if scale is not None:
            weight, value = layer.map.scale_outputs(weight, scale), value * scale.reshape(shape)
            bias = None if bias is None else bias * scale
        if shift is not None:
            value, bias = value + shift.reshape(shape), shift if bias is None else bias + shift
        merged: Layer = layer.with_operands(
            weight=weight,
            bias=bias,
            z=value,
        )
    # The merged layer stands for both; the unmerged one stays in the graph only if something else uses its output.
    tracer.run.layers[layer.index] = merged
    out = _join(tracer, x, tracer.marks_of(x), merged, merged.z)
    if marks.order is None:
        return out
    turned = out.permute(marks.order)
    tracer.mark(turned, replace(tracer.marks_of(out), order=marks.order))
    return turned


def _join(tracer: Tracer, x: Tensor, marks: Marks, layer: Layer, value: Tensor) -> Tensor:
    shadow = marks.shadow if layer.rule.direct else None
    if layer.rule.direct and shadow is None:
        raise tracer.refuse(
            f"the rule {type(layer.rule).__name__} at {layer.name!r}",
            "it does not depend on the input's value, so it serves the model's input layer only",
            "choose another rule for this layer",
        )
    # A view of its own: in a residual network the tensor feeds two consumers, and only this one is pruned here.
    out: Tensor = RelevanceNode.apply(x.view_as(x), shadow, value, layer, tracer.run)
    if tracer.run.cuts is not None:
        out = tracer.run.cuts.cut(layer, out)
    # A layer that stands for a difference to a reference is not the one whose output a normalisation scales.
    tracer.mark(out, Marks(affine=(x, layer) if value is layer.z else None))
    return out


def gauge_axis(identity: Identity, described: LinearMap, x: Tensor, weight: Tensor) -> int | None:
    """Return the weight's axis over the bases if the rule fixes the gauge of this layer's input, else None.

    It does at an input layer whose input is DNA as this layer sees it.
    """
    if identity.place != "input" or not getattr(identity.rule, "gauge", False):
        return None
    if not isinstance(described, Convolution) or described.transposed or described.groups != 1:
        return None
    if x.shape[1] == BASES:
        return 1 if _is_dna(x, 1) else None
    if (
        x.dim() == 4
        and x.shape[1] == 1
        and x.shape[2] == BASES
        and weight.shape[2] == BASES
        and described.padding[0] == 0
    ):
        return 2 if _is_dna(x, 2) else None
    return None


def _is_dna(x: Tensor, axis: int) -> bool:
    """Return whether each column holds shares of the bases: one-hot, a mixture (.25 each for N), or nothing."""
    columns = x.sum(dim=axis)
    sound = ((columns - 1).abs() < TOLERANCE) | (columns == 0)
    rows = sound.reshape(len(x), -1).all(dim=1) & (x >= 0).reshape(len(x), -1).all(dim=1)
    if holds("all are DNA", rows.all()):
        return True
    if holds("some are DNA", rows.any()):
        # A sequence's map may not depend on what else is in its batch.
        raise AmbiguousBatchError("some of the sequences are not one-hot DNA")
    return False


def _refuse_traced_weight(tracer: Tracer, func: Call, weight: object) -> None:
    if isinstance(weight, Tensor) and tracer.is_traced(weight):
        raise tracer.refuse(
            func.__name__, "its weight depends on the input (a hyper-network or dynamic filter)"
        )


def _bind(args: Args, kwargs: Kwargs, names: tuple[str, ...]) -> dict[str, Any]:
    return dict(zip(names, args, strict=False)) | kwargs
