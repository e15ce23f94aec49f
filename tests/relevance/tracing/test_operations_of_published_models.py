"""Operations that published networks use: norms written by hand, vmap, power pooling, long convolutions, adapters."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from genoplrp.errors import UnsupportedOperationError
from genoplrp.relevance import DeepLift, Epsilon, Explainer, GradientTimesInput, Pruning, coverage, lrp, plrp

LENGTH = 24
CODES = torch.randint(4, (3, LENGTH), generator=torch.Generator().manual_seed(0))
X = torch.eye(4, dtype=torch.float64)[CODES].mT.contiguous()


class Net(nn.Module):
    """A convolution, what is tested, and a head."""

    def __init__(self, between):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.deep, self.head = nn.Conv1d(4, 6, 5), nn.Conv1d(6, 6, 3), nn.Linear(6, 2)
        self.gain, self.bias = nn.Parameter(torch.rand(6, 1) + 0.5), nn.Parameter(torch.randn(6, 1))
        self.norm = nn.BatchNorm1d(6)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)
        nn.init.uniform_(self.norm.weight, 0.5, 2)
        nn.init.normal_(self.norm.bias)
        self.between = between
        self.double().eval()

    def forward(self, x):
        h = self.between(self, F.relu(self.conv(x)))
        return self.head(F.relu(self.deep(h)).mean(dim=-1))


def _layer_norm(model, h):
    return F.layer_norm(h.mT, (6,), model.gain[:, 0], model.bias[:, 0], 1e-3).mT


def _standardised(h, axes, inverse):
    centred = h - h.mean(dim=axes, keepdim=True)
    return centred * inverse(centred.square().mean(dim=axes, keepdim=True) + 1e-3)


NORMS = {
    "layer, rsqrt": (lambda m, h: _standardised(h, 1, torch.rsqrt) * m.gain + m.bias, _layer_norm),
    "layer, power": (lambda m, h: _standardised(h, 1, lambda v: v**-0.5) * m.gain + m.bias, _layer_norm),
    "layer, reciprocal": (
        lambda m, h: _standardised(h, 1, lambda v: v.sqrt().reciprocal()) * m.gain + m.bias, _layer_norm,
    ),
    "layer, one over": (lambda m, h: _standardised(h, 1, lambda v: 1 / v.sqrt()) * m.gain + m.bias, _layer_norm),
    "layer, gain first": (
        lambda m, h: m.bias
        + (h - h.mean(1, keepdim=True)) * (m.gain * (h.var(1, keepdim=True, correction=0) + 1e-3).rsqrt()),
        _layer_norm,
    ),
    "instance, in place": (
        lambda m, h: (h - h.mean(2, keepdim=True)).mul_((h.var(2, keepdim=True, unbiased=False) + 1e-3).rsqrt_()),
        lambda m, h: F.instance_norm(h, eps=1e-3),
    ),
    "root mean square": (
        lambda m, h: h * (h.pow(2).mean(1, keepdim=True) + 1e-3).rsqrt() * m.gain,
        lambda m, h: F.rms_norm(h.mT, (6,), m.gain[:, 0], 1e-3).mT,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NORMS)
def test_a_norm_written_by_hand_is_explained_as_torchs_own(name):
    by_hand, own = (Net(between) for between in NORMS[name])
    torch.testing.assert_close(by_hand(X), own(X))
    e = Explainer(by_hand, "gamma", Pruning(0.1))(X, 1)
    torch.testing.assert_close(e.relevance, Explainer(own, "gamma", Pruning(0.1))(X, 1).relevance)
    assert e.check().holds
    torch.testing.assert_close(DeepLift(by_hand)(X, 1).relevance, DeepLift(own)(X, 1).relevance)


@pytest.mark.parametrize(
    ("between", "name"),
    [
        (lambda m, h: torch.rsqrt(h + 2), "rsqrt"),
        (lambda m, h: h + torch.reciprocal(h + 20), "reciprocal"),
        (lambda m, h: 1 / (h + 20), "division"),
        (lambda m, h: (h + 20) ** -2, "pow with the exponent -2"),
    ],
)
def test_an_inverse_that_carries_the_signal_itself_is_refused(between, name):
    with pytest.raises(UnsupportedOperationError, match=f"{name}.*carries the signal itself"):
        lrp(Net(between), X)
    assert "refused" not in set(coverage(Net(lambda m, h: h), X)["kind"])


# -- a factor and a summand for each channel ---


def _channel(way):
    def between(m, h):
        z = m.deep(F.pad(h, (1, 1)))
        scale = m.norm.weight * torch.rsqrt(m.norm.running_var + m.norm.eps)
        if way == "channels last":
            z = z.permute(0, 2, 1).contiguous()
            z = z.subtract(m.norm.running_mean).mul_(scale.reshape(1, 1, 6)).add_(m.norm.bias)
            z = z.permute(0, 2, 1)
        elif way == "divided":
            z = (z - m.norm.running_mean[:, None]) / (1 / scale)[:, None] + m.norm.bias[None, :, None]
        elif way == "reflected":
            z = m.norm.bias[:, None] + scale[:, None] * (z - m.norm.running_mean[:, None])
        else:
            z = m.norm(z)
        return F.relu(z)

    return between


@pytest.mark.parametrize("way", ["channels last", "divided", "reflected"])
@pytest.mark.parametrize("rules", ["gamma", "zplus-all", "epsilon"])
def test_a_normalisation_in_single_operations_merges_as_batch_norm_does(way, rules):
    single, own = Net(_channel(way)), Net(_channel("own"))
    torch.testing.assert_close(single(X), own(X))
    explained = [Explainer(m, rules, Pruning(0.1))(X, 1) for m in (single, own)]
    torch.testing.assert_close(explained[0].relevance, explained[1].relevance)
    assert list(explained[0].layers["layer"]) == list(explained[1].layers["layer"])
    assert explained[0].check().holds


def test_a_bias_added_by_hand_is_the_layers_own():
    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = Net(lambda m, h: h)

        def forward(self, x):
            net = self.net
            h = F.relu(F.conv1d(x, net.conv.weight) + net.conv.bias[:, None])
            h = F.relu(F.conv1d(h, net.deep.weight) + net.deep.bias[None, :, None]).mean(dim=-1)
            return h @ net.head.weight.T + net.head.bias

    torch.testing.assert_close(plrp(Bare(), X, 1, p=0.1), plrp(Net(lambda m, h: h), X, 1, p=0.1))


def test_a_summand_that_differs_along_the_sequence_is_no_bias():
    position = torch.randn(6, LENGTH - 4, dtype=torch.float64)
    e = Explainer(Net(lambda m, h: m.deep(F.pad(h, (1, 1))) + position))(X)
    assert e.check().holds
    assert any("add" in key for _, ledger in e.ledgers for key in ledger.absorbed)


def test_a_layer_used_with_and_without_its_factor_keeps_its_ledger():
    def between(m, h):
        z = m.deep(F.pad(h, (1, 1)))
        return F.relu(z * m.gain) + torch.tanh(z)

    e = Explainer(Net(between), "gamma", Pruning(0.1))(X)
    assert e.check().holds


# -- vmap ---


def _shift(a, b):
    length = a.shape[0]
    scores = torch.einsum("i d, j d -> i j", a, b).flatten()
    return scores.as_strided((length, length), ((length - 1) * 2, 1), length - 1)


def _relative(a, b):
    """The same without vmap: position i meets offset j - i."""
    length = a.shape[-2]
    scores = torch.einsum("n h i d, h j d -> n h i j", a, b)
    offset = torch.arange(length)[None, :] - torch.arange(length)[:, None] + length - 1
    return scores.gather(-1, offset.expand_as(scores[..., :length]))


def _attention(relative):
    def between(m, h):
        q = h.reshape(len(h), 2, 3, -1).mT
        length = q.shape[-2]
        offsets = torch.linspace(-1, 1, 2 * (2 * length - 1) * 3, dtype=torch.float64).reshape(
            2, 2 * length - 1, 3
        )
        weights = relative(q + 0.5, offsets).softmax(dim=-1)
        return (weights @ q).mT.reshape(h.shape)

    return between


def test_vmap_over_what_is_linear_is_explained_as_the_same_without_vmap():
    mapped = Net(_attention(torch.vmap(torch.vmap(_shift), in_dims=(0, None))))
    plain = Net(_attention(_relative))
    torch.testing.assert_close(mapped(X), plain(X))
    torch.testing.assert_close(plrp(mapped, X, 1, p=0.1), plrp(plain, X, 1, p=0.1))
    torch.testing.assert_close(DeepLift(mapped)(X, 1).relevance, DeepLift(plain)(X, 1).relevance)
    torch.testing.assert_close(
        GradientTimesInput(mapped)(X, 1).relevance, GradientTimesInput(plain)(X, 1).relevance
    )


def test_vmap_over_what_carries_no_relevance_runs_as_it_is():
    def between(m, h):
        weights = torch.vmap(lambda i: torch.sin(i * 0.1))(torch.arange(h.shape[-1], dtype=torch.float64))
        return h * weights

    e = Explainer(Net(between))(X)
    assert e.check().holds
    weights = torch.sin(torch.arange(LENGTH - 4, dtype=torch.float64) * 0.1)
    torch.testing.assert_close(e.relevance, lrp(Net(lambda m, h: h * weights), X))


@pytest.mark.parametrize("f", [torch.tanh, lambda t: t * t, lambda t: t + 1], ids=["tanh", "square", "shift"])
def test_vmap_over_anything_else_that_carries_relevance_is_refused(f):
    with pytest.raises(UnsupportedOperationError, match=r"under vmap.*write it for the whole batch"):
        lrp(Net(lambda m, h: torch.vmap(f)(h)), X)


def test_a_view_by_strides_of_a_tensor_that_is_not_flat_is_refused():
    with pytest.raises(UnsupportedOperationError, match="as_strided of a tensor that is not flat"):
        lrp(Net(lambda m, h: h.as_strided(h.shape, h.stride())), X)


# -- power pooling, deviations ---


class Pooled(nn.Module):
    def __init__(self, power):
        super().__init__()
        torch.manual_seed(0)
        self.power, self.head = power, nn.Linear(4 * 11, 1).double()

    def forward(self, x):
        return self.head(F.lp_pool1d(x, self.power, 3, stride=2).flatten(1))


@pytest.mark.parametrize("power", [1.0, 2.0, 3.5])
def test_power_pooling_shares_by_the_powers(power):
    model, x = Pooled(power), X.clone()
    x[:, :, 4:] *= torch.rand(LENGTH - 4, dtype=torch.float64) + 0.1
    x[0, :, :3] = 0  # a window without anything
    e = Explainer(model, Epsilon(0.0))(x)
    expected = torch.zeros_like(x)
    weight = model.head.weight.reshape(4, 11)
    for n in range(3):
        for base in range(4):
            for k in range(11):
                powers = x[n, base, 2 * k : 2 * k + 3] ** power
                if powers.sum() > 0:
                    pooled = powers.sum() ** (1 / power) * weight[base, k].detach()
                    expected[n, base, 2 * k : 2 * k + 3] += powers / powers.sum() * pooled
    torch.testing.assert_close(e.relevance, expected)
    assert e.check().holds
    assert DeepLift(model)(x).check().holds


@pytest.mark.parametrize(
    "spread",
    [
        lambda h: h.std(dim=2), lambda h: h.var(dim=(1, 2), keepdim=True).expand(-1, 6, 1)[..., 0],
        lambda h: torch.std(h, 2, correction=0), lambda h: torch.var(h, 2, False),
        lambda h: h.var(dim=2, keepdim=True)[..., 0],
    ],
)  # fmt: skip
def test_deviations_add_up_under_deeplift(spread):
    model = Net(lambda m, h: torch.cat([h, spread(h)[..., None].expand(-1, -1, 3)], dim=2))
    e = DeepLift(model)(X, 1)
    assert e.check().holds
    torch.testing.assert_close(e.relevance.sum(dim=(1, 2)), e.prediction - e.baseline)


# -- long convolutions by the Fourier transform ---


def _long(kernel, way):
    def between(m, h):
        n = 2 * h.shape[-1]
        if way == "direct":
            return F.conv1d(F.pad(h, (h.shape[-1] - 1, 0)), kernel.flip(1)[:, None], groups=6)
        spectrum = torch.fft.rfft(kernel, n=n) if way == "rfft" else torch.fft.fft(kernel, n=n)
        if way == "rfft":
            return torch.fft.irfft(torch.fft.rfft(h, n=n) * spectrum, n=n)[..., : h.shape[-1]]
        return torch.fft.ifft(torch.fft.fft(h, n=n) * spectrum, n=n).real[..., : h.shape[-1]]

    return between


@pytest.mark.parametrize("way", ["rfft", "fft"])
def test_a_long_convolution_by_fourier_transform_is_the_convolution(way):
    kernel = torch.randn(6, LENGTH - 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) / 5
    fourier, direct = Net(_long(kernel, way)), Net(_long(kernel, "direct"))
    torch.testing.assert_close(fourier(X), direct(X))
    e = Explainer(fourier, Epsilon(0.0))(X, 1)
    torch.testing.assert_close(e.relevance, lrp(direct, X, 1, rules=Epsilon(0.0)))
    assert e.check().holds
    assert DeepLift(fourier)(X, 1).check().holds
    torch.testing.assert_close(DeepLift(fourier)(X, 1).relevance, DeepLift(direct)(X, 1).relevance)


# -- adapters of low rank ---


class Adapter(nn.Module):
    """A linear layer and beside it one of low rank, as peft writes it."""

    def __init__(self, base, rank=2):
        super().__init__()
        self.base_layer, self.scaling = base, 0.7
        self.lora_A = nn.Linear(base.in_features, rank, bias=False)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        result = self.base_layer(x)
        return result + self.lora_B(self.lora_A(self.dropout(x))) * self.scaling


def test_an_adapter_of_low_rank_is_explained_by_epsilon_as_the_merged_layer():
    model, merged = Net(lambda m, h: h), Net(lambda m, h: h)
    model.head = Adapter(model.head).double()
    with torch.no_grad():
        merged.head.weight += model.head.scaling * model.head.lora_B.weight @ model.head.lora_A.weight
    torch.testing.assert_close(model.eval()(X), merged(X))
    e = Explainer(model, Epsilon(0.0))(X, 1)
    torch.testing.assert_close(e.relevance, lrp(merged, X, 1, rules=Epsilon(0.0)))
    assert e.check().holds
