"""A recording device played by the CPU: what torch and Triton do in a block, written down and done again.

As with a CUDA graph nothing of Python is run again, results land in the memory of the recording, and a wait for a value
is an error. Views and allocations are those of the recording.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from benchmarks.launches import ALLOCATIONS, WAITS
from genoplrp.relevance import deferred


class WaitError(RuntimeError):
    """The host would have waited for the device."""


class _Written(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Callable[[], None]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name == WAITS:
            raise WaitError(str(func))
        out = func(*args, **kwargs)
        if not func.is_view and name not in ALLOCATIONS:
            given = _held(args), kwargs
            changes = func._schema.is_mutable
            targets = [] if changes else [t.detach() for t in _tensors(out)]

            def again() -> None:
                for to, value in zip(targets, _tensors(func(*given[0], **given[1])), strict=not changes):
                    to.copy_(value)

            self.lines.append(again)
        return out


class Tape:
    """A recorder (see `genoplrp.relevance.fastpath.recording`)."""

    def __init__(self) -> None:
        self.recorded = self.played = 0

    def rehearse(self, work: Callable[[], object]) -> None:
        work()

    def record(self, work: Callable[[], object]) -> Callable[[], object]:
        from triton.runtime.jit import KernelInterface

        written, plain = _Written(), KernelInterface.__getitem__

        def launch(self: Any, grid: Any) -> Callable[..., Any]:
            def run(*args: Any, **kwargs: Any) -> None:
                def again() -> None:
                    plain(self, grid)(*args, **kwargs)

                written.lines.append(again)
                with _disable_current_modes():
                    again()

            return run

        def fetched(tensors: Any) -> Any:
            raise WaitError("on_host")

        with (
            patch.object(KernelInterface, "__getitem__", launch),
            patch.object(deferred, "on_host", fetched),
            written,
        ):
            work()
        self.recorded += 1

        def replay() -> None:
            self.played += 1
            with torch.no_grad():
                for again in written.lines:
                    again()

        return replay


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [t for part in value for t in _tensors(part)] if isinstance(value, tuple | list) else []


def _held(value: Any) -> Any:
    """Return arguments whose tensors are views: what is done to the originals later is done to the values only."""
    if isinstance(value, Tensor):
        return value.detach()
    return type(value)(map(_held, value)) if isinstance(value, tuple | list) else value
