"""One layer on its own: its bias by each convention, what it remembers, and PLRP-M where no weight is left."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from genoplrp.relevance.propagation.layer import Layer, multiplier_of, part_signals, signals_of
from genoplrp.relevance.propagation.linear_maps import Convolution, Dense
from genoplrp.relevance.propagation.renormalisation import renormalise_columns
from genoplrp.relevance.rules import Blend, Epsilon, Gamma, Rule


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer(kind: str = "dense", rule: Rule | None = None, *, bias: bool = True) -> Layer:
    """A dense layer from 5 to 3, or a convolution from 4 to 3 channels."""
    layout = Dense() if kind == "dense" else Convolution((1,), (0,), (1,))
    x, weight = (
        (draw(2, 5, seed=0), draw(3, 5, seed=1))
        if kind == "dense"
        else (draw(2, 4, 9, seed=0), draw(3, 4, 2, seed=1))
    )
    b = draw(3, seed=2) if bias else None
    z = layout.forward(x, weight, b)
    return Layer("one", 0, "dense", layout, rule or Epsilon(), x, weight, b, z)


@pytest.mark.parametrize("kind", ["dense", "convolution"])
@pytest.mark.parametrize("convention", ["follow", "raw", "ignore", "share"])
def test_a_bias_is_blended_like_a_weight_or_taken_as_it_is_or_left_out(convention: str, kind: str) -> None:
    blend = Blend(0.5, 2.0, 3.0)
    one = layer(kind, Epsilon(bias=convention))  # type: ignore[arg-type]
    found = one.bias_of(blend)
    if convention == "ignore":
        assert found is None
        return
    assert one.bias is not None and found is not None
    values = one.bias if convention == "raw" else blend(one.bias)
    expected = values[:, None] if kind == "convolution" else values
    assert torch.equal(found + torch.zeros_like(one.z), expected + torch.zeros_like(one.z))
    assert layer(kind, Epsilon(bias=convention), bias=False).bias_of(blend) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("convention", ["follow", "raw", "share"])
def test_without_a_stabilizer_an_output_of_zero_sends_back_the_gradient(convention: str) -> None:
    one = layer(rule=Epsilon(0.0, bias=convention), bias=False)  # type: ignore[arg-type]
    one = one.with_operands(x=torch.zeros_like(one.x), z=torch.zeros_like(one.z))
    g = draw(2, 3, seed=3)
    assert torch.equal(multiplier_of(one, g), g @ one.weight)


def test_signals_that_are_remembered_are_those_of_this_multiplier_and_of_no_other() -> None:
    g, other = draw(2, 3, seed=3), draw(2, 3, seed=4)
    fresh = [[h for _, h in part_signals(layer(rule=Gamma()), one)] for one in (g, other)]
    one = layer(rule=Gamma())
    multiplier_of(one, g, again=True)
    for asked, expected in ((g, fresh[0]), (g, fresh[0])):  # from memory, and made again
        for (_, h), wanted in zip(signals_of(one, asked), expected, strict=True):
            assert torch.equal(h, wanted)
    multiplier_of(one, g, again=True)
    for (_, h), wanted in zip(signals_of(one, other), fresh[1], strict=True):
        assert torch.equal(h, wanted)
    multiplier_of(one, g, again=True)
    one.forget_signals()
    torch.testing.assert_close(
        multiplier_of(one, other), multiplier_of(layer(rule=Gamma()), other), rtol=0, atol=0
    )


def test_a_layer_with_other_operands_remembers_nothing_of_the_old_ones() -> None:
    one, blend = layer(rule=Gamma()), Blend(1.0, 0.25)
    x, weight, bias = one.x.abs(), 2 * one.weight, -draw(3, seed=2)
    multiplier_of(one, draw(2, 3, seed=3), again=True)
    before = one.weights(blend), one.blended_bias(blend), one.has_nonnegative_input
    changed = one.with_operands(x=x, weight=weight, bias=bias, z=one.map.forward(x, weight, bias))
    assert torch.equal(changed.weights(blend), blend(weight))
    assert before[1] is not None and torch.equal(changed.blended_bias(blend), blend(bias))
    assert not before[2] and changed.has_nonnegative_input
    wanted = Layer("one", 0, "dense", Dense(), Gamma(), x, weight, bias, changed.z)
    g = draw(2, 3, seed=4)
    assert torch.equal(multiplier_of(changed, g), multiplier_of(wanted, g))
    assert torch.equal(one.weights(blend), before[0])


@pytest.mark.parametrize("whole", [True, False])
def test_a_layer_whose_weights_are_all_zero_hands_on_nothing(whole: bool) -> None:
    one = layer()
    one = one.with_operands(weight=torch.zeros_like(one.weight), z=torch.zeros_like(one.z) + one.bias)
    kept = one.x * (draw(2, 5, seed=5) > 0)
    assert torch.equal(
        renormalise_columns(one, draw(2, 3, seed=3), kept, whole=whole), torch.zeros_like(one.x)
    )
