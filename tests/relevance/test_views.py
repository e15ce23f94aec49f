from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import genoplrp as gp
from genoplrp.errors import InputError
from genoplrp.relevance import Explainer, Pruning, View, consensus, consensus_views
from genoplrp.relevance.views import knockout_contexts

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


def test_a_consensus_is_the_mean_of_its_views_one_by_one(model):
    """Brute force: every view made and undone base by base, bases out of sight left out of the mean."""
    X = one_hot(2)
    views = (View(), View(3, True, 0), View(-2, False, 1), View(1, False))
    kept = knockout_contexts(L, 1, 10, seed=4)[0]
    total, seen = np.zeros((2, L)), np.zeros(L)
    for view in views:
        there = np.ones(L, bool) if view.half is None else (kept if view.half == 0 else ~kept)
        shown = np.full((2, 4, L), 0.25, dtype=np.float32)
        for i in range(L):
            if 0 <= i + view.shift < L and there[i]:
                shown[:, :, i + view.shift] = X[:, :, i].numpy()
        if view.reverse:
            shown = shown[:, ::-1, ::-1].copy()
        r = Explainer(model, pruning=Pruning(p=0.1))(torch.as_tensor(shown)).relevance.sum(dim=1).numpy()
        weight = 1 if view.half is None else 2
        for i in range(L):
            at = i + view.shift
            if 0 <= at < L and there[i]:
                total[:, i] += weight * r[:, L - 1 - at if view.reverse else at]
                seen[i] += weight
    got = consensus(Explainer(model, pruning=Pruning(p=0.1)), X, views=views, seed=4).per_nucleotide
    np.testing.assert_allclose(got.numpy(), total / seen, atol=1e-5)


def test_every_base_is_in_exactly_one_of_two_complementary_halves(model):
    X = one_hot(1)

    class Seen(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.shown = model, []

        def forward(self, x):
            self.shown.append(x.detach().clone())
            return self.inner(x)

    seen = Seen()
    consensus(seen, X, views=[View(half=0), View(half=1)])
    there = torch.stack([(x.max(dim=1).values == 1)[0] for x in seen.shown[:2]])
    assert (there.sum(dim=0) == 1).all()


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


def test_a_sequence_s_map_does_not_depend_on_its_batch(model):
    X = one_hot(5)
    together = consensus(Explainer(model, batch_size=5), X).relevance
    alone = torch.cat([consensus(Explainer(model, batch_size=1), X[i : i + 1]).relevance for i in (4, 0)])
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
    assert max(abs(v.shift) for v in consensus_views(30, max_shift=2)) == 2


def test_half_of_the_default_views_are_reversed_and_half_show_halves_in_pairs():
    views = consensus_views()
    assert (
        sum(view.half is not None for view in views) == sum(view.reverse for view in views) == len(views) / 2
    )
    assert sorted(view.half for view in views if view.half is not None) == [0, 1, 2, 3]
    assert views[0] == View()
    assert len(set(views)) == len(views)


def test_the_same_seed_gives_the_same_map_and_another_other_halves(model):
    X = one_hot(2)
    first, again, other = (consensus(model, X, seed=s).relevance for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("settings_", [{"passes": 0}, {"max_shift": -1}, {"views": []}])
def test_senseless_settings_are_refused(model, settings_):
    with pytest.raises(InputError):
        consensus(model, one_hot(1), **settings_)
    with pytest.raises(InputError, match="one-hot DNA"):
        consensus(model, torch.zeros(1, 3, L))


def test_it_is_public():
    assert gp.consensus is consensus
