"""Keras files (.keras, .h5) as torch modules: Keras 3 on its torch backend; no code of a file runs unasked."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from genoplrp.errors import CheckpointError, InputError
from genoplrp.scan.user_code import module_of
from genoplrp.wording import first_line, some

KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")
_HDF5 = b"\x89HDF\r\n\x1a\n"
_lock = threading.Lock()


def load_keras(
    path: str | Path,
    objects: Mapping[str, Callable[..., object]] | str | Path | None = None,
    *,
    trust_lambda: bool = False,
) -> nn.Module:
    """Load a Keras file as a model that can be explained; needs the extra ``genoplrp[keras]``, not TensorFlow.

    With the torch backend of Keras 3 a ``keras.Model`` is a `torch.nn.Module`. Its order of axes, (N, L, 4), is
    detected; you pass sequences as (N, 4, L), and relevance has the same shape.

    Parameters
    ----------
    path : str or Path
        A ``.keras`` file, or an ``.h5`` file of ``model.save`` (Keras 2 or 3).
    objects : mapping, str or Path, optional
        Custom layers and functions by name; or a Python file or module that has them (that code runs). The function
        of a Lambda layer is given under the layer's name.
    trust_lambda : bool
        Run the code that Lambda layers carry in the file. It can do anything, so only load files from people you trust.

    Returns
    -------
    keras.Model
        In the precision it was saved in, not compiled.

    Raises
    ------
    InputError
        If Keras is missing or imported with another backend, the file is no Keras model, needs layers that were not
        passed, or contains code that is not trusted.
    CheckpointError
        If the file is broken.

    Examples
    --------
    >>> import genoplrp as gp
    >>> model = gp.load_keras("spliceai1.h5")  # doctest: +SKIP
    >>> gp.plrp(model, X, target=lambda y: y[:, 0, 2])  # doctest: +SKIP
    """
    path = Path(path)
    config = read_config(path)
    keras = import_keras()
    given = keras_objects(objects)
    with _safe_copy(path, config, given, trust_lambda) as file:
        _check_layers(path, config, given, keras)
        try:
            model: nn.Module = keras.models.load_model(
                str(file), custom_objects=given, compile=False, safe_mode=not trust_lambda
            )
        except Exception as error:  # whatever Keras, or a layer handed in, raises
            raise _refused(path, error) from error
    return model


def import_keras() -> ModuleType:
    """Import Keras on its torch backend, and leave the environment as it was.

    Raises
    ------
    InputError
        If it is not installed, too old, or imported already with another backend.
    """
    with _lock:
        if sys.modules.get("keras") is None:
            before = os.environ.get("KERAS_BACKEND")
            os.environ["KERAS_BACKEND"] = "torch"
            try:
                importlib.import_module("keras")
            except ImportError as error:
                raise InputError(
                    f"Keras models need Keras ({error}): pip install 'genoplrp[keras]'"
                ) from error
            finally:
                if before is None:
                    del os.environ["KERAS_BACKEND"]
                else:
                    os.environ["KERAS_BACKEND"] = before
    keras = sys.modules["keras"]
    version = str(getattr(keras, "__version__", "?"))
    if version.split(".")[0] in ("0", "1", "2"):
        raise InputError(f"Keras {version} is installed; models are explained through Keras 3 or newer")
    backend = str(keras.backend.backend())
    if backend != "torch":
        raise InputError(
            f"Keras is imported already, with the backend {backend!r}, which torch cannot see into: start a new "
            "Python and set KERAS_BACKEND=torch before anything imports Keras"
        )
    return keras


def is_keras(path: Path) -> bool:
    """Return whether a path names a Keras file, or a TensorFlow model that was saved as a folder."""
    return path.suffix in KERAS_SUFFIXES or (path / "saved_model.pb").is_file()


def read_config(path: Path) -> dict[str, Any]:
    """Return a Keras file's model configuration; nothing of the file is run, and Keras is not needed.

    Raises
    ------
    InputError
        If the file is missing or no Keras model.
    CheckpointError
        If its configuration cannot be read.
    """
    if path.is_dir():
        what = "a TensorFlow SavedModel" if (path / "saved_model.pb").is_file() else "a folder"
        raise InputError(f"{path} is {what}, not a Keras file: save it with model.save('model.keras')")
    if not path.is_file():
        raise InputError(f"there is no file {path}; check the path")
    with path.open("rb") as file:
        start = file.read(len(_HDF5))
    if start == _HDF5:
        text = _hdf5_config(path)
    elif zipfile.is_zipfile(path):
        text = _zip_config(path)
    else:
        raise InputError(
            f"{path} is no Keras model: neither an HDF5 file (.h5) nor a .keras archive. Is it complete, or a pointer "
            "of Git LFS?"
        )
    try:
        config: Any = json.loads(text)
    except ValueError as error:
        raise CheckpointError(f"{path}: its model configuration is no JSON ({error})") from error
    if not isinstance(config, dict) or "config" not in config:
        raise CheckpointError(f"{path}: its model configuration names no model")
    return config


def keras_objects(
    objects: Mapping[str, Callable[..., object]] | str | Path | None,
) -> dict[str, Callable[..., object]]:
    """Return custom objects by name, from a mapping or from a Python file or module.

    Of a module: what its ``custom_objects`` names if it has that, else all its public classes and functions.

    Raises
    ------
    InputError
        If the module cannot be loaded.
    """
    if objects is None:
        return {}
    if isinstance(objects, Mapping):
        return dict(objects)
    module = module_of(str(objects))
    named = getattr(module, "custom_objects", None)
    if isinstance(named, Mapping):
        return dict(named)
    return {
        name: value
        for name, value in vars(module).items()
        if callable(value) and not name.startswith("_") and getattr(value, "__name__", None)
    }


def _hdf5_config(path: Path) -> str:
    try:
        import h5py
    except ImportError as error:
        raise InputError(
            f"{path} is an HDF5 file, which needs h5py: pip install 'genoplrp[keras]'"
        ) from error
    try:
        with h5py.File(path, "r") as file:
            config = file.attrs.get("model_config")
            groups = set(file)
            weights = "layer_names" in file.attrs or bool(
                groups & {"layers", "_layer_checkpoint_dependencies"}
            )
    except (OSError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"{path} cannot be read as HDF5: {error}") from error
    if config is not None:
        return config.decode("utf-8") if isinstance(config, bytes) else str(config)
    if weights:
        raise InputError(
            f"{path} holds weights alone, not the model they belong to: build the model in Python with Keras, call its "
            "load_weights and save it with model.save('model.keras')"
        )
    held = ", ".join(sorted(groups)[:5]) or "nothing"
    raise InputError(
        f"{path} is an HDF5 file, but no Keras model: it holds {held}, and no model configuration"
    )


def _zip_config(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            if "config.json" in archive.namelist():
                return archive.read("config.json").decode("utf-8")
            held = ", ".join(archive.namelist()[:3]) or "nothing"
    except (zipfile.BadZipFile, OSError, UnicodeDecodeError, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(f"{path} cannot be read as a .keras archive: {error}") from error
    raise InputError(f"{path} is a zip archive, but no Keras model: it holds {held}, and no config.json")


# -- code in a file ---------------------------------------------------------------------------------------------------


@contextmanager
def _safe_copy(path: Path, config: dict[str, Any], given: dict[str, Any], trust: bool) -> Iterator[Path]:
    """Give the file itself, or a copy whose Lambda layers call the functions that were handed in for them.

    Raises
    ------
    InputError
        If a Lambda layer carries code that is neither replaced nor trusted.
    """
    lambdas = [
        layer for layer in _objects(config) if layer.get("class_name") == "Lambda" and _carries_code(layer)
    ]
    if not trust:
        _refuse_code(path, config, lambdas, given)
    replaced = [layer for layer in lambdas if _name(layer) in given]
    if not replaced:
        yield path
        return
    for layer in replaced:
        _call_by_name(layer)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"model{'.keras' if zipfile.is_zipfile(path) else '.h5'}"
        _write_config(path, copy, json.dumps(config))
        yield copy


def _refuse_code(
    path: Path, config: dict[str, Any], lambdas: list[dict[str, Any]], given: dict[str, Any]
) -> None:
    """Refuse a file with code of its own that no function was handed in for."""
    others = [layer for layer in lambdas if _name(layer) not in given]
    if others or (not lambdas and _has_code(config)):
        names = ", ".join(repr(_name(layer)) for layer in others) or "a layer"
        raise InputError(
            f"{path} holds Python code of its own (Lambda: {names}), which would run here and can do anything; it also "
            "runs only in the Python version it was saved in. Pass --trust-pickle (trust_lambda=True) only if you "
            "trust whoever made the file; better: pass a function under the layer's name by --keras-objects "
            "module.py (objects={name: function})"
        )


def _write_config(path: Path, copy: Path, text: str) -> None:
    if copy.suffix == ".h5":
        import h5py

        shutil.copyfile(path, copy)
        with h5py.File(copy, "r+") as file:
            del file.attrs["model_config"]
            file.attrs["model_config"] = text
        return
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for item in old.infolist():
            new.writestr(item, text if item.filename == "config.json" else old.read(item.filename))


def _call_by_name(layer: dict[str, Any]) -> None:
    """Let a Lambda layer call the custom function of its own name instead of the code it carries."""
    name, inner = _name(layer), layer["config"]
    legacy = isinstance(inner.get("function"), list)
    function = {"module": "builtins", "class_name": "function", "config": name, "registered_name": name}
    inner["function"] = name if legacy else function
    for key in ("function_type", "output_shape_type", "output_shape_module", "module"):
        inner.pop(key, None)
    if _is_code(inner.get("output_shape")):
        inner["output_shape"] = None
    if inner.get("arguments") is None:
        inner.pop("arguments", None)


def _objects(value: object) -> Iterator[dict[str, Any]]:
    """Yield every serialized object of a configuration, outer ones first."""
    if isinstance(value, dict):
        if isinstance(value.get("class_name"), str):
            yield value
        for inner in value.values():
            yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


def _name(layer: dict[str, Any]) -> str:
    inner = layer.get("config")
    return str((inner.get("name") if isinstance(inner, dict) else None) or layer.get("name") or "?")


def _carries_code(layer: dict[str, Any]) -> bool:
    inner = layer.get("config")
    return isinstance(inner, dict) and any(
        _is_code(inner.get(key)) for key in ("function", "output_shape", "mask")
    )


def _is_code(value: object) -> bool:
    """Whether a value of a Lambda layer is marshalled Python (a list in Keras 2), not a name or a shape."""
    if isinstance(value, dict):
        return value.get("class_name") == "__lambda__"
    return isinstance(value, list) and bool(value) and isinstance(value[0], str)


def _has_code(config: dict[str, Any]) -> bool:
    return any(found.get("class_name") == "__lambda__" for found in _objects(config))


# -- what Keras does not know -----------------------------------------------------------------------------------------

_KERAS_2_ONLY = {"TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "ClassMethod", "InstanceMethod"}


def _check_layers(path: Path, config: dict[str, Any], given: dict[str, Any], keras: ModuleType) -> None:
    """Name every layer that neither Keras nor the user has."""
    registered = {name.split(">")[-1] for name in keras.saving.get_custom_objects()}
    known = {*given, *registered, "Functional", "Model", "Sequential"}
    missing, of_tensorflow = [], []
    for layer in _layers(config):
        name = str(layer["class_name"])
        if name in _KERAS_2_ONLY:
            of_tensorflow.append(f"{_name(layer)} ({_function_name(layer)})")
        elif name not in known and not hasattr(keras.layers, name) and name not in missing:
            missing.append(name)
    if of_tensorflow:
        raise InputError(
            f"{path} calls functions of TensorFlow as layers: {some(of_tensorflow, 5)}. They run in TensorFlow only: "
            "build the model with Keras 3 (keras.ops in their place), load these weights and save it as .keras"
        )
    if missing:
        raise InputError(_missing(path, missing))


def _layers(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the serialized layers of a model, of the models in it, and of layers that wrap one."""
    inner = config.get("config")
    # Keras 1 and 2 wrote a Sequential's layers as a bare list.
    listed = inner if isinstance(inner, list) else inner.get("layers") if isinstance(inner, dict) else None
    if not isinstance(listed, list):
        return
    for layer in listed:
        if not (isinstance(layer, dict) and isinstance(layer.get("class_name"), str)):
            continue
        yield layer
        yield from _layers(layer)
        wrapped = layer.get("config")
        if (
            isinstance(wrapped, dict)
            and isinstance(wrapped.get("layer"), dict)
            and "class_name" in wrapped["layer"]
        ):
            yield wrapped["layer"]


def _function_name(layer: dict[str, Any]) -> str:
    inner = layer.get("config")
    return (
        str(inner.get("function", layer["class_name"]))
        if isinstance(inner, dict)
        else str(layer["class_name"])
    )


def _missing(path: Path, names: list[str]) -> str:
    return (
        f"{path} needs {some(names, 5)}, which Keras does not have: pass the class by --keras-objects module.py "
        f"(objects={{{names[0]!r}: ...}}), written with `import keras`, not tensorflow.keras"
    )


def _refused(path: Path, error: Exception) -> Exception:
    text = str(error)
    found = re.search(r"(?:Could not locate (?:class|function)|Unknown [\w ]+:) '(\w+)'", text)
    if found:
        return InputError(_missing(path, [found.group(1)]))
    if "marshal" in text:
        return InputError(
            f"{path}: the code of a Lambda layer was saved by another version of Python and cannot be read here: hand "
            "in a function under the layer's name by --keras-objects module.py (objects={name: function})"
        )
    return CheckpointError(f"{path} cannot be loaded by Keras: {first_line(error)}")
