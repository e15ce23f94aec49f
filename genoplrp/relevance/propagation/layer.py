"""The backward half of LRP: what one linear layer does with the multiplier that reaches its output.

The engine carries ``g = R / a`` for every tensor ``a`` (the modified gradient), so that ordinary reverse-mode
differentiation does all that is not a linear layer. Here is the node that stands in for each convolution and linear
map: it applies the layer's rule, prunes, and keeps the books. Not here: how the layers are found (`tracing`), what the
rules are (`rules`), which entries are pruned (`pruning`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from genoplrp.relevance.propagation.arithmetic import is_nonnegative, row_products, signal
from genoplrp.relevance.propagation.ledger import Ledger
from genoplrp.relevance.propagation.linear_maps import LinearMap
from genoplrp.relevance.pruning.policy import LayerPruning
from genoplrp.relevance.rules import IDENTITY, Blend, Part, Rule

Place = Literal["input", "convolution", "dense"]


class AmbiguousBatchError(Exception):
    """The sequences of a batch cannot be told apart, or treated alike: explain one at a time; says why."""


class EqualLengthError(AmbiguousBatchError):
    """The batch changes places with an axis of its own length: shapes tell them apart in a smaller batch."""


@dataclass(eq=False)
class Layer:
    """One call of a linear operation: operands, result, rule.

    Attributes
    ----------
    name
        Module path, with ``#2`` for the second call and so on.
    index
        Position in the order of the forward pass.
    place
        ``"input"``, ``"convolution"`` or ``"dense"``.
    map, x, weight, bias, z
        ``z = map(x, weight, bias)``; a merged normalisation is inside ``weight`` and ``bias``.
    gauge_axis
        Axis of ``weight`` that runs over the four bases where the gauge may be fixed, else None.
    """

    name: str
    index: int
    place: Place
    map: LinearMap
    rule: Rule
    x: Tensor
    weight: Tensor
    bias: Tensor | None
    z: Tensor
    gauge_axis: int | None = None
    _blended: dict[Any, Any] = field(default_factory=dict)
    _signals: tuple[Tensor, list[tuple[Part, Tensor]]] | None = None

    def weights(self, blend: Blend) -> Tensor:
        """Return the blended (and, where asked for, gauge-fixed) weight, made once a trace."""
        if blend not in self._blended:
            w = self.weight
            if self.is_gauge_fixed:
                w = w - w.mean(dim=self.gauge_axis, keepdim=True)
            self._blended[blend] = blend(w)
        found: Tensor = self._blended[blend]
        return found

    def side(self, part: Part, sign: int) -> tuple[Tensor, Tensor] | None:
        """Return the weights of one sign of a part's columns, for positive and for negative inputs; None if all 0."""
        key = part.positive, part.negative, sign
        if key not in self._blended:
            on_positive, on_negative = self.weights(part.positive), self.weights(part.negative)
            pair = (
                (on_positive.clamp(min=0), on_negative.clamp(max=0))
                if sign > 0
                else (on_positive.clamp(max=0), on_negative.clamp(min=0))
            )
            self._blended[key] = pair if any(bool(w.any()) for w in pair) else None
        found: tuple[Tensor, Tensor] | None = self._blended[key]
        return found

    @property
    def is_gauge_fixed(self) -> bool:
        """True where the rule asks for the gauge and the input is one-hot DNA."""
        return self.gauge_axis is not None and bool(getattr(self.rule, "gauge", False))

    @cached_property
    def has_nonnegative_input(self) -> bool:
        """True where no input is negative; the second half of a rule then has nothing to do."""
        return is_nonnegative(self.x)

    def bias_of(self, blend: Blend) -> Tensor | None:
        """Return the bias term of a part's denominator under the rule's convention, broadcast like ``z``."""
        convention = getattr(self.rule, "bias", "follow")
        if convention == "ignore":
            return None
        if self.is_gauge_fixed:
            # What the gauge moved into the bias depends on the bases that are there (padding, N).
            moved = self._moved_by_gauge()
            return moved if convention == "raw" else blend(moved)
        if self.bias is None:
            return None
        bias = self.bias if convention == "raw" else blend(self.bias)
        return bias.reshape(1, -1, *[1] * (self.z.dim() - 2)) if self.map.kind == "convolution" else bias

    def _moved_by_gauge(self) -> Tensor:
        """Return bias plus mean weight times number of bases, (N or 1, F, ...): z less what the fixed weights make."""
        axis = self.gauge_axis
        assert axis is not None
        present = self.x.sum(dim=axis, keepdim=True)
        if bool((present == present[:1]).all()):  # as good as always: no sequence is padded in its own way
            present = present[:1]
        return self.map.forward(present, self.weight.mean(dim=axis, keepdim=True), self.bias)

    def bias_squared(self) -> Tensor | None:
        """Return the bias as the w-square rule wants it."""
        return None if self.bias is None else self.bias.square()


