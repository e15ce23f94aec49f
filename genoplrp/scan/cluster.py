"""The same blocks on the workers of a Ray cluster: each loads the model once; this process alone reads and writes."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from genoplrp.errors import GenoplrpError, InputError, MissingDependencyError
from genoplrp.scan.blocks import Task, explain_block

IN_FLIGHT = 2
"""Blocks that a worker has at once: one that it explains, and one that waits, so that it is never idle."""
ATTEMPTS = 3
"""How often a block is tried before the scan gives up."""


class Block(NamedTuple):
    """What is sent to a worker.

    Attributes
    ----------
    number : int
        Number of the block.
    codes : array, (n, L), uint8
        Its bases; workers need no file.
    first : int
        Number of its first window.
    names : list of str
        Names of its windows.
    """

    number: int
    codes: np.ndarray
    first: int
    names: list[str]


def explain_on_ray(
    task: Task,
    numbers: Iterable[int],
    read: Callable[[int], Block],
    *,
    workers: int | None = None,
    address: str | None = None,
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Explain blocks on a Ray cluster and yield them as they come.

    At most `IN_FLIGHT` blocks a worker are under way, so neither memory here nor the cluster's object store fills up. A
    block whose worker died is given to another one, and a new worker takes the dead one's place.

    Parameters
    ----------
    task : Task
        What to do; it reaches each worker once.
    numbers : iterable of int
        The blocks.
    read : callable
        Number -> what to send.
    workers : int, optional
        Number of workers; by default as many as the cluster has CPUs for (GPUs, where the device is one).
    address : str, optional
        Of a running cluster; by default that of the environment (``RAY_ADDRESS``), or a local one for this scan.

    Yields
    ------
    tuple
        Number of the block, and its arrays; in the order in which they are finished.

    Raises
    ------
    MissingDependencyError
        If ray is not installed.
    InputError
        If there is no cluster at the address, or it has no room for one worker.
    GenoplrpError
        If a block fails again and again.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError("--engine ray needs Ray: pip install 'genoplrp[ray]'") from error
    if workers is not None and workers < 1:
        raise InputError(f"workers={workers}: at least one is needed")
    began = not ray.is_initialized()
    if began:
        _join(ray, address)
    pool = None
    try:
        pool = _Pool(ray, task, workers)
        yield from pool.run(numbers, read)
    finally:
        if pool is not None:
            pool.close()
        if began:
            ray.shutdown()


class _Pool:
    """Workers, and which block each of them has."""

    def __init__(self, ray: Any, task: Task, workers: int | None) -> None:
        self._ray = ray
        _by_value(ray, task.model)
        # As many threads as here: sums over threads are ordered by their number, and the bytes are to be the same.
        threads = torch.get_num_threads()
        gpus = 1 if task.device is not None and task.device.startswith("cuda") else 0
        self._make = ray.remote(num_cpus=0 if gpus else threads, num_gpus=gpus)(_Worker).remote
        self._arguments = (ray.put(task), threads)
        there = ray.cluster_resources().get("GPU" if gpus else "CPU", 0)
        fit = int(there / (gpus or threads))
        if fit < 1:
            raise InputError(
                f"the Ray cluster has {there:g} {'GPUs' if gpus else 'CPUs'}, a worker needs {gpus or threads}: "
                + ("choose --device cpu" if gpus else "set OMP_NUM_THREADS to that number or less")
            )
        wanted = fit if workers is None else workers
        if wanted > fit:
            raise InputError(f"{wanted} workers of {gpus or threads} each do not fit the cluster's {there:g}")
        self.actors = [self._make(*self._arguments) for _ in range(wanted)]
        self._load = [0] * wanted
        self._pending: dict[Any, tuple[int, int]] = {}

    def run(
        self, numbers: Iterable[int], read: Callable[[int], Block]
    ) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        todo = deque(numbers)
        attempts: dict[int, int] = {}
        while todo or self._pending:
            while todo and min(self._load) < IN_FLIGHT:
                self._send(read(todo.popleft()))
            ready, _ = self._ray.wait(list(self._pending), num_returns=1)
            worker, number = self._pending.pop(ready[0])
            self._load[worker] -= 1
            try:
                arrays = self._ray.get(ready[0])
            except Exception as error:  # whatever the user's model, the machine or the network raised
                cause = getattr(error, "cause", None)
                if isinstance(cause, GenoplrpError):
                    raise cause from error
                if getattr(error, "actor_init_failed", False):
                    raise GenoplrpError(
                        f"a worker of the Ray cluster could not begin: {_first(error)}. Is the same genoplrp, and all "
                        "that the model imports, installed on its machine?"
                    ) from error
                attempts[number] = attempts.get(number, 0) + 1
                if attempts[number] >= ATTEMPTS:
                    raise GenoplrpError(
                        f"block {number} failed {ATTEMPTS} times on the Ray cluster, at last with: "
                        f"{_first(cause or error)}. What was finished is kept: run the same command again to continue"
                    ) from error
                if isinstance(error, self._ray.exceptions.RayActorError):
                    todo.extendleft(self._replace(worker))
                todo.appendleft(number)
                continue
            yield number, arrays

    def close(self) -> None:
        for actor in self.actors:
            self._ray.kill(actor, no_restart=True)

    def _send(self, block: Block) -> None:
        worker = int(np.argmin(self._load))
        reference = self.actors[worker].explain.remote(block.codes, block.first, block.names)
        self._pending[reference] = (worker, block.number)
        self._load[worker] += 1

    def _replace(self, worker: int) -> list[int]:
        """Put a new worker in a dead one's place, and return the other blocks that the dead one had."""
        lost = [reference for reference, (owner, _) in self._pending.items() if owner == worker]
        numbers = [self._pending.pop(reference)[1] for reference in lost]
        self._load[worker] = 0
        self.actors[worker] = self._make(*self._arguments)
        return numbers


class _Worker:
    """One process of the cluster, with the model in it."""

    def __init__(self, task: Task, threads: int) -> None:
        torch.set_num_threads(threads)
        self._task, self._explainer = task, task.explainer()

    def explain(self, codes: np.ndarray, first: int, names: list[str]) -> dict[str, np.ndarray]:
        # What comes out of Ray's store cannot be written to, and torch warns of that.
        return explain_block(self._task, self._explainer, np.array(codes), first, names)


def _join(ray: Any, address: str | None) -> None:
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False, include_dashboard=False)
    except ValueError:  # a running cluster has its own dashboard settings
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except ConnectionError as error:
        raise InputError(f"there is no Ray cluster at {address or 'RAY_ADDRESS'}: {_first(error)}") from error


def _by_value(ray: Any, model: torch.nn.Module) -> None:
    """Send the user's own classes along: workers may not be able to import them."""
    for name in {type(module).__module__ for module in model.modules()} - {"__main__"}:
        module = sys.modules.get(name)
        file = getattr(module, "__file__", None) or "site-packages"
        installed = {"site-packages", "dist-packages"} & set(Path(file).parts)
        if module is not None and not installed and name.split(".")[0] != "genoplrp":
            ray.cloudpickle.register_pickle_by_value(module)


def _first(error: BaseException) -> str:
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):  # not the last line of its traceback, which may be a note
        return f"{type(cause).__name__}: {cause}"
    text = str(error).strip()
    return text.splitlines()[-1] if text else type(error).__name__
