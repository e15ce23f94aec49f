"""PLRP-lambda and PLRP-M through whole small networks against explicit matrices and loops."""

import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from genoplrp.errors import InputError
from genoplrp.relevance import AlphaBeta, Blend, Epsilon, Explainer, Gamma, Preset, Pruning, WSquare, ZPlus
from genoplrp.relevance.rules import Part, Rule
from tests.oracles.oracle_relevance import (
    Affine,
    affine_of,
    gauge_fixed,
    kept,
    propagation,
    pruned_lambda,
    pruned_m,
)

PRESETS = {
    "epsilon": (Epsilon(0.01), ("epsilon", {"epsilon": 0.01}), Epsilon(0.01), ("epsilon", {"epsilon": 0.01})),
    "gamma": (Gamma(0.25), ("gamma", {}), Epsilon(), ("epsilon", {})),
    "zplus": (ZPlus(), ("zplus", {}), Epsilon(), ("epsilon", {})),
    "alpha2beta1": (AlphaBeta(), ("alphabeta", {}), Epsilon(), ("epsilon", {})),
}


class Chain(nn.Module):
    """conv - ReLU - max pool - conv - ReLU - linear - ReLU - linear."""

    def __init__(self, bias=True, seed=0):
        super().__init__()
        self.conv1 = nn.Conv1d(4, 5, 3, padding=1, bias=bias)
        self.conv2 = nn.Conv1d(5, 4, 3, stride=2, bias=bias)
        self.dense1 = nn.Linear(8, 6, bias=bias)
        self.dense2 = nn.Linear(6, 2, bias=bias)
        _randomise(self, seed)

    def forward(self, x):
        h = F.max_pool1d(F.relu(self.conv1(x)), 2)
        h = F.relu(self.conv2(h)).flatten(1)
        return self.dense2(F.relu(self.dense1(h)))

    def steps(self, x):
        """Return the layers and what lies between them, for one sequence."""
        a1 = F.relu(self.conv1(x[None]))
        pooled, winners = F.max_pool1d(a1, 2, return_indices=True)
        a2 = F.relu(self.conv2(pooled)).flatten(1)
        a3 = F.relu(self.dense1(a2))
        conv2 = lambda h: self.conv2(h).flatten(1)  # noqa: E731
        return [
            ("conv1", affine_of(self.conv1, x), None),
            ("conv2", affine_of(conv2, pooled[0]), (a1[0].shape, winners[0])),
            ("dense1", affine_of(self.dense1, a2[0]), None),
            ("dense2", affine_of(self.dense2, a3[0]), None),
        ]


class Residual(nn.Module):
    """conv, then x + conv(relu(x)) twice, a mean over positions, linear; functional."""

    def __init__(self, seed=0):
        super().__init__()
        self.stem = nn.Conv1d(4, 4, 3, padding=1)
        self.blocks = nn.ModuleList(nn.Conv1d(4, 4, 3, padding=d, dilation=d) for d in (1, 2))
        self.head = nn.Linear(4, 1)
        _randomise(self, seed)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(F.relu(x))
        return self.head(x.mean(dim=2))


def _randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    model.double()
    for parameter in model.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))


def _one_hot(n=4, length=10, seed=0):
    bases = torch.randint(4, (n, length), generator=torch.Generator().manual_seed(seed))
    return torch.eye(4, dtype=torch.float64)[bases].mT


def _explain_chain(model, x, target, rules, prune):
    """Return the relevance at the input and at the input of every layer, by matrices."""
    _, conv_matrix, _, dense_matrix = rules
    steps = model.steps(x)
    R = np.zeros(2)
    R[target] = steps[-1][1].z[target]
    at = {}
    for name, layer, pool in reversed(steps):
        rule, parameters = conv_matrix if name.startswith("conv") else dense_matrix
        R = prune(name, layer, rule, parameters, R)
        at[name] = R
        if pool is not None:  # relevance goes to the winner
            shape, winners = pool
            unpooled = np.zeros(shape)
            for f in range(shape[0]):
                for i, position in enumerate(winners[f].tolist()):
                    unpooled[f, position] += R.reshape(winners.shape)[f, i]
            R = unpooled.flatten()
    return at


