"""Networks that are invariant, stranded or anchored by construction, and what one call makes of each."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import genoplrp as gp
from genoplrp.relevance import DeepLift, Explainer, Pruning, measure_invariance
from genoplrp.relevance.methods.copies import COPIES, P
from genoplrp.relevance.methods.invariance import Kept, shuffled

L, SITE, AT = 40, "GATTACAG", 16
KINDS = {"planted": (True, True), "stranded": (True, False), "anchored": (False, False)}


class Finder(nn.Module):
    """Finds one site: anywhere on both strands (planted), on one (stranded), or at one place only (anchored)."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        codes = torch.tensor(["ACGT".index(base) for base in SITE])
        forward = torch.eye(4)[codes].mT - 0.25
        filters = [forward, forward.flip(0, 1)] if kind == "planted" else [forward]
        self.conv = nn.Conv1d(4, len(filters), len(SITE))
        self.last = nn.Linear(len(filters), 1)
        self.anchored = kind == "anchored"
        with torch.no_grad():
            self.conv.weight.copy_(torch.stack(filters))
            self.conv.bias.fill_(-2.0)
            self.last.weight.fill_(2.0)
            self.last.bias.fill_(-1.0)

    def forward(self, x):
        h = torch.relu(self.conv(x))
        return self.last(h[..., AT] if self.anchored else h.amax(2))


def sequences(n: int, *, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, size=(n, L))
    codes[:, AT : AT + len(SITE)] = ["ACGT".index(base) for base in SITE]
    return torch.eye(4)[torch.as_tensor(codes)].mT.contiguous()


@pytest.mark.parametrize("n", [1, 3, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_the_outputs_say_which_views_are_allowed(kind, n):
    found = measure_invariance(Explainer(Finder(kind).eval()), sequences(n))
    assert (found.shift.allowed, found.strand.allowed) == KINDS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_one_call_finds_the_site_without_options_and_says_what_it_found(kind):
    X = sequences(12)
    e = gp.consensus(Finder(kind).eval(), X)
    foremost = e.per_nucleotide.topk(len(SITE)).indices
    assert ((foremost >= AT) & (foremost < AT + len(SITE))).float().mean() > 0.95
    shift, strand = ("yes" if allowed else "no" for allowed in KINDS[kind])
    assert any(f"shift {shift}" in note and f"strand {strand}" in note for note in e.notes)
    assert e.settings["invariance"].strand.allowed is KINDS[kind][1]


def test_views_that_are_not_allowed_are_not_taken():
    e = gp.consensus(Finder("stranded").eval(), sequences(12))
    assert {view.reverse for view in e.settings["views"]} == {False}
    assert {view.shift for view in e.settings["views"]} != {0}


def test_limits_of_ones_own_are_kept():
    e = gp.consensus(Finder("planted").eval(), sequences(12), max_shift=0)
    assert e.settings["invariance"].shift is None
    assert {view.shift for view in e.settings["views"]} == {0}


def test_an_anchored_model_is_explained_by_differences_from_shuffles_and_half_as_much_relevance():
    model, X = Finder("anchored").eval().double(), sequences(5).double()
    copies = torch.stack([shuffled(X, seed) for seed in range(COPIES)], dim=1)
    lifted = DeepLift(model, Pruning(p=P), references=copies)(X).per_nucleotide
    plain = Explainer(model, "gamma", Pruning(p=P))(X).per_nucleotide
    unit = lifted.clamp(min=0).sum(1, keepdim=True)
    expected = (lifted + 0.5 * unit * plain / plain.clamp(min=0).sum(1, keepdim=True)) / 1.5
    torch.testing.assert_close(gp.consensus(model, X).per_nucleotide, expected)
    # No more copies at once than fit a batch: the same.
    torch.testing.assert_close(gp.consensus(model, X, batch_size=3).per_nucleotide, expected)


def test_one_target_a_sequence_goes_with_the_sample():
    model = nn.Sequential(Finder("anchored"), nn.Linear(1, 2)).eval()
    X = sequences(50)
    target = torch.arange(50) % 2
    found = measure_invariance(Explainer(model), X, target)
    assert not found.shift.allowed
    assert gp.consensus(model, X, target).relevance.shape == X.shape


@pytest.mark.parametrize(
    "kept, allowed",
    [
        (Kept(0.95, 0.98, 0.01), True),
        (Kept(0.95, 0.85, 0.06), True),  # within its error
        (Kept(0.95, 0.80, 0.02), False),
        (Kept(0.60, 1.00, 0.02), False),
        (Kept(0.95, float("nan"), 0.0), True),  # nothing above the shuffles: the correlation decides
    ],
)
def test_correlation_and_excess_are_both_asked_for(kept, allowed):
    assert kept.allowed is allowed


def test_a_share_that_says_nothing_is_not_printed():
    for excess, error in ((float("nan"), 0.0), (-2.37, 0.1), (2.6, 0.1), (0.9, 0.7)):
        assert str(Kept(0.73, excess, error)) == "no (r 0.73, share kept not measurable)"
    assert str(Kept(0.95, 0.8, 0.02)) == "no (r 0.95, 80% kept)"


def test_shuffles_keep_the_bases_and_the_seed():
    X = sequences(3)
    assert torch.equal(shuffled(X, 1), shuffled(X, 1))
    assert not torch.equal(shuffled(X, 1), shuffled(X, 2))
    torch.testing.assert_close(shuffled(X, 1).sum(2), X.sum(2))
