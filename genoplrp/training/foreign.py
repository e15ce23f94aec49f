"""Networks that others saved with ``torch.save``: read only when told to, since unpickling runs code from the file."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from genoplrp.errors import CheckpointError


def load_module(
    path: str | Path, *, allow_pickle: bool = False, device: str | torch.device | None = None
) -> nn.Module:
    """Read a network that was pickled whole (``torch.save(model, path)``), as bpnet-lite and others do.

    Parameters
    ----------
    path
        The file.
    allow_pickle
        Must be True: reading such a file runs code from it. Only for files whose source you trust.
    device
        Where to put the network; default "cpu".

    Returns
    -------
    torch.nn.Module
        In evaluation mode.

    Raises
    ------
    CheckpointError
        If it was not allowed, the file is no such file, its classes cannot be imported, or it holds something else.

    Examples
    --------
    >>> from genoplrp.training import load_module
    >>> model = load_module("bpnet.torch", allow_pickle=True)  # doctest: +SKIP
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}; check the path.")
    if not allow_pickle:
        raise CheckpointError(
            f"{path} would have to be unpickled, which runs code from the file. If you trust its source, "
            "pass allow_pickle=True."
        )
    found = _unpickle(path)
    if not isinstance(found, nn.Module):
        what = "weights alone (a state dict)" if isinstance(found, dict) else type(found).__name__
        raise CheckpointError(
            f"{path} holds {what}, not a network: build your network and hand these to its load_state_dict."
        )
    return found.eval().to(device or "cpu")


def is_pickled(path: Path) -> bool:
    """Whether a file looks like ``torch.save`` made it (zip with a pickle, or a bare pickle).

    Examples
    --------
    >>> import pathlib, tempfile, torch
    >>> from genoplrp.training.foreign import is_pickled
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "w.pt"
    >>> torch.save({"a": 1}, path)
    >>> is_pickled(path)
    True
    """
    if not path.is_file():
        return False
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".pkl") for name in archive.namelist())
    with path.open("rb") as file:
        return file.read(1) == b"\x80"


def _unpickle(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except (ImportError, AttributeError) as error:
        raise CheckpointError(
            f"{path} needs a class that cannot be imported here ({error}): install or import the package it comes from."
        ) from error
    except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} is not a file that torch.save wrote: {error}.") from error
