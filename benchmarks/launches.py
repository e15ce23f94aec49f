"""How many kernels a card is given for one batch, beside gradient x input: ``python -m benchmarks.launches``.

Counted is what torch hands its device (every operation that is neither a view nor an allocation) and every launch of a
Triton kernel. Without a card the CPU is told to be one: the same lines run, the kernels in Triton's interpreter, so
the counts are those of a card, and only the lengths are shorter (they do not change the counts).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.timing import machine, parser, save, table

NETWORKS = {"koo": 200, "bpnet": 130}
"""Network -> length in bp: just too long for the short form of the pruning kernel, but koo's. One sequence a batch."""
ALLOCATIONS = ("empty", "new_empty", "empty_like", "empty_strided", "new_empty_strided")
WAITS = "_local_scalar_dense"


class Counted(TorchDispatchMode):
    """Counts operations by name in a block; ``waits`` is how often the host waited for a number."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()
        self.triton: Counter[str] = Counter()
        self.waits = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Count one operation."""
        name = func.overloadpacket.__name__
        if name == WAITS:
            self.waits += 1
        elif not func.is_view and name not in ALLOCATIONS:
            self.operations[name] += 1
        return func(*args, **(kwargs or {}))

    @property
    def launches(self) -> int:
        """Operations and Triton kernels."""
        return self.operations.total() + self.triton.total()


@contextmanager
def counted() -> Iterator[Counted]:
    """Count what is launched in the block."""
    from triton.runtime.jit import KernelInterface

    from genoplrp.relevance import deferred
    from genoplrp.relevance.propagation.ledger import Ledger

    count, plain, fetch, close = Counted(), KernelInterface.__getitem__, deferred.on_host, Ledger.close

    def launch(self: Any, grid: Any) -> Callable[..., Any]:
        count.triton[self.__name__] += 1
        with torch.utils._python_dispatch._disable_current_modes():
            run: Callable[..., Any] = plain(self, grid)

        def quietly(*args: Any, **kwargs: Any) -> Any:
            with torch.utils._python_dispatch._disable_current_modes():  # the interpreter's own copies
                return run(*args, **kwargs)

        return quietly

    def fetched(tensors: Any) -> Any:
        count.waits += 1
        return fetch(tensors)

    def closed(self: Ledger) -> None:
        with torch.utils._python_dispatch._disable_current_modes():  # the CPU's arithmetic
            close(self)

    with (
        patch.object(KernelInterface, "__getitem__", launch),
        patch.object(Ledger, "close", closed),
        patch.object(deferred, "on_host", fetched),
        count,
    ):
        yield count


@contextmanager
def as_a_card() -> Iterator[None]:
    """Let the CPU's tensors count as a card's; where there is a card, do nothing."""
    if torch.cuda.is_available():
        yield
        return
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read where a kernel is defined
    from genoplrp.relevance import deferred, devices
    from genoplrp.relevance.pruning import triton_kernel

    with ExitStack() as stack:
        stack.enter_context(
            patch.object(triton_kernel, "_SAMPLE", 256)
        )  # of no matter to the count, nor the result
        stack.enter_context(patch.object(devices, "kind_of", lambda tensor: "cuda"))
        stack.enter_context(patch.object(deferred, "AT_ONCE", set()))
        yield


def launches(explain: Callable[[torch.Tensor], object], X: torch.Tensor) -> Counted:
    """Return what a batch launches when others like it went before."""
    for _ in range(2):
        explain(X)
    with counted() as count:
        explain(X)
    return count


def rows(network: str) -> list[dict[str, Any]]:
    """Count one network's passes."""
    from benchmarks.engine import METHODS, UNIT
    from benchmarks.gpu import network as made
    from benchmarks.gpu import sequences

    length = NETWORKS[network]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, X = made(network, length).to(device), sequences(1, length).to(device)
    found = []
    for name in (UNIT, *PASSES):
        with as_a_card():
            count = launches(METHODS[name](model), X)
        found.append(
            {
                "network": network,
                "method": name,
                "torch": count.operations.total(),
                "Triton": count.triton.total(),
                "launches": count.launches,
                "in gradients": f"{count.launches / (found[0]['launches'] if found else count.launches):.2f}",
                "waits": count.waits,
                "operations": dict(count.operations.most_common()) | dict(count.triton.most_common()),
            }
        )
    return found


PASSES = (
    "LRP, epsilon",
    "PLRP-lambda, epsilon, p = 0.25",
    "PLRP-lambda, gamma, p = 0.25",
    "PLRP-M, epsilon, p = 0.25",
    "PLRP-lambda, epsilon, with diagnostics",
)


def main() -> None:
    options = parser(__doc__ or "", "launches.json")
    options.add_argument("--network", choices=list(NETWORKS), nargs="*", default=list(NETWORKS))
    options.add_argument("--operations", action="store_true", help="list them by name")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    found = [row for network in given.network for row in rows(network)]
    print(table(found, [key for key in found[0] if key != "operations" or given.operations]))
    save(given.out, {"machine": machine(), "launches": found})


if __name__ == "__main__":
    main()
