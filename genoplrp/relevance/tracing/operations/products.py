"""Products of two traced tensors, quotients, and matrix products.

- A gate (a factor that came through a sigmoid or softmax: squeeze-and-excite, GLU, attention pooling) weighs a signal:
  the signal takes all the relevance (Arras et al. 2017).
- Two factors of equal standing take half each (Achtibat et al. 2024, AttnLRP), also in matrix products.
- A denominator that depends on the input normalises: it counts as a constant (Ali et al. 2022). So does the
  inverse that a hand-written norm multiplies by.
- A product with a constant matrix is a linear layer.

References
----------
Arras et al. 2017, WASSA: signal-takes-all. Ali et al. 2022, ICML: normalisation as a constant.
Achtibat et al. 2024, ICML: AttnLRP.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from genoplrp.relevance.deferred import refuse_if
from genoplrp.relevance.tracing.calls import Args, Call, Kwargs
from genoplrp.relevance.tracing.marks import Marks
from genoplrp.relevance.tracing.operations.affine import scaled_by_channel
from genoplrp.relevance.tracing.operations.linear import dense
from genoplrp.relevance.tracing.registry import handles
from genoplrp.relevance.tracing.tracer import Tracer


class Weighing(torch.autograd.Function):
    """A statistic of a tensor that weighs others; relevance that arrives here all the same has no rule."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, value: Tensor, refusal: Exception) -> Tensor:
        """Return the statistic, which has been computed already."""
        ctx.refusal, ctx.shape = refusal, z.shape
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """Return no relevance, or refuse."""
        refuse_if((grads[0] != 0).any(), lambda: ctx.refusal)
        return grads[0].new_zeros(ctx.shape), None, None


def statistic(tracer: Tracer, name: str, value: Tensor, z: Tensor) -> Tensor:
    """Return an inverse (of a deviation, say): in a product it is a gate, elsewhere refused."""
    tracer.count("ruled", name.split(" ")[0])
    tracer.note(
        "an inverse that depends on the input, as of a norm, is explained as a constant (normalisation)"
    )
    refusal = tracer.refuse(
        name, "it is a constant where it scales a tensor (a normalisation); here it carries the signal itself"
    )
    out: Tensor = Weighing.apply(z, value, refusal)
    tracer.mark(out, Marks(gate=True))
    return out


