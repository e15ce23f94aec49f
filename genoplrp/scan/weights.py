"""Trained weights out of whatever a training wrote, into the user's module; no module is built here.

A file may hold a state dict, one nested among optimizer state and counters, or a whole pickled module; its names may
carry what wrapped the network while it was trained (``module.`` of DistributedDataParallel, ``model.`` of Lightning,
``_orig_mod.`` of torch.compile).
"""

from __future__ import annotations

import re
import sys
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from genoplrp.errors import CheckpointError, InputError
from genoplrp.scan.user_code import importable
from genoplrp.wording import first_line, some

USUAL = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params")
"""Keys under which checkpoints keep the network, the commonest first."""
_DEEPEST = 4


class _Fit(NamedTuple):
    where: str
    prefix: str
    state: dict[str, Tensor]


def fill(model: nn.Module, path: Path, *, trust_pickle: bool = False, code: ModuleType | None = None) -> None:
    """Load the weights of a file into a module.

    Parameters
    ----------
    model
        Gets the weights.
    path
        safetensors, a file of ``torch.save``, or a ``torch.export`` archive (.pt2).
    trust_pickle
        Unpickle what is more than tensors, which can run anything.
    code
        Where classes are looked up that were defined in the notebook or script that saved the file.

    Raises
    ------
    InputError
        If there is no such file, or unpickling would be needed.
    CheckpointError
        If it cannot be read, or nothing in it fits the module.
    """
    held = _held(path, trust_pickle, code)
    found = list(_state_dicts(held))
    if not found:
        raise CheckpointError(
            f"{path} holds no state dict (names and tensors): save model.state_dict() with torch.save"
        )
    own = model.state_dict()
    fits = [fit for where, state in found for fit in _fits(where, state, own)]
    if not fits:
        raise CheckpointError(f"{path} does not fit the model: {_misfit(own, found)}")
    best = fits[0]
    if len(fits) > 1 and any(_differ(best.state, other.state) for other in fits[1:]):
        rest = ", ".join(repr(other.where + other.prefix) for other in fits[1:4])
        warnings.warn(
            f"{path} holds several sets of weights: {best.where + best.prefix!r} is taken, not {rest}",
            stacklevel=4,
        )
    model.load_state_dict(best.state)


def unpickled(path: Path, code: ModuleType | None = None) -> Any:
    """Unpickle a file; whatever code is in it runs.

    Raises
    ------
    InputError
        If that fails; the message says what to do.
    """
    warnings.warn(f"unpickling {path}: code inside it runs now", stacklevel=4)
    try:
        with importable(path.parent), importable(Path.cwd()), _as_main(code):
            return torch.load(path, map_location="cpu", weights_only=False)
    except AttributeError as error:
        if "__main__" not in str(error):
            raise InputError(f"{path} cannot be unpickled: AttributeError: {error}") from error
        found = re.search(r"attribute '(\w+)'", str(error))
        name = found[1] if found else "Net"
        raise InputError(
            f"{path} was saved by a notebook or a script that defined the class {name} itself, and does not hold it: "
            f"put the class into a file, net.py say, and name both: net.py:{name} --state-dict {path} --trust-pickle"
        ) from error
    except ModuleNotFoundError as error:
        raise InputError(
            f"{path} needs the module {error.name!r}, which was imported when it was saved: run the command in the "
            f"folder that has {error.name}, or install it"
        ) from error
    except Exception as error:
        raise InputError(f"{path} cannot be unpickled: {type(error).__name__}: {error}") from error


def holds_weights_only(path: Path) -> bool:
    """Whether a file is a state dict, or has one, and no module; read without running anything."""
    try:
        return bool(list(_state_dicts(torch.load(path, map_location="cpu", weights_only=True))))
    except Exception:  # whatever it is, it is not that
        return False


