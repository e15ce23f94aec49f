"""Checkpoints: a directory of weights (safetensors), a JSON card, the history (CSV); loading executes none of it."""

from __future__ import annotations

import json
import math
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from genoplrp import partial
from genoplrp.errors import CheckpointError, InputError
from genoplrp.training.architectures import ARCHITECTURES, build_architecture
from genoplrp.training.foreign import is_pickled
from genoplrp.training.kinds import Objective
from genoplrp.training.model import TrainedModel
from genoplrp.training.options import resolve_device
from genoplrp.version import __version__
from genoplrp.wording import some

FORMAT = 1
"""Version of the checkpoint's layout."""

CARD, WEIGHTS, HISTORY = "model.json", "weights.safetensors", "history.csv"


def save_model(fit: TrainedModel, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a trained model as a directory: ``weights.safetensors``, ``model.json``, ``history.csv``.

    The directory appears complete or not at all.

    Parameters
    ----------
    fit
        What :func:`genoplrp.train` returned.
    path
        Directory to make.
    overwrite
        Replace the checkpoint that is there (nothing but a checkpoint is ever replaced).

    Returns
    -------
    pathlib.Path
        The directory.

    Raises
    ------
    OutputExistsError
        If ``path`` exists and is not to be, or must not be, replaced.
    """
    path = Path(path)
    partial.clear_abandoned(path)
    check_place(path, overwrite=overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial.new_folder(path) as folder:
        state = {
            name: tensor.detach().cpu().contiguous().clone()
            for name, tensor in fit.model.state_dict().items()
        }
        save_file(state, folder / WEIGHTS)
        (folder / CARD).write_text(json.dumps(_json_safe(card(fit)), indent=2) + "\n", encoding="utf-8")
        fit.history.to_csv(folder / HISTORY, index=False)
    return path


def check_place(path: Path, *, overwrite: bool) -> None:
    """Refuse a folder that exists, and is not to be or must not be replaced."""
    if path.exists() and not (overwrite and (path / CARD).is_file()):
        raise partial.exists_already(path, overwrite=overwrite)


def load_model(
    path: str | Path, *, model: nn.Module | None = None, device: str | None = None
) -> TrainedModel:
    """Load a checkpoint directory; no code in it is executed or unpickled.

    Parameters
    ----------
    path
        Directory that :func:`save_model` wrote.
    model
        For a checkpoint of your own module: an instance of it, whose weights are overwritten. For a reference
        architecture it is not needed.
    device
        Where to put the network; default "cpu".

    Returns
    -------
    TrainedModel

    Raises
    ------
    CheckpointError
        If it is not a checkpoint, has a later layout, or does not fit the architecture.

    Examples
    --------
    >>> import genoplrp as gp
    >>> fit = gp.load_model("model")  # doctest: +SKIP
    """
    path = Path(path)
    found = _read_card(path)
    try:
        return _restore(path, found, model, device)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise CheckpointError(f"{path / CARD} is damaged: {type(error).__name__} {error}.") from error


def card(fit: TrainedModel) -> dict[str, Any]:
    """What the JSON card holds: architecture, tasks, seed, metrics, provenance and versions."""
    return {
        "format": "genoplrp-model",
        "format_version": FORMAT,
        "architecture": {"name": fit.architecture, "parameters": fit.parameters},
        "length": fit.length,
        "tasks": list(fit.tasks),
        "objective": asdict(fit.objective),
        "seed": fit.seed,
        "metrics": fit.metrics,
        "provenance": fit.provenance,
        "versions": {
            "genoplrp": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def _within(path: Path) -> str:
    """Name the checkpoints in a folder that is none."""
    found = sorted(card.parent.name for card in path.glob(f"*/{CARD}")) if path.is_dir() else []
    return f"It holds {', '.join(found)}, which are: name one, {path / found[0]}." if found else ""


def _read_card(path: Path) -> dict[str, Any]:
    remedy = f"A checkpoint is a directory with {CARD} and {WEIGHTS}, as written by `genoplrp train`."
    if not path.exists():
        raise CheckpointError(f"There is no checkpoint at {path}. {remedy}")
    if is_pickled(path):
        raise CheckpointError(
            f"{path} is a pickle, which runs code when it is read, not a checkpoint of genoplrp. {remedy} If you trust "
            "its source, genoplrp.training.load_module(path, allow_pickle=True) gives the network."
        )
    if not (path / CARD).is_file() or not (path / WEIGHTS).is_file():
        raise CheckpointError(f"{path} is not a checkpoint of genoplrp. {_within(path) or remedy}")
    try:
        found = json.loads((path / CARD).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path / CARD} is not readable JSON ({error}). {remedy}") from error
    if not isinstance(found, dict) or found.get("format") != "genoplrp-model":
        raise CheckpointError(f"{path / CARD} is not the card of a genoplrp model. {remedy}")
    version = found.get("format_version")
    if version != FORMAT:
        made = (found.get("versions") or {}).get("genoplrp", "unknown")
        raise CheckpointError(
            f"{path} has checkpoint layout {version} (genoplrp {made}); genoplrp {__version__} reads layout {FORMAT}. "
            "Install the version that wrote it, or train again."
        )
    needed = ("architecture", "length", "tasks", "objective", "seed", "metrics", "provenance")
    missing = [key for key in needed if key not in found]
    if missing:
        raise CheckpointError(
            f"{path / CARD} lacks {', '.join(missing)}; the card is damaged; train again, or take a copy."
        )
    return found


def _restore(
    path: Path, found: dict[str, Any], model: nn.Module | None, device: str | torch.device | None
) -> TrainedModel:
    network = _network(path, found, model)
    _fill(network, path / WEIGHTS)
    history = path / HISTORY
    return TrainedModel(
        model=network.eval().to(resolve_device(device or "cpu")),
        architecture=str(found["architecture"]["name"]),
        parameters=dict(found["architecture"]["parameters"]),
        tasks=tuple(str(task) for task in found["tasks"]),
        objective=Objective.from_dict(found["objective"]),
        length=int(found["length"]),
        seed=int(found["seed"]),
        metrics=_with_nan(dict(found["metrics"])),
        history=pd.read_csv(history) if history.is_file() else pd.DataFrame(),
        provenance=dict(found["provenance"]),
    )


def _network(path: Path, found: dict[str, Any], model: nn.Module | None) -> nn.Module:
    if model is not None:
        return model
    name = found["architecture"]["name"]
    if name not in ARCHITECTURES:
        raise CheckpointError(
            f"{path} holds the weights of {name}, which is not an architecture of genoplrp {__version__} "
            f"({', '.join(ARCHITECTURES)}). If it is your own module, pass an instance: load_model(path, model=...); "
            f"on the command line name its code and these weights: net.py:Net --state-dict {path / WEIGHTS}"
        )
    try:
        return build_architecture(name, **found["architecture"]["parameters"])
    except (InputError, TypeError, ValueError, IndexError, ArithmeticError, RuntimeError) as error:
        raise CheckpointError(
            f"{path / CARD}: the architecture's parameters do not fit {name!r}: {error}"
        ) from error


def _fill(network: nn.Module, weights: Path) -> None:
    try:
        state = load_file(weights)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{weights} is not a readable safetensors file: {error}.") from error
    own = network.state_dict()
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or extra:
        raise CheckpointError(
            f"{weights} does not fit the architecture: missing {some(missing)}; not expected {some(extra)}."
        )
    for name, tensor in own.items():
        if tensor.shape != state[name].shape:
            raise CheckpointError(
                f"{weights}: {name} has shape {tuple(state[name].shape)}, the architecture needs "
                f"{tuple(tensor.shape)}. "
                "Was the model trained with other parameters or another length?"
            )
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{weights} does not fit the architecture: {error}") from error


def _json_safe(value: object) -> object:
    """NaN has no place in JSON: null."""
    if isinstance(value, dict):
        return {str(k): _json_safe(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json_safe(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _with_nan(value: object) -> Any:
    """The reverse of :func:`_json_safe`, for metrics."""
    if isinstance(value, dict):
        return {k: _with_nan(v) for k, v in value.items()}
    if isinstance(value, list):
        return tuple(_with_nan(v) for v in value)
    return float("nan") if value is None else value
