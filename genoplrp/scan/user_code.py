"""Python code that a user names: by a dotted name or as a file. It is run, so only what was asked for is loaded."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from genoplrp.errors import InputError

WAYS = (
    "name a checkpoint folder of `genoplrp train`, a torch.export archive (.pt2), a Keras file (.keras, .h5), or "
    "module:callable or file.py:callable that returns the nn.Module, with its weights as --state-dict"
)
"""How a model can be named, as errors say it."""


def names_in(path: Path) -> list[str]:
    """Names of the functions and classes of a Python file, read without running it."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return []
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]


def module_name(path: Path) -> str:
    """The name under which a file is run as a module."""
    return f"genoplrp_model_{path.stem}"


def module_of(name: str) -> ModuleType:
    """Import a module by its dotted name, or from a file, ``file.py``.

    Raises
    ------
    InputError
        If it cannot be loaded.
    """
    return from_file(Path(name)) if name.endswith(".py") else imported(name, name)


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Let modules of a folder be imported inside, as a script's neighbours are."""
    place = str(folder.absolute())
    if place in sys.path:
        yield
        return
    sys.path.insert(0, place)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        if place in sys.path:
            sys.path.remove(place)


def from_file(path: Path) -> ModuleType:
    """Run a Python file as a module.

    Raises
    ------
    InputError
        If there is no such file, or it fails.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}; check the path")
    spec = importlib.util.spec_from_file_location(module_name(path), path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickling look their module up
    try:
        with importable(path.parent):
            spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"{path} failed while it was loaded: {type(error).__name__}: {error}") from error
    return module


def imported(name: str, text: str) -> ModuleType:
    """Import the module ``name``, which the user wrote as part of ``text``.

    Raises
    ------
    InputError
        If it cannot be imported.
    """
    try:
        with importable(Path.cwd()):
            return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"{text!r}: the module {name!r} cannot be imported ({error}); {WAYS}") from error
