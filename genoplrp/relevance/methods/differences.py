"""A value and its reference, side by side, and operations on both that keep the difference accountable.

The reference is run first and the operands of what is not linear are noted; the second run, of the sequences, finds
them there in the same order. Not here: which torch function is made of what (`operations.differences`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from genoplrp.errors import UnsupportedOperationError
from genoplrp.relevance.tracing.registry import HANDLERS
from genoplrp.relevance.tracing.tracer import Tracer


@dataclass
class Reference:
    """What one run of the model on the references left behind.

    Attributes
    ----------
    x
        The references, in the shape of the input.
    operands
        (operation, value of its operand) in the order of the run.
    output
        (N,) the explained output; None while the run is under way.
    """

    x: Tensor
    operands: list[tuple[str, Tensor]] = field(default_factory=list)
    output: Tensor | None = None


@dataclass(eq=False)
class DifferenceTracer(Tracer):
    """Traces a forward call whose output is compared with that of a reference."""

    _at: int = 0

    def pair(self, name: str, x: Tensor) -> Pair:
        """Return an operand of an operation that is not linear, with its reference."""
        return Pair(x, self._reference(name, x))

    def at_layer(self, layer: Any) -> Any:
        """Return the layer on the difference: its bias is the same on both sides, and cancels."""
        reference = self._reference(layer.name, layer.x)
        if self._notes:
            return layer
        with torch.no_grad():
            x = layer.x - reference
            return layer.with_operands(x=x, z=layer.map.forward(x, layer.weight), bias=None, gauge_axis=None)

    def watch(self, name: str, inputs: list[Tensor], output: Callable[[list[Tensor]], Tensor]) -> Tensor:
        """Constants cancel in a difference: nothing absorbs."""
        return output(inputs)

    def is_neutral(self, name: str) -> bool:
        """Return whether an operation is linear."""
        return super().is_neutral(name) and self.handlers.get(name) is HANDLERS[name]

    def refuse(self, name: str, why: str = "", remedy: str = "") -> UnsupportedOperationError:
        """Return the error for an operation without a rule for differences."""
        remedy = remedy or "explain the model by Explainer (LRP), or a part of it without this operation"
        return super().refuse(name, why or "there is none for DeepLIFT", remedy)

    @property
    def _notes(self) -> bool:
        return self.run.reference.output is None

    def _reference(self, name: str, x: Tensor) -> Tensor:
        operands = self.run.reference.operands
        if self._notes:
            operands.append((name, x.detach()))
            return x.detach()
        if self._at >= len(operands) or (name, x.shape) != (
            operands[self._at][0],
            operands[self._at][1].shape,
        ):
            raise self.refuse(
                name, "the model takes another course on the reference than on the sequence",
                "compare with a reference on which it does the same",
            )  # fmt: skip
        self._at += 1
        value: Tensor = operands[self._at - 1][1]
        return value


@dataclass(frozen=True, eq=False)
class Pair:
    """A value and its reference.

    Attributes
    ----------
    here
        The value; its graph carries multipliers.
    there
        The reference's value, without a graph.
    """

    here: Tensor
    there: Tensor

    def map(self, call: Callable[[Tensor], Tensor]) -> Pair:
        """Apply a linear operation (or one that adds a constant)."""
        with torch.no_grad():
            there = call(self.there)
        return Pair(call(self.here), there)

    def through(self, f: Callable[[Tensor], Tensor]) -> Pair:
        """Apply an elementwise function; its multiplier is the secant's slope (the tangent's, where the two meet)."""
        with torch.no_grad():
            value, there = f(self.here.detach()), f(self.there)
            slope = secant(f, self.here.detach(), self.there, value, there)
        return Pair(_Slope.apply(self.here, value, slope), there)

    def times(self, other: Pair, call: Callable[[Tensor, Tensor], Tensor]) -> Pair:
        """Apply a bilinear operation: each operand's difference meets the midpoint of the other."""
        with torch.no_grad():
            middle = [(p.here + p.there) / 2 for p in (self, other)]
            value, there = call(self.here, other.here), call(self.there, other.there)
        shares = call(self.here, middle[1]) + call(middle[0], other.here)
        return Pair(_Value.apply(shares, value), there)

    def winner(self, f: Callable[[Tensor], Tensor], *, largest: bool) -> Pair:
        """Apply a maximum or minimum: the difference goes to the winner of the side that is further out."""
        with torch.no_grad():
            there = f(self.there)
        return Pair(_Winner.apply(self.here, self.there, f, 1.0 if largest else -1.0), there)

    def softmax(self, dim: int) -> Pair:
        """Apply a softmax."""
        powers = self._powers(dim)
        total = powers.map(lambda t: t.sum(dim=dim, keepdim=True)).through(torch.reciprocal)
        return powers.times(total, torch.mul)

    def logsumexp(self, dim: Any, *, keepdim: bool) -> Pair:
        """Apply a log-sum-exp."""
        peak = self._peak(dim)
        log = self._powers(dim).map(lambda t: t.sum(dim=dim, keepdim=True)).through(torch.log)
        out = log.map(lambda t: t + peak)
        return out if keepdim else out.map(lambda t: t.squeeze(dim))

    def standardised(self, axes: tuple[int, ...], eps: float, *, centred: bool) -> Pair:
        """Subtract the mean (where centred) and divide by the deviation."""
        x = self.map(lambda t: t - t.mean(dim=axes, keepdim=True)) if centred else self
        scale = (
            x.through(torch.square).map(lambda t: t.mean(dim=axes, keepdim=True) + eps).through(torch.rsqrt)
        )
        return x.times(scale, torch.mul)

    def _powers(self, dim: Any) -> Pair:
        peak = self._peak(dim)
        return self.map(lambda t: t - peak).through(torch.exp)

    def _peak(self, dim: Any) -> Tensor:
        peak = torch.maximum(
            self.here.detach().amax(dim=dim, keepdim=True), self.there.amax(dim=dim, keepdim=True)
        )
        return torch.where(torch.isfinite(peak), peak, torch.zeros_like(peak))


