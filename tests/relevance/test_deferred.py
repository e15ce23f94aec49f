"""Questions to a GPU that are answered later; here the CPU plays the GPU."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from genoplrp.errors import NonFiniteError
from genoplrp.relevance import Explainer, Pruning, deferred
from genoplrp.relevance.deferred import Answers, Questions, WrongAnswerError, holds, refuse_if

YES, NO = torch.tensor(True), torch.tensor(False)


@pytest.fixture
def waited_for(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The CPU as a device that is waited for; what was waited for is listed."""
    monkeypatch.setattr(deferred, "AT_ONCE", set())
    waits: list[str] = []
    plain = Questions.ask

    def ask(self: Questions, about: str, truth: Tensor) -> bool:
        before = len(self.answers)
        answer = plain(self, about, truth)
        waits.extend([about] * (len(self.answers) - before))
        return answer

    monkeypatch.setattr(Questions, "ask", ask)
    yield waits


def test_an_answer_of_an_earlier_batch_is_taken_and_checked(waited_for: list[str]) -> None:
    answers: Answers = {}
    for _ in range(2):
        questions = Questions(answers)
        with questions.open():
            assert holds("a", YES) and not holds("a", NO) and holds("b", YES)
        questions.settle()
    assert waited_for == ["a", "a", "b"]


def test_a_wrong_answer_is_corrected(waited_for: list[str]) -> None:
    answers: Answers = {("a", 0): True, ("b", 0): True}
    questions = Questions(answers)
    with questions.open():
        assert holds("a", NO) and holds("b", YES)
    with pytest.raises(WrongAnswerError):
        questions.settle()
    assert answers == {("a", 0): False, ("b", 0): True}


def test_an_error_is_raised_when_the_batch_is_done_and_only_then(waited_for: list[str]) -> None:
    questions = Questions({})
    with questions.open():
        refuse_if(NO, lambda: ValueError("never"))
        refuse_if(YES, lambda: ValueError("later"))
    with pytest.raises(ValueError, match="later"):
        questions.settle()


def test_without_a_batch_everything_is_answered_at_once() -> None:
    assert holds("a", YES) and not holds("a", NO)
    with pytest.raises(ValueError, match="now"):
        refuse_if(YES, lambda: ValueError("now"))


def _network() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(4, 6, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(6, 6, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(6 * 13, 2),
    )  # fmt: skip
    return model, torch.eye(4)[torch.randint(4, (3, 30))].mT.contiguous()


@pytest.mark.parametrize("rules", ["epsilon", "gamma", "zplus"])
@pytest.mark.parametrize("method", ["lambda", "M"])
def test_explanations_are_the_same_and_later_batches_do_not_wait(
    waited_for: list[str], monkeypatch: pytest.MonkeyPatch, rules: str, method: str
) -> None:
    model, X = _network()
    explain = Explainer(model, rules, Pruning(p=0.2, method=method))  # type: ignore[arg-type]
    explain._chains.declined = "for autograd's threads and nodes"
    first = explain(X)
    first_waits = len(waited_for)
    second = explain(X.flip(2))
    assert len(waited_for) == first_waits
    monkeypatch.setattr(deferred, "AT_ONCE", {"cpu"})
    plain = Explainer(model, rules, Pruning(p=0.2, method=method))  # type: ignore[arg-type]
    plain._chains.declined = explain._chains.declined
    assert torch.equal(first.relevance, plain(X).relevance)
    assert torch.equal(second.relevance, plain(X.flip(2)).relevance)


def test_a_batch_that_answers_otherwise_is_computed_again(waited_for: list[str]) -> None:
    model, X = _network()
    explain = Explainer(model, "gamma", Pruning(p=0.2))
    explain(X)
    shifted = X - 0.3  # negative inputs, no DNA: other answers than before
    fresh = Explainer(model, "gamma", Pruning(p=0.2))(shifted)
    assert torch.equal(explain(shifted).relevance, fresh.relevance)
    assert not torch.equal(fresh.relevance, explain(X).relevance)


def test_what_is_not_finite_is_still_an_error(waited_for: list[str]) -> None:
    model, X = _network()
    explain = Explainer(model, "gamma", Pruning(p=0.2))
    explain(X)
    with torch.no_grad():
        model[3].weight[0, 0, 0] = torch.inf  # type: ignore[index, union-attr]
    with pytest.raises(NonFiniteError):
        explain(X)


def test_nothing_of_a_batch_is_kept(waited_for: list[str]) -> None:
    model, X = _network()
    explain = Explainer(model, "gamma", Pruning(p=0.2))
    explain._chains.declined = "for autograd's graph"
    alive: list[weakref.ref[Tensor]] = []
    hook = model[3].register_forward_hook(lambda _, __, out: alive.append(weakref.ref(out)))
    explain(X)
    hook.remove()
    gc.collect()
    assert alive and all(ref() is None for ref in alive)
