"""Runs plainly, for the length of an explanation, what would hide a model's operations: compiled code, checkpointing.

Both are switches of torch that belong to the whole process; other threads compute the same values meanwhile.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.utils import checkpoint as checkpointing

_lock = threading.Lock()
_switched = ExitStack()
_under_way = 0


class _Explaining(threading.local):
    here = False


_explaining = _Explaining()


@contextmanager
def plainly() -> Iterator[None]:
    """Run what torch.compile compiled as the Python it was, and checkpointed parts at once, for the block."""
    global _under_way
    before = _explaining.here
    _explaining.here = True
    with _lock:
        if _under_way == 0:
            _switch(_switched)
        _under_way += 1
    try:
        yield
    finally:
        _explaining.here = before
        with _lock:
            _under_way -= 1
            if _under_way == 0:
                _switched.close()


def _switch(stack: ExitStack) -> None:
    if "torch._dynamo" in sys.modules:  # else nothing can have been compiled
        stack.enter_context(torch.compiler.set_stance("force_eager"))
    for name, plain in (
        ("CheckpointFunction", _reentrant),
        ("_checkpoint_without_reentrant_generator", _other),
    ):
        own = getattr(checkpointing, name, None)
        if own is not None:
            setattr(checkpointing, name, plain(own))
            stack.callback(setattr, checkpointing, name, own)


def _reentrant(own: Any) -> Any:
    """Stand in for checkpointing's autograd function: its backward would run the part again, unseen."""

    class Plain:
        @staticmethod
        def apply(function: Any, preserve_rng_state: bool, *args: Any) -> Any:
            return function(*args) if _explaining.here else own.apply(function, preserve_rng_state, *args)

    return Plain


def _other(own: Any) -> Any:
    """Stand in for the generator that wraps a checkpointed part in saved-tensor hooks."""

    def plain(*args: Any, **kwargs: Any) -> Generator[None, None, None]:
        if _explaining.here:
            yield
        else:
            yield from own(*args, **kwargs)

    return plain
