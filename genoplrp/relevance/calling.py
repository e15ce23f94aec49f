"""Calls of the model: on which device, in batches of which size, and what an error of its own means."""

from __future__ import annotations

import copy
import re
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from genoplrp.errors import GenoplrpError, InputError, ModelInputError
from genoplrp.relevance.axes import is_keras_model, keras_objects
from genoplrp.relevance.inputs import check_device
from genoplrp.relevance.propagation.backward import AmbiguousBatchError, EqualLengthError
from genoplrp.relevance.tracing.guards import is_out_of_memory

_OWN = "Raised by the model's own forward pass"
_SHAPES = re.compile(r"shape|size|channels|dimension|elements|numel")


def on_device(model: nn.Module, device: str | torch.device | None) -> nn.Module:
    """Return the model where it is to compute: itself, or a copy on another device."""
    if device is None:
        return model
    wanted = check_device(device)
    present = next((t.device for t in [*model.parameters(), *model.buffers()]), wanted)
    same = present.type == wanted.type and (wanted.index is None or wanted.index == present.index)
    return model if same else copied(model).to(wanted)


def copied(model: nn.Module) -> nn.Module:
    """Return a deep copy of a model.

    Raises
    ------
    InputError
        If a Keras model is in it that Keras cannot make from its configuration.
    """
    kept = next((module for module in model.modules() if is_keras_model(module)), None)
    if kept is None:
        return copy.deepcopy(model)
    try:
        with keras_objects(kept):
            return copy.deepcopy(model)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise InputError(
            f"Keras cannot copy {type(kept).__name__} from its configuration: give its classes a get_config, or build "
            "it where it is to compute (with keras.device(...): ...) and omit device"
        ) from error


def called(model: nn.Module, *inputs: Tensor) -> Any:
    """Call the model; an error of its own says what shapes it was given."""
    try:
        return model(*inputs)
    except Exception as error:
        if not isinstance(error, GenoplrpError) and not hasattr(error, "__notes__"):
            shapes = ", ".join(str(tuple(a.shape)) for a in inputs)
            error.add_note(f"{_OWN}, given {shapes}: does it take this shape?")
        raise


def unambiguous(error: AmbiguousBatchError, n: int, size: int) -> int:
    """Return the size of a batch in which sequences can be told apart, after one of n in which they could not."""
    if size == 1:
        raise InputError("the model's layers do not keep one sequence apart from another") from None
    return n - 1 if isinstance(error, EqualLengthError) and n > 2 else 1


def half(error: Exception, x: Tensor, n: int) -> int:
    """Return half of a batch of n sequences for which memory ran out; raise any other error."""
    if not is_out_of_memory(error) or n == 1:
        raise _said(error, x) from error
    size = max(1, n // 2)
    warnings.warn(f"memory ran out with {n} sequences; going on with {size}", stacklevel=4)
    return size


def _said(error: Exception, x: Tensor) -> Exception:
    """Return the error itself, or what torch says of shapes in the model's own layers as an error of the input."""
    own = any(note.startswith(_OWN) for note in getattr(error, "__notes__", []))
    if not own or type(error) is not RuntimeError or not _SHAPES.search(str(error)):
        return error
    first = str(error).strip().splitlines()[0]
    return ModelInputError(
        f"the model's own forward pass does not take X of shape {tuple(x.shape)}: {first}. Is that the length, and the "
        "order of axes, it was trained on?"
    )
