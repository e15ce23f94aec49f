"""Every rule on every kind of linear layer against its dense propagation matrix."""

import numpy as np
import pytest
import torch
from torch import nn

from genoplrp.errors import InputError
from genoplrp.relevance import AlphaBeta, Blend, Epsilon, Explainer, Flat, Gamma, WSquare, ZBox, ZPlus
from genoplrp.relevance.rules import Part, Rule, stabilize
from tests.oracles.oracle_relevance import affine_of, gauge_fixed, padding_of, propagation, stab, unpadded

LAYERS = {
    "conv": lambda: nn.Conv1d(4, 3, 3),
    "stride": lambda: nn.Conv1d(4, 3, 4, stride=3, padding=1),
    "dilation": lambda: nn.Conv1d(4, 3, 3, dilation=3, padding=2),
    "wide-padding": lambda: nn.Conv1d(4, 3, 3, padding=4),
    "stride-leaving-a-rest": lambda: nn.Conv1d(4, 2, 2, stride=4),
    "kernel-1": lambda: nn.Conv1d(4, 5, 1),
    "groups": lambda: nn.Conv1d(4, 6, 3, groups=2, padding=1),
    "depthwise": lambda: nn.Conv1d(4, 8, 3, groups=4, dilation=2),
    "same-odd": lambda: nn.Conv1d(4, 3, 5, padding="same"),
    "same-even": lambda: nn.Conv1d(4, 3, 4, padding="same"),
    "same-even-dilated": lambda: nn.Conv1d(4, 3, 4, padding="same", dilation=3),
    "valid": lambda: nn.Conv1d(4, 3, 4, padding="valid"),
    "circular": lambda: nn.Conv1d(4, 3, 3, padding=2, padding_mode="circular"),
    "reflect": lambda: nn.Conv1d(4, 3, 3, padding=2, padding_mode="reflect"),
    "replicate-same-even": lambda: nn.Conv1d(4, 3, 4, padding="same", padding_mode="replicate"),
    "no-bias": lambda: nn.Conv1d(4, 3, 3, bias=False),
    "transposed": lambda: nn.ConvTranspose1d(4, 3, 4, stride=2, padding=1),
    "transposed-odd": lambda: nn.ConvTranspose1d(
        4, 6, 3, stride=3, output_padding=2, dilation=2, groups=2, padding=1
    ),
    "linear": lambda: nn.Linear(9, 5),
    "conv-norm": lambda: nn.Sequential(nn.Conv1d(4, 3, 3, padding=1), _norm(nn.BatchNorm1d(3))),
    "transposed-norm": lambda: nn.Sequential(
        nn.ConvTranspose1d(4, 6, 4, stride=2, groups=2), _norm(nn.BatchNorm1d(6))
    ),
    "linear-norm": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(36, 6), _norm(nn.BatchNorm1d(6)), nn.Unflatten(1, (2, 3))
    ),
    "conv-two-norms": lambda: nn.Sequential(
        nn.Conv1d(4, 3, 3, bias=False), _norm(nn.BatchNorm1d(3)), _norm(nn.BatchNorm1d(3, affine=False))
    ),
}
PLANES = {
    "plane": lambda: nn.Conv2d(1, 3, (4, 3)),
    "plane-strided": lambda: nn.Conv2d(2, 4, 3, stride=(1, 2), padding=(2, 1), dilation=(2, 1), groups=2),
    "plane-same-even": lambda: nn.Conv2d(2, 3, (2, 4), padding="same"),
    "plane-norm": lambda: nn.Sequential(nn.Conv2d(2, 3, 2), _norm(nn.BatchNorm2d(3))),
    "plane-transposed": lambda: nn.ConvTranspose2d(2, 3, (2, 3), stride=2, output_padding=(0, 1)),
}
RULES = {
    "epsilon": (Epsilon(0.1), "epsilon", {"epsilon": 0.1}),
    "epsilon-0": (Epsilon(0.0), "epsilon", {"epsilon": 0.0}),
    "gamma": (Gamma(0.25), "gamma", {}),
    "gamma-strong": (Gamma(3.0, epsilon=0.01), "gamma", {"gamma": 3.0, "epsilon": 0.01}),
    "zplus": (ZPlus(), "zplus", {}),
    "alpha2beta1": (AlphaBeta(2.0, 1.0), "alphabeta", {}),
    "alpha1beta0": (AlphaBeta(1.0, 0.0, epsilon=0.1), "zplus", {"epsilon": 0.1}),
    "wsquare": (WSquare(), "wsquare", {}),
    "flat": (Flat(), "flat", {}),
    "zbox": (ZBox(-3.0, 2.5), "zbox", {"low": -3.0, "high": 2.5}),
    "zbox-dna": (ZBox(0.0, 1.0), "zbox", {}),
}
for _bias in ("raw", "ignore", "share"):
    RULES[f"epsilon-{_bias}"] = (Epsilon(0.1, bias=_bias), "epsilon", {"epsilon": 0.1, "bias": _bias})
    RULES[f"gamma-{_bias}"] = (Gamma(0.5, epsilon=0.1, bias=_bias), "gamma",
                               {"gamma": 0.5, "epsilon": 0.1, "bias": _bias})  # fmt: skip
    RULES[f"zplus-{_bias}"] = (ZPlus(bias=_bias), "zplus", {"bias": _bias})
    RULES[f"alpha-{_bias}"] = (AlphaBeta(bias=_bias, epsilon=0.1), "alphabeta",
                               {"bias": _bias, "epsilon": 0.1})  # fmt: skip
