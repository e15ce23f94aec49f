"""Ways of writing the same network give the same map: in-place, functional, sliced, reused, shared, reshaped."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from genoplrp.errors import UnsupportedOperationError
from genoplrp.relevance import Epsilon, Explainer, Flat, Gamma, Preset, Pruning, WSquare, lrp


class Model(nn.Module):
    """A few layers, and a forward function handed in."""

    def __init__(self, forward, **extra):
        super().__init__()
        self._forward = forward
        self.conv = nn.Conv1d(4, 6, 5, padding=2)
        self.conv2 = nn.Conv1d(6, 6, 3, padding=1)
        self.norm, self.norm2 = nn.BatchNorm1d(6), nn.BatchNorm1d(6)
        self.head = nn.Linear(6, 2)
        for name, module in extra.items():
            setattr(self, name, module)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for tensor in (*self.parameters(), *self.buffers()):
                if tensor.is_floating_point():
                    tensor.copy_(torch.randn(tensor.shape, generator=generator))
            for norm in (m for m in self.modules() if isinstance(m, nn.BatchNorm1d)):
                norm.running_var.abs_().add_(0.3)
        self.double().eval()

    def forward(self, x):
        return self._forward(self, x)


def _one_hot(n=3, length=16):
    bases = torch.randint(4, (n, length), generator=torch.Generator().manual_seed(1))
    return torch.eye(4, dtype=torch.float64)[bases].mT.contiguous()


def _plain(m, x):
    h = torch.relu(m.conv(x))
    h = h + torch.relu(m.conv2(h))
    return m.head(h.mean(dim=2))


def _in_place(m, x):
    h = m.conv(x).relu_()
    h += F.relu(m.conv2(h), inplace=True)
    return m.head(h.mean(dim=2))


def _in_place_method(m, x):
    h = F.relu_(m.conv(x))
    h.add_(torch.relu_(m.conv2(h)))
    return m.head(h.mean(2))


def _clamped(m, x):
    h = m.conv(x).clamp_(min=0)
    h = torch.add(h, other=m.conv2(h).clamp(0))
    return m.head(h.sum(dim=2).div_(16.0))


def _divided_in_place(m, x):
    h = m.conv(x).clamp_min(0)
    h = h.add(torch.maximum(m.conv2(h), torch.zeros(1, dtype=h.dtype)))
    h = h.sum(dim=2)
    h /= 16
    return m.head(h)


def _sliced_in_place(m, x):
    h = F.relu(m.conv(x))
    branch = F.relu(m.conv2(h))
    h[:, :, :7] += branch[:, :, :7]
    h[..., 7:] = h[..., 7:] + branch[..., 7:]
    return m.head(h.mean(dim=-1))


def _written_into_a_buffer(m, x):
    h = F.relu(m.conv(x))
    out = torch.zeros_like(h)
    out[:] = h
    out[:, :3] += F.relu(m.conv2(h))[:, :3]
    out[:, 3:] += F.relu(m.conv2(h))[:, 3:]
    return m.head(out.mean(dim=2))


def _stacked(m, x):
    h = F.relu(m.conv(x))
    h = torch.stack([h, F.relu(m.conv2(h))]).sum(dim=0)
    return m.head(torch.cat(h.split(4, dim=2), dim=2).mean(2))


def _turned(m, x):
    h = F.relu(m.conv(x))
    h = (h.permute(0, 2, 1) + F.relu(m.conv2(h)).transpose(1, 2)).mT
    return m.head(h.unsqueeze(1).flatten(1, 2).reshape(len(x), 6, 4, 4).mean(dim=(2, 3)))


def _under_no_grad(m, x):
    with torch.no_grad():
        h = F.relu(m.conv(x))
    h = h + torch.relu(m.conv2(h.detach()))
    return m.head(h.data.mean(dim=2))


def _by_matrix(m, x):
    h = torch.relu(m.conv(x))
    h = h + torch.relu(m.conv2(h))
    return h.mean(dim=2) @ m.head.weight.T + m.head.bias


def _by_where(m, x):
    h = m.conv(x)
    h = torch.where(h > 0, h, torch.zeros_like(h))
    z = m.conv2(h)
    h = h + z * (z > 0)
    return torch.addmm(m.head.bias, h.mean(dim=2), m.head.weight.t())


def _unpacked(m, x):
    a, b = torch.relu(m.conv(x)).chunk(2, dim=1)
    h = torch.cat([a, b], dim=1)
    rows = [h[:, i] + torch.relu(m.conv2(h))[:, i] for i in range(6)]
    return m.head(sum(r.mean(dim=1, keepdim=True) * torch.eye(6)[i] for i, r in enumerate(rows)))


WAYS = [
    _in_place, _in_place_method, _clamped, _divided_in_place, _sliced_in_place, _written_into_a_buffer, _stacked,
    _turned, _under_no_grad, _by_matrix, _by_where, _unpacked,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_another_way_of_writing_the_network_gives_the_same_map(way):
    plain, other, X = Model(_plain), Model(way), _one_hot()
    with torch.no_grad():
        torch.testing.assert_close(other(X), plain(X))
    # A layer is called twice in two of the ways: its input would be pruned on two paths, so p = 0 here.
    expected = Explainer(plain, Epsilon(0.0))(X, 1)
    got = Explainer(other, Epsilon(0.0))(X, 1)
    torch.testing.assert_close(got.relevance, expected.relevance, rtol=1e-9, atol=1e-11)
    assert got.check(1e-10).holds
    torch.testing.assert_close(got.prediction, expected.prediction)


@pytest.mark.parametrize("way", [_in_place, _in_place_method, _sliced_in_place, _stacked, _turned])
def test_another_way_of_writing_the_network_gives_the_same_pruned_map(way):
    X = _one_hot()
    a, b = (Explainer(Model(w), Gamma(0.25), Pruning(0.2))(X).relevance for w in (_plain, way))
    torch.testing.assert_close(b, a, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("way", WAYS)
def test_the_single_precision_paths_agree_too(way):
    """Single precision runs channels-last, which views and in-place code meet first."""
    X = _one_hot()
    a, b = Explainer(Model(_plain), Epsilon(0.0))(X), Explainer(Model(way).float(), Epsilon(0.0))(X.float())
    scale = float(a.relevance.abs().max())
    torch.testing.assert_close(b.relevance.double(), a.relevance, rtol=0, atol=1e-4 * scale)


def test_an_aliased_tensor_that_was_changed_in_place_is_refused_not_misread():
    def forward(m, x):
        h = m.conv(x)
        view = h[:, :, 1:-1]
        h.relu_()
        return m.head(view.mean(dim=2))

    with pytest.raises(UnsupportedOperationError, match="changed in place"):
        lrp(Model(forward), _one_hot())


def test_a_module_used_twice_is_two_layers_of_one_name():
    def forward(m, x):
        h = torch.relu(m.conv(x))
        h = torch.relu(m.conv2(h))
        return m.head(torch.relu(m.conv2(h)).mean(dim=2))

    class Unrolled(Model):
        def __init__(self):
            super().__init__(None)
            self.copy = nn.Conv1d(6, 6, 3, padding=1).double()
            self.copy.load_state_dict(self.conv2.state_dict())

        def forward(self, x):
            h = torch.relu(self.conv2(torch.relu(self.conv(x))))
            return self.head(torch.relu(self.copy(h)).mean(dim=2))

    X = _one_hot()
    e = Explainer(Model(forward), pruning=Pruning(0.1))(X)
    assert list(e.layers["layer"].unique()) == ["conv", "conv2", "conv2#2", "head"]
    torch.testing.assert_close(e.relevance, Explainer(Unrolled(), pruning=Pruning(0.1))(X).relevance)
    for rules in ({"conv2": Epsilon(0.5)}, {nn.Conv1d: Epsilon(0.5)}):
        used = Explainer(Model(forward), rules)(X).layers.query("sequence == 0").set_index("layer")["rule"]
        assert used["conv2"] == used["conv2#2"] == "Epsilon"
    only = Explainer(Model(forward), {"conv2#2": Epsilon(0.5)})(X).layers.query("sequence == 0")
    assert only.set_index("layer")["rule"].tolist() == ["Gamma", "Gamma", "Epsilon", "Epsilon"]


def test_weights_shared_by_two_modules_are_two_layers():
    model = Model(
        lambda m, x: m.head((torch.relu(m.conv(x)) + torch.relu(m.twin(x.flip(2)))).mean(2)),
        twin=nn.Conv1d(4, 6, 5, padding=2),
    )
    model.twin.weight = model.conv.weight
    model.twin.bias = model.conv.bias
    e = Explainer(model.double(), pruning=Pruning(0.1, input=True))(_one_hot())
    assert list(e.layers["layer"].unique()) == ["conv", "twin", "head"]
    assert set(e.layers.query("layer != 'head'")["place"]) == {"input"}
    assert e.check(1e-10).holds


@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_with_two_consumers_keeps_its_ledger(bias):
    def forward(m, x):
        h = m.conv(x)
        return m.head((F.relu(m.norm(h)) + F.relu(m.norm2(h)) + h).mean(dim=2))

    model = Model(forward)
    if not bias:
        model.conv.bias = None
    X = _one_hot()
    e = Explainer(model, Epsilon(0.0), keep_intermediate=True)(X)
    assert e.check(1e-10).holds
    x = X.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(model(x)[:, 0].sum(), x)
    torch.testing.assert_close(e.relevance, X * gradient, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(e.intermediate["conv"], e.relevance, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("square", [True, False])
def test_a_norm_behind_a_linear_layer_on_positions_is_a_layer_of_its_own(square):
    """There the norm's channels are not the linear layer's outputs: nothing to merge."""
    size = 6 if square else 9
    model = Model(
        lambda m, x: m.head(F.relu(m.norm(m.positions(m.conv(x)[:, :, :6]))).mean(dim=2)),
        positions=nn.Linear(6, size),
    )
    X = _one_hot()
    x = X.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(model(x)[:, 0].sum(), x)
    e = Explainer(model, Epsilon(0.0))(X)
    torch.testing.assert_close(e.relevance, X * gradient, rtol=1e-9, atol=1e-11)
    assert e.check(1e-10).holds


def test_a_norm_before_a_convolution_absorbs_by_its_shift():
    model = Model(lambda m, x: m.head(F.relu(m.conv2(m.norm(F.relu(m.conv(x))))).mean(dim=2)))
    e = Explainer(model)(_one_hot())
    assert e.check(1e-10).holds
    assert any("batch_norm" in name for name in e.absorbed.columns)


def test_a_constant_that_is_added_or_padded_absorbs_its_share():
    for forward in (
        lambda m, x: m.head(F.relu(torch.add(m.conv(x), other=1.5)).mean(dim=2)),
        lambda m, x: m.head(F.relu(1.5 + m.conv(x)).mean(dim=2)),
        lambda m, x: m.head(F.relu(m.conv(F.pad(x, (4, 4), value=0.25))).mean(dim=2)),
        lambda m, x: m.head(
            F.relu(torch.cat([m.conv(x), torch.full((3, 6, 2), 3.0).double()], dim=2)).mean(dim=2)
        ),
        lambda m, x: m.head((1.0 - torch.tanh(m.conv(x))).mean(dim=2)),
    ):
        e = Explainer(Model(forward))(_one_hot())
        assert e.check(1e-10).holds, str(e.check())
        operations = [name for name in e.absorbed.columns if "[" in name]
        assert operations
        assert float(e.absorbed[operations].abs().to_numpy().max()) > 1e-6


def test_a_conversion_of_precision_within_the_model_carries_relevance():
    model = Model(lambda m, x: m.head(m.conv(x).float().relu().mean(dim=2).double()))
    e = Explainer(model, Epsilon(0.0))(_one_hot())
    plain = Explainer(Model(lambda m, x: m.head(m.conv(x).relu().mean(dim=2))), Epsilon(0.0))(_one_hot())
    torch.testing.assert_close(e.relevance, plain.relevance, rtol=1e-4, atol=1e-5)


def test_a_gate_weighs_and_takes_no_relevance():
    X = _one_hot()
    gated = Model(
        lambda m, x: m.head(F.glu(torch.cat([m.conv(x), m.conv(x.flip(2))], dim=1), dim=1).mean(dim=2))
    )
    e = Explainer(gated, Epsilon(0.0), keep_intermediate=True)(X)
    assert float(e.intermediate["conv#2"].abs().max()) == 0  # the gate's path
    by_hand = Model(lambda m, x: m.head((m.conv(x) * torch.sigmoid(m.conv(x.flip(2)))).mean(dim=2)))
    torch.testing.assert_close(e.relevance, Explainer(by_hand, Epsilon(0.0))(X).relevance)
    assert e.check(1e-10).holds


def test_two_factors_of_equal_standing_take_half_each():
    model = Model(lambda m, x: m.head((m.conv(x) * m.conv(x.flip(2))).mean(dim=2)))
    e = Explainer(model, Epsilon(0.0))(_one_hot())
    rows = e.layers.query("layer in ['conv', 'conv#2']").pivot(
        index="sequence", columns="layer", values="relevance_in"
    )
    assert (rows["conv"] - rows["conv#2"]).abs().max() < 1e-10 * rows.abs().to_numpy().max()
    square = Model(lambda m, x: m.head(m.conv(x).square().mean(dim=2)))
    product = Model(lambda m, x: m.head((lambda h: h * h)(m.conv(x)).mean(dim=2)))
    a, b = (Explainer(q, Epsilon(0.0))(_one_hot()).relevance for q in (square, product))
    torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


ACTIVATIONS = [
    nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(0.2), nn.ELU(0.7), nn.CELU(1.3), nn.SELU(), nn.GELU(),
    nn.GELU("tanh"), nn.SiLU(), nn.Mish(), nn.Softplus(), nn.Sigmoid(), nn.Tanh(), nn.Hardtanh(),
    nn.Hardswish(), nn.Hardsigmoid(), nn.Softsign(), nn.Tanhshrink(), nn.Softshrink(0.2),
    nn.Hardshrink(0.2), nn.LogSigmoid(), nn.PReLU(), nn.RReLU(), nn.Threshold(0.1, 0.0), nn.Softmax(dim=1),
    nn.LogSoftmax(dim=1), nn.GLU(dim=1), nn.Dropout(0.5), nn.AlphaDropout(0.5), nn.Identity(),
]  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: type(a).__name__)
def test_every_activation_runs_keeps_the_models_value_and_the_ledger(activation):
    half = isinstance(activation, nn.GLU)
    model = Model(
        lambda m, x: m.head2(m.act(m.conv(x)).mean(dim=2)),
        act=activation,
        head2=nn.Linear(3 if half else 6, 2),
    )
    X = _one_hot()
    e = Explainer(model)(X)
    with torch.no_grad():
        torch.testing.assert_close(e.prediction, model.eval()(X)[:, 0])
    assert e.check(1e-9).holds, str(e.check())
    passes_all = (
        nn.ReLU,
        nn.ELU,
        nn.GELU,
        nn.SiLU,
        nn.Tanh,
        nn.LeakyReLU,
        nn.PReLU,
        nn.Mish,
        nn.SELU,
        nn.CELU,
    )
    if isinstance(activation, passes_all):  # f(0) = 0: nothing is absorbed on the way
        rows = e.layers.set_index(["sequence", "layer"])
        for i in range(len(X)):
            arrived = rows.loc[(i, "head2"), "relevance_out"]
            assert rows.loc[(i, "conv"), "relevance_in"] == pytest.approx(arrived, rel=1e-8, abs=1e-10)


NORMS = [
    nn.BatchNorm1d(6), nn.BatchNorm1d(6, affine=False), nn.LayerNorm(16), nn.LayerNorm((6, 16)), nn.GroupNorm(3, 6),
    nn.InstanceNorm1d(6), nn.InstanceNorm1d(6, affine=True),
    nn.InstanceNorm1d(6, track_running_stats=True), nn.RMSNorm(16),
]  # fmt: skip


@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_every_normalisation_keeps_the_models_value_and_the_ledger(norm):
    model = Model(lambda m, x: m.head(F.relu(m.extra(m.conv2(F.relu(m.conv(x))))).mean(dim=2)), extra=norm)
    if hasattr(norm, "running_var") and norm.running_var is not None:
        norm.running_var.abs_().add_(0.2)
    X = _one_hot()
    e = Explainer(model)(X)
    with torch.no_grad():
        torch.testing.assert_close(e.prediction, model.eval()(X)[:, 0])
    assert e.check(1e-9).holds


POOLS = [
    nn.MaxPool1d(3), nn.MaxPool1d(3, stride=2, padding=1), nn.MaxPool1d(2, dilation=2), nn.MaxPool1d(3, ceil_mode=True),
    nn.AvgPool1d(3), nn.AvgPool1d(4, stride=3, padding=2), nn.AvgPool1d(4, padding=2, count_include_pad=False),
    nn.AvgPool1d(5, ceil_mode=True), nn.AdaptiveAvgPool1d(1), nn.AdaptiveAvgPool1d(5), nn.AdaptiveMaxPool1d(1),
    nn.AdaptiveMaxPool1d(5), nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=2, mode="linear"), nn.ZeroPad1d(2),
    nn.ConstantPad1d(2, 0.0), nn.ReflectionPad1d(3), nn.ReplicationPad1d(2), nn.CircularPad1d(2),
]  # fmt: skip


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("pool", POOLS, ids=str)
def test_pooling_resampling_and_padding_are_their_gradient(pool, single):
    model = Model(lambda m, x: m.head(m.pool(F.relu(m.conv(x))).sum(dim=2)), pool=pool)
    X = _one_hot()
    if single:
        model, X = model.float(), X.float()
    e = Explainer(model, Epsilon(0.0))(X)
    with torch.no_grad():
        torch.testing.assert_close(e.prediction, model(X)[:, 0])
    x = X.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(model(x)[:, 0].sum(), x)
    tolerance = 1e-4 * float((X * gradient).abs().max()) if single else 1e-10
    torch.testing.assert_close(e.relevance, X * gradient, rtol=0, atol=tolerance)


def test_weight_normalisation_and_parametrisations_are_seen_through():
    for wrap in (nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm):
        model = Model(lambda m, x: m.head(F.relu(m.wrapped(x)).mean(dim=2)), wrapped=wrap(nn.Conv1d(4, 6, 3)))
        x = _one_hot().requires_grad_(True)
        model.eval()
        (gradient,) = torch.autograd.grad(model(x)[:, 0].sum(), x)
        e = Explainer(model, Epsilon(0.0))(x.detach())
        torch.testing.assert_close(e.relevance, x.detach() * gradient, rtol=1e-8, atol=1e-10)
        assert "wrapped" in set(e.layers["layer"])


# -- what counts as the input layer --------------------------------------------------------------------------------


def _first_layers(m, x):
    return m.head(torch.relu(m.conv(x)).mean(dim=2))


INPUTS = {
    "as it is": (_first_layers, 4),
    "turned": (lambda m, x: _first_layers(m, x.flip(1, 2).clone().to(x.dtype)), 4),
    "cropped": (lambda m, x: _first_layers(m, x[:, :, 2:-2]), 4),
    "padded": (lambda m, x: _first_layers(m, F.pad(x, (3, 3))), 4),
    "padded with .25": (lambda m, x: _first_layers(m, F.pad(x, (3, 3), value=0.25)), 4),
    "with other tracks": (lambda m, x: _first_layers(m, torch.cat([x, torch.full_like(x[:, :2], 0.3)], dim=1)), 6),
    "in a buffer's place": (lambda m, x: _first_layers(m, torch.cat([torch.zeros_like(x[:, :2]), x], dim=1)), 6),
    "both strands in one batch": (
        lambda m, x: sum(h / 2 for h in _first_layers(m, torch.cat([x, x.flip(1, 2)])).split(len(x))), 4,
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", [Gamma(0.25, gauge=True), Flat(), WSquare()])
@pytest.mark.parametrize("name", INPUTS)
def test_the_layer_that_consumes_the_input_is_the_input_layer_and_loses_nothing(name, rule):
    forward, channels = INPUTS[name]
    model = Model(forward, conv=nn.Conv1d(channels, 6, 5))
    e = Explainer(model, Preset(rule, Epsilon(), Epsilon()), Pruning(0.2))(_one_hot())
    rows = e.layers.set_index("layer")
    assert set(rows.loc["conv", "place"]) == {"input"}
    assert set(rows.loc["conv", "rule"]) == {type(rule).__name__}
    assert (rows.loc["conv", "kept_fraction"] == 1).all()  # the input is not pruned
    assert e.check(1e-10).holds, str(e.check())


def test_a_rule_for_the_input_layer_is_refused_elsewhere():
    with pytest.raises(UnsupportedOperationError, match="input layer only"):
        lrp(Model(_plain), _one_hot(), rules={"conv2": Flat()})


# -- what a model reads out of a tensor ----------------------------------------------------------------------------


def test_what_is_computed_from_a_reading_is_a_constant_and_said_so():
    def forward(m, x):
        return m.head(torch.relu(m.conv(x)).mean(dim=2) + m.table(x.argmax(dim=1)).mean(dim=1))

    e = Explainer(Model(forward, table=nn.Embedding(4, 6)))(_one_hot())
    assert any("argmax" in note for note in e.notes)
    assert e.check(1e-10).holds


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: m.head(torch.logaddexp(m.conv(x), m.conv2(torch.relu(m.conv(x)))).mean(dim=2)),
        lambda m, x: m.head(torch.log(1.0 + torch.relu(m.conv(x))).mean(dim=2)),
        lambda m, x: m.head(torch.nan_to_num(torch.relu(m.conv(x))).repeat_interleave(2, dim=2).mean(dim=2)),
        lambda m, x: m.head((h := torch.relu(m.conv(x))).sub(h.mean(dim=2, keepdim=True)).std(dim=2)),
        lambda m, x: m.head(torch.relu(m.conv(x)).unfold(2, 4, 4).amax(dim=3).cumsum(dim=2).mean(dim=2)),
        lambda m, x: m.head(
            (h := torch.relu(m.conv(x))).topk(5, dim=2).values.mean(dim=2) + h.median(dim=2).values
        ),
        lambda m, x: m.head(torch.einsum("ncl,cd->ndl", m.conv(x), torch.eye(6).double()).relu().mean(dim=2)),
        lambda m, x: m.head(
            torch.zeros(3, 6, 4).double().index_add(2, torch.arange(16) % 4, m.conv(x)).mean(dim=2)
        ),
    ],
)
def test_less_common_operations_keep_the_models_value_and_the_ledger(forward):
    model = Model(forward)
    e = Explainer(model)(_one_hot())
    with torch.no_grad():
        torch.testing.assert_close(e.prediction, model(_one_hot())[:, 0])
    assert e.check(1e-9).holds, str(e.check())
    assert float(e.relevance.abs().sum()) > 0
