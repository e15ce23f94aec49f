import numpy as np
import pytest
import torch
from torch import nn

from genoplrp.errors import InputError
from genoplrp.relevance import Explainer
from genoplrp.sites import filter_view

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
    with pytest.raises(InputError, match="no one-dimensional convolution"):
        filter_view(nn.Sequential(nn.Flatten(), nn.Linear(160, 4), nn.ReLU(), nn.Linear(4, 1)), X)
