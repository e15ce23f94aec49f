"""Gradient times input on the engine: autograd's own unpruned, pruned like relevance."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from genoplrp.relevance import Epsilon, Explainer, GradientTimesInput, Pruning
from tests.oracles.oracle_pruning import kept_indices
from tests.relevance.test_zoo import ZOO, _build, randomised


def _autograd(model, X, target, args):
    """The gradient at the logit: the sigmoid or softmax at the end is undone by its own inverse."""
    model.eval()
    x = X.clone().requires_grad_(True)
    y = model(x, *(args or ()))
    if any(isinstance(m, nn.Sigmoid) for m in model.modules()) or type(model).__name__ in ("Basset", "DanQ"):
        y = torch.logit(y)
    number = _picked(y, target, len(X))
    (gradient,) = torch.autograd.grad(number.sum(), x)
    return X * gradient


def _picked(y, target, n):
    if callable(target):
        return target(y)
    return y.reshape(n) if target is None or y.dim() == 1 else y[:, target]


@pytest.mark.parametrize("name", [n for n in ZOO if n != "SpliceAI"])
def test_equals_autograd_without_pruning_on_published_architectures(name):
    model, X, target, args = _build(name)
    model, X, args = model.double(), X.double(), None if args is None else [a.double() for a in args]
    expected = _autograd(model, X, target, args)
    e = GradientTimesInput(model)(X, target, args=args)
    torch.testing.assert_close(e.relevance, expected, rtol=1e-7, atol=1e-9 * float(expected.abs().max()))
    for parameter in model.parameters():
        assert parameter.grad is None


PRUNINGS = [Pruning(0.2), Pruning("auto"), Pruning(0.15, scope="filter"), Pruning(0.2, method="M")]


@pytest.mark.parametrize("pruning", PRUNINGS)
def test_equals_pruned_lrp_zero_where_all_is_piecewise_linear(pruning):
    model, X, target, _ = _build("DeepSTARR")
    model, X = model.double(), X.double()
    ours = GradientTimesInput(model, pruning)(X, target).relevance
    lrp = Explainer(model, Epsilon(0.0), pruning)(X, target).relevance
    torch.testing.assert_close(ours, lrp, rtol=1e-9, atol=1e-11)


def test_the_pruned_gradient_is_the_definition_by_hand():
    """Two linear layers around a smooth activation: one place to prune, at the second one's input."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(24, 9), nn.Tanh(), nn.Linear(9, 2)).double()
    X = torch.randn(3, 4, 6, generator=generator, dtype=torch.float64)
    relevance = GradientTimesInput(model, Pruning(0.25, 0.1))(X, 1).relevance
    for i in range(3):
        x = X[i].flatten()
        z = model[1](x).detach()
        a, w = z.tanh(), model[3].weight[1].detach()
        r = (a * w).tolist()
        kept = kept_indices(r, 0.25, 0.1)
        g = torch.zeros(9, dtype=torch.float64)
        for sign in (1, -1):
            whole = sum(v for v in r if v * sign > 0)
            left = sum(v for j, v in enumerate(r) if v * sign > 0 and j in kept)
            for j, v in enumerate(r):
                if v * sign > 0 and j in kept:
                    g[j] = w[j] * whole / left
        expected = x * ((g * (1 - a**2)) @ model[1].weight.detach())
        torch.testing.assert_close(relevance[i].flatten(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("activation", [nn.GELU, nn.ELU, nn.Sigmoid, nn.Softplus])
def test_a_plain_chain_with_smooth_activations_has_its_gradient_not_its_relevance(activation):
    model = nn.Sequential(
        nn.Conv1d(4, 6, 5), activation(), nn.MaxPool1d(2), nn.Conv1d(6, 5, 3), activation(),
        nn.Flatten(), nn.Linear(30, 2),
    )  # fmt: skip
    model = randomised(model)
    X = torch.eye(4)[torch.randint(4, (3, 20), generator=torch.Generator().manual_seed(1))].mT.contiguous()
    x = X.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(model(x)[:, 1].sum(), x)
    relevance = GradientTimesInput(model)(X, 1).relevance
    torch.testing.assert_close(relevance, X * gradient, rtol=1e-4, atol=1e-5 * float(gradient.abs().max()))
    assert not torch.allclose(relevance, Explainer(model, Epsilon(0.0))(X, 1).relevance, rtol=1e-2)


class _Written(nn.Module):
    """One computation, in place and out of place."""

    def __init__(self, in_place):
        super().__init__()
        self.conv, self.out, self.in_place = nn.Conv1d(4, 6, 5), nn.Linear(6, 1), in_place

    def forward(self, x):
        h = self.conv(x)
        if self.in_place:
            h *= 2.0
            h = F.elu(h, 1.0, True)
            h[:, :2] += h[:, 2:4]
            h = F.silu(h, inplace=True).sin_()
        else:
            h = F.elu(h * 2.0)
            h = torch.cat([h[:, :2] + h[:, 2:4], h[:, 2:]], dim=1)
            h = F.silu(h).sin()
        return self.out((h / (1 + h.detach().abs())).mean(-1))


def test_in_place_code_and_operations_without_a_relevance_rule_have_their_gradient():
    model, same = randomised(_Written(True)).double(), randomised(_Written(False)).double()
    X = torch.eye(4, dtype=torch.float64)[
        torch.randint(4, (3, 20), generator=torch.Generator().manual_seed(1))
    ].mT
    expected = _autograd(same, X, None, None)
    torch.testing.assert_close(GradientTimesInput(model)(X, None).relevance, expected, rtol=1e-10, atol=1e-12)


def test_a_custom_function_has_the_gradient_it_defines():
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    class Custom(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(4, 1, 3)

        def forward(self, x):
            return Double.apply(self.conv(x)).sum(dim=(1, 2))

    model = randomised(Custom())
    X = torch.eye(4)[torch.randint(4, (2, 9), generator=torch.Generator().manual_seed(1))].mT
    expected = _autograd(model, X, None, None)
    torch.testing.assert_close(GradientTimesInput(model)(X, None).relevance, expected)


def test_a_softmax_is_explained_at_its_logits_and_says_so():
    model, X, target, _ = _build("SpliceAI")
    e = GradientTimesInput(model)(X, target)
    assert any("logit" in note for note in e.notes)
    relevance = Explainer(model.double(), Epsilon(0.0))(X.double(), target).relevance
    torch.testing.assert_close(
        e.relevance.double(), relevance, rtol=1e-3, atol=1e-5 * float(relevance.abs().max())
    )


def test_pruning_makes_the_map_sparser_and_keeps_the_sum_at_the_pruned_layer():
    model, X, target, _ = _build("Basenji")
    explain = GradientTimesInput(model, keep_intermediate=True)
    plain, pruned = (e for _, e in explain.sweep(X, target, [0.0, 0.3]))
    for name, kept in pruned.intermediate.items():
        if name in ("head",):  # the last layer: the same gradient reaches it
            whole = plain.intermediate[name]
            torch.testing.assert_close(kept.flatten(1).sum(1), whole.flatten(1).sum(1), rtol=1e-4, atol=1e-5)
            assert (kept == 0).sum() > (whole == 0).sum()
