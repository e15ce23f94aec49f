"""DeepLIFT's rules: what each operation does with the difference between an input and its reference.

Linear operations pass multipliers on as they are. An activation's multiplier is its secant (the rescale rule). Products
and quotients share the difference by their midpoints, which is the Shapley value of two factors, so it adds up exactly;
softmax and the normalisations are taken apart into those. A maximum gives the difference to the winner of the side
whose maximum is larger.

References
----------
Shrikumar, Greenside and Kundaje 2017, ICML, "Learning Important Features Through Propagating Activation Differences":
rescale rule. Lundberg and Lee 2017, NeurIPS: Shapley values, the rule for maxima as in their DeepSHAP.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genoplrp.relevance.methods.differences import DifferenceTracer
from genoplrp.relevance.propagation.linear_maps import per_dimension
from genoplrp.relevance.tracing.calls import Args, Call, Kwargs, without_in_place
from genoplrp.relevance.tracing.marks import Marks
from genoplrp.relevance.tracing.names import ACTIVATIONS_IN_PLACE
from genoplrp.relevance.tracing.operations.combining import ASSIGNMENTS, COMBINATIONS
from genoplrp.relevance.tracing.operations.neutral import DROPOUTS, MOVES
from genoplrp.relevance.tracing.operations.products import constant_matrix, einsum_by
from genoplrp.relevance.tracing.registry import DIFFERENCES, ELEMENTWISE, HANDLERS, LINEAR, Handler

LINEAR_MAPS = frozenset(
    "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d linear addmm".split()
)
REARRANGEMENTS = frozenset({"data", *MOVES, *COMBINATIONS, *ASSIGNMENTS, *DROPOUTS})
"""Handlers of the engine that are linear, or the identity, and so serve for gradients and differences too."""

PROBABILITIES = frozenset("sigmoid special_expit logsigmoid log_sigmoid".split())
POOLS = frozenset(
    "max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d amax amin max min".split()
)


class _Differences(Mapping[str, Handler]):
    """What DeepLIFT does with each torch function; what is missing is refused."""

    def __getitem__(self, name: str) -> Handler:
        if name in DIFFERENCES:
            return DIFFERENCES[name]
        if name in ELEMENTWISE:
            secants: Handler = activation
            return secants
        if name in LINEAR:
            return HANDLERS[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter({**DIFFERENCES, **dict.fromkeys((*ELEMENTWISE, *LINEAR))})

    def __len__(self) -> int:
        return len({*DIFFERENCES, *ELEMENTWISE, *LINEAR})


DIFFERENCE_HANDLERS = _Differences()


def _handles(*names: str) -> Callable[[Any], Any]:
    def register(handler: Any) -> Any:
        DIFFERENCES.update(dict.fromkeys(names, handler))
        return handler

    return register


@_handles("detach")
def detach(tracer: DifferenceTracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """What the model detaches is a constant, as it is for a gradient."""
    tracer.note(
        "detach(): a constant on either side; what it changes from the reference to the sequence is given to no base"
    )
    out: Tensor = args[0].detach()
    return out


@_handles("sin", "cos")  # and all that are registered as functions entry by entry
def activation(tracer: DifferenceTracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """Rescale rule: the slope of the secant between reference and input."""
    name = func.__name__.strip("_")
    tracer.count("ruled", name)
    x = args[0] if args else kwargs["input"]
    rest, options = args[1:], {k: v for k, v in kwargs.items() if k not in ("input", "inplace")}
    if name in ACTIVATIONS_IN_PLACE and rest and isinstance(rest[-1], bool):
        rest = rest[:-1]
    plain = without_in_place(func)
    out = tracer.pair(name, x).through(lambda t: plain(t, *rest, **options)).here
    if name in PROBABILITIES:
        tracer.mark(out, Marks(logit=lambda: x))
    return out


@_handles(*POOLS)
def pool(tracer: DifferenceTracer, func: Call, args: Args, kwargs: Kwargs) -> Any:
    """Maxima and minima over a window or an axis."""
    name = func.__name__.strip("_")
    tracer.count("ruled", name)
    if kwargs.get("return_indices"):
        raise tracer.refuse(f"{name} with indices")
    if len(args) > 1 and isinstance(args[1], Tensor):
        return extremum(tracer, func, args, kwargs)
    x = args[0] if args else kwargs["input"]
    options = {k: v for k, v in kwargs.items() if k != "input"}
    whole = func(x.detach(), *args[1:], **options)
    by_axis = not isinstance(whole, Tensor)

    def values(t: Tensor) -> Tensor:
        result = func(t, *args[1:], **options)
        return result.values if by_axis else result  # type: ignore[no-any-return]

    out = tracer.pair(name, x).winner(values, largest=not name.endswith("min")).here
    return type(whole)((out, whole.indices)) if by_axis else out


@_handles("maximum", "minimum", "fmax", "fmin")
def extremum(tracer: DifferenceTracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """The larger or smaller of two tensors."""
    name = func.__name__
    tracer.count("ruled", name)
    a, b = args[0], args[1] if len(args) > 1 else kwargs["other"]
    largest = name in ("maximum", "fmax", "max")
    both = tracer.pair(name, torch.stack(torch.broadcast_tensors(a, b)))
    return both.winner(lambda t: t.amax(dim=0) if largest else t.amin(dim=0), largest=largest).here


@_handles("mul", "multiply", "imul")
def product(tracer: DifferenceTracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """Each factor's difference times the midpoint of the other."""
    return _bilinear(tracer, "mul", torch.mul, args[0], args[1] if len(args) > 1 else kwargs["other"])


