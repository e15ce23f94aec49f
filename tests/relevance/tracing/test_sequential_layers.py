"""Recurrent layers and attention: the values are torch's own, the relevance is what the papers' formulas give."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from genoplrp.errors import UnsupportedOperationError
from genoplrp.relevance import Epsilon, Explainer, Pruning, lrp
from tests.oracles.oracle_relevance_sequential import attention_relevance, gru_relevance, lstm_relevance


class Wrapped(nn.Module):
    """A layer on (N, L, C), read by a function; weights of order one."""

    def __init__(self, layer, read, channels=4):
        super().__init__()
        self.layer, self.read = layer, read
        generator = torch.Generator().manual_seed(0)
        for p in self.layer.parameters():
            p.data.copy_(0.7 * torch.randn(p.shape, generator=generator, dtype=torch.float64))
        self.double().eval()

    def forward(self, x):
        return self.read(self.layer, x.mT)


def _signal(n=3, channels=4, length=6):
    return torch.randn(n, channels, length, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


RECURRENT = {
    "lstm": lambda: nn.LSTM(4, 5, batch_first=True),
    "lstm-two-layers-both-ways": lambda: nn.LSTM(4, 3, 2, batch_first=True, bidirectional=True, dropout=0.5),
    "lstm-no-bias": lambda: nn.LSTM(4, 3, batch_first=True, bias=False, bidirectional=True),
    "gru": lambda: nn.GRU(4, 5, batch_first=True),
    "gru-two-layers-both-ways": lambda: nn.GRU(4, 3, 2, batch_first=True, bidirectional=True),
    "gru-no-bias": lambda: nn.GRU(4, 3, batch_first=True, bias=False),
    "rnn": lambda: nn.RNN(4, 5, batch_first=True, bidirectional=True),
    "rnn-relu": lambda: nn.RNN(4, 5, 2, batch_first=True, nonlinearity="relu"),
}
READS = {
    "sequence": lambda layer, x: layer(x)[0].flatten(1).sum(dim=1, keepdim=True),
    "states": lambda layer, x: _states(layer(x)[1]),
}


def _states(state):
    parts = state if isinstance(state, tuple) else (state,)
    return sum(part.transpose(0, 1).flatten(1).sum(dim=1, keepdim=True) for part in parts)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("name", RECURRENT)
def test_a_recurrent_layer_has_torchs_values_and_keeps_the_ledger(name, read):
    model, X = Wrapped(RECURRENT[name](), READS[read]), _signal()
    e = Explainer(model, Epsilon(0.0))(X)
    with torch.no_grad():
        torch.testing.assert_close(e.prediction, model(X)[:, 0], rtol=1e-12, atol=1e-13)
    assert e.check(1e-9).holds, str(e.check())
    assert float(e.relevance.abs().sum()) > 0


@pytest.mark.parametrize(
    ("make", "oracle"),
    [
        (lambda: nn.LSTM(4, 5, batch_first=True), lstm_relevance),
        (lambda: nn.GRU(4, 5, batch_first=True), gru_relevance),
    ],
)
def test_a_recurrent_layers_relevance_is_the_formula_step_by_step(make, oracle):
    model, X = Wrapped(make(), lambda layer, x: layer(x)[0][:, -1]), _signal()
    weights = {k: v.detach().numpy() for k, v in model.layer.named_parameters()}
    for target in range(5):
        e = Explainer(model, Epsilon(0.0))(X, target)
        for n in range(len(X)):
            x = X[n].T.numpy()
            state, _ = oracle(weights, x, np.zeros(5))
            assert e.prediction[n].item() == pytest.approx(state[target], rel=1e-12)
            _, expected = oracle(weights, x, np.eye(5)[target] * state[target])
            np.testing.assert_allclose(e.relevance[n].T.numpy(), expected, rtol=1e-7, atol=1e-10)


def test_the_order_of_the_axes_of_a_recurrent_layer_does_not_matter():
    first, X = Wrapped(RECURRENT["lstm"](), READS["sequence"]), _signal()
    other = nn.LSTM(4, 5).double()
    other.load_state_dict(first.layer.state_dict())

    class TimeFirst(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = other

        def forward(self, x):
            return self.layer(x.permute(2, 0, 1))[0].transpose(0, 1).flatten(1).sum(dim=1, keepdim=True)

    a, b = (Explainer(m, Epsilon(0.0))(X) for m in (first, TimeFirst()))
    torch.testing.assert_close(a.relevance, b.relevance)
    assert a.layers["place"].tolist() == b.layers["place"].tolist()


def test_a_recurrent_layer_is_pruned_like_any_other():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.lstm, self.out = (
                nn.Conv1d(4, 6, 3),
                nn.LSTM(6, 5, batch_first=True),
                nn.Linear(5, 1),
            )

        def forward(self, x):
            return self.out(self.lstm(F.relu(self.conv(x)).mT)[0][:, -1])

    torch.manual_seed(0)
    e = Explainer(Net().double(), pruning=Pruning(0.2), keep_intermediate=True)(_signal(length=12))
    rows = e.layers.set_index(["layer", "sequence"])
    assert (rows.loc["lstm", "kept_fraction"] < 1).all()
    assert e.check(1e-9).holds


def test_states_packed_sequences_and_projections_that_have_no_rule_are_refused():
    X = _signal()

    def packed(layer, x):
        return layer(nn.utils.rnn.pack_padded_sequence(x, [6, 6, 6], batch_first=True))[1][0][-1]

    def from_input(layer, x):
        return layer(x, x[:, :1, :3].transpose(0, 1).contiguous())[1][-1]

    with pytest.raises(UnsupportedOperationError):
        lrp(Wrapped(nn.LSTM(4, 3, batch_first=True), packed), X)
    with pytest.raises(UnsupportedOperationError, match="projection"):
        lrp(Wrapped(nn.LSTM(4, 3, proj_size=2, batch_first=True), READS["sequence"]), X)
    with pytest.raises(UnsupportedOperationError, match="initial state"):
        lrp(Wrapped(nn.GRU(4, 3, batch_first=True), from_input), X)


def test_an_initial_state_is_a_constant_that_absorbs_its_share():
    start = torch.ones(1, 3, 3, dtype=torch.float64)
    model = Wrapped(nn.GRU(4, 3, batch_first=True), lambda layer, x: layer(x, start)[1][-1])
    e = Explainer(model, Epsilon(0.0))(_signal(), 1)
    with torch.no_grad():
        torch.testing.assert_close(e.prediction, model(_signal())[:, 1])
    assert e.check(1e-9).holds


# -- attention -----------------------------------------------------------------------------------------------------


class Head(nn.Module):
    def __init__(self, kind, masked=False):
        super().__init__()
        self.kind, self.masked = kind, masked
        self.q, self.k, self.v = (nn.Linear(4, d, bias=False) for d in (3, 3, 2))

    def forward(self, x):
        q, k, v = self.q(x), self.k(x), self.v(x)
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril() if self.masked else None
        if self.kind == "fused":
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        scores = q @ k.transpose(1, 2) / 3**0.5
        if self.kind == "einsum":
            scores = torch.einsum("nid,njd->nij", q, k) / 3**0.5
        if self.kind == "bmm":
            scores = torch.bmm(q, k.mT).mul(3**-0.5)
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return F.softmax(scores, dim=-1) @ v


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", ["fused", "matmul", "einsum", "bmm"])
def test_attention_is_attnlrp_by_loops(kind, masked):
    X = _signal(length=5)
    V = torch.randn(5, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    model = Wrapped(Head(kind, masked), lambda layer, x: (layer(x) * V).flatten(1).sum(dim=1))
    e = Explainer(model, Epsilon(0.0))(X, None)
    mask = np.tril(np.ones((5, 5), dtype=bool)) if masked else None
    weights = [f.weight.detach().numpy() for f in (model.layer.q, model.layer.k, model.layer.v)]
    for n in range(len(X)):
        x = X[n].T.numpy()
        out, _ = attention_relevance(*weights, x, np.zeros((5, 2)), mask)
        assert e.prediction[n].item() == pytest.approx(float((out * V.numpy()).sum()), rel=1e-10)
        _, expected = attention_relevance(*weights, x, out * V.numpy(), mask)
        np.testing.assert_allclose(e.relevance[n].T.numpy(), expected, rtol=1e-6, atol=1e-9)
    assert e.check(1e-9).holds


MASKS = {
    "none": {},
    "causal": {"attn_mask": torch.ones(6, 6, dtype=torch.bool).triu(1)},
    "additive": {"attn_mask": torch.linspace(-1, 1, 36, dtype=torch.float64).reshape(6, 6)},
    "padding": {
        "key_padding_mask": torch.tensor([[False] * 5 + [True], [False] * 6, [False] * 4 + [True] * 2])
    },
    "both": {
        "attn_mask": torch.ones(6, 6, dtype=torch.bool).triu(2),
        "key_padding_mask": torch.tensor([[False] * 5 + [True], [False] * 6, [False] * 4 + [True] * 2]),
    },
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("settings", [{}, {"kdim": 4, "vdim": 4, "bias": False}])
def test_multihead_attention_has_torchs_values_and_keeps_the_ledger(settings, weights, mask):
    layer = nn.MultiheadAttention(4, 2, batch_first=True, **settings)

    def read(layer, x):
        out, attention = layer(x, x, x, need_weights=weights, **MASKS[mask])
        assert (attention is not None) == weights
        return out.flatten(1).sum(dim=1)

    model, X = Wrapped(layer, read), _signal()
    e = Explainer(model)(X, None)
    with torch.no_grad():
        torch.testing.assert_close(e.prediction, model(X), rtol=1e-11, atol=1e-12)
    assert e.check(1e-9).holds, str(e.check())
    assert bool(torch.isfinite(e.relevance).all())


def test_attention_weights_returned_by_the_layer_are_torchs():
    def read(layer, x):
        return layer(x, x, x, average_attn_weights=False)[1][:, 1, 2, 3]

    model, X = Wrapped(nn.MultiheadAttention(4, 2, batch_first=True), read), _signal()
    e = Explainer(model)(X, None)
    with torch.no_grad():
        torch.testing.assert_close(e.prediction, model(X), rtol=1e-11, atol=1e-12)
    assert e.check(1e-9).holds


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("mask", [None, "padding"])
def test_a_transformer_encoder_has_torchs_values_and_keeps_the_ledger(norm_first, activation, mask):
    layer = nn.TransformerEncoderLayer(
        4, 2, 8, batch_first=True, norm_first=norm_first, activation=activation
    )
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    padding = None if mask is None else MASKS["padding"]["key_padding_mask"]
    model = Wrapped(encoder, lambda m, x: m(x, src_key_padding_mask=padding)[:, 0].sum(dim=1))
    X = _signal()
    e = Explainer(model, pruning=Pruning(0.1))(X, None)
    with torch.no_grad():
        torch.testing.assert_close(e.prediction, model(X), rtol=1e-9, atol=1e-10)
    assert e.check(1e-9).holds


def test_unsupported_attention_settings_are_refused():
    for settings in ({"add_zero_attn": True}, {"add_bias_kv": True}):
        layer = nn.MultiheadAttention(4, 2, batch_first=True, **settings)
        with pytest.raises(UnsupportedOperationError, match="multi_head_attention"):
            lrp(Wrapped(layer, lambda m, x: m(x, x, x)[0].flatten(1).sum(dim=1)), _signal(), None)


def test_attention_over_a_constant_context():
    context = torch.randn(3, 7, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    model = Wrapped(
        nn.MultiheadAttention(4, 2, batch_first=True),
        lambda m, x: m(x, context, context)[0].flatten(1).sum(1),
    )
    e = Explainer(model)(_signal(), None)
    with torch.no_grad():
        torch.testing.assert_close(e.prediction, model(_signal()))
    assert e.check(1e-9).holds
