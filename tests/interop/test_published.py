"""Networks of published packages are explained as they are: the sums are right, the maps too, and nothing is changed.

Each is skipped where its package is missing; continuous integration installs them for this folder (requirements.txt).
"""

import copy

import pytest
import torch
from torch import nn

from genoplrp.relevance import DeepLift, Epsilon, Explainer, GradientTimesInput, Pruning, adapt_model
from genoplrp.relevance.axes import is_keras_model
from tests.interop.published import MODELS

pytestmark = pytest.mark.interop
BY_NAME = {published.name: published for published in MODELS}


@pytest.fixture(scope="module", params=list(BY_NAME))
def published(request):
    found = BY_NAME[request.param]
    if found.missing:
        pytest.skip(f"{found.missing} is not installed")
    return found


@pytest.fixture(scope="module")
def model(published):
    return published.made()


@pytest.fixture(scope="module")
def X(published):  # noqa: N802
    return published.sequences()


def _chosen(published, y):
    return published.target(y) if callable(published.target) else y.reshape(len(y), -1)[:, published.target]


def _tolerance(published):
    single = published.dtype == torch.float32
    return {"rtol": 2e-3, "atol": 2e-5} if single else {"rtol": 1e-6, "atol": 1e-9}


def test_it_is_explained_without_being_changed(published, model, X):
    taken = adapt_model(model, X=X)
    with torch.no_grad():
        before = _chosen(published, taken(X)).clone()
    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    hooks = [len(module._forward_hooks) + len(module._backward_hooks) for module in model.modules()]
    e = Explainer(model, "gamma", Pruning(0.1))(X, published.target)
    assert e.relevance.shape == X.shape
    assert torch.isfinite(e.relevance).all()
    assert (e.relevance != 0).any()
    assert (e.relevance[X == 0] == 0).all()
    assert e.check().holds
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert [len(m._forward_hooks) + len(m._backward_hooks) for m in model.modules()] == hooks
    assert all(p.grad is None for p in model.parameters())
    with torch.no_grad():
        assert torch.equal(_chosen(published, taken(X)), before)


def test_epsilon_towards_zero_is_gradient_times_input(published, model, X):
    if not published.is_piecewise_linear:
        pytest.skip("not piecewise linear")
    e = Explainer(model, Epsilon(0.0))(X, published.target)
    x = X.clone().requires_grad_()
    y = _chosen(published, adapt_model(model, X=X)(x))
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(e.relevance, X * gradient, **_tolerance(published))
    torch.testing.assert_close(e.prediction, y.detach(), **_tolerance(published))


def test_what_biases_absorb_is_what_their_gradients_say(published, model, X):
    """A piecewise linear output is its inputs times their gradients plus its biases times theirs."""
    if not published.is_piecewise_linear or is_keras_model(model):
        pytest.skip("not piecewise linear, or not made of torch's layers")
    e = Explainer(model, Epsilon(0.0))(X[:1], published.target)
    own = copy.deepcopy(model)
    parts = []
    for module in own.modules():
        if isinstance(module, nn.Linear | nn.Conv1d) and module.bias is not None:
            parts.append((module.bias, module.bias))
        elif isinstance(module, nn.BatchNorm1d):
            shift = module.running_mean * module.weight * torch.rsqrt(module.running_var + module.eps)
            parts.append((module.bias, module.bias - shift))
    for parameter, _ in parts:
        parameter.requires_grad_(True)
    y = _chosen(published, own(X[:1]))
    gradients = torch.autograd.grad(y.sum(), [p for p, _ in parts], allow_unused=True)
    absorbed = sum(
        (g * value.detach()).sum() for g, (_, value) in zip(gradients, parts, strict=True) if g is not None
    )
    torch.testing.assert_close(e.relevance.sum() + absorbed, y.detach().sum(), **_tolerance(published))


def test_the_traced_gradient_is_that_of_finite_differences(published, model, X):
    taken = adapt_model(model, X=X)
    e = GradientTimesInput(model)(X, published.target)
    single = published.dtype == torch.float32
    step = 1e-2 if single else 1e-5
    with torch.no_grad():
        ends = [_output_of(model, published, taken, X * (1 + sign * step)) for sign in (1, -1)]
    slope = (ends[0] - ends[1]) / (2 * step)
    total = e.relevance.sum(dim=(1, 2))
    scale = e.relevance.abs().sum(dim=(1, 2)).clamp(min=1e-6)
    # Of a network with kinks the difference may straddle one.
    assert float(((slope - total).abs() / scale).max()) < (5e-2 if single else 1e-4)


def _output_of(model, published, taken, X):
    """The explained output: the logit, where the model ends in a softmax or sigmoid."""
    return GradientTimesInput(model, diagnostics=False)(X, published.target).prediction


def test_deeplift_adds_up_or_names_what_it_has_no_rule_for(published, model, X):
    from genoplrp.errors import UnsupportedOperationError

    try:
        e = DeepLift(model)(X[:1], published.target)
    except UnsupportedOperationError as error:
        assert "no rule" in str(error) or "has no relevance rule" in str(error)
        assert any(name in str(error) for name in ("gru", "lstm", "multi_head_attention"))
    else:
        assert e.check().holds