def secant(f: Callable[[Tensor], Tensor], x: Tensor, x0: Tensor, y: Tensor, y0: Tensor) -> Tensor:
    """Return ``(y - y0) / (x - x0)``, and the derivative where the two points are one to rounding."""
    step = x - x0
    unit = 4 * torch.finfo(x.dtype).eps * torch.maximum(x.abs(), x0.abs())
    meets = (x == x0) | (step.abs() <= unit)
    slope = (y - y0) / torch.where(meets, torch.ones_like(step), step)
    if not bool(meets.any()):
        return slope
    with torch.enable_grad():
        at = x.detach().requires_grad_(True)
        (tangent,) = torch.autograd.grad(f(at).sum(), at)
    return torch.where(meets, torch.nan_to_num(tangent, 0.0, 0.0, 0.0), slope)


class _Slope(torch.autograd.Function):
    """``y = f(x)``, known already; its multiplier is the slope times that of y."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return grads[0] * slope, None, None


class _Value(torch.autograd.Function):
    """A value, known already, whose multipliers are those of another expression."""

    @staticmethod
    def forward(ctx: Any, shares: Tensor, value: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


class _Winner(torch.autograd.Function):
    """``y = max(x)`` over windows or an axis.

    Where ``y > y0`` the largest entry of x gets ``y - y0``, elsewhere the largest of x0: its own difference has the
    same sign and is at least as large, so that the multiplier lies between 0 and 1. Among equals torch chooses.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, x0: Tensor, f: Callable[[Tensor], Tensor], sign: float) -> Tensor:
        ctx.save_for_backward(x, x0)
        ctx.f, ctx.sign = f, sign
        return f(x.detach())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        x, x0 = ctx.saved_tensors
        with torch.enable_grad():
            sides = [t.detach().requires_grad_(True) for t in (x, x0)]
            values = [ctx.f(t) for t in sides]
        with torch.no_grad():
            difference = values[0] - values[1]
            share = grads[0] * difference
            outward = difference * ctx.sign >= 0
        total = torch.zeros_like(x)
        for side, value, chosen in zip(sides, values, (outward, ~outward), strict=True):
            (part,) = torch.autograd.grad(value, side, torch.where(chosen, share, torch.zeros_like(share)))
            total = total + part
        step = x - x0
        return (
            torch.where(step == 0, torch.zeros_like(step), total / torch.where(step == 0, 1, step)),
            None,
            None,
            None,
        )
