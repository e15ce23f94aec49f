"""What the engine refuses (operations, models, settings), by name and with the way out."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from genoplrp.errors import InputError, UnsupportedModelError, UnsupportedOperationError
from genoplrp.relevance import (
    Explainer,
    Gamma,
    Pruning,
    lrp,
    plrp,
    register_operation,
)
from tests.relevance.small_net import Net, one_hot


class _Hidden(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.relu(x) * 2

    @staticmethod
    def backward(ctx, g):
        return g


@torch.jit.script
def _scripted(x: torch.Tensor) -> torch.Tensor:
    return torch.tanh(x) * 2.0


REFUSED = {
    "unknown": (lambda model, h: torch.sin(h), "torch.sin"),
    "unknown-method": (lambda model, h: h.cos(), "cos"),
    "unknown-in-a-module": (lambda model, h: F.cosine_similarity(h, h * 2, dim=1)[:, None], "cosine_similarity"),
    "rounding": (lambda model, h: h.round(), "round"),
    "own-backward": (lambda model, h: _Hidden.apply(h), "_HiddenBackward"),
    "scripted-function": (lambda model, h: _scripted(h), "scripted"),
    "dynamic-filter": (lambda model, h: F.conv1d(h, h[:1].mean(dim=2)[:, :, None]), "hyper-network"),
    "batch-statistics": (lambda model, h: F.batch_norm(h, None, None, training=True), "batch_norm"),
    "batch-statistics-forced": (
        lambda model, h: F.batch_norm(h, model.norm.running_mean, model.norm.running_var, training=True), "statistics",
    ),
    "vmap": (lambda model, h: h + torch.vmap(torch.tanh)(h), "vmap"),
    "one-over": (lambda model, h: 1.0 / (h + 20.0), "division"),
    "negative-power": (lambda model, h: h**-2, "pow"),
    "out": (lambda model, h: torch.add(h, h, out=torch.empty_like(h)), "out="),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_rule_is_refused_by_name(name):
    between, message = REFUSED[name]
    model = Net(between).train()
    with pytest.raises(UnsupportedOperationError, match=message):
        plrp(model, one_hot())
    assert model.training
    assert torch.overrides._get_current_function_mode() is None


def test_a_refusal_names_the_module_and_the_way_out():
    class Odd(nn.Module):
        def forward(self, x):
            return torch.sin(x)

    model = nn.Sequential(
        nn.Conv1d(4, 3, 3), nn.ModuleDict({"deep": Odd()})["deep"], nn.Flatten(), nn.Linear(54, 1)
    )
    with pytest.raises(UnsupportedOperationError, match=r"torch\.sin \(in module '1'\).*register_operation"):
        lrp(model, one_hot())


def test_a_hidden_function_at_the_very_end_is_refused():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = Net()

        def forward(self, x):
            return _Hidden.apply(self.net(x)[:, 0])

    with pytest.raises(UnsupportedOperationError, match="_HiddenBackward"):
        lrp(Last(), one_hot(), None)


def test_a_registered_operation_is_known_from_then_on():
    from genoplrp.relevance.tracing import tracer

    def handler(tracer, func, args, kwargs):
        return args[0] * (torch.sin(args[0]) / args[0]).detach()

    try:
        register_operation("sin", handler)
        model = Net(lambda model, h: torch.sin(h + 0.1))
        e = Explainer(model)(one_hot())
        with torch.no_grad():
            torch.testing.assert_close(e.prediction, model.eval()(one_hot())[:, 0])
        assert e.check().holds
    finally:
        del tracer.HANDLERS["sin"]


def test_models_whose_operations_are_hidden_are_refused_with_the_way_out():
    X = one_hot()
    plain = nn.Sequential(nn.Conv1d(4, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(54, 1))
    for model, way_out in (
        (torch.jit.script(plain), "nn.Module it was made from"),
        (torch.jit.trace(plain, X), "nn.Module it was made from"),
        (nn.Sequential(torch.jit.script(plain)), "its part '0'"),
        (nn.Sequential(nn.DataParallel(plain)), r"part '0' is wrapped in DataParallel"),
        (torch.ao.quantization.quantize_dynamic(plain, {nn.Linear}), "floating point"),
        (nn.Sequential(nn.LazyConv1d(3, 5)), r"part '0' \(LazyConv1d\) has not seen data"),
    ):
        with pytest.raises(UnsupportedModelError, match=way_out):
            Explainer(model)
    for wrong in (plain.forward, nn.Linear, "model"):
        with pytest.raises(InputError, match="Module"):
            Explainer(wrong)


@pytest.mark.parametrize(
    "settings",
    [
        {"rules": "nonsense"}, {"rules": 3}, {"rules": {"conv": "gamma"}}, {"rules": {3: Gamma()}}, {"pruning": 0.1},
        {"batch_size": 0},
    ],
)  # fmt: skip
def test_wrong_settings_are_named(settings):
    with pytest.raises(InputError):
        Explainer(Net(), **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"p": 1.0}, {"p": -0.1}, {"p": float("nan")}, {"p": "strong"}, {"p": True}, {"p_neg": 2}, {"method": "X"},
        {"p": [0.1, 1.2]}, {"p": {"conv": -1}}, {"p": "auto", "total": True}, {"scope": "y"},
    ],
)  # fmt: skip
def test_wrong_pruning_is_named(settings):
    with pytest.raises(InputError):
        Pruning(**settings)


def test_pruning_names_and_counts_are_checked_against_the_model():
    X = one_hot()
    for pruning, message in (
        (Pruning(0.1, layers=["missing*"]), "missing"),
        (Pruning({"missing": 0.1}), "missing"),
        (Pruning([0.1, 0.1, 0.1]), "3 values, the model has 2"),
    ):
        with pytest.raises(InputError, match=message):
            Explainer(Net(), pruning=pruning)(X)


def test_a_large_p_warns_once_and_a_total_does_not():
    with pytest.warns(UserWarning, match="weaker motif"):
        Pruning(0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Pruning(0.25)
        Pruning(0.5, total=True)
        list(Explainer(Net()).sweep(one_hot(), p=[0.5, 0.9]))


def test_an_exported_program_is_refused_with_the_way_out():
    model = torch.nn.Sequential(
        torch.nn.Conv1d(4, 3, 5), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(18, 1)
    )
    X = torch.eye(4)[torch.randint(4, (2, 10))].mT.contiguous()
    exported = torch.export.export(model.eval(), (X,)).module()
    with pytest.raises(UnsupportedOperationError, match="exported from"):
        lrp(exported, X)


def test_a_rule_for_a_layer_that_is_not_there_is_refused():
    model, X = Net().eval(), torch.eye(4)[torch.randint(4, (2, 30))].mT
    with pytest.raises(InputError, match=r"rules names the layer 'haed'; the model has conv, inner\.2, head"):
        lrp(model, X, target=0, rules={"haed": Gamma(0.1)})
    for fits in ("head", "inner.*", "*"):
        lrp(model, X, target=0, rules={fits: Gamma(0.1)})
