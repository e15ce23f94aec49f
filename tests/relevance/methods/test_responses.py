"""How a model responds to resampled windows, and what a consensus makes of that."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import genoplrp as gp
from genoplrp.errors import InputError
from genoplrp.relevance import Explainer
from genoplrp.relevance.methods.invariance import shuffled
from genoplrp.relevance.methods.responses import (
    FILLS,
    FIRST_SEED,
    WINDOWS,
    Responses,
    ask_about_windows,
    more_faithful,
)
from tests.relevance.methods.test_invariance import AT, SITE, Finder, sequences


class Ballasted(nn.Module):
    """A finder of a site whose every base adds a constant: one that no other base changes, but that maps may show."""

    def __init__(self, kind: str, ballast: float) -> None:
        super().__init__()
        self.finder, self.conv, self.ballast = Finder(kind), nn.Conv1d(4, 4, 1), ballast
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(4)[..., None])
            self.conv.bias.fill_(-0.5)

    def forward(self, x):
        return self.finder(x) + self.ballast * self.conv(x).relu().sum(dim=(1, 2)).unsqueeze(1)


def test_responses_and_faithfulness_are_what_loops_give():
    model, X = Finder("anchored").eval().double(), sequences(5).double()
    maps = torch.rand(5, X.shape[2], dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    got = ask_about_windows(Explainer(model), X, maps=[maps])
    faithfulness = got.faithfulness(maps)
    for i, x in enumerate(X):
        falls, sums = [], []
        for k in range(WINDOWS):
            drawn = x.clone()
            window = slice(int(got.start[i, k]), int(got.start[i, k] + got.width[i, k]))
            drawn[:, window] = shuffled(X, FIRST_SEED + k % FILLS)[i, :, window]
            with torch.no_grad():
                falls.append(float(model(x[None]) - model(drawn[None])))
            sums.append(float(maps[i, window].sum()))
        np.testing.assert_allclose(got.fall[i].numpy(), falls, atol=1e-12)
        np.testing.assert_allclose(float(faithfulness[i]), np.corrcoef(sums, falls)[0, 1], atol=1e-12)


@pytest.mark.parametrize("length", [1, 2, 7, 100])
def test_windows_lie_within_the_sequence_and_hold_what_the_maps_show(length):
    X = torch.eye(4)[torch.randint(4, (3, length), generator=torch.Generator().manual_seed(0))].mT
    model = nn.Sequential(nn.Conv1d(4, 3, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    maps = torch.zeros(3, length)
    at = length // 2
    maps[:2, at] = torch.tensor([-2.0, 1.0])  # the third map is empty: anywhere
    got = ask_about_windows(Explainer(model), X, maps=[maps])
    stop = got.start + got.width
    assert ((got.start >= 0) & (stop <= length) & (got.width >= 1) & (got.width <= max(length // 3, 1))).all()
    assert ((got.start[:2] <= at) & (stop[:2] > at)).all()


def test_a_map_that_does_not_vary_is_not_faithful():
    one = Responses(torch.tensor([[0, 1]]), torch.tensor([[1, 1]]), torch.tensor([[3.0, 5.0]]))
    assert one.faithfulness(torch.ones(1, 2)).tolist() == [0.0]


@pytest.mark.parametrize(
    "one, other, more",
    [
        ([0.9, 0.8] * 4, [0.5, 0.5] * 4, True),
        ([0.9, 0.8] * 4, [0.85, 0.75] * 4, False),  # sure, but little
        ([0.9, 0.1] * 4, [0.1, 0.7] * 4, False),  # not sure
        ([0.9, 0.8] * 3, [0.5, 0.5] * 3, False),  # too few
    ],
)
def test_a_map_is_more_faithful_if_by_much_and_surely(one, other, more):
    assert more_faithful(torch.tensor(one), torch.tensor(other)) is more


@pytest.mark.parametrize("kind", ["planted", "stranded"])
def test_uniform_columns_that_mislead_give_way_to_copies(kind):
    X = sequences(40)
    assert gp.consensus(Ballasted(kind, 0.0).eval(), X).settings["form"]["references"] == "uniform"
    e = gp.consensus(Ballasted(kind, 5.0).eval(), X)
    assert e.settings["form"]["references"] == "shuffled"
    foremost = e.per_nucleotide.topk(len(SITE)).indices
    assert ((foremost >= AT) & (foremost < AT + len(SITE))).float().mean() > 0.9


def test_relevance_that_misleads_is_left_out_where_nothing_may_be_moved():
    X = sequences(40)
    e = gp.consensus(Ballasted("anchored", 0.0).eval(), X)
    assert e.settings["form"]["mechanisms"] == ("relevance", "box", "difference")
    e = gp.consensus(Ballasted("anchored", 5.0).eval(), X)
    assert e.settings["form"]["mechanisms"] == ("difference",)
    assert e.settings["faithfulness"]["difference"] > e.settings["faithfulness"]["relevance"] + 0.1
    assert any("differences from 8 shuffled copies" in note for note in e.notes)


@pytest.mark.parametrize("ballast", [0.0, 5.0])
@pytest.mark.parametrize("kind", ["planted", "anchored"])
def test_the_form_explains_other_sequences_alike_without_asking(kind, ballast):
    model, X = Ballasted(kind, ballast).eval(), sequences(40)
    e = gp.consensus(model, X)
    again = gp.consensus(model, X[:3], ask=False, **e.settings["form"])
    torch.testing.assert_close(again.relevance, e.relevance[:3], atol=1e-6, rtol=1e-4)
    assert "faithfulness" not in again.settings


@pytest.mark.parametrize("kind", ["planted", "anchored"])
def test_a_few_sequences_are_not_asked_about(kind):
    e = gp.consensus(Ballasted(kind, 5.0).eval(), sequences(7))
    assert not any("faithfulness" in note for note in e.notes)
    assert e.settings["form"]["mechanisms"] == ("relevance", "box", "difference")


def test_references_can_be_said_and_others_are_refused():
    model, X = Finder("planted").eval(), sequences(12)
    assert gp.consensus(model, X, references="shuffled").settings["form"]["references"] == "shuffled"
    moved = gp.consensus(model, X, references="shuffled", ask=False).per_nucleotide
    lies = gp.consensus(model, X, references="shuffled", ask=False, max_shift=0, both_strands=False)
    assert not torch.allclose(moved, lies.per_nucleotide)
    with pytest.raises(InputError, match="uniform"):
        gp.consensus(model, X, references="zeros")
