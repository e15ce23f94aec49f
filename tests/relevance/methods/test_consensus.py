from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import genoplrp as gp
from genoplrp.errors import InputError, UnsupportedOperationError
from genoplrp.relevance import (
    DeepLift,
    Explainer,
    GradientTimesInput,
    Preset,
    Pruning,
    View,
    consensus,
    consensus_views,
)
from genoplrp.relevance.methods.agreement import Agreement, together
from genoplrp.relevance.methods.consensus import share_kept
from genoplrp.relevance.methods.copies import P, explain_by_copies
from genoplrp.relevance.rules import Epsilon, Gamma, ZBox

L = 40


def one_hot(n: int, seed: int = 0, length: int = L) -> torch.Tensor:
    codes = torch.randint(4, (n, length), generator=torch.Generator().manual_seed(seed))
    return torch.eye(4)[codes].mT.contiguous()


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(4, 6, 7, padding=3), nn.ReLU(), nn.MaxPool1d(4), nn.Flatten(), nn.Linear(60, 2)
    ).eval()


def test_one_view_is_pruned_relevance(model):
    X = one_hot(3)
    explainer = Explainer(model, pruning=Pruning(p=0.1))
    got = consensus(explainer, X, 1, passes=1).relevance
    torch.testing.assert_close(got, explainer(X, 1).per_nucleotide.unsqueeze(1) * X)


def mass(maps: np.ndarray) -> np.ndarray:
    """Positive mass of a map, the negative one's where there is none."""
    positive = np.maximum(maps, 0).sum()
    return positive if positive > 0 else np.abs(maps).sum()


def by_loops(model: nn.Module, x: torch.Tensor, views: tuple[View, ...], pruning: Pruning) -> np.ndarray:
    """The consensus of one sequence: views made and undone base by base, all sums written out."""

    def output(shown):
        with torch.no_grad():
            return model(torch.as_tensor(shown).double()[None]).numpy()[0, 0]

    def show(sequence, view):
        shown = np.full((4, L), 0.25, dtype=np.float32)
        for i in range(L):
            if 0 <= i + view.shift < L:
                shown[:, i + view.shift] = sequence[:, i]
        return shown[::-1, ::-1].copy() if view.reverse else shown

    sequence = x.numpy()
    baseline, own = output(np.full((4, L), 0.25, dtype=np.float32)), output(sequence)
    maps = {"relevance": [], "box": [], "difference": []}
    for view in views:
        shown = show(sequence, view)
        dense = Gamma(0.25) if view.rules == "gamma-all" else Epsilon()
        preset = {
            "relevance": Preset(Gamma(0.25, gauge=True), Gamma(0.25), dense),
            "box": Preset(ZBox(0.0, 1.0), Gamma(0.25), dense),
        }
        explainer = (
            DeepLift(model, pruning)
            if view.by == "difference"
            else Explainer(model, preset[view.by], pruning)
        )
        r = explainer(torch.as_tensor(shown).double()[None]).relevance[0].sum(dim=0).numpy()
        share = 1.0
        if own > baseline:
            share = min(max((output(shown) - baseline) / (own - baseline), 0), 1)
        values, weights = np.zeros(L), np.zeros(L)
        for i in range(L):
            at = i + view.shift
            if 0 <= at < L:
                values[i], weights[i] = r[L - 1 - at if view.reverse else at], share
        maps[view.by].append((values, weights))
    shrunk, weight_of = {}, {}
    for by, made in maps.items():
        mean, kept, deviation = np.zeros(L), np.zeros(L), np.zeros(L)
        for i in range(L):
            total = sum(w[i] for _, w in made)
            if total == 0:
                continue
            mean[i] = sum(w[i] * v[i] for v, w in made) / total
            variance = sum(w[i] * (v[i] - mean[i]) ** 2 for v, w in made) / total
            number = total**2 / sum(w[i] ** 2 for _, w in made)
            kept[i] = mean[i] * max(0, 1 - variance / number / mean[i] ** 2) if mean[i] else 0
            deviation[i] = variance**0.5
        shrunk[by] = kept / mass(kept) * mass(mean)
        noise = max(deviation.sum() / np.abs(mean).sum(), 0.05)
        weight_of[by] = {"box": 0.5}.get(by, 1.0) * len(made) / noise**4
    mean = sum(weight_of[by] * shrunk[by] / mass(shrunk[by]) for by in maps) / sum(weight_of.values())
    return mean * mass(shrunk["difference"])