def is_torchscript(path: Path) -> bool:
    """Whether a file is an archive of ``torch.jit.save``."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.split("/")[1:2] == ["code"] for name in archive.namelist())


def _held(path: Path, trust: bool, code: ModuleType | None) -> Any:
    if not path.is_file():
        raise InputError(f"there is no file {path} with weights; check --state-dict")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        if path.suffix == ".pt2":
            return dict(torch.export.load(path).state_dict)
        if not _is_torch_file(path):
            raise CheckpointError(
                f"{path} cannot be read as weights: it is not a file of torch.save, or it is cut off"
            )
        return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:
        if path.suffix not in (".safetensors", ".pt2") and "weights_only" in str(error):
            if trust:
                return unpickled(path, code)
            raise CheckpointError(
                f"{path} holds more than tensors (a whole module, or settings beside the weights), and loading that "
                "can run anything: pass --trust-pickle if you trust whoever made it, or save the weights alone, "
                "torch.save(model.state_dict(), 'weights.pt')"
            ) from error
        raise CheckpointError(f"{path} cannot be read as weights: {first_line(error)}") from error


def _is_torch_file(path: Path) -> bool:
    """Whether a file begins as ``torch.save`` writes it: an archive, or (before PyTorch 1.6) a binary pickle."""
    with path.open("rb") as file:
        return file.read(1) == b"\x80" or zipfile.is_zipfile(path)


def _state_dicts(held: object, where: str = "", depth: int = 0) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """All that could be a state dict, with the keys that lead there; what has the commonest names first."""
    if isinstance(held, nn.Module):
        yield where, held.state_dict()
        return
    if not isinstance(held, dict) or depth > _DEEPEST:
        return
    tensors = {
        key: value for key, value in held.items() if isinstance(key, str) and isinstance(value, Tensor)
    }
    if tensors:
        yield where, tensors
    keys = [key for key in held if isinstance(key, str)]
    for key in sorted(keys, key=lambda key: USUAL.index(key) if key in USUAL else len(USUAL)):
        if "optim" not in key:
            yield from _state_dicts(held[key], f"{where}{key}/", depth + 1)


def _fits(where: str, state: dict[str, Tensor], own: dict[str, Tensor]) -> Iterator[_Fit]:
    """The state dict as the module names it: as it is, less a prefix, or with one."""
    if own:
        yield from _less_a_prefix(where, state, own)
        yield from _with_a_prefix(where, state, own)


def _less_a_prefix(where: str, state: dict[str, Tensor], own: dict[str, Tensor]) -> Iterator[_Fit]:
    first = next(iter(own))
    prefixes = {key.removesuffix(first) for key in state if key.endswith(first)}
    for prefix in sorted((p for p in prefixes if not p or p.endswith(".")), key=len):
        inner = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if _same_shapes(inner, own):
            yield _Fit(where, prefix, inner)


def _with_a_prefix(where: str, state: dict[str, Tensor], own: dict[str, Tensor]) -> Iterator[_Fit]:
    first = next(iter(own))
    for key in state:
        prefix = first.removesuffix(key)
        if prefix != first and prefix.endswith("."):
            outer = {prefix + key: value for key, value in state.items()}
            if _same_shapes(outer, own):
                yield _Fit(where, "", outer)
            return


def _same_shapes(state: dict[str, Tensor], own: dict[str, Tensor]) -> bool:
    return state.keys() == own.keys() and all(value.shape == state[key].shape for key, value in own.items())


def _differ(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return any(not torch.equal(a[key], b[key]) for key in a)


def _misfit(own: dict[str, Tensor], found: list[tuple[str, dict[str, Tensor]]]) -> str:
    """What keeps the nearest state dict from fitting."""

    def shared(state: dict[str, Tensor]) -> tuple[int, dict[str, Tensor]]:
        first = next(iter(own), "")
        prefixes = {""} | {key.removesuffix(first) for key in state if first and key.endswith(first)}
        inner = [
            {key.removeprefix(p): value for key, value in state.items() if key.startswith(p)}
            for p in prefixes
        ]
        return max(((len(own.keys() & one.keys()), one) for one in inner), key=lambda pair: pair[0])

    _, state = max((shared(state) for _, state in found), key=lambda pair: pair[0])
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or extra:
        return f"missing {some(missing)}; not expected {some(extra)}"
    name = next(key for key, value in own.items() if value.shape != state[key].shape)
    return f"{name} has shape {tuple(state[name].shape)}, the model needs {tuple(own[name].shape)}"


@contextmanager
def _as_main(code: ModuleType | None) -> Iterator[None]:
    """Lend the names of a module to ``__main__``, where unpickling looks for the classes of a notebook."""
    main = sys.modules["__main__"]
    lent = {} if code is None else {k: v for k, v in vars(code).items() if not hasattr(main, k)}
    vars(main).update(lent)
    try:
        yield
    finally:
        for key in lent:
            vars(main).pop(key, None)
