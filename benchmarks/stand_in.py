"""A device with memory of its own where there is no card: what mixes two devices, or reads what nobody wrote, shows.

`as_a_card` of `launches` runs a card's lines on the CPU's own tensors; it cannot show that a tensor was made on the
wrong device. Here ``torch.device("standin")`` is one (`device.cpp`, compiled in half a minute by the C++ compiler that
torch finds), the engine takes it for CUDA, and Triton's kernels run in its interpreter.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

NAME = "standin"


@contextmanager
def stand_in() -> Iterator[torch.device]:
    """Let the engine compute on the device in the block; it stays registered with torch until the process ends."""
    os.environ["TRITON_INTERPRET"] = "1"  # read where a kernel is defined
    from triton.runtime.jit import KernelInterface

    from genoplrp.relevance import devices
    from genoplrp.relevance.pruning import triton_kernel

    on_host, plain = _registered(), KernelInterface.__getitem__

    def launch(self: Any, grid: Any) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            kinds = {value.device.type for value in args if isinstance(value, Tensor)}
            if kinds != {NAME}:
                raise RuntimeError(f"kernel {self.__name__} is given tensors of {sorted(kinds)}")
            given = [on_host(value) if isinstance(value, Tensor) else value for value in args]
            return plain(self, grid)(*given, **kwargs)

        return run

    def kind_of(tensor: Tensor) -> str:
        return "cuda" if tensor.device.type == NAME else tensor.device.type

    with ExitStack() as stack:
        stack.enter_context(patch.object(KernelInterface, "__getitem__", launch))
        stack.enter_context(patch.object(triton_kernel, "_SAMPLE", 256))  # of no matter to the result
        stack.enter_context(patch.object(devices, "HAND_DRIVEN", devices.HAND_DRIVEN | {NAME}))
        stack.enter_context(patch.object(devices, "kind_of", kind_of))
        yield torch.device(NAME)


def _registered() -> Callable[[Tensor], Tensor]:
    """Tell torch of the device, once; return what gives its memory as a tensor of the CPU."""
    from torch.utils import backend_registration, cpp_extension

    if not hasattr(torch, NAME):
        backend_registration._setup_privateuseone_for_python_backend(NAME)
        module: Any = getattr(torch, NAME)
        # Nothing is drawn on the device: its generator is the CPU's.
        module.get_rng_state = lambda *_: torch.get_rng_state()
        module.set_rng_state = lambda state, *_: torch.set_rng_state(state)
    built = Path(tempfile.gettempdir()) / f"genoplrp-standin-{os.getuid()}-{torch.__version__}"
    built.mkdir(mode=0o700, exist_ok=True)
    source = str(Path(__file__).with_name("device.cpp"))
    on_host: Callable[[Tensor], Tensor] = cpp_extension.load(
        "genoplrp_stand_in", [source], build_directory=str(built), extra_cflags=["-O1", "-std=c++20"]
    ).on_host
    return on_host
