"""Pooling, and the larger of several values: means share relevance by contribution, maxima give it to the winner."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from genoplrp.relevance.propagation.layout import is_channels_last
from genoplrp.relevance.propagation.linear_maps import per_dimension
from genoplrp.relevance.tracing.calls import Args, Call, Kwargs, call_with, tensors_in
from genoplrp.relevance.tracing.operations.neutral import homogeneous
from genoplrp.relevance.tracing.registry import handles
from genoplrp.relevance.tracing.tracer import Tracer

MEANS = """
    avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
""".split()

MAXIMA = """
    max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices max_unpool1d
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool1d_with_indices
    adaptive_max_pool2d_with_indices
""".split()

handles(*MEANS, linear=True, neutral=True)(homogeneous)
handles(*MAXIMA, neutral=True)(homogeneous)


@handles("avg_pool1d", linear=True)
@handles("max_pool1d")
def pool(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Any:
    """Pool along the sequence, keeping the memory layout."""
    tracer.count("neutral", func.__name__)
    x = args[0] if args else kwargs["input"]
    if not is_channels_last(x) or kwargs.get("return_indices"):
        return func(*args, **kwargs)
    wide: Call
    names: tuple[str, ...]
    if func.__name__ == "max_pool1d":
        names, wide = ("kernel_size", "stride", "padding", "dilation", "ceil_mode"), F.max_pool2d
    else:
        names, wide = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"), F.avg_pool2d
    call = dict(zip(names, args[1:], strict=False)) | {k: v for k, v in kwargs.items() if k in names}
    flat = {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1}
    if call.get("stride") in (None, []):
        call["stride"] = call["kernel_size"]
    spread: dict[str, Any] = {
        k: (flat[k], per_dimension(v, 1)[0]) if k in flat else v for k, v in call.items()
    }
    return wide(x.unsqueeze(2), **spread).squeeze(2)


@handles("max", "min", "maximum", "minimum", "fmax", "fmin")
def extremum(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Any:
    """Send relevance to the winner; against a constant (a clamp from one side) the constant may win and absorb it."""
    tracer.count("neutral", func.__name__)
    inputs = [t for t in tensors_in(args, kwargs) if tracer.is_traced(t)]
    if len(inputs) == 1 and (len(args) < 2 or not isinstance(args[1], Tensor)):
        return func(*args, **kwargs)
    return tracer.watch(func.__name__, inputs, lambda ts: call_with(func, args, kwargs, inputs, ts))
