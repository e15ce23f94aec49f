"""Where the network does not care about the strand, the map of the other strand is the turned map.

Relevance flows by the network's own symmetry: for a network f with f(P x) = f(x), P a permutation of positions and
bases, every step of LRP (rules, winners, thresholds that depend on values alone) commutes with P.
"""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from genoplrp.relevance import (
    PRESETS,
    DeepLift,
    Epsilon,
    Explainer,
    Gamma,
    GradientTimesInput,
    Preset,
    Pruning,
)


def _reverse_complement(x):
    return x.flip(1, 2)  # A C G T backwards is T G C A


class Siamese(nn.Module):
    """One network on both strands, averaged."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(4, 6, 5, stride=2), nn.BatchNorm1d(6)
        self.conv2 = nn.Conv1d(6, 5, 4, padding="same")
        self.out = nn.Linear(5 * 12, 2)
        _randomise(self)

    def _strand(self, x):
        h = F.relu(self.norm(self.conv(x)))
        return self.out(F.elu(self.conv2(h)).flatten(1))

    def forward(self, x):
        return (self._strand(x) + self._strand(x.flip(dims=[1, 2]))) / 2


class Tied(nn.Module):
    """Each filter comes with its reverse complement; the head adds up both strands' channels."""

    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(torch.zeros(4, 4, 5))
        self.bias = nn.Parameter(torch.zeros(4))
        self.second = nn.Parameter(torch.zeros(3, 8, 3))
        self.head = nn.Linear(3, 2)
        _randomise(self)

    def forward(self, x):
        weight = torch.cat([self.first, self.first.flip(0, 1, 2)])
        h = F.relu(F.conv1d(x, weight, torch.cat([self.bias, self.bias.flip(0)]), padding=2))
        h = F.max_pool1d(h, 3)
        weight = torch.cat([self.second, self.second.flip(0, 1, 2)])
        h = F.silu(F.conv1d(h, weight, padding=1)).mean(dim=2)
        return self.head(h[:, :3] + h[:, 3:].flip(1))


class Circular(nn.Module):
    """Does not care where the sequence starts."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 6, 5, padding=2, padding_mode="circular")
        self.conv2 = nn.Conv1d(6, 6, 3, padding=3, dilation=3, padding_mode="circular")
        self.out = nn.Linear(6, 1)
        _randomise(self)

    def forward(self, x):
        h = F.relu(self.conv(x))
        h = h + F.relu(self.conv2(h))
        return self.out(h.amax(dim=2) + h.mean(dim=2))


def _randomise(model):
    generator = torch.Generator().manual_seed(0)
    model.double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64))


def _one_hot(n=5, length=27):
    bases = torch.randint(4, (n, length), generator=torch.Generator().manual_seed(1))
    X = torch.eye(4, dtype=torch.float64)[bases].mT.contiguous()
    X[0, :, 4:7] = 0.0  # N
    return X


PRUNINGS = {
    "none": None,
    "lambda": {"p": 0.2},
    "strong": {"p": 0.6},
    "M": {"p": 0.2, "method": "M"},
    "input-too": {"p": 0.2, "input": True},
    "auto": {"p": "auto"},
    "effective": {"p": "effective"},
    "position": {"p": 0.2, "scope": "position"},
    "filter": {"p": 0.2, "scope": "filter"},
}


def _pruning(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return None if PRUNINGS[name] is None else Pruning(**PRUNINGS[name])


def _assert_equivariant(model, explain, X, turn, target=0):
    with torch.no_grad():
        torch.testing.assert_close(model(turn(X)), model(X), rtol=1e-12, atol=1e-12)
    a, b = explain(X, target).relevance, explain(turn(X), target).relevance
    torch.testing.assert_close(b, turn(a), rtol=1e-8, atol=1e-10 * float(a.abs().max()))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("model", [Siamese, Tied])
def test_every_rule_commutes_with_the_reverse_complement(model, preset):
    model = model()
    _assert_equivariant(model, Explainer(model, preset), _one_hot(), _reverse_complement, 1)


@pytest.mark.parametrize("pruning", PRUNINGS)
@pytest.mark.parametrize("model", [Siamese, Tied])
def test_pruning_commutes_with_the_reverse_complement(model, pruning):
    model = model()
    _assert_equivariant(model, Explainer(model, pruning=_pruning(pruning)), _one_hot(), _reverse_complement)


@pytest.mark.parametrize("pruning", ["none", "lambda", "M", "auto"])
@pytest.mark.parametrize("model", [Siamese, Tied])
def test_gradients_and_differences_commute_with_the_reverse_complement(model, pruning):
    model, pruning = model(), _pruning(pruning)
    _assert_equivariant(model, GradientTimesInput(model, pruning), _one_hot(), _reverse_complement)
    # Not the uniform reference: there a maximum over positions is tied, and torch's pooling takes the first.
    explain = DeepLift(model, pruning, references=lambda X: X.flip(2)[:, None])
    _assert_equivariant(model, explain, _one_hot(), _reverse_complement)


@pytest.mark.parametrize("preset", ["gamma", "epsilon", "epsilon-plus-flat"])
def test_a_network_that_ignores_rotation_has_rotated_maps(preset):
    """Of LRP: pruning acts on the padded input, where the positions that wrap around stand twice."""
    model = Circular()
    explain = Explainer(model, preset)
    for shift in (1, 8, -5):
        _assert_equivariant(model, explain, _one_hot(), lambda x, s=shift: x.roll(s, dims=2))


@pytest.mark.parametrize("pruning", ["none", "lambda", "M"])
def test_a_palindrome_has_a_symmetric_map(pruning):
    """Entries that tie are pruned together or not at all: the order of the positions decides nothing."""
    half = _one_hot(4, 13)[1:]
    X = torch.cat([half, _reverse_complement(half)], dim=2)
    assert torch.equal(_reverse_complement(X), X)

    class Ends(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.out = nn.Conv1d(4, 6, 5), nn.Linear(6, 1)
            _randomise(self)

        def forward(self, x):
            return sum(self.out(F.relu(self.conv(s)).mean(dim=2)) for s in (x, x.flip(1, 2)))

    model = Ends()
    r = Explainer(model, pruning=_pruning(pruning))(X).relevance
    torch.testing.assert_close(_reverse_complement(r), r, rtol=1e-9, atol=1e-11)


def test_the_strand_that_a_network_reads_gets_the_relevance():
    """A network that sees the reverse complement only: its map is the turned map of the plain one."""

    class Turned(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(torch.flip(x, (1, 2)))

    plain = nn.Sequential(nn.Conv1d(4, 5, 6), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 22, 1))
    _randomise(plain)
    X = _one_hot()
    rules = Preset(Gamma(0.25, gauge=True), Gamma(0.25), Epsilon())
    turned = Explainer(Turned(plain), rules, Pruning(0.2))(X).relevance
    expected = Explainer(plain, rules, Pruning(0.2))(_reverse_complement(X)).relevance
    torch.testing.assert_close(turned, _reverse_complement(expected), rtol=1e-10, atol=1e-12)
