"""The same blocks on the devices of this machine: reading ahead, computing and writing overlap; a thread a device."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from threading import Event

import numpy as np

from genoplrp.errors import InputError
from genoplrp.relevance import Explainer
from genoplrp.scan.blocks import Task, explain_block
from genoplrp.scan.cluster import Block

AHEAD = 1
"""Blocks that are read before a device asks for them."""

Result = tuple[int, dict[str, np.ndarray]]


class Stopped(Exception):  # noqa: N818 - nothing went wrong here
    """Another block failed, or the user interrupted: the rest of this one is not needed."""


class Usage:
    """How much of the time the devices compute."""

    def __init__(self, devices: int) -> None:
        self._devices, self._busy, self._began = devices, 0.0, time.perf_counter()

    def add(self, seconds: float) -> None:
        """Count seconds in which one device computed."""
        self._busy += seconds

    @property
    def share(self) -> float:
        """Share of the time since the start."""
        return self._busy / (self._devices * max(time.perf_counter() - self._began, 1e-9))


def device_names(text: str) -> list[str]:
    """Turn ``"0,1"`` into ``["cuda:0", "cuda:1"]``; names such as ``cpu`` stay.

    Raises
    ------
    InputError
        If it names no device.

    Examples
    --------
    >>> device_names("0,1")
    ['cuda:0', 'cuda:1']
    """
    names = [part.strip() for part in text.split(",")]
    if not all(names):
        raise InputError(f"--devices {text}: give numbers of GPUs or names, with commas between, e.g. 0,1")
    return [f"cuda:{name}" if name.isdigit() else name for name in names]


def explain_here(
    task: Task,
    explainers: Sequence[Explainer],
    numbers: Sequence[int],
    read: Callable[[int], Block],
    done: Callable[[int], object],
    usage: Usage,
) -> Iterator[Result]:
    """Explain blocks in this process and yield them as they come.

    While a device computes, the next block is read and the last one is written by whoever iterates; the CPU alone
    computes in the caller's thread. With one device the order is that of ``numbers``.

    Parameters
    ----------
    task : Task
        What to do.
    explainers : sequence of Explainer
        One a device, made by ``task.explainer()``.
    numbers : sequence of int
        The blocks.
    read : callable
        Number -> block; called from one thread.
    done : callable
        Told how many windows were explained, after each batch; called from the threads.
    usage : Usage
        Counts the time in which devices compute.

    Yields
    ------
    tuple
        Number of the block, and its arrays.

    Raises
    ------
    GenoplrpError
        As `explain_block`, after the blocks that were finished before.
    """
    if len(explainers) == 1 and explainers[0].device.type == "cpu":
        # The cores compute anyway, and memory that one thread has freed another one does not reuse.
        yield from _in_turn(task, explainers[0], numbers, read, done, usage)
        return
    free: SimpleQueue[Explainer] = SimpleQueue()
    for explainer in explainers:
        free.put(explainer)
    stop = Event()

    def report(windows: int) -> None:
        if stop.is_set():
            raise Stopped
        done(windows)

    def explain(block: Future[Block]) -> Result:
        number, codes, first, names = block.result()
        explainer = free.get()
        begin = time.perf_counter()
        try:
            return number, explain_block(task, explainer, codes, first, names, report)
        finally:
            usage.add(time.perf_counter() - begin)
            free.put(explainer)

    left = iter(numbers)
    pending: list[Future[Result]] = []
    reader = ThreadPoolExecutor(1, thread_name_prefix="genoplrp-read")
    workers = ThreadPoolExecutor(len(explainers), thread_name_prefix="genoplrp-explain")
    try:
        while True:
            for number in left:
                pending.append(workers.submit(explain, reader.submit(read, number)))
                if len(pending) >= len(explainers) + AHEAD:
                    break
            if not pending:
                return
            wait(pending, return_when=FIRST_COMPLETED)
            finished = [future for future in pending if future.done()]
            pending = [future for future in pending if future not in finished]
            # What was explained goes out before what failed is raised.
            for future in sorted(finished, key=lambda future: future.exception() is not None):
                yield future.result()
    finally:
        stop.set()
        workers.shutdown(cancel_futures=True)
        reader.shutdown(cancel_futures=True)


def _in_turn(
    task: Task,
    explainer: Explainer,
    numbers: Sequence[int],
    read: Callable[[int], Block],
    done: Callable[[int], object],
    usage: Usage,
) -> Iterator[Result]:
    """Explain in the caller's thread; only reading ahead has one of its own."""
    with ThreadPoolExecutor(1, thread_name_prefix="genoplrp-read") as reader:
        ahead = [reader.submit(read, number) for number in numbers[:1]]
        for following in [*numbers[1:], None]:
            if not ahead:
                return
            number, codes, first, names = ahead.pop().result()
            if following is not None:
                ahead.append(reader.submit(read, following))
            begin = time.perf_counter()
            arrays = explain_block(task, explainer, codes, first, names, done)
            usage.add(time.perf_counter() - begin)
            yield number, arrays