SIGNS = {"either": lambda x: x, "nonnegative": lambda x: x.abs(), "sparse": lambda x: x * (x > 0.7)}


class Weighted(nn.Module):
    """A layer whose outputs have the relevance ``v_j z_j``."""

    def __init__(self, layer, x):
        super().__init__()
        self.layer = layer
        v = torch.linspace(-1.0, 1.5, layer(x).numel() // len(x), dtype=torch.float64)
        self.register_buffer("v", v[torch.randperm(len(v), generator=torch.Generator().manual_seed(1))])

    def forward(self, x):
        return (self.layer(x).flatten(1) * self.v).sum(dim=1)


def _norm(norm):
    generator = torch.Generator().manual_seed(5)
    n = norm.num_features
    norm.running_mean.copy_(torch.randn(n, generator=generator))
    norm.running_var.copy_(torch.rand(n, generator=generator) + 0.3)
    if norm.affine:
        norm.weight.data.copy_(torch.randn(n, generator=generator))
        norm.bias.data.copy_(torch.randn(n, generator=generator))
    return norm


def _seeded(make):
    layer = make().double().eval()
    generator = torch.Generator().manual_seed(3)
    for parameter in layer.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return layer


def _input(shape, sign="either", n=3):
    x = torch.randn((n, *shape), generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    return SIGNS[sign](x)


def _expected(model, x, rule, parameters, gauge_axis=None):
    """Return relevance and absorbed relevance of each sequence, by matrices."""
    pad, operation = padding_of(model.layer), unpadded(model.layer)
    maps, absorbed = [], []
    for row in x.double():
        inner = row if pad is None else pad(row[None])[0]
        layer = affine_of(operation, inner)
        if gauge_axis is not None:
            layer = gauge_fixed(layer, gauge_axis)
        R_out = model.v.double().numpy() * layer.z
        step = propagation(layer, rule, **parameters)
        R = step.M @ R_out
        absorbed.append(float((step.bias + step.leak) @ R_out))
        maps.append(R if pad is None else affine_of(pad, row).W.T @ R)
    return np.stack(maps).reshape(x.shape), np.array(absorbed)


def _compare(model, x, rule, name, parameters, gauge_axis=None):
    exact, loose = 1e-11, 2e-3
    if name == "zbox":
        # Outside its box denominators cancel; in its corners a difference of three terms is exactly 0.
        exact, loose = 1e-9, 5e-2
        x = x.clamp(parameters.get("low", 0.0), parameters.get("high", 1.0))
    expected, absorbed = _expected(model, x, name, parameters, gauge_axis)
    e = Explainer(model, rule)(x, None)
    scale = np.abs(expected).max() + np.abs(absorbed).max()
    np.testing.assert_allclose(e.relevance.numpy(), expected, rtol=0, atol=exact * scale)
    np.testing.assert_allclose(e.layers["absorbed"], absorbed, rtol=0, atol=1e-10 * scale)
    single = Explainer(model.float(), rule)(x.float(), None)
    expected, _ = _expected(model.double(), x.float(), name, parameters, gauge_axis)
    # Loose: a denominator near 0 costs digits; a wrong path through another memory layout would be off by far more.
    np.testing.assert_allclose(single.relevance.numpy(), expected, rtol=0, atol=loose * scale)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("layer", LAYERS)
def test_a_rule_equals_its_propagation_matrix(layer, rule):
    x = _input((4, 9))
    _compare(Weighted(_seeded(LAYERS[layer]), x), x, *RULES[rule])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("layer", PLANES)
def test_a_rule_equals_its_propagation_matrix_in_two_dimensions(layer, rule):
    x = _input((1, 4, 6) if layer == "plane" else (2, 5, 6))
    _compare(Weighted(_seeded(PLANES[layer]), x), x, *RULES[rule])


@pytest.mark.parametrize("sign", ["nonnegative", "sparse"])
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_equals_its_propagation_matrix_for_inputs_of_one_sign(rule, sign):
    x = _input((4, 9), sign)
    _compare(Weighted(_seeded(LAYERS["wide-padding"]), x), x, *RULES[rule])


@pytest.mark.parametrize("columns", ["one-hot", "with-N", "with-N-of-their-own", "with-mixtures"])
@pytest.mark.parametrize("name", ["epsilon", "gamma", "zplus"])
@pytest.mark.parametrize("layer", ["conv", "wide-padding", "stride", "same-even", "conv-norm", "circular"])
def test_the_gauge_moves_each_positions_mean_weight_into_the_bias(layer, name, columns):
    x = torch.eye(4, dtype=torch.float64)[
        torch.randint(4, (3, 9), generator=torch.Generator().manual_seed(2))
    ].mT
    if columns == "with-N":
        x[:, :, 3] = 0
    if columns == "with-N-of-their-own":
        x[0, :, :2] = x[2, :, 7:] = 0
    if columns == "with-mixtures":
        x[:, :, 5] = 0.25
    rule = {"epsilon": Epsilon(gauge=True), "gamma": Gamma(0.25, gauge=True), "zplus": ZPlus(gauge=True)}[
        name
    ]
    _compare(Weighted(_seeded(LAYERS[layer]), x), x, rule, name, {}, gauge_axis=0)


def test_the_gauge_over_a_plane_of_four_rows():
    x = torch.eye(4, dtype=torch.float64)[
        torch.randint(4, (3, 6), generator=torch.Generator().manual_seed(2))
    ].mT
    model = Weighted(_seeded(PLANES["plane"]), x[:, None])
    _compare(model, x[:, None], Gamma(0.25, gauge=True), "gamma", {}, gauge_axis=1)


@pytest.mark.parametrize("name", ["epsilon", "gamma", "zplus"])
def test_the_gauge_is_fixed_only_where_it_is_asked_for(name):
    x = torch.eye(4, dtype=torch.float64)[
        torch.randint(4, (3, 9), generator=torch.Generator().manual_seed(2))
    ].mT
    _compare(Weighted(_seeded(LAYERS["conv"]), x), x, *RULES[name])


@pytest.mark.parametrize("rule", [Epsilon, Gamma, ZPlus])
def test_the_gauge_is_left_alone_where_the_input_is_not_dna(rule):
    x = _input((4, 9))
    model = Weighted(_seeded(LAYERS["conv"]), x)
    fixed, plain = (Explainer(model, rule(gauge=g))(x, None).relevance for g in (True, False))
    assert torch.equal(fixed, plain)


def test_a_constant_added_to_the_weights_of_all_bases_leaves_the_gauge_fixed_map_as_it_is():
    x = torch.eye(4, dtype=torch.float64)[
        torch.randint(4, (3, 9), generator=torch.Generator().manual_seed(2))
    ].mT
    model = Weighted(_seeded(LAYERS["conv"]), x)
    explain = Explainer(model, Gamma(0.25, gauge=True))
    before = explain(x, None).relevance
    offset = torch.randn(3, 1, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model.layer.weight.data += offset
    model.layer.bias.data -= offset.sum(dim=(1, 2))
    torch.testing.assert_close(explain(x, None).relevance, before, rtol=1e-9, atol=1e-11)


def test_gamma_tends_to_zplus_where_outputs_are_positive():
    x = _input((4, 9), "nonnegative")
    model = Weighted(_seeded(LAYERS["conv"]), x)
    model.layer.bias.data += 30.0  # every output is positive
    strong, plus = (Explainer(model, r)(x, None).relevance for r in (Gamma(1e9, epsilon=0), ZPlus(epsilon=0)))
    torch.testing.assert_close(strong, plus, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("alpha", "beta"), [(2.0, 0.5), (0.5, -0.5)])  # not conserved; a negative share
def test_alpha_and_beta_that_do_not_conserve_are_refused(alpha, beta):
    with pytest.raises(InputError, match="alpha - beta = 1 and beta >= 0"):
        AlphaBeta(alpha, beta)


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 0.0), (2.0, 1.0), (1.3, 0.3), (3.5, 2.5)])
def test_alpha_and_beta_that_conserve_are_taken(alpha, beta):
    x = _input((4, 9))
    rule = AlphaBeta(alpha, beta)
    _compare(Weighted(_seeded(LAYERS["conv"]), x), x, rule, "alphabeta", {"alpha": alpha, "beta": beta})


