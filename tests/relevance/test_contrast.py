from __future__ import annotations

import pytest
import torch
from torch import nn

import genoplrp as gp
from genoplrp.errors import InputError


def one_hot(n: int, length: int = 12) -> torch.Tensor:
    codes = torch.randint(4, (n, length), generator=torch.Generator().manual_seed(0))
    return torch.eye(4)[codes].mT.contiguous()


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv1d(4, 6, 5), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3)
    return nn.Sequential(*layers).double().eval()


@pytest.mark.parametrize("against, rest", [(1, [1]), ([1, 2], [1, 2]), (None, [0, 1])])
def test_where_relevance_is_linear_it_is_the_difference_of_the_outputs_relevance(model, against, rest):
    X = one_hot(4).double()
    target = 2 if against is None else 0
    each = [gp.lrp(model, X, k, rules=gp.relevance.Epsilon(0.0)) for k in range(3)]
    expected = each[target] - 0.3 * sum(each[k] for k in rest) / len(rest)
    got = gp.lrp(model, X, gp.contrast(target, against, weight=0.3), rules=gp.relevance.Epsilon(0.0))
    torch.testing.assert_close(got, expected, atol=1e-10, rtol=1e-8)


def test_the_prediction_is_the_difference(model):
    X = one_hot(3).double()
    y = model(X).detach()
    e = gp.Explainer(model)(X, gp.contrast(0, 2))
    torch.testing.assert_close(e.prediction, y[:, 0] - 0.5 * y[:, 2])
    assert e.target == "contrast(0, against=2)"


class TwoTasks(nn.Module):
    """A's count and B's, each raising the other's output a little, as tasks with shared features do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 2, 1)
        self.last = nn.Linear(2, 2)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(4)[:2].unsqueeze(2))
            self.conv.bias.zero_()
            self.last.weight.copy_(torch.tensor([[1.0, 0.4], [0.4, 1.0]]))
            self.last.bias.zero_()

    def forward(self, x):
        return self.last(torch.relu(self.conv(x)).sum(2))


@pytest.mark.parametrize("explain", [gp.lrp, gp.plrp, lambda *a: gp.consensus(*a).relevance])
def test_the_other_tasks_sites_are_no_longer_credited(explain):
    X = one_hot(6, length=30)
    is_a, is_b = X[:, 0] > 0, X[:, 1] > 0
    alone = explain(TwoTasks(), X, 0).sum(1)
    assert alone[is_b].min() >= 0
    assert alone[is_b].sum() > 0.1 * alone.sum()
    against = explain(TwoTasks(), X, gp.contrast(0, 1)).sum(1)
    assert (against[is_b] <= 0).all()
    assert against[is_a].min() >= 0
    assert against[is_a].sum() > 0


@pytest.mark.parametrize(
    "arguments, words",
    [
        ((0, 0), "other outputs"),
        ((-1,), "index"),
        ((0, [1, True]), "index"),
        ((0, []), "other outputs"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        gp.contrast(*arguments)


def test_weights_and_outputs_that_do_not_fit_are_refused(model):
    with pytest.raises(InputError, match="above 0"):
        gp.contrast(0, 1, weight=0)
    with pytest.raises(InputError, match="3 outputs"):
        gp.lrp(model, one_hot(1).double(), gp.contrast(0, 7))
