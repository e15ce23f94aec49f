"""Activations: relevance passes through them, ``R_z = R_a``, that is ``g_z = g_a * a / z``.

ReLU and its kin are homogeneous and stand in `neutral`. Sigmoid and softmax mark their result as a gate (for products)
and as a possible output of the model (explained at the logit).

References
----------
Bach et al. 2015, PLOS ONE 10(7): relevance passes through activations.
Achtibat et al. 2024, ICML, "AttnLRP": softmax by its Taylor expansion, ``R_z = z (R_a - a sum R_a)``.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genoplrp.relevance.tracing.calls import Args, Call, Kwargs, without_in_place
from genoplrp.relevance.tracing.marks import Marks
from genoplrp.relevance.tracing.operations.products import statistic
from genoplrp.relevance.tracing.registry import handles
from genoplrp.relevance.tracing.tracer import Tracer

EPSILON = 1e-6
"""Stabilizer of ``a / z`` for activations that are not 0 at 0, in units of the pre-activation."""


class PassThrough(torch.autograd.Function):
    """``a = f(z)`` with ``g_z = g_a * a / z``; ``f'(0)`` stands for ``a / z`` at 0 where ``f(0) = 0``."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, a: Tensor, slope: float | None) -> Tensor:
        """Return ``a``, which has been computed already."""
        ctx.save_for_backward(z, a)
        ctx.slope = slope
        return a.view_as(a)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """Return ``g_a * a / z``."""
        z, a = ctx.saved_tensors
        (g,) = grads
        if ctx.slope is None:
            return g * a / (z + torch.where(z < 0, -EPSILON, EPSILON).to(z.dtype)), None, None
        # Below the smallest normal number the quotient loses its digits.
        small = z.abs() < torch.finfo(z.dtype).tiny * 16
        ratio = torch.where(
            small, torch.full_like(z, ctx.slope), a / torch.where(small, torch.ones_like(z), z)
        )
        return g * ratio, None, None


# Activations with f(0) = 0, and their slope there.
SLOPES = {
    "elu": 1.0,
    "celu": 1.0,
    "selu": 1.0507009873554805,
    "gelu": 0.5,
    "silu": 0.5,
    "mish": 0.6,
    "tanh": 1.0,
    "hardswish": 0.5,
    "softsign": 1.0,
    "tanhshrink": 0.0,
    "softshrink": 0.0,
    "hardshrink": 0.0,
    "expm1": 1.0,
    "log1p": 1.0,
    "square": 0.0,
    "sqrt": 0.0,
    "erf": 1.1283791670955126,
    "atan": 1.0,
    "arctan": 1.0,
    "asinh": 1.0,
    "sinh": 1.0,
}


@handles(*SLOPES, elementwise=True)
def through_zero(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """Activations with f(0) = 0: nothing is absorbed."""
    name = func.__name__.rstrip("_")
    tracer.count("ruled", name)
    alpha: Any = kwargs.get("alpha", args[1] if len(args) > 1 and not isinstance(args[1], bool) else 1.0)
    slope = SLOPES[name] * (float(alpha) if name == "elu" else 1.0)
    z, a = _evaluate(func, args, kwargs)
    out: Tensor = PassThrough.apply(z, a, slope)
    return out


@handles(
    "sigmoid",
    "special_expit",
    "hardsigmoid",
    "softplus",
    "exp",
    "exp2",
    "logsigmoid",
    "log_sigmoid",
    "cosh",
    "log",
    "log2",
    "log10",
    elementwise=True,
)
def off_zero(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """Activations with f(0) != 0: a pre-activation near 0 absorbs, by the stabilizer."""
    name = func.__name__.rstrip("_")
    tracer.count("ruled", name)
    z, a = _evaluate(func, args, kwargs)
    out = tracer.watch(name, [z], lambda ts: PassThrough.apply(ts[0], a, None))
    if name in ("sigmoid", "special_expit", "hardsigmoid", "logsigmoid", "log_sigmoid"):
        gate = name in ("sigmoid", "special_expit", "hardsigmoid")
        tracer.mark(out, Marks(gate=gate, logit=None if name == "hardsigmoid" else lambda: z))
    return out


@handles("softmax", "_softmax", "log_softmax", "logsumexp", "softmin")
def normalised_exponential(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """Softmax and its kin by their Taylor expansion (the ordinary gradient); the constant term is absorbed."""
    name = func.__name__
    tracer.count("ruled", name)
    z = args[0] if args else kwargs.pop("input")
    out = tracer.watch(name, [z], lambda ts: func(ts[0], *args[1:], **kwargs))
    if name in ("softmax", "log_softmax"):
        tracer.mark(out, Marks(gate=name == "softmax", logit=lambda: z))
    return out


@handles("pow", "rpow", elementwise=True)
def power(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``x ** n`` for a number n > 0: relevance passes through."""
    base, exponent = args[0], args[1] if len(args) > 1 else kwargs["exponent"]
    if not isinstance(exponent, int | float) or exponent == 0 or func.__name__.strip("_") == "rpow":
        raise tracer.refuse("pow", "only a tensor to a constant power has one")
    if exponent < 0:
        return statistic(tracer, f"pow with the exponent {exponent:g}", base.detach() ** exponent, base)
    tracer.count("ruled", "pow")
    if exponent == 1:
        return base.view_as(base)  # type: ignore[no-any-return]
    with torch.no_grad():
        a = base.detach() ** exponent
    out: Tensor = PassThrough.apply(base, a, 0.0)
    return out


@handles("lp_pool1d", "lp_pool2d")
def power_pool(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``F.lp_pool*d``: relevance is shared by the powers, ``x ** p / sum x ** p``."""
    tracer.count("ruled", func.__name__)
    names = ("input", "norm_type", "kernel_size", "stride", "ceil_mode")
    call: dict[str, Any] = dict(zip(names, args, strict=False)) | kwargs
    x, p = call["input"], float(call["norm_type"])
    stride: Any = call.get("stride")
    pool = F.avg_pool1d if func.__name__ == "lp_pool1d" else F.avg_pool2d
    powers = pool(x.pow(p), call["kernel_size"], stride, 0, bool(call.get("ceil_mode")))
    with torch.no_grad():
        value = func(x.detach(), *args[1:], **{k: v for k, v in kwargs.items() if k != "input"})
        share = torch.where(powers == 0, 0.0, value / torch.where(powers == 0, 1.0, powers))
    linear: Tensor = powers * share / p  # its gradient is the share, by Euler's theorem
    out: Tensor = linear + (value - linear.detach())
    return out


@handles("var", "std", "norm", "vector_norm", "linalg_vector_norm", "linalg_norm")
def spread(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """Norms and deviations by Euler's theorem: the gradient, divided by the degree."""
    name = func.__name__
    tracer.count("ruled", name)
    value: Tensor = func(*args, **kwargs)
    return value / 2 + (value / 2).detach() if name == "var" else value


def _evaluate(func: Call, args: Args, kwargs: Kwargs) -> tuple[Tensor, Tensor]:
    z = args[0] if args else kwargs.pop("input")
    kwargs = {k: v for k, v in kwargs.items() if k != "inplace"}
    rest = args[1:-1] if len(args) > 1 and isinstance(args[-1], bool) else args[1:]
    with torch.no_grad():
        return z, without_in_place(func)(z.detach(), *rest, **kwargs)
