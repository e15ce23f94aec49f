"""What the nodes of one explanation share: rows of sequences, what is kept and recorded, taps between layers."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor

from genoplrp.relevance import Pruning
from genoplrp.relevance.propagation.backward import (
    AmbiguousBatchError,
    Run,
    ShadowTap,
    Tap,
    close_layer,
    sum_of,
)
from genoplrp.relevance.propagation.layer import Layer, multiplier_of
from genoplrp.relevance.propagation.ledger import Ledger
from genoplrp.relevance.propagation.linear_maps import Dense
from genoplrp.relevance.rules import Epsilon


def draw(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_a_row_is_a_sequence_and_where_the_batch_is_not_first_it_is_refused() -> None:
    x = draw(2, 3, 4, seed=0)
    assert torch.equal(Run(batch=2).per_sample(x), x.flatten(1))
    assert torch.equal(Run(batch=1).per_sample(x), x.flatten()[None])  # one sequence that has lost its axis
    assert Run(batch=1).per_sample(x.sum()).shape == (1, 1)
    for tensor in (x.sum(), x.movedim(0, 1)):
        with pytest.raises(AmbiguousBatchError, match="moves the batch off its first axis"):
            Run(batch=2).per_sample(tensor)


def test_for_the_ledger_the_batch_may_stand_on_another_axis_if_there_is_no_doubt() -> None:
    x = draw(2, 3, 4, seed=0)
    for axis in (1, 2):
        assert torch.equal(Run(batch=2).for_ledger(x.movedim(0, axis), None), x.flatten(1))
    # Where another axis has the batch's length, it has to be said which; the first is taken to be the batch's.
    square = draw(2, 2, 4, seed=1)
    assert torch.equal(Run(batch=2).for_ledger(square, None), square.flatten(1))
    assert torch.equal(Run(batch=2).for_ledger(square, 1), square.movedim(1, 0).flatten(1))
    with pytest.raises(AmbiguousBatchError):
        Run(batch=2).for_ledger(draw(4, 2, 2, seed=1), None)
    assert torch.equal(Run(batch=1).for_ledger(x, 2), x.flatten()[None])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_relevance_is_added_up_in_float64(dtype: torch.dtype) -> None:
    a, b = draw(2, 1000, seed=0, dtype=dtype), draw(2, 1000, seed=1, dtype=dtype)
    torch.testing.assert_close(sum_of(a, b), (a.double() * b.double()).sum(dim=1), rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(sum_of(a, None), a.double().sum(dim=1), rtol=1e-13, atol=1e-13)


def dense(x: Tensor) -> Layer:
    weight, bias = draw(3, 5, seed=2), draw(3, seed=3)
    return Layer("one", 0, "dense", Dense(), Epsilon(), x, weight, bias, x @ weight.T + bias)


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("step", [1, 2])  # in one piece of memory, or not
def test_what_a_layer_takes_in_and_hands_on_is_entered_by_sequence(
    step: int, batch: int, direct: bool
) -> None:
    layer = dense(draw(2, 4, 5 * step, seed=0)[..., ::step])
    g, g_x, x = draw(2, 4, 3, seed=4), draw(2, 4, 5, seed=5), None if direct else layer.x
    run = Run(batch=batch, ledger=Ledger())
    assert close_layer(run, layer, g, x, g_x) is g_x
    assert run.ledger is not None and run.intermediate == {}
    run.ledger.close()
    row = run.ledger.rows["one"]
    relevance = g_x if direct else g_x * layer.x
    torch.testing.assert_close(row["relevance_in"], (g * layer.z).reshape(batch, -1).sum(dim=1))
    torch.testing.assert_close(row["relevance_out"], relevance.reshape(batch, -1).sum(dim=1))


@pytest.mark.parametrize("method", ["lambda", "M", "M-literal"])
def test_what_pruning_loses_is_entered_too(method: Literal["lambda", "M", "M-literal"]) -> None:
    layer = dense(draw(2, 5, seed=0))
    g = draw(2, 3, seed=4)
    g_x = multiplier_of(layer, g)
    run = Run(batch=2, ledger=Ledger(), pruning=Pruning(0.25, method=method, input=True).plan([layer]))
    found = close_layer(run, layer, g, layer.x, g_x.clone())
    assert (found == 0).any() and run.ledger is not None
    run.ledger.close()
    row = run.ledger.rows["one"]
    torch.testing.assert_close(row["relevance_out"], (layer.x * found).sum(dim=1))
    torch.testing.assert_close(row["pruning_loss"], (layer.x * (g_x - found)).sum(dim=1))
    assert (row["pruning_loss"].abs() < 1e-12).all() == (method == "lambda")


def test_the_relevance_of_the_layers_that_are_asked_for_is_kept() -> None:
    layer = dense(draw(2, 5, seed=0))
    g, parts = draw(2, 3, seed=4), [draw(2, 5, seed=5), draw(2, 5, seed=6)]
    for keep, kept in (("all", True), ({"one"}, True), ({"another", "on"}, False), (None, False)):
        run = Run(batch=2, keep=keep)  # type: ignore[arg-type]
        # Twice, as a layer that is used with and without its normalisation.
        for g_x in parts:
            close_layer(run, layer, g, layer.x, g_x)
        assert set(run.intermediate) == ({"one"} if kept else set())
        if kept:
            torch.testing.assert_close(run.intermediate["one"], layer.x * (parts[0] + parts[1]))
    run = Run(batch=2, keep="all")
    close_layer(run, layer, g, None, parts[0])
    assert torch.equal(run.intermediate["one"], parts[0])


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("axis", [None, 1])
def test_a_tap_enters_the_relevance_that_flows_by_and_changes_nothing(axis: int | None, sign: float) -> None:
    x, g = draw(2, 3, 4, seed=0), draw(2, 3, 4, seed=1)
    expected = sign * (x * g)[:, 1:].sum(dim=(1, 2))
    x[:, 0], g[:, 0] = -torch.inf, 0.0  # masked scores
    x, g = (x, g) if axis is None else (x.movedim(0, 1), g.movedim(0, 1))
    for ledger in (Ledger(), None):
        run = Run(batch=2, ledger=ledger)
        key = 0 if ledger is None else ledger.open_operation("softmax")
        leaf = x.clone().requires_grad_()
        out: Tensor = Tap.apply(leaf, run, key, sign, axis)
        assert torch.equal(out, x)
        assert torch.equal(torch.autograd.grad(out, leaf, g)[0], g)
        if ledger is not None:
            ledger.close()
            torch.testing.assert_close(ledger.absorbed["softmax [0]"], expected)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_tap_of_a_shadow_enters_its_gradient_which_is_relevance(sign: float) -> None:
    x, relevance = draw(2, 3, 4, seed=0), draw(2, 3, 4, seed=1)
    for ledger in (Ledger(), None):
        run = Run(batch=2, ledger=ledger)
        key = 0 if ledger is None else ledger.open_operation("softmax")
        leaf = x.clone().requires_grad_()
        out: Tensor = ShadowTap.apply(leaf, run, key, sign)
        assert torch.equal(out, x)
        assert torch.equal(torch.autograd.grad(out, leaf, relevance)[0], relevance)
        if ledger is not None:
            ledger.close()
            torch.testing.assert_close(ledger.absorbed["softmax [0]"], sign * relevance.sum(dim=(1, 2)))
