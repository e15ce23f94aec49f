"""The kind of device that a tensor counts as, asked by all that is done in one way on a CPU and otherwise on CUDA.

One function, so that what runs on a card can be run, counted and compared where there is none.
"""

from __future__ import annotations

from torch import Tensor

HAND_DRIVEN = {"cpu", "cuda"}
"""Devices on which plain chains of layers are computed without autograd (`fastpath`)."""
CHANNELS_LAST = {"cpu"}
"""Devices whose convolutions run channels-last (`propagation.layout`); whether CUDA gains is for `benchmarks.gpu`."""


def kind_of(tensor: Tensor) -> str:
    """Return ``"cpu"``, ``"cuda"`` or another of torch's device types."""
    return tensor.device.type
