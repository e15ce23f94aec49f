"""What a result was made of, as plain values that can be compared with those of the next run; nothing is computed here.

A file under the same name says nothing about its content: these do. Two results with the same ingredients are the same.
"""

from __future__ import annotations

import functools
import hashlib
import sys
import sysconfig
import types
import uuid
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genoplrp.version import __version__

if TYPE_CHECKING:
    from genoplrp.synthetic import Dataset

Ingredients = dict[str, Any]


def data_content(data: Dataset) -> str:
    """SHA-256 over all of a data set that a benchmark looks at: sequences, labels, split, and the planted truth.

    Parameters
    ----------
    data : Dataset
        The data set.

    Returns
    -------
    str
        Hexadecimal; other letters, labels, parts, sites, roles or matrices give another one.

    Examples
    --------
    >>> from genoplrp.synthetic import Dataset
    >>> one = Dataset.from_sequences(["ACGT", "GGGG"], [0, 1], split=["train", "test"])
    >>> data_content(one) == data_content(one.subset([0, 1])), data_content(one) == data_content(one.subset([1, 0]))
    (True, False)
    """
    digest = hashlib.sha256(data.checksum().encode())
    digest.update("\t".join(data.kinds).encode())
    # As text: a category, its order and its unused values are no content.
    table = data.instances
    for name in sorted(map(str, table.columns)):
        digest.update(f"\n{name}\n".encode())
        column = table[name]
        if column.dtype.kind == "f":
            digest.update(column.to_numpy(dtype="<f4").tobytes())
        else:
            digest.update("\t".join(map(str, column.tolist())).encode())
    for name in sorted(data.motifs):
        # As many digits as a motif file holds.
        digest.update(f"\n{name}\n".encode() + data.motifs[name].pwm.round(5).astype("<f4").tobytes())
    return digest.hexdigest()


def file_content(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def method_ingredients(name: str) -> Ingredients:
    """Say what computes a method: its name with all options, the packages with their versions, a user's own code.

    Parameters
    ----------
    name : str
        As in `genoplrp.evaluation.get_method`.

    Returns
    -------
    dict
        Values that JSON can hold. Of code that cannot be compared (it holds what cannot be read, such as an open file)
        they never equal those of another run.

    Examples
    --------
    >>> sorted(method_ingredients("contiguity:ism"))
    ['genoplrp', 'name', 'of ism']
    """
    from genoplrp.evaluation.methods import get_method

    method = get_method(name)
    made_of: Ingredients = {"name": method.name, "genoplrp": __version__}
    for package in method.packages:
        made_of[package] = _version(package)
    if method.origin is not None:
        made_of["code"] = code_content(method.origin)
    prefix, _, rest = method.name.partition(":")
    for other in (rest.split("+") if prefix == "mean" else [rest]) if rest else []:
        made_of[f"of {other}"] = method_ingredients(other)
    return made_of


def code_content(function: object) -> str:
    """The `fingerprint` of a user's function; of code that cannot be read one that is like no other."""
    return fingerprint(function) or f"cannot be compared ({uuid.uuid4().hex})"


def fingerprint(value: object) -> str | None:
    """SHA-256 over a function's code and whatever of its own it uses: defaults, closure, globals, arrays, classes.

    Parameters
    ----------
    value : any
        A function, lambda, partial, method or callable object.

    Returns
    -------
    str or None
        None where something in it cannot be read. What comes from an installed package counts by name and version.

    Examples
    --------
    >>> fingerprint(lambda x: x + 1) == fingerprint(lambda x: x + 1), fingerprint(lambda x: x + 2) == fingerprint(len)
    (True, False)
    """
    digest = hashlib.sha256()
    try:
        for part in _parts(value, {}):
            digest.update(part + b"\0")
    except _UnreadableError:
        return None
    return digest.hexdigest()


class _UnreadableError(Exception):
    """Something whose content cannot be told."""


def _parts(value: object, seen: dict[int, object]) -> list[bytes]:
    """Turn anything that code can hold into bytes that are the same for the same content."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | types.EllipsisType):
        return [f"{type(value).__name__} {value!r}".encode()]
    if id(value) in seen:
        return [b"again"]
    seen[id(value)] = value  # kept alive: a number that is given out again would pass for it
    for read in (_parts_of_data, _parts_of_code, _parts_of_objects):
        parts = read(value, seen)
        if parts is not None:
            return parts
    raise _UnreadableError(type(value).__name__)


def _parts_of_data(value: object, seen: dict[int, object]) -> list[bytes] | None:
    """Arrays, tensors and containers."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        return [f"array {value.dtype} {value.shape}".encode(), np.ascontiguousarray(value).tobytes()]
    if type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach"):
        return _parts(value.detach().cpu().double().numpy(), seen)
    if isinstance(value, tuple | list):
        return [f"{type(value).__name__} {len(value)}".encode(), *_all(value, seen)]
    if isinstance(value, dict):
        return [b"dict", *_all([item for pair in value.items() for item in pair], seen)]
    if isinstance(value, set | frozenset):
        return [b"set", *sorted(part for item in value for part in _parts(item, seen))]
    return None


def _parts_of_code(value: object, seen: dict[int, object]) -> list[bytes] | None:
    """Functions and what they are made of; of an installed package the name and the version."""
    if isinstance(value, types.CodeType):
        return [value.co_code, repr(value.co_names).encode(), *_all(value.co_consts, seen)]
    if isinstance(value, functools.partial):
        return [b"partial", *_all([value.func, value.args, value.keywords], seen)]
    if isinstance(value, types.MethodType):
        return [b"method", *_all([value.__func__, value.__self__], seen)]
    if isinstance(value, types.ModuleType):
        return [f"module {value.__name__} {_version(value.__name__.partition('.')[0])}".encode()]
    module = str(getattr(value, "__module__", None) or type(value).__module__).partition(".")[0]
    name = getattr(value, "__qualname__", None)
    if name is not None and (_is_installed(module) or not hasattr(value, "__dict__")):
        return [f"{module}.{name} {_version(module)}".encode()]
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        known = [value.__globals__[n] for n in _names(value.__code__) if n in value.__globals__]
        return [
            b"function",
            *_all([value.__code__, value.__defaults__, value.__kwdefaults__, cells, known], seen),
        ]
    return None


def _parts_of_objects(value: object, seen: dict[int, object]) -> list[bytes] | None:
    """Classes, what stands in them, and their instances."""
    if isinstance(value, type):
        hidden = ("__dict__", "__weakref__", "__doc__", "__module__")
        own = {k: v for k, v in vars(value).items() if k not in hidden}
        return [f"class {value.__qualname__}".encode(), *_all([own, value.__bases__], seen)]
    if isinstance(value, property | staticmethod | classmethod):
        return _all([getattr(value, "fget", None) or getattr(value, "__func__", None)], seen)
    if hasattr(value, "__dict__"):
        return [b"object", *_all([type(value), vars(value)], seen)]
    return None


def _all(values: Iterable[object], seen: dict[int, object]) -> list[bytes]:
    return [part for value in values for part in _parts(value, seen)]


def _names(code: types.CodeType) -> list[str]:
    """Names that a function, or one inside it, looks up."""
    inner = [name for const in code.co_consts if isinstance(const, types.CodeType) for name in _names(const)]
    return [*code.co_names, *inner]


@functools.cache
def _is_installed(module: str) -> bool:
    """Whether code is a package's, and so known by its version, or somebody's own."""
    if module == "builtins":
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    homes = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    # A built-in module has no file.
    return module in sys.stdlib_module_names if file is None else any(file.startswith(home) for home in homes)


@functools.cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
