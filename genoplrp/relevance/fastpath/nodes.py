"""What a reading of a model is written down in: its operations, and the calls that layers and norms are."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from torch import Tensor

from genoplrp.relevance.propagation.linear_maps import Convolution, Dense
from genoplrp.relevance.tracing.operations.linear import Identity


@dataclass(eq=False)
class Node:
    """One operation.

    Attributes
    ----------
    kind
        ``"input"``, ``"layer"``, ``"norm"``, ``"relu"``, ``"pool"``, ``"mean"``, ``"add"``, ``"neutral"``, ``"gate"``.
    inputs
        Numbers of the nodes whose results it takes.
    shape
        Of its result.
    about
        What it needs beside them.
    """

    kind: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    about: Any = None


@dataclass(frozen=True, eq=False)
class LayerCall:
    """A convolution or linear map as the model calls it."""

    identity: Identity
    map: Convolution | Dense
    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True, eq=False)
class NormCall:
    """A batch norm on its running statistics."""

    mean: Tensor
    variance: Tensor
    weight: Tensor | None
    bias: Tensor | None
    epsilon: float


@dataclass(frozen=True)
class Slot:
    """Stands for the i-th input in the arguments of a neutral operation."""

    i: int


def filled(value: Any, tensors: list[Tensor]) -> Any:
    """Return a neutral operation's arguments with its inputs in their places."""
    if isinstance(value, Slot):
        return tensors[value.i]
    if type(value) in (tuple, list):
        return type(value)(filled(v, tensors) for v in value)
    if type(value) is dict:
        return {k: filled(v, tensors) for k, v in value.items()}
    return value


def frozen(value: Any) -> Hashable:
    """Return what is the same for two readings that compute the same, but for the values of the model's tensors."""
    if isinstance(value, Tensor):
        return "tensor", value.data_ptr(), tuple(value.shape), value.stride()
    if isinstance(value, tuple | list):
        return type(value), *map(frozen, value)
    if isinstance(value, dict):
        return dict, *((key, frozen(v)) for key, v in value.items())
    if isinstance(value, slice):
        return slice, value.start, value.stop, value.step
    if is_dataclass(value) and not isinstance(value, type):
        return type(value), *(frozen(getattr(value, f.name)) for f in fields(value))
    return value if isinstance(value, int | float | str | None) else id(value)