@_handles("matmul", "rmatmul", "mm", "bmm", "mv", "dot", "inner")
def matrix_product(tracer: DifferenceTracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """The same for matrices; with a constant matrix it is a linear layer."""
    name = func.__name__.strip("_")
    a, b = args[0], args[1] if len(args) > 1 else kwargs["other"]
    a, b = (b, a) if name == "rmatmul" else (a, b)
    layer = constant_matrix(tracer, a, b)
    return (
        _bilinear(tracer, name, torch.inner if name == "inner" else torch.matmul, a, b)
        if layer is None
        else layer
    )


@_handles("einsum")
def einsum(tracer: DifferenceTracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """Einsum of one or two operands."""
    return einsum_by(_bilinear, tracer, func, args)


@_handles("scaled_dot_product_attention")
def attention(tracer: DifferenceTracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``F.scaled_dot_product_attention``, taken apart."""
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    call = dict(zip(names, args, strict=False)) | kwargs
    if call.get("enable_gqa"):
        raise tracer.refuse("scaled_dot_product_attention with grouped queries")
    q, k, v = (tracer.pair("attention", call[name]) for name in names[:3])
    tracer.count("ruled", "scaled_dot_product_attention")
    mask = call.get("attn_mask")
    if call.get("is_causal"):
        mask = torch.ones(q.here.shape[-2], k.here.shape[-2], dtype=torch.bool, device=q.here.device).tril()
    scale = call.get("scale") or q.here.shape[-1] ** -0.5

    def masked(t: Tensor) -> Tensor:
        if mask is None:
            return t
        return t.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else t + mask

    scores = q.times(k.map(lambda t: t.mT), torch.matmul).map(lambda t: masked(t * scale))
    return scores.softmax(-1).times(v, torch.matmul).here


@_handles("div", "divide", "rdiv", "true_divide")
def quotient(tracer: DifferenceTracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """A quotient is the product with the reciprocal."""
    if kwargs.get("rounding_mode") is not None:
        raise tracer.refuse("div with a rounding mode")
    a, b = args[0], args[1] if len(args) > 1 else kwargs["other"]
    a, b = (b, a) if func.__name__.strip("_") == "rdiv" else (a, b)
    if not tracer.is_traced(b):
        tracer.count("neutral", "div")
        return torch.div(a, b)
    tracer.count("ruled", "div")
    inverse = tracer.pair("div", b).through(torch.reciprocal)
    if not tracer.is_traced(a):
        return torch.mul(inverse.here, a)
    return tracer.pair("div", a).times(inverse, torch.mul).here


@_handles("glu")
def gated_linear_unit(tracer: DifferenceTracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``F.glu``: the product of a half and the sigmoid of the other."""
    tracer.count("ruled", "glu")
    x = tracer.pair("glu", args[0] if args else kwargs["input"])
    dim = args[1] if len(args) > 1 else kwargs.get("dim", -1)
    signal = x.map(lambda t: t.chunk(2, dim=dim)[0])
    gate = x.map(lambda t: t.chunk(2, dim=dim)[1])
    return signal.times(gate.through(torch.sigmoid), torch.mul).here


@_handles("softmax", "_softmax", "softmin", "log_softmax", "logsumexp")
def normalised_exponential(tracer: DifferenceTracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """Softmax and its kin, by exponential, sum, logarithm and quotient."""
    name = func.__name__.strip("_")
    tracer.count("ruled", name)
    x = args[0] if args else kwargs["input"]
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if dim is None:
        raise tracer.refuse(f"{name} without dim")
    both = tracer.pair(name, x)
    if name == "logsumexp":
        keep = bool(kwargs.get("keepdim", args[2] if len(args) > 2 else False))
        return both.logsumexp(dim, keepdim=keep).here
    if name == "log_softmax":
        out = torch.sub(x, both.logsumexp(dim, keepdim=True).here)
    else:
        out = (both.map(torch.neg) if name == "softmin" else both).softmax(dim).here
    tracer.mark(out, Marks(logit=None if name == "softmin" else lambda: x))
    return out


@_handles("layer_norm", "rms_norm")
def layer_norm(tracer: DifferenceTracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``F.layer_norm`` and ``F.rms_norm``, taken apart."""
    name = func.__name__
    tracer.count("ruled", name)
    centred = name == "layer_norm"
    names = ("input", "normalized_shape", *(("weight", "bias", "eps") if centred else ("weight", "eps")))
    call = dict(zip(names, args, strict=False)) | kwargs
    axes = tuple(range(-len(call["normalized_shape"]), 0))
    eps = call.get("eps")
    eps = (1e-5 if centred else torch.finfo(call["input"].dtype).eps) if eps is None else eps
    out = tracer.pair(name, call["input"]).standardised(axes, eps, centred=centred).here
    return _affine(out, call.get("weight"), call.get("bias"))


@_handles("group_norm", "instance_norm")
def group_norm(tracer: DifferenceTracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``F.group_norm`` and ``F.instance_norm`` on its own statistics, taken apart."""
    name = func.__name__
    if name == "group_norm":
        call = dict(zip(("input", "num_groups", "weight", "bias", "eps"), args, strict=False)) | kwargs
    else:
        names = (
            "input",
            "running_mean",
            "running_var",
            "weight",
            "bias",
            "use_input_stats",
            "momentum",
            "eps",
        )
        call = dict(zip(names, args, strict=False)) | kwargs
        if not call.get("use_input_stats", True):
            call = {k: v for k, v in call.items() if k != "use_input_stats"} | {"training": False}
            return HANDLERS["batch_norm"](tracer, func, (), call)  # type: ignore[no-any-return]
        call["num_groups"] = call["input"].shape[1]
    tracer.count("ruled", name)
    shape = call["input"].shape
    grouped = tracer.pair(name, call["input"]).map(lambda t: t.reshape(t.shape[0], call["num_groups"], -1))
    out = grouped.standardised((-1,), call.get("eps", 1e-5), centred=True).here.reshape(shape)
    tail = (-1, *[1] * (len(shape) - 2))
    weight, bias = (None if call.get(k) is None else call[k].reshape(tail) for k in ("weight", "bias"))
    return _affine(out, weight, bias)


@_handles("var", "std")
def spread(tracer: DifferenceTracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``var`` and ``std``, by squares and a root."""
    name = func.__name__
    tracer.count("ruled", name)
    x = args[0] if args else kwargs["input"]
    given = args[1] if len(args) > 1 else kwargs.get("dim")
    if isinstance(given, bool):
        raise tracer.refuse(
            f"{name} with its old arguments", remedy=f"name them: x.{name}(dim=..., correction=...)"
        )
    unbiased: Any = kwargs.get("unbiased", args[2] if len(args) > 2 else True)
    correction = kwargs.get("correction", int(unbiased))
    keepdim = bool(kwargs.get("keepdim", args[3] if len(args) > 3 else False))
    axes = tuple(range(x.dim())) if given is None else (given,) if isinstance(given, int) else tuple(given)
    count = math.prod(x.shape[axis] for axis in axes)
    centred = tracer.pair(name, x).map(lambda t: t - t.mean(dim=axes, keepdim=True))
    squares = centred.through(torch.square)
    out = squares.map(lambda t: t.sum(dim=axes, keepdim=keepdim) / max(count - correction, 0))
    return (out.through(torch.sqrt) if name == "std" else out).here


@_handles("lp_pool1d", "lp_pool2d")
def power_pool(tracer: DifferenceTracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``F.lp_pool*d``, by powers, a sum and a root."""
    name = func.__name__
    tracer.count("ruled", name)
    call = (
        dict(zip(("input", "norm_type", "kernel_size", "stride", "ceil_mode"), args, strict=False)) | kwargs
    )
    stride: Any = call.get("stride")
    p, size = float(call["norm_type"]), call["kernel_size"]
    pool = F.avg_pool1d if name == "lp_pool1d" else F.avg_pool2d
    count = (
        size
        if isinstance(size, int) and name == "lp_pool1d"
        else math.prod(per_dimension(size, int(name[-2])))
    )
    sums = (
        tracer.pair(name, call["input"])
        .through(lambda t: t.pow(p))
        .map(lambda t: pool(t, size, stride, 0, bool(call.get("ceil_mode"))) * count)
    )
    return sums.through(lambda t: t.clamp(min=0).pow(1 / p)).here


@_handles("logaddexp")
def logaddexp(tracer: DifferenceTracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``log(exp(a) + exp(b))`` as a log-sum-exp of the two."""
    tracer.count("ruled", "logaddexp")
    both = torch.stack(torch.broadcast_tensors(args[0], args[1] if len(args) > 1 else kwargs["other"]))
    return tracer.pair("logaddexp", both).logsumexp(0, keepdim=False).here


def _bilinear(tracer: DifferenceTracer, name: str, call: Call, a: Any, b: Any) -> Tensor:
    if not (tracer.is_traced(a) and tracer.is_traced(b)):
        tracer.count("neutral", name)
        out: Tensor = call(a, b)
        return out
    tracer.count("ruled", name)
    return tracer.pair(name, a).times(tracer.pair(name, b), call).here


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias
