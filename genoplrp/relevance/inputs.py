"""The door: what is explained and which output, checked once, with messages that say what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from genoplrp.errors import InputError
from genoplrp.relevance.targets import output_target

BASES_A_BATCH = 1 << 17
"""Bases explained at once when the batch size is left open: a batch of 128 windows of 1 kb, 62 of 2,114 bp."""


def automatic_batch(length: int) -> int:
    """Batch size for windows of this length: the power of two nearest below 131,072 bases, 1 to 1,024."""
    return int(min(1024, max(1, 1 << ((BASES_A_BATCH // max(1, length)) or 1).bit_length() - 1)))


def check_input(X: object, args: Sequence[Tensor] | None, model: nn.Module) -> tuple[Tensor, list[Tensor]]:
    """Return the input and the further inputs on the model's device, in the model's precision.

    Raises
    ------
    InputError
        If the input is not a tensor or array of at least two axes, is not finite, has its axes in another order, or if
        further inputs do not have one entry per sequence.
    """
    x = _as_tensor(X, "X")
    _check_sequences(x)
    like = next((t for t in [*model.parameters(), *model.buffers()] if t.is_floating_point()), None)
    device = None if like is None else like.device
    own = x.dtype if x.is_floating_point() else torch.get_default_dtype()
    dtype = own if like is None else like.dtype
    extra = [_further_input(i, value, len(x), device, dtype) for i, value in enumerate(args or ())]
    return x.detach().to(device=device, dtype=dtype), extra


def _check_sequences(x: Tensor) -> None:
    if x.dim() < 2:
        raise InputError(f"X has shape {tuple(x.shape)}: expected (N, 4, L); one sequence is X[None]")
    if x.dim() == 2 and x.shape[0] == 4 and _looks_one_hot(x[None], 1):
        raise InputError(f"X has shape {tuple(x.shape)}: one sequence without the batch axis; pass X[None]")
    if x.dim() == 3 and x.shape[1] != 4 and x.shape[2] == 4 and _looks_one_hot(x, 2):
        raise InputError(
            f"X has shape {tuple(x.shape)}, which reads as (N, L, 4): expected (N, 4, L); pass X.transpose(1, 2)"
        )
    if not x.is_complex() and x.is_floating_point() and not bool(torch.isfinite(x).all()):
        index = int((~torch.isfinite(x.reshape(len(x), -1)).all(dim=1)).nonzero()[0])
        raise InputError(f"X holds NaN or infinity, first in sequence {index}: remove or mask it")


def _further_input(i: int, value: object, n: int, device: torch.device | None, dtype: torch.dtype) -> Tensor:
    tensor = _as_tensor(value, f"args[{i}]")
    if len(tensor) != n:
        raise InputError(
            f"args[{i}] has {len(tensor)} rows, X has {n} sequences: one row per sequence is needed"
        )
    return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None).detach()


OneTarget: TypeAlias = int | Tensor | Callable[[Any], Tensor] | None
"""What a batch is asked to explain: one output, one for each of its sequences, or a function of the output."""


def check_target(target: object, n: int) -> Callable[[int, int], OneTarget]:
    """Return a function that gives the target of sequences start to stop.

    Raises
    ------
    InputError
        If the target is neither an index, N indices, a function nor None.
    """
    if target is None or callable(target):
        return lambda start, stop: target
    if isinstance(target, str):
        named, _ = output_target(target, None)
        return lambda start, stop: named
    if isinstance(target, bool):
        raise InputError(f"target={target!r}: give an output's index, one index per sequence, or a function")
    if isinstance(target, int | np.integer):
        return lambda start, stop: int(target)
    try:
        indices = torch.as_tensor(target)
    except (TypeError, ValueError, RuntimeError):
        indices = torch.zeros(0)
    if indices.is_floating_point() or indices.dim() > 1:
        raise InputError(f"target={target!r}: give an output's index, one index per sequence, or a function")
    if indices.dim() == 0:
        return lambda start, stop: int(indices)
    if len(indices) != n:
        raise InputError(
            f"target has {len(indices)} indices, X has {n} sequences: one index per sequence is needed"
        )
    return lambda start, stop: indices[start:stop]


def select_target(y: Any, target: OneTarget, n: int) -> Tensor:
    """Return the explained numbers, (N,), from the model's output.

    Raises
    ------
    InputError
        If the target does not fit the output.
    """
    if callable(target):
        chosen = target(y)
        if not isinstance(chosen, Tensor) or chosen.shape not in ((n,), (n, 1)):
            got = tuple(chosen.shape) if isinstance(chosen, Tensor) else type(chosen).__name__
            raise InputError(f"target(output) returned {got}: expected one number per sequence, shape ({n},)")
        return chosen.reshape(n)
    if not isinstance(y, Tensor):
        raise InputError(
            f"the model returns a {type(y).__name__}: give target= a function that picks one number per sequence, "
            "e.g. target=lambda y: y[0][:, 0]"
        )
    if y.shape in ((n,), (n, 1)) and (target is None or (isinstance(target, int) and target in (0, -1))):
        return y.reshape(n)
    if y.dim() != 2 or y.shape[0] != n:
        first = ",".join("0" * max(1, y.dim() - 1))
        raise InputError(
            f"the model's output has shape {tuple(y.shape)}, not ({n}, outputs): give one index for each axis behind "
            f"N (target '{first}'; a colon sums over an axis), or in Python a function that returns one number per "
            "sequence"
        )
    outputs = y.shape[1]
    if target is None:
        raise InputError(f"the model has {outputs} outputs: say which one (target=0 ... {outputs - 1})")
    if isinstance(target, int) and -outputs <= target < outputs:
        return y[:, target]
    return _at(y, target if isinstance(target, Tensor) else torch.full((n,), target))


def _at(y: Tensor, index: Tensor) -> Tensor:
    """Return of each row of y, (N, outputs), the entry at its index, (N,)."""
    n, outputs = y.shape
    is_out = (index < -outputs) | (index >= outputs)
    if bool(is_out.any()):
        worst = int(index[is_out][0])
        raise InputError(
            f"target {worst} is out of range: the model has "
            + (f"{outputs} outputs (0 ... {outputs - 1})" if outputs > 1 else "one output, 0")
        )
    return y[torch.arange(n, device=y.device), (index % outputs).to(y.device)]


def check_device(device: str | torch.device) -> torch.device:
    """Return the device of this name.

    Raises
    ------
    InputError
        If the name is not a device's, or the device is not there.
    """
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"device={str(device)!r} cannot be used here ({reason}); 'cpu' can") from error
    return found


def _as_tensor(value: object, name: str) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value))
    raise InputError(f"{name} is a {type(value).__name__}: a torch tensor or numpy array is needed")


def _looks_one_hot(x: Tensor, axis: int) -> bool:
    return bool(((x == 0) | (x == 1)).all()) and bool((x.sum(dim=axis) <= 1).all()) and x.numel() > 0
