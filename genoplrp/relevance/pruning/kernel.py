"""Pruning on the CPU, compiled: the samples spread over threads, the memory each thread works in.

Not here: the definition (`thresholds`), and the passes over one sample (`radix`).

The kernel is serial and releases the interpreter's lock; samples are spread over as many threads as torch uses, and no
setting of numba's or torch's is touched. (numba's own parallel loops change torch's number of threads, and crash under
the default threading layer when two Python threads enter them.)
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from genoplrp.relevance.pruning.radix import INPUTS, KEEP, RESCALE, prune_rows, workspace
from genoplrp.relevance.pruning.thresholds import POLICIES, PruneStats, Reference

ENTRIES_PER_THREAD = 100_000
"""Below this a second thread costs more than it saves."""


class Compiled(Reference):
    """The compiled form of `thresholds.Reference`, for float32 and float64 rows in the CPU's memory."""

    @staticmethod
    def prune(
        a: Tensor, g: Tensor, p_pos: Tensor, p_neg: Tensor, rescale: bool, policy: str, out: Tensor
    ) -> PruneStats:
        """Write the pruned multiplier of (N, M) rows into ``out``."""
        return _over_samples(a, g, out, p_pos, p_neg, policy, RESCALE if rescale else KEEP)

    @staticmethod
    def inputs(a: Tensor, g: Tensor, p_pos: Tensor, p_neg: Tensor, policy: str, out: Tensor) -> PruneStats:
        """Write the activations whose relevance is kept into ``out``, 0 for the others; (N, M) rows."""
        return _over_samples(a, g, out, p_pos, p_neg, policy, INPUTS)


def over_rows(rows: int, entries: int, block: Callable[[int, int], object]) -> None:
    """Call ``block(start, stop)`` for all rows, in as many threads as torch uses where the entries are worth it."""
    workers = max(1, min(torch.get_num_threads(), rows, entries // ENTRIES_PER_THREAD))
    edges = [rows * i // workers for i in range(workers + 1)]
    others = [_threads().submit(block, edges[i], edges[i + 1]) for i in range(1, workers)]
    block(edges[0], edges[1])
    for other in others:
        other.result()


def _over_samples(
    a: Tensor, g: Tensor, out: Tensor, p_pos: Tensor, p_neg: Tensor, policy: str, mode: int
) -> PruneStats:
    """Run the kernel over all samples, in as many threads as torch uses, and gather what it counted."""
    rows, entries = g.shape
    masses = torch.empty(rows, 4, dtype=torch.float64)
    counts = torch.empty(rows, 4, dtype=torch.int64)
    shares = torch.stack((p_pos, p_neg), dim=1)
    arrays = [tensor.numpy() for tensor in (a, g, out, shares, masses, counts)]
    chosen = POLICIES.index(policy)

    def block(start: int, stop: int) -> None:
        memory = workspace(entries, arrays[0].dtype)
        prune_rows(*(array[start:stop] for array in arrays), chosen, mode, memory)

    over_rows(rows, rows * entries, block)
    return PruneStats(*masses.unbind(1), *counts.unbind(1))


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="genoplrp-pruning")


if hasattr(os, "register_at_fork"):  # a forked process has none of its parent's threads
    os.register_at_fork(after_in_child=_threads.cache_clear)
