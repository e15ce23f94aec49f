"""Yes-or-no questions about values on a GPU, answered without waiting for it; on a CPU they are answered at once.

A question such as "is no input of this layer negative?" has the same answer batch after batch. So a batch takes the
answers of the one before it, goes on, and compares them with the true ones when it is done: one wait a batch. Where an
answer turns out to be wrong the batch is computed again with the right one, so that results never depend on a guess.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from genoplrp.relevance import devices

Answers = dict[tuple[str, int], bool]
AT_ONCE = {"cpu"}
"""Devices that are never waited for."""


class WrongAnswerError(Exception):
    """An answer taken from an earlier batch does not hold for this one: compute it again."""


class Questions:
    """What one batch asks, in its order.

    Parameters
    ----------
    answers
        Those of an earlier batch; completed, and corrected by `settle`.
    """

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self._asked: Counter[str] = Counter()
        self._assumed: list[tuple[tuple[str, int], Tensor]] = []
        self._refusals: list[tuple[Tensor, Callable[[], Exception]]] = []

    @contextmanager
    def open(self) -> Iterator[None]:
        """Let `holds` and `refuse_if` ask through this object in the block, in this thread."""
        before = getattr(_local, "questions", None)
        _local.questions = self
        try:
            yield
        except BaseException:
            self._assumed, self._refusals = [], []
            raise
        finally:
            _local.questions = before

    def ask(self, about: str, truth: Tensor) -> bool:
        """Return what is believed of ``truth``, a Boolean of one element, or 0 or 1."""
        key = (about, self._asked[about])
        self._asked[about] += 1
        if key in self.answers:
            self._assumed.append((key, truth))
        else:
            self.answers[key] = bool(truth)
        return self.answers[key]

    def refuse(self, is_bad: Tensor, error: Callable[[], Exception]) -> None:
        """Remember an error to raise if ``is_bad`` turns out to be true, or, where it holds numbers, not finite."""
        self._refusals.append((is_bad, error))

    def settle(self, *, again: bool = False) -> None:
        """Wait for the device, once, and check everything that was taken for granted.

        Parameters
        ----------
        again
            Whether the same tensors will be asked again, with other values.

        Raises
        ------
        WrongAnswerError
            If an answer was wrong; the right ones are remembered.
        Exception
            The first error whose condition is true.
        """
        # Let go of: what the errors speak of keeps the batch alive, and the batch keeps this.
        assumed, refusals = self._assumed, self._refusals
        if not again:
            self._assumed, self._refusals = [], []
        found = on_host([truth for _, truth in assumed] + [is_bad for is_bad, _ in refusals])
        wrong = [
            key
            for (key, _), truth in zip(assumed, found, strict=False)
            if self.answers[key] != bool(truth.numpy())
        ]
        if wrong:
            # What was asked after the first wrong answer may not be asked again.
            self.answers[wrong[0]] = not self.answers[wrong[0]]
            for key in wrong[1:]:
                del self.answers[key]
            raise WrongAnswerError
        for seen, (_, error) in zip(found[len(assumed) :], refusals, strict=True):
            if _is_bad(seen):
                raise error()


class _Local(threading.local):
    questions: Questions | None = None


_local = _Local()


def current() -> Questions | None:
    """Return the questions of the batch that this thread computes."""
    return _local.questions


def holds(about: str, truth: Tensor) -> bool:
    """Return a Boolean of one element as Python's, without waiting for a device where an earlier batch told.

    Parameters
    ----------
    about
        What is asked; the n-th question of a name is the same one in every batch.
    truth
        The Boolean.
    """
    if devices.kind_of(truth) in AT_ONCE or _local.questions is None:
        return bool(truth)
    return _local.questions.ask(about, truth)


def refuse_if(is_bad: Tensor, error: Callable[[], Exception]) -> None:
    """Raise an error where a Boolean of one element is true: at once on a CPU, else when the batch is done."""
    if devices.kind_of(is_bad) in AT_ONCE or _local.questions is None:
        if _is_bad(is_bad.detach().cpu()):
            raise error()
        return
    _local.questions.refuse(is_bad, error)


def refuse_unless_finite(sizes: Tensor, error: Callable[[], Exception]) -> None:
    """Raise an error where one of a few numbers is not finite: at once on a CPU, else when the batch is done."""
    refuse_if(sizes, error)


def on_host(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return small tensors in the CPU's memory, with one copy for all of a dtype."""
    found: dict[int, Tensor] = {}
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        numbers = [i for i, tensor in enumerate(tensors) if tensor.dtype == dtype]
        flat = torch.cat([tensors[i].detach().reshape(-1) for i in numbers]).cpu()
        parts = flat.split([tensors[i].numel() for i in numbers])
        found |= {i: part.reshape(tensors[i].shape) for i, part in zip(numbers, parts, strict=True)}
    return [found[i] for i in range(len(tensors))]


def _is_bad(seen: Tensor) -> bool:
    """Return what a tensor of `Questions.refuse` says, on the CPU."""
    return (
        not bool(np.isfinite(seen.double().numpy()).all()) if seen.is_floating_point() else bool(seen.numpy())
    )
