"""The same blocks on the devices of this machine: reading ahead, computing and writing overlap; a thread a device."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from queue import SimpleQueue

import numpy as np

from genoplrp.errors import InputError
from genoplrp.relevance import Explainer
from genoplrp.scan.blocks import Task, explain_block, joined
from genoplrp.scan.cluster import Block

AHEAD = 1
"""Blocks that are read before a device asks for them."""

Result = tuple[int, dict[str, np.ndarray]]


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
    computes in the caller's thread. Devices share the batches of a block; blocks come in their order.

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

    def explain(block: Block, start: int) -> dict[str, np.ndarray]:
        explainer = free.get()
        begin = time.perf_counter()
        try:
            part = slice(start, start + task.batch_size)
            return explain_block(
                task, explainer, block.codes[part], block.first + start, block.names[part], done
            )
        finally:
            usage.add(time.perf_counter() - begin)
            free.put(explainer)

    reader = ThreadPoolExecutor(1, thread_name_prefix="genoplrp-read")
    workers = ThreadPoolExecutor(len(explainers), thread_name_prefix="genoplrp-explain")
    ahead = deque(reader.submit(read, number) for number in numbers[:AHEAD])
    left = iter(numbers[AHEAD:])
    under_way: deque[tuple[int, list[Future[dict[str, np.ndarray]]]]] = deque()
    try:
        while ahead or under_way:
            # Two blocks at once: no device waits while the last batches of one are computed, or while it is written.
            while ahead and len(under_way) < 2:
                block = ahead.popleft().result()
                ahead.extend(reader.submit(read, number) for number in islice(left, 1))
                starts = range(0, len(block.codes), task.batch_size)
                under_way.append((block.number, [workers.submit(explain, block, at) for at in starts]))
            number, parts = under_way.popleft()
            yield number, joined([part.result() for part in parts])
    finally:
        workers.shutdown(cancel_futures=True)  # batches under way are waited for, the others given up
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
