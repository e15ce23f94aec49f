"""A call of a torch function as it is seen: its tensors, and the same call done again in another way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genoplrp.relevance.tracing.names import ACTIVATIONS_IN_PLACE, function_name

Call = Callable[..., Any]
Args = tuple[Any, ...]
Kwargs = dict[str, Any]


def tensors_in(args: Any, kwargs: Mapping[str, Any]) -> Iterator[Tensor]:
    """Yield the tensors among a call's arguments, two levels of lists, tuples and dictionaries deep."""
    stack: list[Any] = [*args, *kwargs.values()]
    while stack:
        value = stack.pop()
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            stack.extend(value)
        elif isinstance(value, dict):
            stack.extend(value.values())


def call_with(func: Call, args: Args, kwargs: Kwargs, old: list[Tensor], new: list[Tensor]) -> Any:
    """Call a function with some of its tensors replaced."""
    given = {id(a): b for a, b in zip(old, new, strict=True)}

    def swap(value: Any) -> Any:
        if isinstance(value, Tensor):
            return given.get(id(value), value)
        if isinstance(value, list | tuple) and type(value) in (list, tuple):
            return type(value)(swap(v) for v in value)
        return value

    return func(*swap(args), **{k: swap(v) for k, v in kwargs.items()})


def with_tensors(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """Return a value with every tensor in it (in tuples, lists and dictionaries, too) replaced by what it becomes."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(with_tensors(v, change) for v in value)
    if isinstance(value, list):
        return [with_tensors(v, change) for v in value]
    if isinstance(value, dict):
        return {k: with_tensors(v, change) for k, v in value.items()}
    return value


def without_in_place(func: Call) -> Call:
    """Return the out-of-place form of a torch function."""
    name = func.__name__
    table: dict[str, Call] = {
        "__iadd__": torch.add,
        "__isub__": torch.sub,
        "__rsub__": _reflected_sub,
        "__imul__": torch.mul,
        "__itruediv__": torch.div,
        "__ipow__": torch.pow,
    }
    if name in table:
        return table[name]
    if name.endswith("_") and not name.endswith("__"):
        plain = name[:-1]
        found = getattr(torch.Tensor, plain, None) or getattr(torch, plain, None) or getattr(F, plain, None)
        if found is not None:
            out: Call = found
            return out
    return func


def told_in_place(name: str, args: Args, kwargs: Kwargs) -> bool:
    """Return whether a call is told by an argument to change its tensor in place (``F.relu(x, True)``)."""
    return kwargs.get("inplace") is True or (name in ACTIVATIONS_IN_PLACE and args[-1] is True)


def run_out_of_place(func: Call, args: Args, kwargs: Kwargs) -> Any:
    """Call a torch function, on a new tensor where it would change one in place."""
    name, _ = function_name(func)
    if name in ACTIVATIONS_IN_PLACE and len(args) > 1 and args[-1] is True:
        args = args[:-1]
    kwargs = {k: v for k, v in kwargs.items() if k != "inplace"}
    return without_in_place(func)(*args, **kwargs)


def _reflected_sub(x: Tensor, other: Any, *, alpha: float = 1) -> Tensor:
    return torch.sub(
        other if isinstance(other, Tensor) else torch.as_tensor(other, dtype=x.dtype, device=x.device),
        x,
        alpha=alpha,
    )
