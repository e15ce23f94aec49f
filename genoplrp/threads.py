"""Torch's number of threads, kept while other packages compute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def threads_kept() -> Iterator[None]:
    """Give torch back its number of threads when the block, or the decorated function, ends.

    A parallel loop that numba compiled tells the OpenMP runtime, which torch shares, to use as many threads as numba
    does: what torch computes afterwards is rounded in another order.

    Examples
    --------
    >>> import torch
    >>> before = torch.get_num_threads()
    >>> with threads_kept():
    ...     torch.set_num_threads(before + 1)
    >>> torch.get_num_threads() == before
    True
    """
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