def multiplier_of(layer: Layer, g: Tensor, *, again: bool = False) -> Tensor:
    """Return the input's multiplier from the output's, by the layer's rule (not for direct rules).

    Parameters
    ----------
    layer, g
        The layer and the multiplier at its output.
    again
        Whether `signals_of` will be asked for the same.
    """
    total: Tensor | None = None
    if again:
        layer._signals = g, list(part_signals(layer, g))
    for part, h in part_signals(layer, g) if layer._signals is None else layer._signals[1]:
        term = layer.map.transpose(h, layer.weights(part.positive), layer.x)
        if part.negative != part.positive and not layer.has_nonnegative_input:
            other = layer.map.transpose(h, layer.weights(part.negative), layer.x)
            term = torch.where(layer.x < 0, other, term)
        if getattr(layer.rule, "bias", "follow") == "share":
            term = term + _shared_bias(layer, part, h)
        total = term if total is None else total + term
    return torch.zeros_like(layer.x) if total is None else total


def signals_of(layer: Layer, g: Tensor) -> Iterable[tuple[Part, Tensor]]:
    """Return `part_signals`, from the layer's memory if they are there; they are forgotten then."""
    known, layer._signals = layer._signals, None
    return known[1] if known is not None and known[0] is g else part_signals(layer, g)


def part_signals(layer: Layer, g: Tensor) -> Iterator[tuple[Part, Tensor]]:
    """Yield ``c * R_j / stab(z_j)`` of each part that has outputs to speak for, ``R_j = g_j z_j``."""
    epsilon = float(getattr(layer.rule, "epsilon", 0.0))
    has_others = True
    for part in layer.rule.parts():
        if part.outputs != "all" and not has_others:
            continue
        denominator = None if _denominator_is_z(layer, part) else part_denominator(layer, part)
        h, has_others = signal(g, layer.z, denominator, epsilon, part.outputs, part.coefficient)
        yield part, h


def part_denominator(layer: Layer, part: Part) -> Tensor:
    """Return ``sum_i x_i v_ij + v_bj`` of one part, in memory of its own."""
    convention = getattr(layer.rule, "bias", "follow")
    if layer.bias is None or convention == "ignore" or layer.is_gauge_fixed:
        denominator = part_sum(layer, part, layer.x)
        bias = layer.bias_of(part.positive)
        return denominator if bias is None else denominator.add_(bias)
    # A plain bias goes in with the convolution.
    return part_sum(layer, part, layer.x, layer.bias if convention == "raw" else part.positive(layer.bias))


def part_sum(layer: Layer, part: Part, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``sum_i x_i v_ij`` of one part for the given inputs (plus a bias)."""
    if part.negative == part.positive or (layer.has_nonnegative_input and x is layer.x) or is_nonnegative(x):
        return layer.map.forward(x, layer.weights(part.positive), bias)
    return layer.map.forward(x.clamp(min=0), layer.weights(part.positive), bias) + layer.map.forward(
        x.clamp(max=0), layer.weights(part.negative)
    )


def _denominator_is_z(layer: Layer, part: Part) -> bool:
    plain = part.positive == part.negative == IDENTITY
    return plain and getattr(layer.rule, "bias", "follow") in ("follow", "raw", "share")


def _shared_bias(layer: Layer, part: Part, h: Tensor) -> Tensor:
    """Share the bias's relevance equally among the non-zero inputs of each output, as a multiplier."""
    bias = layer.bias_of(part.positive)
    if bias is None:
        return torch.zeros_like(layer.x)
    ones = torch.ones_like(layer.weight)
    active = (layer.x != 0).to(layer.x.dtype)
    count = layer.map.forward(active, ones)
    share = layer.map.transpose(
        torch.where(count > 0, h * bias / count.clamp(min=1), torch.zeros_like(h)), ones, layer.x
    )
    return torch.where(layer.x != 0, share / torch.where(layer.x != 0, layer.x, 1), torch.zeros_like(share))


@dataclass(eq=False)
class Run:
    """What one explanation shares between the nodes of its graph; never outlives the call.

    Attributes
    ----------
    batch
        Number of sequences.
    layers
        The linear layers in the order of the forward pass.
    pruning
        Layer name -> what to prune there; filled between forward and backward, and anew for each p of a sweep.
    ledger
        The books, or None.
    keep
        Names of the layers whose input relevance is kept, or None for none, ``"all"`` for all.
    intermediate
        Layer name -> relevance at the layer's input.
    outputs
        Layer name -> what came out of it, in the graph (twice, where a normalisation was merged); None: not kept.
    reference
        A `genoplrp.relevance.methods.differences.Reference` for explanations of a difference; else None.
    """

    batch: int
    layers: list[Layer] = field(default_factory=list)
    pruning: dict[str, LayerPruning] = field(default_factory=dict)
    ledger: Ledger | None = None
    keep: set[str] | Literal["all"] | None = None
    intermediate: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, list[Tensor]] | None = None
    reference: Any = None

    def goes_twice(self, name: str) -> bool:
        """Return whether pruning will ask once more for what a layer sends back (PLRP-M)."""
        pruning = self.pruning.get(name)
        return pruning is not None and pruning.method != "lambda"

    def per_sample(self, tensor: Tensor) -> Tensor:
        """Return the tensor as (N, entries): one row a sequence."""
        if self.batch == 1:
            return tensor.reshape(1, -1)
        if tensor.dim() == 0 or tensor.shape[0] != self.batch:
            raise AmbiguousBatchError("the model moves the batch off its first axis")
        return tensor.reshape(self.batch, -1)

    def for_books(self, tensor: Tensor, axis: int | None) -> Tensor:
        """Return the same where the batch may be the only axis of its length, or is known to be another."""
        axes = [i for i, size in enumerate(tensor.shape) if size == self.batch]
        if self.batch > 1 and axis is None and 0 not in axes and len(axes) == 1:
            axis = axes[0]
        return self.per_sample(tensor if axis is None or self.batch == 1 else tensor.movedim(axis, 0))


