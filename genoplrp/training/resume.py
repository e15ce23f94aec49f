"""The state of an unfinished training on disk, so that a killed run goes on where its last epoch ended.

One safetensors file, replaced as a whole after each epoch. What is random in an epoch depends on seed and epoch alone,
so no generator's state is in it, and a resumed run ends in the same bytes as one that was never interrupted.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from genoplrp import partial
from genoplrp.errors import CheckpointError
from genoplrp.training.loop import Run

FORMAT = "genoplrp-training-state-1"


def save_state(path: Path, run: Run, identity: dict[str, Any]) -> None:
    """Write the state after an epoch; the file appears complete or not at all.

    Parameters
    ----------
    path
        File to write or replace.
    run
        The run.
    identity
        What makes this run another than any other: see :func:`run_identity`.
    """
    tensors = {f"network/{name}": t for name, t in run.network.state_dict().items()}
    tensors |= {f"best/{name}": t for name, t in run.best.items()}
    for index, slots in run.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{slot}": torch.as_tensor(value) for slot, value in slots.items()}
    about = {
        "format": FORMAT,
        "identity": identity,
        "history": run.history,
        "scaler": run.scaler.state_dict(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with partial.new_file(path) as made:
        save_file(
            {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()},
            made,
            metadata={"genoplrp": json.dumps(about)},
        )


def restore_state(path: Path, run: Run, identity: dict[str, Any]) -> None:
    """Bring a fresh run to the state in the file.

    Raises
    ------
    CheckpointError
        If the file is not such a state, or another run's; the message names what differs.
    """
    about, tensors = _read(path)
    differing = [key for key in identity if about["identity"].get(key) != identity[key]]
    if differing:
        key = differing[0]
        raise CheckpointError(
            f"{path} is the state of another training: {key} was {about['identity'].get(key)!r}, "
            f"now {identity[key]!r}. "
            "Repeat the call that was interrupted, or delete the file to start again."
        )
    run.network.load_state_dict(_part(tensors, "network/"))
    run.best = {name: t.to(run.device) for name, t in _part(tensors, "best/").items()}
    run.history = about["history"]
    run.scaler.load_state_dict(about["scaler"])
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _part(tensors, "optimizer/").items():
        index, slot = name.split("/")
        slots.setdefault(int(index), {})[slot] = tensor
    groups = run.optimizer.state_dict()["param_groups"]
    run.optimizer.load_state_dict({"state": slots, "param_groups": groups})


def run_identity(network: nn.Module, **known: Any) -> dict[str, Any]:
    """What tells this run from others: the facts given, and a checksum of the initial weights.

    Examples
    --------
    >>> import torch
    >>> from genoplrp.training.resume import run_identity
    >>> sorted(run_identity(torch.nn.Linear(2, 1), seed=0))
    ['initial_weights', 'seed']
    """
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    # Through JSON and back, so that tuples compare equal to the lists that a file gives.
    identity: dict[str, Any] = json.loads(json.dumps(known | {"initial_weights": digest.hexdigest()}))
    return identity


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("genoplrp", "null"))
            names = list(file.keys())
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{path} is not the state of a training: {error}. Delete it to start again."
        ) from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is not the state of a training of this version. Delete it to start again."
        )
    return about, tensors


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