@pytest.mark.parametrize("pruning", [None, Pruning(p=0.1)])
def test_a_consensus_is_what_loops_over_its_definition_give(model, pruning):
    model, X = model.double(), one_hot(3, seed=4).double()
    views = (View(rules="gamma"), View(3, True, rules="gamma-all"), View(-2, False, "difference"),
             View(-2, False, "box", "gamma"), View(1, rules="gamma"), View(2, True, "difference"),
             View(-1, True, "box", "gamma-all"))  # fmt: skip
    got = consensus(model, X, views=views, pruning=pruning).per_nucleotide.numpy()
    for x, values in zip(X, got, strict=True):
        expected = by_loops(model, x, views, pruning)
        np.testing.assert_allclose(values, expected, atol=1e-9 * np.abs(expected).max())


def test_a_base_that_maps_agree_on_is_kept_and_one_that_they_contradict_each_other_on_is_not():
    agreement = Agreement(1, 4)
    everything, whole = torch.ones(4, dtype=torch.bool), torch.ones(1)
    for row in ([2.0, 1.0, -3.0, 0.0], [2.0, -1.0, -3.0, 0.0], [2.0, 1.0, -3.0, 0.0], [2.0, -1.0, -3.0, 0.0]):
        agreement.add(torch.tensor([row]), everything, whole)
    torch.testing.assert_close(agreement.mean, torch.tensor([[2.0, 0.0, -3.0, 0.0]], dtype=torch.float64))
    torch.testing.assert_close(agreement.shrunk, agreement.mean)
    torch.testing.assert_close(agreement.noise, torch.tensor([1 / 5], dtype=torch.float64))


@given(
    st.lists(st.lists(st.floats(-10, 10), min_size=5, max_size=5), min_size=1, max_size=6),
    st.floats(0.1, 1),
)
@settings(max_examples=60, deadline=None)
def test_shrinking_takes_no_sign_and_no_mass_and_knows_no_unit(rows, share):
    def agreed(scale):
        agreement = Agreement(1, 5)
        for row in rows:
            seen = torch.tensor([True, True, True, True, len(rows) > 2])
            agreement.add(torch.tensor([row], dtype=torch.float64) * scale, seen, torch.tensor([share]))
        return agreement

    one, other = agreed(1.0), agreed(8.0)
    torch.testing.assert_close(8 * one.shrunk, other.shrunk)
    torch.testing.assert_close(one.noise, other.noise)
    assert (one.shrunk * one.mean >= 0).all()
    if (one.shrunk > 0).any():
        kept, mean = (t.clamp(min=0).sum() for t in (one.shrunk, one.mean))
        torch.testing.assert_close(kept, mean)


def test_the_mechanism_that_contradicts_itself_less_says_more_and_an_empty_one_nothing():
    def agreement(*rows):
        made = Agreement(1, 2)
        for row in rows:
            made.add(torch.tensor([row]), torch.ones(2, dtype=torch.bool), torch.ones(1))
        return made

    sure = agreement([4.0, 0.0], [4.0, 0.0])
    unsure = agreement(
        [0.0, 3.0], [0.0, 1.0]
    )  # noise: 1 / 2; its standard error leaves 7/8 of it, scaled back
    both = together([(sure, 1.0), (unsure, 1.0)], unsure)
    a, b = 1 / 0.05**4, 1 / 0.5**4
    wanted = torch.tensor([[a, b]], dtype=torch.float64) / (a + b) * 2
    torch.testing.assert_close(both, wanted)
    empty = agreement([0.0, 0.0])
    torch.testing.assert_close(together([(sure, 1.0), (empty, 5.0)], empty), sure.mean)
    assert (together([(empty, 1.0)], empty) == 0).all()


