"""Normalisation layers: batch norm merges into the layer before it; the others count their deviation as a constant.

References
----------
Ali et al. 2022, ICML, "XAI for Transformers: Better Explanations through Conservative Propagation": layer norm.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genoplrp.relevance.tracing.calls import Args, Call, Kwargs
from genoplrp.relevance.tracing.operations.linear import merge_affine
from genoplrp.relevance.tracing.registry import handles
from genoplrp.relevance.tracing.tracer import Tracer


@handles("batch_norm", linear=True)
def batch_norm(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``F.batch_norm`` with its running statistics: affine, merged where a linear layer stands before it."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    call = dict(zip(names, args, strict=False)) | kwargs
    x, mean, var = call["input"], call.get("running_mean"), call.get("running_var")
    if mean is None or var is None:
        raise tracer.refuse(
            "batch_norm without running statistics",
            "its result depends on the other sequences of the batch",
            "build the layer with track_running_stats=True",
        )
    if call.get("training"):
        raise tracer.refuse(
            "batch_norm on the statistics of the batch",
            "its result depends on the other sequences of the batch",
            "call it with training=self.training, as torch.nn.BatchNorm1d does",
        )
    tracer.count("ruled", "batch_norm")
    with torch.no_grad():
        scale = torch.rsqrt(var.to(x.dtype) + call.get("eps", 1e-5))
        if call.get("weight") is not None:
            scale = scale * call["weight"]
        shift = -mean.to(x.dtype) * scale
        if call.get("bias") is not None:
            shift = shift + call["bias"]
    if tracer.marks_of(x).channel_axis == 1:
        merged = merge_affine(tracer, x, scale, shift)
        if merged is not None:
            return merged
    shape = (1, -1, *[1] * (x.dim() - 2))
    return tracer.watch("batch_norm", [x], lambda ts: ts[0] * scale.reshape(shape) + shift.reshape(shape))


@handles("layer_norm")
def layer_norm(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``F.layer_norm`` with the deviation as a constant."""
    call = dict(zip(("input", "normalized_shape", "weight", "bias", "eps"), args, strict=False)) | kwargs
    axes = tuple(range(-len(call["normalized_shape"]), 0))
    tracer.count("ruled", "layer_norm")
    return tracer.watch(
        "layer_norm",
        [call["input"]],
        lambda ts: _affine(
            _standardised(ts[0], axes, call.get("eps", 1e-5)), call.get("weight"), call.get("bias")
        ),
    )


@handles("rms_norm")
def rms_norm(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``F.rms_norm`` with the root mean square as a constant."""
    call = dict(zip(("input", "normalized_shape", "weight", "eps"), args, strict=False)) | kwargs
    x = call["input"]
    axes = tuple(range(-len(call["normalized_shape"]), 0))
    eps = call.get("eps")
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    tracer.count("ruled", "rms_norm")
    scale = torch.rsqrt(x.detach().square().mean(dim=axes, keepdim=True) + eps)
    return _affine(x * scale, call.get("weight"), None)


@handles("group_norm")
def group_norm(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``F.group_norm`` with the deviation as a constant."""
    call = dict(zip(("input", "num_groups", "weight", "bias", "eps"), args, strict=False)) | kwargs
    return _by_group(tracer, "group_norm", call["input"], call["num_groups"], call)


@handles("instance_norm")
def instance_norm(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``F.instance_norm`` on its own statistics, with the deviation as a constant."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum", "eps")
    call = dict(zip(names, args, strict=False)) | kwargs
    if not call.get("use_input_stats", True):
        call |= {"training": False}
        merged: Tensor = batch_norm(
            tracer, func, (), {k: v for k, v in call.items() if k != "use_input_stats"}
        )
        return merged
    return _by_group(tracer, "instance_norm", call["input"], call["input"].shape[1], call)


@handles("normalize")
def normalize(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``F.normalize`` with the norm as a constant."""
    call = dict(zip(("input", "p", "dim", "eps"), args, strict=False)) | kwargs
    x: Tensor = call["input"]
    tracer.count("ruled", "normalize")
    norm = x.detach().norm(call.get("p", 2.0), call.get("dim", 1), keepdim=True)
    out: Tensor = x / norm.clamp(min=call.get("eps", 1e-12))
    return out


def _by_group(tracer: Tracer, name: str, x: Tensor, groups: int, call: dict[str, Any]) -> Tensor:
    tracer.count("ruled", name)
    shape = (-1, *[1] * (x.dim() - 2))

    def normalised(ts: list[Tensor]) -> Tensor:
        grouped = ts[0].reshape(x.shape[0], groups, -1)
        out = _standardised(grouped, (-1,), call.get("eps", 1e-5)).reshape(x.shape)
        weight, bias = (None if call.get(k) is None else call[k].reshape(shape) for k in ("weight", "bias"))
        return _affine(out, weight, bias)

    return tracer.watch(name, [x], normalised)


def _standardised(x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    centred = x - x.mean(dim=axes, keepdim=True)
    with torch.no_grad():
        scale = torch.rsqrt(centred.square().mean(dim=axes, keepdim=True) + eps)
    return centred * scale


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    if weight is not None:
        x = x * weight
    return x if bias is None else x + bias
