import numpy as np
import pytest
import torch
from torch import nn

from genoplrp.errors import InputError
from genoplrp.relevance import Explainer
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
def test_filters_are_ranked_by_what_they_carried_and_show_their_word(head):
    model = network(head)
    view = filter_view(model, sequences(), rules="epsilon")
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
    found = receptive_fields(model, 400, list(expected))
    assert {name: tuple(one) for name, one in found.items()} == expected