def test_a_view_counts_by_what_it_keeps_of_the_output(model):
    share = share_kept(
        torch.tensor([1.0, -3.0, 9.0, 1.0]), torch.tensor([3.0, 3.0, 3.0, -2.0]), torch.full((4,), -1.0)
    )
    torch.testing.assert_close(share, torch.tensor([0.5, 0.0, 1.0, 1.0], dtype=torch.float64))
    assert share_kept(torch.zeros(2), torch.ones(2), None).tolist() == [1.0, 1.0]


def test_the_other_strand_of_a_model_of_one_strand_counts_little():
    """A detector of one word, which the reverse complement does not hold."""
    word = torch.eye(4)[torch.tensor([0, 0, 1, 0, 2, 0, 0, 1])].mT

    class Detector(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv1d(4, 1, 8)
            with torch.no_grad():
                self.convolution.weight.copy_(word[None])
                self.convolution.bias.fill_(-6.5)

        def forward(self, x):
            return self.convolution(x).relu().amax(dim=2)

    X = one_hot(1)
    X[0, :, 10:18] = word
    model = Detector().eval()
    views = [View(), View(by="difference"), View(reverse=True)]
    both = consensus(model, X, views=views).per_nucleotide
    assert model(X.flip(1, 2)).item() == 0
    # As if the sequence had been shown as it is a second time: same number of views, same mean.
    twice = consensus(model, X, views=[View(), View(by="difference"), View()]).per_nucleotide
    torch.testing.assert_close(both, twice)


def test_a_model_without_rules_for_differences_is_explained_without_them():
    torch.manual_seed(0)

    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.lstm, self.out = (
                nn.Conv1d(4, 5, 3),
                nn.LSTM(5, 4, batch_first=True),
                nn.Linear(4, 1),
            )

        def forward(self, x):
            return self.out(self.lstm(self.convolution(x).relu().mT)[0][:, -1])

    model, X = Recurrent().eval(), one_hot(2)
    e = consensus(model, X, views=consensus_views(6))
    assert any("no view by DeepLIFT" in note for note in e.notes)
    assert "what 4 views of each sequence agree on" in e.notes
    torch.testing.assert_close(
        e.relevance,
        consensus(model, X, views=[v for v in consensus_views(6) if v.by != "difference"]).relevance,
    )
    with pytest.raises(UnsupportedOperationError):
        consensus(model, X, views=[View(by="difference")])
    # As it lies: relevance alone.
    e = explain_by_copies(Explainer(model), X, 0, 12, ["relevance", "difference"], own=False)
    assert any("no view by DeepLIFT" in note for note in e.notes)
    torch.testing.assert_close(e.relevance, gp.plrp(model, X, p=P))


@pytest.mark.parametrize("kind", [DeepLift, GradientTimesInput])
def test_an_explainer_of_another_kind_makes_all_views_itself(model, kind):
    X = one_hot(2)
    explainer = kind(model, Pruning(p=0.1))
    for views in ([View(), View(by="difference")], [View(), View(by="box"), View()]):
        got = consensus(explainer, X, views=views).per_nucleotide
        torch.testing.assert_close(got, explainer(X).per_nucleotide, atol=1e-6, rtol=1e-5)


def test_an_explainer_s_own_rules_make_all_its_views(model):
    X = one_hot(2)
    explainer = Explainer(model, "epsilon", Pruning(p=0.1))
    own = [replace(view, rules=None) for view in consensus_views()]
    got = consensus(explainer, X, views=own).per_nucleotide
    views = [replace(view, rules="epsilon") for view in consensus_views()]
    torch.testing.assert_close(got, consensus(model, X, views=views, pruning=Pruning(p=0.1)).per_nucleotide)
    with pytest.raises(InputError, match="own"):
        consensus(explainer, X, pruning=Pruning(p=0.1))


@given(shift=st.integers(-50, 50), reverse=st.booleans())
@settings(max_examples=40, deadline=None)
def test_undoing_a_view_brings_every_base_back_that_it_showed(shift, reverse):
    X = one_hot(1, length=30)
    view = View(shift, reverse)
    position = torch.arange(1.0, 31.0).expand(1, 30)
    moved = View(shift, reverse).apply(X * position.unsqueeze(1))
    back = view.undo(moved.max(dim=1).values)
    kept = torch.tensor([0 <= i + shift < 30 for i in range(30)])
    assert torch.equal(back[0, kept], position[0, kept])
    assert (back[0, ~kept] == 0).all()


def test_the_map_of_a_reverse_complement_is_the_reversed_map_when_strands_are_paired(model):
    X = one_hot(2)
    views = (View(), View(reverse=True))
    forward = consensus(model, X, views=views).per_nucleotide
    backward = consensus(model, X.flip(1, 2), views=views).per_nucleotide
    torch.testing.assert_close(backward.flip(1), forward, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("views", [consensus_views(), None])
def test_a_sequence_s_map_does_not_depend_on_its_batch(model, views):
    X = one_hot(5)
    together = consensus(Explainer(model, batch_size=5), X, views=views).relevance
    alone = torch.cat(
        [consensus(Explainer(model, batch_size=1), X[i : i + 1], views=views).relevance for i in (4, 0)]
    )
    torch.testing.assert_close(together[[4, 0]], alone, atol=1e-6, rtol=1e-4)


def test_the_prediction_is_that_of_the_sequence_as_it_is(model):
    X = one_hot(3)
    with torch.no_grad():
        expected = model(X)[:, 1]
    torch.testing.assert_close(consensus(model, X, 1).prediction, expected)
    torch.testing.assert_close(consensus(model, X, 1, views=[View(2, True)]).prediction, expected)


def test_an_n_gets_no_relevance_and_the_explainer_is_left_as_it_was(model):
    X = one_hot(2)
    X[0, :, 7] = 0
    explainer = Explainer(model, pruning=Pruning(p=0.05))
    e = consensus(explainer, X)
    assert (e.relevance[0, :, 7] == 0).all()
    assert explainer.pruning == Pruning(p=0.05)
    assert e.relevance.shape == X.shape


def test_one_strand_and_no_shift_can_be_asked_for():
    views = consensus_views(10, max_shift=0, both_strands=False)
    assert len(views) == 10
    assert {(view.shift, view.reverse) for view in views} == {(0, False)}
    assert max(abs(v.shift) for v in consensus_views(40, max_shift=2)) == 2


def test_the_default_views_are_by_three_mechanisms_each_on_both_strands():
    views = consensus_views()
    assert [view.by for view in views] == ["relevance", "box", "difference"] * 4
    assert views[0] == View(rules="gamma")
    assert len(set(views)) == len(views)
    for by in ("relevance", "box"):
        own = [view for view in views if view.by == by]
        assert sorted((view.rules, view.reverse) for view in own) == [
            ("gamma", False), ("gamma", True), ("gamma-all", False), ("gamma-all", True)
        ]  # fmt: skip
    assert {v.by for v in consensus_views(8, mechanisms=["relevance", "box"])} == {"relevance", "box"}


@pytest.mark.parametrize(
    "settings_",
    [{"passes": 0}, {"max_shift": -1}, {"views": []}, {"mechanisms": ["ism"]}, {"mechanisms": []}],
)
def test_senseless_settings_are_refused(model, settings_):
    with pytest.raises(InputError):
        consensus(model, one_hot(1), **settings_)
    with pytest.raises(InputError, match="one-hot DNA"):
        consensus(model, torch.zeros(1, 3, L))


def test_it_is_public():
    assert gp.consensus is consensus
