"""One linear layer in the backward pass: its operands and its rule, and the multiplier that the rule gives its input.

The engine carries ``g = R / a`` for every tensor ``a`` (the modified gradient), so that ordinary reverse-mode
differentiation does all that is not a linear layer. Not here: how the layers are found (`tracing`), what the rules are
(`rules`), what is pruned and recorded (`backward`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from genoplrp.relevance.deferred import holds
from genoplrp.relevance.propagation.arithmetic import is_nonnegative, signal
from genoplrp.relevance.propagation.linear_maps import LinearMap
from genoplrp.relevance.rules import IDENTITY, Blend, Part, Place, Rule


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
        Axis of ``weight`` that runs over the four bases where the rule asks for the gauge and can have it, else None.
    nonnegative
        Whether it is known that no input is negative; None: it is looked up when it is asked for.
    rectified
        Whether ``z`` is known to hold no negative number: what follows rectifies it, and its value stands for it.
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
    nonnegative: bool | None = None
    rectified: bool = False
    _blended: dict[Any, Any] = field(default_factory=dict)
    _signals: tuple[Tensor, list[tuple[Part, Tensor]]] | None = None

    def with_operands(self, **operands: Any) -> Layer:
        """Return the layer with other operands; what was remembered of the old ones is forgotten."""
        return replace(self, **{"nonnegative": None, "_blended": {}, "_signals": None} | operands)

    def weights(self, blend: Blend) -> Tensor:
        """Return the blended (and, where asked for, gauge-fixed) weight, made once a trace."""
        key = blend, self.is_gauge_fixed
        if key not in self._blended:
            w = self.weight
            if self.is_gauge_fixed:
                w = w - w.mean(dim=self.gauge_axis, keepdim=True)
            self._blended[key] = blend(w)
        found: Tensor = self._blended[key]
        return found

    def blended_bias(self, blend: Blend) -> Tensor | None:
        """Return the blended bias, made once a trace."""
        key = blend, "bias"
        if self.bias is not None and key not in self._blended:
            self._blended[key] = blend(self.bias)
        found: Tensor | None = self._blended.get(key)
        return found

    def side(self, part: Part, sign: int) -> tuple[Tensor, Tensor] | None:
        """Return the weights of one sign of a part's columns, for positive and for negative inputs; None if all 0."""
        key = part.positive, part.negative, sign, self.is_gauge_fixed
        if key not in self._blended:
            on_positive, on_negative = self.weights(part.positive), self.weights(part.negative)
            pair = (
                (on_positive.clamp(min=0), on_negative.clamp(max=0))
                if sign > 0
                else (on_positive.clamp(max=0), on_negative.clamp(min=0))
            )
            self._blended[key] = pair if any(holds("side", w.any()) for w in pair) else None
        found: tuple[Tensor, Tensor] | None = self._blended[key]
        return found

    @property
    def is_gauge_fixed(self) -> bool:
        """True where the rule asks for the gauge and the input is one-hot DNA."""
        return self.gauge_axis is not None

    @property
    def has_nonnegative_input(self) -> bool:
        """True where no input is negative; the second half of a rule then has nothing to do."""
        if self.nonnegative is None:
            self.nonnegative = is_nonnegative(self.x)
        return self.nonnegative

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
        bias = self.bias if convention == "raw" else self.blended_bias(blend)
        assert bias is not None
        return bias.reshape(1, -1, *[1] * (self.z.dim() - 2)) if self.map.kind == "convolution" else bias

    def _moved_by_gauge(self) -> Tensor:
        """Return bias plus mean weight times number of bases, (N or 1, F, ...): z less what the fixed weights make."""
        axis = self.gauge_axis
        assert axis is not None
        present = self.x.sum(dim=axis, keepdim=True)
        if holds(
            "padded alike", (present == present[:1]).all()
        ):  # as good as always: no sequence is padded in its own way
            present = present[:1]
        return self.map.forward(present, self.weight.mean(dim=axis, keepdim=True), self.bias)

    def forget_signals(self) -> None:
        """Let go of what `multiplier_of` remembered for `signals_of`."""
        self._signals = None

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
    absent = "negative" if layer.rectified else None  # outputs that there are none of
    for part in layer.rule.parts():
        if part.outputs == absent:
            continue
        denominator = None if _denominator_is_z(layer, part) else part_denominator(layer, part)
        outputs = "all" if layer.rectified else part.outputs
        h, has_others = signal(g, layer.z, denominator, epsilon, outputs, part.coefficient)
        if outputs != "all" and not has_others:
            absent = "negative" if outputs == "positive" else "positive"
        yield part, h


def part_denominator(layer: Layer, part: Part) -> Tensor:
    """Return ``sum_i x_i v_ij + v_bj`` of one part, in memory of its own."""
    convention = getattr(layer.rule, "bias", "follow")
    if layer.bias is None or convention == "ignore" or layer.is_gauge_fixed:
        denominator = part_sum(layer, part, layer.x)
        bias = layer.bias_of(part.positive)
        return denominator if bias is None else denominator.add_(bias)
    # A plain bias goes in with the convolution.
    return part_sum(
        layer, part, layer.x, layer.bias if convention == "raw" else layer.blended_bias(part.positive)
    )


def part_sum(layer: Layer, part: Part, x: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``sum_i x_i v_ij`` of one part for the given inputs (plus a bias)."""
    if part.negative == part.positive or (layer.has_nonnegative_input and x is layer.x) or is_nonnegative(x):
        return layer.map.forward(x, layer.weights(part.positive), bias)
    return layer.map.forward(x.clamp(min=0), layer.weights(part.positive), bias) + layer.map.forward(
        x.clamp(max=0), layer.weights(part.negative)
    )


def _denominator_is_z(layer: Layer, part: Part) -> bool:
    return part.positive == part.negative == IDENTITY and getattr(layer.rule, "bias", "follow") != "ignore"


def _shared_bias(layer: Layer, part: Part, h: Tensor) -> Tensor:
    """Share the bias's relevance equally among the non-zero inputs of each output, as a multiplier."""
    bias = layer.bias_of(part.positive)
    if bias is None:
        return torch.zeros_like(layer.x)
    ones = torch.ones_like(layer.weight)
    active = (layer.x != 0).to(layer.x.dtype)
    count = layer.map.forward(active, ones).clamp(min=1)  # an output without such inputs reaches none below
    share = layer.map.transpose(h * bias / count, ones, layer.x)
    return torch.where(layer.x != 0, share / layer.x, torch.zeros_like(share))