@handles("rsqrt", "reciprocal", elementwise=True)
def inverse(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``1 / sqrt(x)`` and ``1 / x``: what a hand-written norm multiplies by."""
    z = args[0] if args else kwargs["input"]
    name = func.__name__.strip("_")
    return statistic(tracer, name, getattr(torch, name)(z.detach()), z)


class Halve(torch.autograd.Function):
    """The identity, with half of the multiplier."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Return ``x``."""
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """Return half of the multiplier."""
        return grads[0] * 0.5


@handles("mul", "multiply", "imul")
def product(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """Elementwise product."""
    a, b = args[0], args[1] if len(args) > 1 else kwargs["other"]
    merged = scaled_by_channel(tracer, a, b)
    if merged is not None:
        tracer.count("neutral", "mul")
        return merged
    return bilinear(tracer, "mul", torch.mul, a, b, elementwise=True)


@handles("glu")
def gated_linear_unit(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``F.glu``: the first half is the signal, the second half its gate."""
    tracer.count("ruled", "glu")
    x = args[0] if args else kwargs["input"]
    signal, gate = x.chunk(2, dim=args[1] if len(args) > 1 else kwargs.get("dim", -1))
    out: Tensor = signal * torch.sigmoid(gate.detach())
    return out


@handles("div", "divide", "rdiv", "true_divide")
def quotient(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """Elementwise quotient; a traced denominator counts as a constant."""
    reflected = func.__name__.strip("_") == "rdiv"
    numerator, denominator = (args[1], args[0]) if reflected else (args[0], args[1])
    if kwargs.get("rounding_mode") is not None:
        raise tracer.refuse("div with a rounding mode")
    if not tracer.is_traced(numerator):
        return statistic(
            tracer,
            "division of a constant by a traced tensor",
            torch.div(numerator, denominator.detach()),
            denominator,
        )
    if tracer.is_traced(denominator):
        tracer.count("ruled", "div")
        tracer.note("a denominator that depends on the input is explained as a constant (normalisation)")
        denominator = denominator.detach()
    else:
        tracer.count("neutral", "div")
        merged = scaled_by_channel(tracer, numerator, 1.0 / torch.as_tensor(denominator))
        if merged is not None:
            return merged
    return torch.div(numerator, denominator)


@handles("matmul", "rmatmul", "mm", "bmm", "mv", "dot", "inner")
def matrix_product(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """Matrix product; with a constant matrix it is a linear layer."""
    reflected = func.__name__.strip("_") == "rmatmul"
    a, b = (args[1], args[0]) if reflected else (args[0], args[1] if len(args) > 1 else kwargs["other"])
    layer = constant_matrix(tracer, a, b)
    if layer is not None:
        return layer
    return bilinear(
        tracer, func.__name__.strip("_"), torch.inner if func.__name__ == "inner" else torch.matmul, a, b
    )


def constant_matrix(tracer: Tracer, a: Tensor, b: Tensor) -> Tensor | None:
    """Return ``a b`` as a linear layer where one of the two is a constant matrix, else None."""
    if tracer.is_traced(a) and not tracer.is_traced(b) and b.dim() == 2 and a.dim() >= 2:
        return dense(tracer, a, b.mT, None, "matmul")
    if tracer.is_traced(b) and not tracer.is_traced(a) and a.dim() == 2 and b.dim() >= 3:
        return dense(tracer, b.mT, a, None, "matmul").mT
    return None


@handles("addmm", linear=True)
@handles("addmv", "addbmm", "baddbmm")
def matrix_product_and_sum(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``bias + x W`` as a linear layer."""
    bias, a, b = args[:3]
    scaled = kwargs.get("beta", 1) != 1 or kwargs.get("alpha", 1) != 1
    if func.__name__ != "addmm" or scaled or tracer.is_traced(bias) or tracer.is_traced(b) or bias.dim() != 1:
        raise tracer.refuse(func.__name__, remedy="write it as a matrix product and a sum")
    return dense(tracer, a, b.mT, bias, "addmm")


@handles("einsum")
def einsum(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """Einsum of one or two operands; two traced ones take half each."""
    return einsum_by(bilinear, tracer, func, args)


def einsum_by(product_rule: Callable[..., Tensor], tracer: Tracer, func: Call, args: Args) -> Tensor:
    """Apply a rule for products of two tensors to an einsum of two; one of a single tensor is neutral."""
    equation, *operands = args
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = list(operands[0])
    if not isinstance(equation, str) or len(operands) > 2:
        raise tracer.refuse("einsum", "it has a rule for one or two operands and an equation in letters")
    if len(operands) == 1:
        tracer.count("neutral", "einsum")
        out: Tensor = func(equation, *operands)
        return out
    return product_rule(tracer, "einsum", lambda a, b: torch.einsum(equation, a, b), *operands)


def bilinear(
    tracer: Tracer,
    name: str,
    call: Callable[[Any, Any], Tensor],
    a: Any,
    b: Any,
    *,
    elementwise: bool = False,
) -> Tensor:
    """Evaluate an operation that is linear in each of its operands, sharing relevance by what they are.

    Parameters
    ----------
    tracer, name
        For the ledger.
    call
        The operation.
    a, b
        The operands; at least one is traced.
    elementwise
        True where a gate is recognised.
    """
    if not (tracer.is_traced(a) and tracer.is_traced(b)):
        tracer.count("neutral", name)
        out = call(a, b)
        if elementwise and tracer.marks_of(a if tracer.is_traced(a) else b).gate:
            tracer.mark(out, Marks(gate=True))
        return out
    tracer.count("ruled", name)
    gate_a, gate_b = (tracer.marks_of(t).gate for t in (a, b))
    if elementwise and gate_a != gate_b:
        return call(a.detach(), b) if gate_a else call(a, b.detach())
    out = call(Halve.apply(a), Halve.apply(b))
    if elementwise and gate_a:
        tracer.mark(out, Marks(gate=True))
    return out
