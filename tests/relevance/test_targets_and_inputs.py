"""Targets, further inputs and outputs of every form; wrong ones are named."""

import numpy as np
import pytest
import torch
from torch import nn

from genoplrp.errors import InputError, NonFiniteError
from genoplrp.relevance import (
    Explainer,
    Gamma,
    Pruning,
    lrp,
)
from tests.relevance.small_net import Net, one_hot


def test_targets_as_numbers_indices_and_functions_agree():
    model, X = Net(), one_hot()
    explain = Explainer(model, pruning=Pruning(0.1), batch_size=3)
    by_index = torch.stack([explain(X, k).relevance for k in range(3)])
    each = [2, 0, 1, 1]
    expected = torch.stack([by_index[k, i] for i, k in enumerate(each)])
    for target in (each, torch.tensor(each), np.array(each), tuple(each)):
        e = explain(X, target)
        torch.testing.assert_close(e.relevance, expected, rtol=1e-5, atol=1e-6)
        assert torch.as_tensor(e.target).tolist() == each
    assert torch.equal(explain(X, -1).relevance, by_index[2])
    assert torch.equal(explain(X, np.int64(1)).relevance, by_index[1])
    assert torch.equal(explain(X, torch.tensor(1)).relevance, by_index[1])
    torch.testing.assert_close(explain(X, lambda y: y[:, 2]).relevance, by_index[2])
    difference = Explainer(model, Gamma(0.1))(X, lambda y: y[:, 0] - y[:, 1])
    assert difference.check().holds


def test_what_a_target_detaches_is_a_constant():
    model, X = Net(), one_hot()
    whole = lrp(model, X, 0)
    constant = Explainer(model)(X, lambda y: y[:, 0] - y[:, 1].detach())
    torch.testing.assert_close(constant.relevance, whole, rtol=1e-5, atol=1e-6)
    assert constant.check().holds


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (3, "target 3 is out of range"),
        (-4, "target -4 is out of range"),
        ([0, 1], "2 indices, X has 4"),
        ([0, 1, 5, 0], "target 5 is out of range"),
        (1.5, "target=1.5"),
        (True, "target=True"),
        ("first", "no output 'first'"),
        (None, "3 outputs"),
        (lambda y: y, r"\(4, 3\)"),
        (lambda y: 3.0, "float"),
        (torch.zeros(2, 2, dtype=torch.long), "target="),
    ],
)
def test_a_wrong_target_is_named(target, message):
    with pytest.raises(InputError, match=message):
        lrp(Net(), one_hot(), target)


def test_several_inputs_and_outputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.side = Net(), nn.Linear(2, 3)

        def forward(self, x, side, flag=None):
            return {"logits": self.net(x) + self.side(side), "n": len(x)}, side

    X, side = one_hot(), torch.rand(4, 2)
    model = Two()
    explain = Explainer(model, batch_size=3)
    e = explain(X, lambda y: y[0]["logits"][:, 1], args=[side])
    torch.testing.assert_close(e.relevance, lrp(model.net, X, 1), rtol=1e-4, atol=1e-5)
    assert e.check().holds
    with pytest.raises(InputError, match="function that picks"):
        explain(X, 1, args=[side])
    with pytest.raises(InputError, match=r"args\[0\] has 3 rows"):
        explain(X, 1, args=[side[:3]])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([[1.0]], "list"),
        (torch.zeros(4), "expected"),
        (torch.eye(4)[[0, 1, 2, 3, 0]].T, "X\\[None\\]"),
        (torch.eye(4)[torch.zeros(2, 9, dtype=torch.long)], "transpose"),
        (torch.full((2, 4, 9), torch.nan), "sequence 0"),
        (torch.tensor([0.0, torch.inf]).reshape(2, 1, 1).expand(2, 4, 9), "sequence 1"),
    ],
)
def test_a_wrong_input_is_named(X, message):
    with pytest.raises(InputError, match=message):
        lrp(Net(), X)


def test_weights_that_are_not_finite_are_an_error():
    for value in (torch.nan, torch.inf):
        model = Net()
        model.head.weight.data[0, 0] = value
        with pytest.raises(NonFiniteError, match="not finite"):
            lrp(model, one_hot())


def test_an_output_without_the_input_is_an_error():
    with pytest.raises(InputError, match="does not depend"):
        lrp(Net(lambda model, h: torch.zeros_like(h)), one_hot())


def test_an_error_of_the_models_own_forward_says_what_it_was_given():
    model = nn.Sequential(nn.Conv1d(4, 3, 5), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 16, 1))
    with pytest.raises(InputError, match=r"X of shape \(2, 4, 30\): .*shapes cannot be multiplied") as raised:
        Explainer(model)(torch.zeros(2, 4, 30))
    assert isinstance(raised.value, RuntimeError)  # as torch raised it
