from __future__ import annotations

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
    Pruning,
    View,
    consensus,
    consensus_views,
)
from genoplrp.relevance.knockouts import knockout_parts, shuffled
from genoplrp.relevance.views import share_kept
from genoplrp.sequence import decode_codes

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
    return np.maximum(maps, 0).sum(axis=1, keepdims=True)


def test_a_consensus_is_the_mean_of_its_views_one_by_one(model):
    """Brute force: every view made and undone base by base, bases out of sight left out, each mechanism in its unit."""
    X = one_hot(2, seed=4)
    views = (View(), View(3, True, 0), View(-2, False, by="difference"), View(-2, False, 5), View(1, False),
             View(2, True, 1, "difference"))  # fmt: skip
    parts = knockout_parts(L, 2, 10, seed=4)
    total = {"relevance": np.zeros((2, L)), "difference": np.zeros((2, L))}
    seen = {"relevance": np.zeros((2, L)), "difference": np.zeros((2, L))}

    def output(x):
        with torch.no_grad():
            return model(x)[:, 0].double().numpy()

    shown_by, baselines = [], []
    for number, view in enumerate(views):
        there = np.ones(L, bool) if view.without is None else parts[view.without // 4] != view.without % 4

        def show(sequences, view=view, there=there):
            shown = np.full((2, 4, L), 0.25, dtype=np.float32)
            for i in range(L):
                if 0 <= i + view.shift < L and there[i]:
                    shown[:, :, i + view.shift] = sequences[:, :, i].numpy()
            return torch.as_tensor(shown[:, ::-1, ::-1].copy() if view.reverse else shown)

        explainer = Explainer(model, pruning=Pruning(p=0.1))
        if view.by == "difference":
            references = show(shuffled(X, 4, number))[:, None]
            explainer = DeepLift(model, Pruning(p=0.1), references=references)
            baselines.append(output(references[:, 0]))
        r = explainer(show(X)).relevance.sum(dim=1).numpy()
        shown_by.append((view, there, r, output(show(X))))
    baseline, own = np.mean(baselines, axis=0), output(X)
    assert (own > baseline).tolist() == [True, False]  # one sequence of each kind
    for view, there, r, got in shown_by:
        kept = [min(max((got[0] - baseline[0]) / (own[0] - baseline[0]), 0), 1), 1.0]
        weight = np.array(kept) * (1 if view.without is None else 4 / 3)
        for i in range(L):
            at = i + view.shift
            if 0 <= at < L and there[i]:
                total[view.by][:, i] += weight * r[:, L - 1 - at if view.reverse else at]
                seen[view.by][:, i] += weight
    relevance, difference = (
        np.divide(total[by], seen[by], out=np.zeros((2, L)), where=seen[by] > 0) for by in total
    )
    expected = (4 * relevance / mass(relevance) + 2 * difference / mass(difference)) / 6 * mass(difference)
    got = consensus(Explainer(model, pruning=Pruning(p=0.1)), X, views=views, seed=4).per_nucleotide
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-5)


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


def test_views_of_one_mechanism_are_averaged_as_they_are(model):
    X = one_hot(2)
    explainer = Explainer(model, pruning=Pruning(p=0.1))
    got = consensus(explainer, X, views=[View(), View(reverse=True)]).per_nucleotide
    backward = explainer(X.flip(1, 2)).per_nucleotide.flip(1)
    torch.testing.assert_close(got, (explainer(X).per_nucleotide + backward) / 2, atol=1e-6, rtol=1e-5)


def test_every_base_is_missing_from_exactly_one_of_four_quarters(model):
    X = one_hot(1)

    class Seen(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.shown = model, []

        def forward(self, x):
            self.shown.append(x.detach().clone())
            return self.inner(x)

    seen = Seen()
    consensus(seen, X, views=[View(without=k) for k in range(4, 8)])
    there = torch.stack([(x.max(dim=1).values == 1)[0] for x in seen.shown[:4]])
    assert (there.sum(dim=0) == 3).all()
    parts = knockout_parts(400, 3, 10, seed=0)
    for row in parts:
        starts = np.flatnonzero(np.diff(row)) + 1
        # Four neighbouring blocks are four parts, so a block and its like are at most six blocks apart.
        assert (np.bincount(row, minlength=4) >= 400 / 4 - 20).all()
        assert np.diff(starts).min() == 10 and np.diff(starts).max() <= 20


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
    e = consensus(model, X, passes=6)
    assert any("no view by DeepLIFT" in note for note in e.notes)
    assert "mean over 3 views of each sequence" in e.notes
    torch.testing.assert_close(
        e.relevance,
        consensus(model, X, views=[v for v in consensus_views(6) if v.by == "relevance"]).relevance,
    )
    with pytest.raises(UnsupportedOperationError):
        consensus(model, X, views=[View(by="difference")])


@pytest.mark.parametrize("kind", [DeepLift, GradientTimesInput])
def test_an_explainer_of_another_kind_makes_all_views_itself(model, kind):
    X = one_hot(2)
    explainer = kind(model, Pruning(p=0.1))
    both = consensus(explainer, X, views=[View(), View(by="difference")]).per_nucleotide
    torch.testing.assert_close(both, explainer(X).per_nucleotide, atol=1e-6, rtol=1e-5)


def test_a_shuffle_keeps_dinucleotides_and_does_not_depend_on_the_batch():
    X = one_hot(3)
    X[1, :, 5] = 0
    shuffles = shuffled(X, 0, 7)

    def pairs(x):
        codes = torch.where(x.sum(dim=0) > 0, x.argmax(dim=0), 4).numpy().astype(np.uint8)
        letters = decode_codes(codes[None])[0]
        return sorted(letters[i : i + 2] for i in range(L - 1))

    for x, shuffle in zip(X, shuffles, strict=True):
        assert pairs(x) == pairs(shuffle)
        assert not torch.equal(x, shuffle)
    torch.testing.assert_close(shuffled(X[2:], 0, 7)[0], shuffles[2])
    assert not torch.equal(shuffled(X, 0, 8), shuffles)


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
    assert max(abs(v.shift) for v in consensus_views(40, max_shift=2)) == 2


def test_the_default_views_are_by_relevance_and_by_difference_in_turn():
    views = consensus_views()
    assert [view.without for view in views[::2]] == [None, 0, 1, None, 2, 3]
    assert [view.by for view in views] == ["relevance", "difference"] * 6
    assert [sum(view.reverse for view in views[start::2]) for start in (0, 1)] == [3, 3]
    assert views[0] == View()
    assert len(set(views)) == len(views)
    assert {v.by for v in consensus_views(8, differences=False)} == {"relevance"}
    assert {v.without for v in consensus_views(8, knockouts=False)} == {None}


def test_the_same_seed_gives_the_same_map_and_another_other_quarters(model):
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