def _plain(layer, rule, parameters, R):
    return propagation(layer, rule, **parameters).M @ R


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("p", [(0.0, 0.0), (0.1, 0.05), (0.3, 0.0), (0.0, 0.4), (0.6, 0.8)])
@pytest.mark.parametrize("preset", PRESETS)
def test_lambda_equals_explicit_matrices_and_loops(preset, p, bias):
    model, X = Chain(bias), _one_hot()
    rules = PRESETS[preset]

    def prune(name, layer, rule, parameters, R):
        R = _plain(layer, rule, parameters, R)
        return R if name == "conv1" else pruned_lambda(R, *p)

    with _no_warning():
        pruning = Pruning(p=p[0], p_neg=p[1])
    explain = Explainer(model, Preset(rules[0], rules[0], rules[2]), pruning, keep_intermediate=True)
    for target in (0, 1):
        e = explain(X, target)
        for i, x in enumerate(X):
            expected = _explain_chain(model, x, target, rules, prune)
            for name, values in expected.items():
                scale = np.abs(values).max()
                np.testing.assert_allclose(
                    e.intermediate[name][i].flatten().numpy(), values, rtol=0, atol=1e-10 * scale
                )
            np.testing.assert_allclose(
                e.relevance[i].flatten().numpy(),
                expected["conv1"],
                rtol=0,
                atol=1e-10 * np.abs(expected["conv1"]).max(),
            )


@pytest.mark.parametrize(
    "where", ["input-too", "one-layer", "per-layer", "named", "total", "total-of-each-sign"]
)
def test_the_layers_and_shares_asked_for_are_pruned_and_no_others(where):
    model, X = Chain(), _one_hot()
    rules = PRESETS["gamma"]
    per_layer = 1 - (1 - 0.3) ** (1 / 3)
    pruning, shares = {
        "input-too": (
            Pruning(p=0.2, input=True),
            dict.fromkeys(("conv1", "conv2", "dense1", "dense2"), (0.2, 0.1)),
        ),
        "one-layer": (Pruning(p=0.2, layers=["dense*"]), dict.fromkeys(("dense1", "dense2"), (0.2, 0.1))),
        "per-layer": (
            Pruning(p=[0.1, 0.2, 0.05]),
            {"conv2": (0.1, 0.05), "dense1": (0.2, 0.1), "dense2": (0.05, 0.025)},
        ),
        "named": (Pruning(p={"conv2": 0.2}, p_neg=0.3), {"conv2": (0.2, 0.3)}),
        "total": (
            Pruning(p=0.3, total=True),
            dict.fromkeys(("conv2", "dense1", "dense2"), (per_layer, per_layer / 2)),
        ),
        "total-of-each-sign": (
            Pruning(p=0.1, p_neg=0.3, total=True),
            dict.fromkeys(("conv2", "dense1", "dense2"), (1 - 0.9 ** (1 / 3), per_layer)),
        ),
    }[where]

    def prune(name, layer, rule, parameters, R):
        return pruned_lambda(_plain(layer, rule, parameters, R), *shares.get(name, (0, 0)))

    e = Explainer(model, Preset(rules[0], rules[0], rules[2]), pruning)(X)
    for i, x in enumerate(X):
        expected = _explain_chain(model, x, 0, rules, prune)["conv1"]
        np.testing.assert_allclose(
            e.relevance[i].flatten().numpy(), expected, rtol=0, atol=1e-10 * np.abs(expected).max()
        )


