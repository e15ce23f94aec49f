"""What an explanation may not disturb (the model's mode), and models that cannot be explained as handed in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import nn

from genoplrp.errors import InputError, UnsupportedModelError

HOOKS = (
    "activation checkpointing (or another saved-tensor hook) would run parts of the model again, unseen, where "
    "relevance passes back: switch it off for the explanation"
)
_lock = threading.Lock()
# module -> number of explanations under way; modules that were in training mode
_under_way: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()
_trained: WeakSet[nn.Module] = WeakSet()


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode for the block, and every module back as it was, also after an exception.

    Several threads may explain one model, or models that share modules: the first puts a module into evaluation mode,
    the last puts it back.
    """
    modules = list(model.modules())
    with _lock:
        for module in modules:
            _under_way[module] = _under_way.get(module, 0) + 1
            if module.training:
                _trained.add(module)
                module.training = False
    try:
        yield
    finally:
        with _lock:
            for module in modules:
                _under_way[module] -= 1
                if _under_way[module]:
                    continue
                del _under_way[module]
                if module in _trained:
                    _trained.discard(module)
                    module.training = True


@contextmanager
def autograd_on() -> Iterator[None]:
    """Compute gradients in full precision for the block, whatever the caller set.

    Saved-tensor hooks are refused: they would run parts of the model again, unseen, where relevance passes back.
    """
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast("cpu", enabled=False),
        torch.autocast("cuda", enabled=False),
        torch.autograd.graph.disable_saved_tensors_hooks(HOOKS),
    ):
        yield


def check_model(model: object) -> tuple[nn.Module, list[str]]:
    """Return the model if the engine can see into it, taken out of what wraps it, and notes on that.

    Raises
    ------
    InputError
        If it is not a module.
    UnsupportedModelError
        If it, or a part of it, is scripted, traced, quantized, never initialised, or runs in other threads.
    """
    if not isinstance(model, nn.Module):
        hint = " (a class: make an instance of it)" if isinstance(model, type) else ""
        raise InputError(f"model is a {type(model).__name__}{hint}; a torch.nn.Module is needed")
    model, notes = _unwrapped(model)
    for path, module in model.named_modules():
        where = f"its part {path!r}" if path else "it"
        if isinstance(module, torch.jit.ScriptModule):
            raise UnsupportedModelError(
                f"the model cannot be explained: {where} is a TorchScript module, whose operations are hidden; "
                "pass the nn.Module it was made from"
            )
        if ".quantized" in type(module).__module__:
            raise UnsupportedModelError(
                f"the model cannot be explained: {where} is quantized ({type(module).__name__}); pass the model in "
                "floating point that it was made from"
            )
        lazy = next((k for k, p in module.named_parameters(recurse=False) if nn.parameter.is_lazy(p)), None)
        if lazy is not None:
            raise UnsupportedModelError(
                f"the model cannot be explained: {where} ({type(module).__name__}) has not seen data yet, so its "
                f"{lazy} has no shape; run the model once, or load its weights"
            )
        if isinstance(module, _PARALLEL):
            raise UnsupportedModelError(
                f"the model cannot be explained: {where} is wrapped in {type(module).__name__}, which runs it in other "
                "threads or processes; put the wrapped module (.module) in its place"
            )
    return model, notes


_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def _unwrapped(model: nn.Module) -> tuple[nn.Module, list[str]]:
    notes = []
    while True:
        if isinstance(model, _PARALLEL):
            notes.append(f"explained without its {type(model).__name__}")
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            notes.append("explained as it was before torch.compile")
            model = model._orig_mod  # type: ignore[assignment]
        else:
            return model, notes


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that memory ran out."""
    text = str(error).lower()
    return (
        isinstance(error, torch.OutOfMemoryError | MemoryError)
        or "out of memory" in text
        or "can't allocate memory" in text
        or "not enough memory" in text
    )