@pytest.mark.parametrize("rule", [Epsilon, Gamma, ZPlus, AlphaBeta])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epsilon": -1e-6}, r"epsilon=-1e-06\): needs epsilon >= 0"),
        ({"epsilon": float("nan")}, "needs epsilon >= 0"),
        ({"bias": "ingore"}, r"bias='ingore'\): choose one of 'follow', 'raw', 'ignore', 'share'"),
    ],
)
def test_settings_that_no_rule_has_are_refused(rule, settings, message):
    with pytest.raises(InputError, match=rf"{rule.__name__}\(.*{message}"):
        rule(**settings)


def test_a_negative_gamma_is_refused_and_without_gamma_it_is_epsilon():
    with pytest.raises(InputError, match=r"Gamma\(gamma=-0.25\): needs gamma >= 0"):
        Gamma(-0.25)
    x = _input((4, 9))
    model = Weighted(_seeded(LAYERS["conv"]), x)
    none, epsilon = (Explainer(model, rule)(x, None).relevance for rule in (Gamma(0.0), Epsilon()))
    torch.testing.assert_close(none, epsilon, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("size", ["float32", "float64"])
def test_epsilon_zero_is_gradient_times_input_where_outputs_are_zero_too(size):
    dtype = getattr(torch, size)
    x = torch.tensor([[[1.0, 2.0, 3.0]], [[1.0, 0.0, -1.0]]], dtype=dtype)
    layer = nn.Conv1d(1, 1, 2, bias=False).to(dtype)
    layer.weight.data = torch.tensor([[[2.0, -1.0]]], dtype=dtype)  # z is (0, 1) and (2, 1)
    relevance = Explainer(layer, Epsilon(0.0))(x, lambda z: z.sum(dim=(1, 2))).relevance
    # By the chain rule: every input has its weights' sum.
    assert relevance.tolist() == (x * torch.tensor([2.0, 1.0, -1.0], dtype=dtype)).tolist()


@pytest.mark.parametrize("bias", ["raw", "ignore", "share"])
def test_a_fixed_gauge_beside_the_other_conventions_of_a_bias(bias):
    x = torch.eye(4, dtype=torch.float64)[
        torch.randint(4, (3, 9), generator=torch.Generator().manual_seed(2))
    ].mT
    model = Weighted(_seeded(LAYERS["wide-padding"]), x)
    settings = {"epsilon": 0.1, "bias": bias}
    _compare(model, x, Gamma(0.25, gauge=True, **settings), "gamma", settings, gauge_axis=0)


def test_a_rule_of_ones_own_without_a_stabilizer_is_gradient_times_input():
    x = _input((4, 9))
    own = type("Own", (Rule,), {"parts": lambda self: (Part(),)})
    _compare(Weighted(_seeded(LAYERS["conv"]), x), x, own(), "epsilon", {"epsilon": 0.0})


PARTS = {
    "all": Part(),
    "positive": Part(Blend(plus=0.5), outputs="positive", coefficient=2.0),
    "negative": Part(Blend(minus=0.5), outputs="negative", coefficient=3.0),
}


@pytest.mark.parametrize("offset", [0.0, 30.0, -30.0])  # outputs of either sign, or of one
@pytest.mark.parametrize(
    "names",
    [
        ("all", "negative"),
        ("all", "positive"),
        ("positive", "negative", "all"),
        ("negative", "all", "positive"),
        ("positive", "positive"),
        ("negative", "negative", "positive"),
    ],
)
def test_a_rule_of_ones_own_is_the_sum_of_its_parts_in_any_order(names, offset):
    x = _input((4, 9))
    model = Weighted(_seeded(LAYERS["conv"]), x)
    model.layer.bias.data += offset

    def relevance(*chosen):
        own = type(
            "Own", (Rule,), {"parts": lambda self: tuple(PARTS[name] for name in chosen), "epsilon": 0.1}
        )
        return Explainer(model, own())(x, None).relevance

    expected = sum(relevance(name) for name in names)
    torch.testing.assert_close(relevance(*names), expected, rtol=1e-11, atol=1e-12)


def test_a_rule_of_ones_own_that_defines_nothing_is_refused():
    x = _input((4, 9))
    model = Weighted(_seeded(LAYERS["conv"]), x)
    for direct, message in ((False, r"Own has no parts"), (True, r"Own is marked direct")):
        own = type("Own", (Rule,), {"direct": direct})
        with pytest.raises(InputError, match=message):
            Explainer(model, own())(x, None)


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 1.0])
def test_a_stabilizer_leads_away_from_zero_and_zero_counts_as_positive(epsilon):
    z = torch.tensor([-2.0, -0.05, 0.0, 3.0], dtype=torch.float64)
    np.testing.assert_allclose(stabilize(z, epsilon), stab(z.numpy(), epsilon), rtol=1e-15)


@pytest.mark.parametrize("blend", [Blend(), Blend(0.5, 2.0, 3.0), Blend(0.0, 1.0, 0.5), Blend(0.25)])
def test_a_blend_scales_positive_and_negative_weights_apart(blend):
    w = torch.tensor([-2.0, 0.0, 3.0], dtype=torch.float64)
    expected = [blend.raw * v + blend.plus * max(v, 0) + blend.minus * min(v, 0) for v in w.tolist()]
    assert blend(w).tolist() == expected
