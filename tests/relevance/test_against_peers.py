"""Equality with zennit and captum, on plain sequential networks, where both are right."""

import sys
import types
from unittest import mock

import pytest
import torch
from torch import nn

from genoplrp.relevance import AlphaBeta, Epsilon, Explainer, Flat, Gamma, Preset, WSquare, ZBox, ZPlus


@pytest.fixture(scope="module")
def zennit():
    """Return zennit, imported without torchvision (which it wants for model classes only)."""
    names = ("torchvision", "torchvision.models", "torchvision.models.resnet")
    stand_ins = {name: types.ModuleType(name) for name in names}
    for name in ("Bottleneck", "BasicBlock"):
        setattr(stand_ins[names[-1]], name, type(name, (nn.Module,), {}))
    with mock.patch.dict(sys.modules, stand_ins):
        pytest.importorskip("zennit")
        import zennit.attribution
        import zennit.canonizers
        import zennit.composites
        import zennit.rules
    return zennit


class Flattened(nn.Module):
    """Features, flattened by a function (captum has no rule for the module), and a head."""

    def __init__(self, features, head):
        super().__init__()
        self.features, self.head = features, head

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


def _network(seed=0, norm=False, positive=False):
    # zennit leaves a factor of 1 / sqrt(1 + eps) behind a merged normalisation: keep its eps small.
    generator = torch.Generator().manual_seed(seed)
    features = [
        nn.Conv1d(4, 6, 5, padding=2),
        *([nn.BatchNorm1d(6, eps=1e-14)] if norm else []),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Conv1d(6, 5, 3, stride=2),
        *([nn.BatchNorm1d(5, eps=1e-14)] if norm else []),
        nn.ReLU(),
    ]
    head = nn.Sequential(nn.Linear(35, 7), nn.ReLU(), nn.Linear(7, 3))
    model = Flattened(nn.Sequential(*features), head).double().eval()
    for parameter in model.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        if positive and parameter.dim() == 1:
            parameter.data.abs_().add_(30.0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.copy_(torch.randn(len(module.running_mean), generator=generator))
            module.running_var.copy_(torch.rand(len(module.running_var), generator=generator) + 0.5)
    return model


def _one_hot(n=5, length=30):
    bases = torch.randint(4, (n, length), generator=torch.Generator().manual_seed(1))
    return torch.eye(4, dtype=torch.float64)[bases].mT.contiguous()


def _signed():
    return torch.randn(5, 4, 30, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


COMPOSITES = {
    "epsilon": (Preset(Epsilon(0.1), Epsilon(0.1), Epsilon(0.1)), ("Epsilon", 0.1), ("Epsilon", 0.1)),
    "gamma": (Preset(Gamma(0.25), Gamma(0.25), Epsilon()), ("Gamma", 0.25), ("Gamma", 0.25)),
    "gamma-strong": (Preset(Gamma(2.0), Gamma(2.0), Epsilon()), ("Gamma", 2.0), ("Gamma", 2.0)),
    "zplus": (Preset(ZPlus(), ZPlus(), Epsilon()), ("ZPlus",), ("ZPlus",)),
    "alpha2beta1": (Preset(AlphaBeta(), AlphaBeta(), Epsilon()), ("AlphaBeta",), ("AlphaBeta",)),
    "flat": (Preset(Flat(), Gamma(0.25), Epsilon()), ("Flat",), ("Gamma", 0.25)),
    "wsquare": (Preset(WSquare(), ZPlus(), Epsilon()), ("WSquare",), ("ZPlus",)),
    "zbox-dna": (Preset(ZBox(0.0, 1.0), Gamma(0.25), Epsilon()), ("ZBox", 0.0, 1.0), ("Gamma", 0.25)),
    "zbox": (Preset(ZBox(-4.0, 5.0), Gamma(0.25), Epsilon()), ("ZBox", -4.0, 5.0), ("Gamma", 0.25)),
}


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("sign", ["one-hot", "signed"])
@pytest.mark.parametrize("name", COMPOSITES)
def test_equals_zennit(zennit, name, sign, norm):
    preset, first, convolution = COMPOSITES[name]
    model, X = _network(norm=norm), _one_hot() if sign == "one-hot" else _signed()
    if name == "zbox-dna" and sign == "signed":
        X = X.sigmoid()  # within the box

    def rule(description):
        return getattr(zennit.rules, description[0])(*description[1:])

    dense = ("Epsilon", 0.1) if name == "epsilon" else ("Epsilon",)
    convolutions = [k for k, m in model.named_modules() if isinstance(m, nn.Conv1d)]
    composite = zennit.composites.NameMapComposite(
        [
            ([convolutions[0]], rule(first)),
            (convolutions[1:], rule(convolution)),
            ([k for k, m in model.named_modules() if isinstance(m, nn.Linear)], rule(dense)),
            ([k for k, m in model.named_modules() if isinstance(m, nn.ReLU)], zennit.rules.Pass()),
        ],
        canonizers=[zennit.canonizers.SequentialMergeBatchNorm()],
    )
    targets = torch.tensor([0, 1, 2, 0, 1])

    def relevance_of_output(output):
        return output * torch.eye(3, dtype=output.dtype)[targets]

    with zennit.attribution.Gradient(model, composite, relevance_of_output) as attributor:
        _, theirs = attributor(X.clone().requires_grad_(True))
    ours = Explainer(model, preset)(X, targets).relevance
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9 * float(theirs.abs().max()))


@pytest.mark.parametrize("name", ["epsilon", "gamma", "zplus"])
def test_equals_captum(name):
    from captum.attr import LRP
    from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, GammaRule

    # captum's gamma knows inputs >= 0 and outputs > 0 only; its biases stay as they are.
    model, X = _network(positive=name == "gamma"), _one_hot()
    ours, theirs = {
        "epsilon": (Epsilon(1e-6), lambda: EpsilonRule(1e-6)),
        "gamma": (Gamma(0.25, epsilon=1e-9, bias="raw"), lambda: GammaRule(0.25)),
        "zplus": (ZPlus(epsilon=1e-9, bias="raw"), Alpha1_Beta0_Rule),
    }[name]
    relevance = Explainer(model, Preset(ours, ours, Epsilon(1e-6)))(X, 1).relevance
    for module in model.modules():
        if isinstance(module, nn.Conv1d):
            module.rule = theirs()
        elif isinstance(module, nn.Linear):
            module.rule = EpsilonRule(1e-6)
    expected = LRP(model).attribute(X, target=1).detach()
    torch.testing.assert_close(relevance, expected, rtol=1e-6, atol=1e-9 * float(expected.abs().max()))


def test_epsilon_zero_is_gradient_times_input():
    """With ReLU and without merging, LRP-0 is gradient times input, biases or not."""
    model, X = _network(norm=True), _one_hot()
    x = X.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(model(x)[:, 2].sum(), x)
    relevance = Explainer(model, Epsilon(0.0))(X, 2).relevance
    torch.testing.assert_close(relevance, X * gradient, rtol=1e-10, atol=1e-11)
