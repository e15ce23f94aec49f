"""Batches that are played back: the same to the bit as those that are computed, on the CPU as a recording device."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("triton")

from benchmarks.launches import as_a_card
from genoplrp.errors import InputError, NonFiniteError
from genoplrp.relevance import Explainer, Pruning, explainer
from genoplrp.training import build_architecture
from tests.oracles.tape import Tape
from tests.relevance.test_as_on_a_card import Residual

LENGTH = 24
NOT_HERE = pytest.mark.skipif(torch.cuda.is_available(), reason="a card records itself: benchmarks.gpu")
pytestmark = NOT_HERE


@pytest.fixture
def tape(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tape]:
    """The CPU as a card that records on a tape."""
    tape = Tape()
    monkeypatch.setattr(explainer, "CudaGraphs", lambda device: tape)
    with as_a_card():
        yield tape


def network(kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind == "residual":
        return Residual().eval()
    options = {"bpnet": {"filters": 8, "layers": 2}, "koo": {}}[kind]
    return build_architecture(kind, length=LENGTH, n_tasks=2, **options).eval()


def sequences(n: int, seed: int) -> Tensor:
    bases = torch.randint(4, (n, LENGTH), generator=torch.Generator().manual_seed(seed))
    return nn.functional.one_hot(bases, 4).mT.float().contiguous()


@pytest.mark.parametrize(
    "kind, rules, method, diagnostics",
    [
        ("residual", "epsilon", "lambda", True),
        ("residual", "gamma", "lambda", False),
        ("residual", "zplus", "M", False),
        ("bpnet", "gamma", "lambda", False),
        ("koo", "epsilon", "lambda", False),
    ],
)
def test_what_is_played_back_is_what_would_be_computed(
    tape: Tape, kind: str, rules: str, method: str, diagnostics: bool
) -> None:
    model, pruning = network(kind), Pruning(p=0.2, method=method)
    options = {"diagnostics": diagnostics, "keep_multiplier": True}
    computed = Explainer(model, rules, pruning, **options)
    played = Explainer(model, rules, pruning, cuda_graph=True, **options)
    played(sequences(1, 0))
    for seed in (1, 2):
        e, expected = played(sequences(1, seed)), computed(sequences(1, seed))
        assert torch.equal(e.relevance, expected.relevance)
        assert torch.equal(e.prediction, expected.prediction)
        assert torch.equal(e.multiplier, expected.multiplier)
        assert (e.notes, e.settings) == (expected.notes, expected.settings)
        if diagnostics:
            assert e.layers.equals(expected.layers)
            assert e.check().holds
    assert (tape.recorded, tape.played) == (1, 2)


def test_another_shape_target_or_weight_is_not_played_back(tape: Tape) -> None:
    model, pruning = network("residual"), Pruning(p=0.2)
    explain = Explainer(model, "epsilon", pruning, cuda_graph=True, diagnostics=False)
    for _ in range(2):
        explain(sequences(1, 0))
    assert tape.played == 1
    explain(sequences(2, 0))
    explain(sequences(1, 0), target=1)
    assert tape.played == 1
    for change in ("in place", "another tensor", "another layer"):
        with torch.no_grad():
            if change == "in place":
                model.second[0].weight.data.mul_(1.5)
            elif change == "another tensor":
                model.second[0].weight = nn.Parameter(model.second[0].weight * 1.5)
            else:
                model.second[1] = nn.Identity()
        fresh = Explainer(model, "epsilon", pruning, diagnostics=False)(sequences(1, 1)).relevance
        assert torch.equal(explain(sequences(1, 1)).relevance, fresh), change
    for _ in range(2):
        assert torch.equal(explain(sequences(1, 1)).relevance, fresh)
    assert tape.played > 1


def test_another_answer_is_computed_again(tape: Tape) -> None:
    model, X = network("residual"), sequences(1, 0)
    explain = Explainer(model, "gamma", Pruning(p=0.2), cuda_graph=True, diagnostics=False)
    for _ in range(2):
        explain(X)
    fresh = Explainer(model, "gamma", Pruning(p=0.2), diagnostics=False)
    assert torch.equal(explain(X - 0.3).relevance, fresh(X - 0.3).relevance)  # no DNA, and negative
    with torch.no_grad():
        model.head.bias[0] = torch.inf
    with pytest.raises(NonFiniteError):
        explain(X)


def test_what_cannot_be_recorded_is_explained_as_ever(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    def record(work: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(tape, "record", record)
    model, X = network("residual"), sequences(1, 0)
    explain = Explainer(model, "epsilon", Pruning(p=0.2), cuda_graph=True, diagnostics=False)
    with pytest.warns(UserWarning, match="no CUDA graph is recorded.*not permitted"):
        found = [explain(X).relevance for _ in range(3)]
    assert all(torch.equal(relevance, found[0]) for relevance in found)


def test_without_a_cuda_device_there_is_nothing_to_record() -> None:
    with pytest.raises(InputError, match="computes on cpu"):
        Explainer(network("koo"), cuda_graph=True)
