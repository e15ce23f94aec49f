"""Tensors and what is said of them in one .npz file, without pickling; what they mean is not known here."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genoplrp.errors import InputError, OutputExistsError

_META = "meta"


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any], *, overwrite: bool = False
) -> Path:
    """Write tensors, and what JSON can hold of a mapping (the rest as text), completely or not at all.

    Raises
    ------
    OutputExistsError
        If the file exists and ``overwrite`` is False.
    InputError
        If its folder does not exist.
    """
    path = Path(path)
    if path.is_dir() or (path.exists() and not overwrite):
        raise OutputExistsError(f"{path} exists already; choose another name, or pass overwrite=True")
    if not path.absolute().parent.is_dir():
        raise InputError(f"the folder {path.parent} does not exist; create it first")
    part = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with part.open("wb") as handle:
            arrays: dict[str, Any] = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
            arrays[_META] = np.array(json.dumps(_plain(meta)))
            np.savez_compressed(handle, **arrays)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote; nothing is unpickled.

    Raises
    ------
    InputError
        If it is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no file {path}; check the path")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: torch.from_numpy(file[name]) for name in file.files if name != _META}
            meta: dict[str, Any] = json.loads(str(file[_META]))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, RuntimeError) as error:
        raise InputError(f"{path} is not a file of Explanation.save, or it is damaged ({error})") from error
    return arrays, meta


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)