class RelevanceNode(torch.autograd.Function):
    """Stands in the graph for one linear layer; its backward is the layer's rule, then pruning."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shadow: Tensor | None, z: Tensor, layer: Layer, run: Run) -> Tensor:
        """Return the layer's result, which has been computed already."""
        ctx.layer, ctx.run = layer, run
        return z.view_as(z)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        """Return the multiplier of ``x``, or, for a direct rule, the relevance that goes to ``shadow``."""
        (g,) = grads
        layer: Layer = ctx.layer
        run: Run = ctx.run
        if layer.rule.direct:
            relevance = layer.rule.relevance(layer, g * layer.z)
            relevance = _close(run, layer, g, None, relevance)
            return torch.zeros_like(layer.x), relevance, None, None, None
        g_x = _close(run, layer, g, layer.x, multiplier_of(layer, g, again=run.goes_twice(layer.name)))
        return g_x, None, None, None, None


def _close(run: Run, layer: Layer, g: Tensor, x: Tensor | None, g_x: Tensor) -> Tensor:
    """Prune what the layer hands to its input, enter it in the books, keep it if asked to."""
    pruning = run.pruning.get(layer.name)
    stats = None
    incoming = None if run.ledger is None else _relevance(run, g, layer.z)
    handed = None if run.ledger is None else _relevance(run, g_x, x)
    if pruning is not None:
        g_x, stats = pruning.apply(layer, g, x, g_x, run.batch)
    if run.ledger is not None:
        after = handed if pruning is None else _relevance(run, g_x, x)
        assert incoming is not None and handed is not None and after is not None
        run.ledger.enter_layer(
            layer, incoming, handed, after, stats, None if stats is not None else (x, g_x), run.batch
        )
    if run.keep is not None and (run.keep == "all" or layer.name in run.keep):
        relevance = (g_x if x is None else x * g_x).detach()
        # There already where the layer is used with and without its normalisation.
        before = run.intermediate.get(layer.name)
        run.intermediate[layer.name] = relevance if before is None else before + relevance
    return g_x


def _relevance(run: Run, g: Tensor, x: Tensor | None) -> Tensor:
    """Return the relevance ``g x`` (``g`` where there is no ``x``) of each sequence, in one pass over memory."""
    if x is not None and len(g) == run.batch:
        total = row_products(g, x)
        if total is not None:
            return total
    return sum_of(run.per_sample(g), None if x is None else run.per_sample(x))


def sum_of(a: Tensor, b: Tensor | None) -> Tensor:
    """Return the float64 sum of ``a`` (times ``b``) over each row."""
    if b is None:
        return a.sum(dim=1, dtype=torch.float64)
    return (a.to(torch.float64) * b.to(torch.float64)).sum(dim=1)


class Tap(torch.autograd.Function):
    """Passes a tensor on unchanged and enters the relevance that flows through it into the books."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, run: Run, key: int, sign: float, axis: int | None) -> Tensor:
        """Return ``x``."""
        ctx.run, ctx.key, ctx.sign, ctx.axis = run, key, sign, axis
        ctx.save_for_backward(x)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        """Return the multiplier unchanged."""
        (g,) = grads
        (x,) = ctx.saved_tensors
        run: Run = ctx.run
        if run.ledger is not None:
            # A masked score is -inf with multiplier 0: it carries nothing.
            x = torch.where(g == 0, torch.zeros_like(x), x)
            rows = run.for_books(g, ctx.axis), run.for_books(x, ctx.axis)
            run.ledger.enter_operation(ctx.key, ctx.sign * sum_of(*rows))
        return g, None, None, None, None


class ShadowTap(torch.autograd.Function):
    """The same for a shadow, whose gradient is relevance itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, run: Run, key: int, sign: float) -> Tensor:
        """Return ``x``."""
        ctx.run, ctx.key, ctx.sign = run, key, sign
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        """Return the relevance unchanged."""
        (relevance,) = grads
        run: Run = ctx.run
        if run.ledger is not None:
            run.ledger.enter_operation(ctx.key, ctx.sign * sum_of(run.for_books(relevance, None), None))
        return relevance, None, None, None
