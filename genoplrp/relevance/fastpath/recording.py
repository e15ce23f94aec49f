"""Batches of one shape played back by a CUDA device: recorded once as a CUDA graph, without Python on the way.

A pass over a chain asks nothing of its values before its end (`deferred`), so that a batch of the same shape enqueues
the same kernels; only what is read of the model, and what it is asked, is compared each time. Where anything differs,
or cannot be recorded, the caller computes as it does otherwise. Not here: what a batch is (`explainer`).

References
----------
"CUDA Graphs" in PyTorch's notes on CUDA semantics: warm-up and recording on one side stream, memory that stays.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from genoplrp.errors import GenoplrpError
from genoplrp.relevance.deferred import Answers, Questions, WrongAnswerError

LARGEST_NUMBER = 4
"""Recordings that are kept: each holds the memory of a batch."""
MOST_WRONG = 3
"""Recordings that other answers made useless, after which nothing is recorded any more."""
REHEARSALS = 2
"""Batches on the recording's stream before it: kernels are compiled, libraries have their workspaces then."""
Results = TypeVar("Results")


class Recorder(Protocol):
    """What records the work of a device, and plays it back."""

    def rehearse(self, work: Callable[[], object]) -> None:
        """Do the work as it will be recorded."""

    def record(self, work: Callable[[], object]) -> Callable[[], object]:
        """Do the work once more, and return what plays it back in the same memory."""


class CudaGraphs:
    """Records by `torch.cuda.graph` on a stream of its own."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)

    def rehearse(self, work: Callable[[], object]) -> None:
        """Do the work on the side stream."""
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.device(self.device), torch.cuda.stream(self.stream):
            work()
        current.wait_stream(self.stream)

    def record(self, work: Callable[[], object]) -> Callable[[], object]:
        """Record the work; other threads may go on using the device."""
        graph = torch.cuda.CUDAGraph()
        with (
            torch.cuda.device(self.device),
            torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"),
        ):
            work()
        return graph.replay


@dataclass(frozen=True, eq=False)
class _Recording(Generic[Results]):
    x: Tensor
    replay: Callable[[], object]
    questions: Questions
    results: Results
    kept: Sequence[object]  # what lies outside of the recording's own memory


@dataclass(eq=False)
class Recordings(Generic[Results]):
    """The recordings of one explainer.

    Attributes
    ----------
    recorder
        Records and plays.
    failure
        Why nothing is recorded any more; empty while it is.
    """

    recorder: Recorder
    failure: str = ""
    _wrong: int = 0
    _known: dict[Hashable, _Recording[Results] | None] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def play(
        self,
        key: Hashable,
        x: Tensor,
        enqueue: Callable[[Tensor, Questions], Results],
        answers: Answers,
        kept: Callable[[], Sequence[object]],
        fetch: Callable[[Results], Results],
    ) -> Results | None:
        """Return the results of a batch; None where the caller is to compute it.

        Parameters
        ----------
        key
            All that the work depends on but the values in ``x``. The first batch of a key is the caller's.
        x
            (N, ...) on the device.
        enqueue
            Enqueues the work on a tensor like ``x``, and asks through the questions.
        answers
            Of earlier batches.
        kept
            Gives what the work reads that was made before it, and must live as long.
        fetch
            Brings results into the CPU's memory; the next batch overwrites them.
        """
        with self._lock:
            if self.failure:
                return None
            if key not in self._known:
                if len(self._known) == LARGEST_NUMBER:
                    del self._known[next(iter(self._known))]
                self._known[key] = None
                return None
            recording = self._known[key] or self._record(x, enqueue, answers, kept)
            if recording is None:
                return None
            self._known[key] = recording
            recording.x.copy_(x)
            recording.replay()
            try:
                recording.questions.settle(again=True)
            except WrongAnswerError:
                del self._known[key]
                self._count_wrong()
                return None
            return fetch(recording.results)

    def _record(
        self,
        x: Tensor,
        enqueue: Callable[[Tensor, Questions], Results],
        answers: Answers,
        kept: Callable[[], Sequence[object]],
    ) -> _Recording[Results] | None:
        static, found = x.clone(), dict(answers)
        results: list[Results] = []

        def work() -> None:
            with questions.open():
                results[:] = [enqueue(static, questions)]

        try:
            for _ in range(REHEARSALS):
                questions = Questions(found)
                self.recorder.rehearse(work)
                questions.settle()
            questions = Questions(found)
            replay = self.recorder.record(work)
        except GenoplrpError:
            return None  # the caller's batch says so
        except WrongAnswerError:
            self._count_wrong()
            return None
        except Exception as error:  # whatever a driver may say: an explanation does not depend on it
            self._give_up(f"{type(error).__name__}: {' '.join(str(error).splitlines()[:1])}")
            return None
        return _Recording(static, replay, questions, results[0], kept())

    def _count_wrong(self) -> None:
        self._wrong += 1
        if self._wrong == MOST_WRONG:
            self._give_up("what is asked of a batch has another answer each time")

    def _give_up(self, why: str) -> None:
        self.failure = why
        self._known.clear()
        warnings.warn(f"no CUDA graph is recorded, batches are computed as without it: {why}", stacklevel=7)
