import copy

import numpy as np
import pytest
import torch
from torch import nn

from genoplrp.errors import InputError
from genoplrp.relevance import Explainer, GradientTimesInput
from genoplrp.relevance.methods.activations import layer_outputs
from genoplrp.sites import filter_view
from genoplrp.sites.fields import receptive_fields

WORDS = ("GATAAG", "CACGTG", "TTTTTT")


def network(head):
    """Three detectors of words; the second one counts three times as much, the last one not at all."""
    model = nn.Sequential(nn.Conv1d(4, 3, 6), nn.ReLU(), *head)
    with torch.no_grad():
        model[0].weight.fill_(-1.0)
        for f, word in enumerate(WORDS):
            for k, letter in enumerate(word):
                model[0].weight[f, "ACGT".index(letter), k] = 1.0
        model[0].bias.fill_(-3.5)
        model[-1].bias.fill_(0.0)
        weight = torch.tensor([1.0, 3.0, 0.0])
        model[-1].weight.copy_(weight.repeat_interleave(model[-1].weight.shape[1] // 3)[None])
    return model


def sequences():
    codes = np.random.default_rng(0).integers(4, size=(80, 40))
    for i in range(80):
        for at, word in ((5, WORDS[0]), (20, WORDS[1])):
            codes[i, at : at + 6] = ["ACGT".index(letter) for letter in word]
    return torch.eye(4)[torch.from_numpy(codes)].mT.contiguous()


@pytest.mark.parametrize(
    "head",
    [
        [nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(3, 1)],
        [nn.MaxPool1d(5), nn.Flatten(), nn.Linear(21, 1)],
    ],
)
def test_filters_are_ranked_by_what_they_carried_and_show_their_word(head, device):
    model = network(head)
    view = filter_view(copy.deepcopy(model).to(device), sequences().to(device), rules="epsilon")
    assert view.layer == "0"
    assert view.table["filter"].tolist()[:2] == [1, 0]
    assert view.table["consensus"].tolist()[:2] == [WORDS[1], WORDS[0]]
    assert view.table["share"].is_monotonic_decreasing
    assert view.table["relevance"].iloc[2] == 0
    e = Explainer(model, "epsilon")(sequences())
    # With no bias behind the filters, what they carried is the whole output.
    assert view.table["relevance"].sum() == pytest.approx(float(e.prediction.sum()), rel=1e-3)
    for motif in view.motifs[:2]:
        assert (
            motif.pwm.max(axis=0).min() > 0.7
        )  # windows with up to two other letters reach half of the largest


def test_what_is_no_filter_layer_is_said():
    X = sequences()
    with pytest.raises(InputError, match="no one-dimensional convolution over the sequence"):
        filter_view(nn.Sequential(nn.Flatten(), nn.Linear(160, 4), nn.ReLU(), nn.Linear(4, 1)), X)


def deep_network():
    """A layer of single letters, one of three letters, and one that joins these to the words."""
    model = nn.Sequential(
        nn.Conv1d(4, 4, 1), nn.ReLU(), nn.Conv1d(4, 4, 3), nn.ReLU(), nn.Conv1d(4, 2, 4, padding=2), nn.ReLU(),
        nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(2, 1),
    )  # fmt: skip
    with torch.no_grad():
        for layer in model[0], model[2], model[4], model[8]:
            layer.weight.fill_(0.0)
            layer.bias.fill_(0.0)
        model[0].weight[:, :, 0] = torch.eye(4)
        for f, (word, half) in enumerate((word, k) for word in WORDS[:2] for k in (0, 3)):
            for k in range(3):
                model[2].weight[f, :, k] = -1.0
                model[2].weight[f, "ACGT".index(word[half + k]), k] = 1.0
        for f in range(2):
            model[4].weight[f, 2 * f, 0] = model[4].weight[f, 2 * f + 1, 3] = 1.0
        model[4].bias.fill_(-3.0)
        model[8].weight.copy_(torch.tensor([[1.0, 3.0]]))
    return model


def test_the_first_layer_that_sees_a_motif_is_shown_or_the_one_that_is_named():
    model, X = deep_network(), sequences()
    view = filter_view(model, X, rules="epsilon")
    assert (view.layer, view.width) == ("4", 6)
    assert view.table["filter"].tolist() == [1, 0]
    assert view.table["consensus"].tolist() == [WORDS[1], WORDS[0]]
    where = view.motifs[0].instances  # padded by two: position j of the layer starts at base j - 2
    assert (where["start"] == 20).mean() > 0.9
    early = filter_view(model, X, layer="2", rules="epsilon")
    assert early.width == 3
    assert set(early.table["consensus"]) == {"GAT", "AAG", "CAC", "GTG"}
    with pytest.raises(
        InputError, match=r"no convolution 'conv9'; there are 0 \(1 bp\); 2 \(3 bp\); 4 \(6 bp\)"
    ):
        filter_view(model, X, layer="conv9")
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("seed", range(3))
def test_receptive_fields_are_those_of_the_arithmetic_of_convolutions(seed):
    rng = np.random.default_rng(seed)
    layers, expected, width, jump, start, channels = [], {}, 1, 1, 0, 4
    for _ in range(3):
        k, dilation, stride, padding = (int(rng.integers(a, b)) for a, b in ((1, 6), (1, 4), (1, 3), (0, 3)))
        layers += [nn.Conv1d(channels, 5, k, stride, padding, dilation), nn.ReLU()]
        channels = 5
        start -= padding * jump
        width += (k - 1) * dilation * jump
        jump *= stride
        expected[str(len(layers) - 2)] = (start, jump, width)
        layers.append(nn.MaxPool1d(2))
        width += jump
        jump *= 2
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(*layers)
        for module in model:
            if isinstance(module, nn.Conv1d):
                nn.init.normal_(module.weight)
    explainer = GradientTimesInput(model)
    found = receptive_fields(explainer, 400, list(expected), lambda y: y.flatten(1).sum(dim=1))
    assert {name: tuple(one) for name, one in found.items()} == expected


class Sideways(nn.Module):
    """The deep network for (N, 4, 1, L)."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList()
        for layer in deep_network():
            if isinstance(layer, nn.Conv1d):
                wide = nn.Conv2d(
                    layer.in_channels,
                    layer.out_channels,
                    (1, layer.kernel_size[0]),
                    padding=(0, layer.padding[0]),
                )
                wide.load_state_dict({"weight": layer.weight[:, :, None], "bias": layer.bias})
                self.layers.append(wide)
        self.head = deep_network()[8]

    def forward(self, x):
        for layer in self.layers:
            x = layer(x).relu()
        return self.head(x.amax(dim=(2, 3)))


def test_a_network_with_an_axis_of_one_shows_what_the_same_without_it_shows():
    X = sequences()
    flat, sideways = (
        filter_view(deep_network(), X, rules="epsilon"),
        filter_view(Sideways(), X, rules="epsilon"),
    )
    assert (sideways.layer, sideways.width) == ("layers.2", flat.width)
    assert sideways.table["consensus"].tolist() == flat.table["consensus"].tolist()


def test_layers_of_a_keras_model_are_shown_by_their_own_names(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    model = deep_network()
    made = keras.Sequential(
        [
            keras.layers.Input((40, 4)),
            keras.layers.Conv1D(4, 1, activation="relu", name="letters"),
            keras.layers.Conv1D(4, 3, activation="relu", name="halves"),
            keras.layers.ZeroPadding1D(2),
            keras.layers.Conv1D(2, 4, activation="relu", name="words"),
            keras.layers.GlobalMaxPooling1D(),
            keras.layers.Dense(1, name="out"),
        ]
    )
    for name, at in (("letters", 0), ("halves", 2), ("words", 4)):
        weight, bias = model[at].weight.detach().numpy(), model[at].bias.detach().numpy()
        made.get_layer(name).set_weights([weight.transpose(2, 1, 0), bias])
    made.get_layer("out").set_weights([model[8].weight.detach().numpy().T, model[8].bias.detach().numpy()])
    X = sequences()
    expected, found = filter_view(model, X, rules="epsilon"), filter_view(made, X, rules="epsilon")
    assert found.layer.endswith("words")
    assert found.width == expected.width
    assert found.table["consensus"].tolist() == expected.table["consensus"].tolist()
    np.testing.assert_allclose(found.table["relevance"], expected.table["relevance"], rtol=1e-4)
    halves = filter_view(made, X, layer="halves", rules="epsilon")
    assert set(halves.table["consensus"]) == {"GAT", "AAG", "CAC", "GTG"}
    with pytest.raises(InputError, match=r"no convolution 'conv9'; there are .*halves \(3 bp\)"):
        filter_view(made, X, layer="conv9")


def test_outputs_of_layers_are_those_of_hooks_and_leave_the_model_alone():
    model, X = deep_network(), sequences()
    seen = {}
    handles = [
        model[k].register_forward_hook(lambda m, a, y, k=k: seen.update({str(k): y})) for k in (0, 2, 4)
    ]
    model(X)
    for handle in handles:
        handle.remove()
    model.train()
    leaf, found = layer_outputs(GradientTimesInput(model), X, ["0", "2", "4"])
    assert model.training
    for name, value in seen.items():
        torch.testing.assert_close(found[name], value)
    y = model[2](model[1](model[0](x := X.clone().requires_grad_())))
    for one, base in ((found["2"], leaf), (y, x)):
        (gradient,) = torch.autograd.grad(one[:, :, 7].sum(), base, retain_graph=True)
        torch.testing.assert_close(gradient, torch.autograd.grad(y[:, :, 7].sum(), x, retain_graph=True)[0])