@pytest.mark.parametrize("preset", ["epsilon", "gamma", "zplus"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("method", ["M", "M-literal"])
@pytest.mark.parametrize("p", [(0.05, 0.02), (0.2, 0.1)])
def test_m_equals_explicit_matrices_and_loops(p, method, bias, preset):
    model, X = Chain(bias), _one_hot()
    rules = PRESETS[preset]

    def prune(name, layer, rule, parameters, R):
        if name == "conv1":
            return _plain(layer, rule, parameters, R)
        return pruned_m(layer, rule, R, *p, literal=method == "M-literal", **parameters)

    explain = Explainer(model, Preset(rules[0], rules[0], rules[2]), Pruning(p[0], p[1], method))
    e = explain(X)
    for i, x in enumerate(X):
        expected = _explain_chain(model, x, 0, rules, prune)["conv1"]
        # The literal form stabilises a denominator that can nearly cancel.
        tolerance = 1e-10 if method == "M" else 1e-4
        np.testing.assert_allclose(
            e.relevance[i].flatten().numpy(), expected, rtol=0, atol=tolerance * np.abs(expected).max()
        )


def _compare_m(layer, x, rule, name, parameters, method, gauge_axis=None):
    """One layer whose outputs have the relevance ``v_j z_j``, pruned at its input."""
    v = torch.randn(layer(x)[0].shape, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    explain = Explainer(layer, rule, Pruning(0.2, 0.1, method, input=True))
    relevance = explain(x, lambda z: (z * v).flatten(1).sum(dim=1)).relevance
    for found, one in zip(relevance, x, strict=True):
        affine = affine_of(layer, one)
        affine = affine if gauge_axis is None else gauge_fixed(affine, gauge_axis)
        R = v.flatten().numpy() * affine.z
        expected = pruned_m(affine, name, R, 0.2, 0.1, literal=method == "M-literal", **parameters)
        tolerance = 1e-10 if method == "M" else 1e-3  # a denominator can nearly cancel
        np.testing.assert_allclose(
            found.flatten().numpy(), expected, rtol=0, atol=tolerance * np.abs(expected).max()
        )


@pytest.mark.parametrize("preset", ["epsilon", "gamma", "zplus"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("method", ["M", "M-literal"])
@pytest.mark.parametrize("sign", ["either", "nonnegative"])
@pytest.mark.parametrize("kind", ["dense", "dense at each position", "convolution"])
def test_m_of_one_layer_whose_outputs_have_either_sign(kind, sign, method, bias, preset):
    if kind == "convolution":
        layer, shape = nn.Conv1d(3, 2, 3, padding=1, bias=bias), (2, 3, 4)
    else:
        layer, shape = nn.Linear(6, 5, bias=bias), (2, 6) if kind == "dense" else (2, 3, 6)
    _randomise(layer, 2)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    x = x if sign == "either" else x.abs()
    rule, (name, parameters) = PRESETS[preset][:2]
    _compare_m(layer, x, rule, name, parameters, method)


@pytest.mark.parametrize("sign", [1, -1])
def test_m_of_a_layer_whose_weights_are_all_of_one_sign(sign):
    layer = nn.Linear(6, 5)
    _randomise(layer, 2)
    layer.weight.data = sign * layer.weight.data.abs()
    x = torch.rand(3, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    _compare_m(layer, x, Epsilon(0.01), "epsilon", {"epsilon": 0.01}, "M")


def _blended(a, part):
    """Return the affine map of a rule of one part: every contribution by the blend for the sign of its input."""

    def blend(values, of):
        return of.raw * values + of.plus * np.maximum(values, 0) + of.minus * np.minimum(values, 0)

    W = np.where(a.x < 0, blend(a.W, part.negative), blend(a.W, part.positive))
    return Affine(W, blend(a.b, part.positive), a.x, a.shape)


@pytest.mark.parametrize("sign", ["either", "nonnegative"])
@pytest.mark.parametrize("weights", ["either", "positive", "negative", "zero"])
@pytest.mark.parametrize(
    "part",
    [
        Part(Blend(1.0, 0.5, 0.25), Blend(1.0, 0.5, 0.25)),
        Part(Blend(1.0, 0.5)),
        Part(Blend(2.0, 0.5, 0.25), Blend(2.0)),
        Part(Blend(0.0, 1.0, 0.5), Blend(0.0, 0.5, 1.0)),
        Part(negative=Blend(0.0)),
    ],
    ids=["one blend", "raised on positives", "doubled", "no raw weight", "positives only"],
)
def test_m_of_a_rule_of_ones_own_with_any_blends(part, weights, sign):
    layer = nn.Linear(6, 5)
    _randomise(layer, 2)
    layer.weight.data *= {
        "either": 1,
        "positive": layer.weight.sign(),
        "negative": -layer.weight.sign(),
        "zero": 0,
    }[weights]
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    x = x if sign == "either" else x.abs()
    own = type("Own", (Rule,), {"parts": lambda self: (part,), "epsilon": 0.01})
    v = torch.randn(5, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    relevance = Explainer(layer, own(), Pruning(0.2, 0.1, "M", input=True))(
        x, lambda z: (z * v).sum(dim=1)
    ).relevance
    for found, one in zip(relevance, x, strict=True):
        plain = affine_of(layer, one)
        expected = pruned_m(
            _blended(plain, part), "epsilon", v.numpy() * plain.z, 0.2, 0.1, literal=False, epsilon=0.01
        )
        np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("pruning", [None, Pruning(0.01, method="M")], ids=["unpruned", "M"])
def test_an_input_of_zero_takes_the_multiplier_of_the_positive_ones(pruning):
    """Without a stabilizer below it goes on as a gradient does, though its relevance is 0."""
    first, second = nn.Linear(3, 4, bias=False).double(), nn.Linear(4, 1, bias=False).double()
    tiny = 0.001
    W = torch.tensor([[1.0, -1, 0], [-1, -1, -1], [0, 0, 0.5], [0, 0, tiny / 4]], dtype=torch.float64)
    first.weight.data, second.weight.data = W, torch.tensor([[2.0, 3.0, 1.0, 1.0]], dtype=torch.float64)
    x = torch.tensor([[1.0, 1.0, 4.0]], dtype=torch.float64)  # units 0, -6, 2 and tiny; output -18 + 2 + tiny
    explain = Explainer(
        nn.Sequential(first, second), {"0": Epsilon(0.0), "1": Gamma(0.5, epsilon=0.0)}, pruning
    )
    # The output is negative: negative contributions are raised by a half, those of positive inputs by negative weights.
    sent = torch.tensor([2.0, 4.5, 1.0, 1.0], dtype=torch.float64) * (-16 + tiny) / (-27 + 2 + tiny)
    if pruning is not None:  # of the tiny one; the other positive contributions have its share
        sent = sent * torch.tensor([1 + tiny / 2, 1, 1 + tiny / 2, 0], dtype=torch.float64)
    torch.testing.assert_close(explain(x).relevance, x * (sent @ W), rtol=1e-9, atol=0)


@pytest.mark.parametrize("method", ["M", "M-literal"])
def test_m_of_an_input_layer_with_its_gauge_fixed(method):
    layer = nn.Conv1d(4, 3, 3, padding=1)
    _randomise(layer, 3)
    _compare_m(layer, _one_hot(), Gamma(0.25, gauge=True), "gamma", {}, method, gauge_axis=0)


@pytest.mark.parametrize("method", ["M", "M-literal"])
def test_a_rule_without_columns_is_pruned_by_lambda_whatever_the_method(method):
    layer = nn.Conv1d(4, 3, 3, padding=1)
    _randomise(layer, 3)

    def target(z):
        return z.flatten(1).sum(dim=1)

    maps = [
        Explainer(layer, WSquare(), Pruning(0.3, 0.2, chosen, input=True))(_one_hot(), target).relevance
        for chosen in (method, "lambda")
    ]
    assert torch.equal(*maps)
    assert (maps[0] == 0).float().mean() > 0.05


def test_m_literal_without_biases_is_the_papers_formula():
    """``r_i = sum_j z_ij / z_j^K * R_j`` for kept i, one linear layer."""
    generator = torch.Generator().manual_seed(4)
    W = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    x = torch.randn(2, 6, generator=generator, dtype=torch.float64)
    v = torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64)

    class One(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 3, bias=False).double()
            self.layer.weight.data = W

        def forward(self, x):
            return (self.layer(x) * v).sum(dim=1)

    e = Explainer(One(), Epsilon(0.0), Pruning(0.2, 0.1, "M-literal", input=True))(x, None)
    for n in range(2):
        z = (W * x[n]).numpy()
        R = z.sum(axis=1) * v.numpy()
        K = kept((z / z.sum(axis=1, keepdims=True)).T @ R, 0.2, 0.1)
        assert not K.all()
        expected = np.where(K, (z / z[:, K].sum(axis=1, keepdims=True)).T @ R, 0.0)
        np.testing.assert_allclose(e.relevance[n].numpy(), expected, rtol=1e-5, atol=1e-5)


def test_m_literal_explodes_where_the_kept_part_of_a_column_cancels_and_stable_m_does_not():
    x = torch.tensor([[1.0, 1.0, 0.01]], dtype=torch.float64)
    layer = nn.Linear(3, 1, bias=False).double()
    layer.weight.data = torch.tensor(
        [[1.0, -1.0, 1.0]], dtype=torch.float64
    )  # z = .01, the kept part of it 0
    sums = {}
    for method in ("M", "M-literal"):
        e = Explainer(layer, Epsilon(0.0), Pruning(0.05, 0.0, method, input=True))(x)
        assert e.relevance[0, 2] == 0
        sums[method] = float(e.relevance.abs().sum())
    assert sums["M"] == pytest.approx(2.01)  # each sign's mass, 1.01 and 1
    assert sums["M-literal"] > 1e3


@pytest.mark.parametrize("p", [0.0, 0.1, 0.25])
@pytest.mark.parametrize("seed", range(3))
def test_a_residual_branch_is_pruned_and_its_shortcut_is_not(seed, p):
    model, X = Residual(seed), _one_hot(length=8)
    e = Explainer(model, Preset(Gamma(), Gamma(), Epsilon()), Pruning(p=p))(X)
    for n, x in enumerate(X):
        states = [model.stem(x[None])[0]]
        for block in model.blocks:
            states.append(states[-1] + block(F.relu(states[-1])[None])[0])
        head = affine_of(lambda h: model.head(h.mean(dim=2)), states[-1])
        # The linear layer sees means over positions; a mean shares by contribution.
        means = states[-1].mean(dim=1).detach().numpy()
        linear = affine_of(model.head, states[-1].mean(dim=1))
        R_means = pruned_lambda(propagation(linear, "epsilon").M @ head.z, p, p / 2)
        h = states[-1].detach().numpy()
        R = h / (h.shape[1] * means[:, None]) * R_means[:, None]
        for block, state in zip(reversed(model.blocks), reversed(states[:-1]), strict=True):
            branch = affine_of(block, F.relu(state))
            s, f = state.detach().numpy().flatten(), branch.z
            R = R.flatten()
            R_branch = pruned_lambda(propagation(branch, "gamma").M @ (f / (s + f) * R), p, p / 2)
            R = s / (s + f) * R + R_branch
        expected = propagation(affine_of(model.stem, x), "gamma").M @ R
        np.testing.assert_allclose(
            e.relevance[n].flatten().numpy(), expected, rtol=0, atol=1e-9 * np.abs(expected).max()
        )


def test_pruning_by_position_and_by_filter_takes_a_threshold_for_each():
    model, X = Chain(), _one_hot()
    rules = PRESETS["gamma"]
    for scope in ("position", "filter"):

        def prune(name, layer, rule, parameters, R, scope=scope):
            R = _plain(layer, rule, parameters, R)
            if name == "conv1":
                return R
            if name.startswith("dense"):
                return pruned_lambda(R, 0.3, 0.15)
            rows = R.reshape(layer.shape)
            if scope == "filter":
                return np.stack([pruned_lambda(row, 0.3, 0.15) for row in rows]).flatten()
            return np.stack([pruned_lambda(row, 0.3, 0.15) for row in rows.T]).T.flatten()

        with _no_warning():
            pruning = Pruning(p=0.3, scope=scope)
        e = Explainer(model, Preset(rules[0], rules[0], rules[2]), pruning)(X)
        for i, x in enumerate(X):
            expected = _explain_chain(model, x, 0, rules, prune)["conv1"]
            np.testing.assert_allclose(
                e.relevance[i].flatten().numpy(), expected, rtol=0, atol=1e-10 * np.abs(expected).max()
            )


def test_auto_p_drops_what_is_below_the_mean_over_all_entries():
    model, X = Chain(), _one_hot()
    rules = PRESETS["gamma"]

    def prune(name, layer, rule, parameters, R):
        R = _plain(layer, rule, parameters, R)
        if name == "conv1":
            return R
        out = np.zeros_like(R)
        for sign in (1, -1):
            size = np.maximum(sign * R, 0)
            keep = (size > 0) & (size >= size.mean())
            out[keep] = sign * size[keep] * size.sum() / size[keep].sum()
        return out

    e = Explainer(model, Preset(rules[0], rules[0], rules[2]), Pruning("auto"))(X)
    for i, x in enumerate(X):
        expected = _explain_chain(model, x, 0, rules, prune)["conv1"]
        np.testing.assert_allclose(
            e.relevance[i].flatten().numpy(), expected, rtol=0, atol=1e-10 * np.abs(expected).max()
        )


@contextmanager
def _no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("p", ["auto", "gain"])
def test_a_share_of_the_negatives_beside_an_automatic_p_is_refused(p: str) -> None:
    with pytest.raises(InputError, match="chooses for both signs"):
        Pruning(p=p, p_neg=0.3)
