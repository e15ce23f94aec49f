"""How loops are compiled: without the interpreter's lock, kept on disk where there is a place for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Any:
    """Return the function compiled by numba on its first call, or loaded from numba's cache on disk."""
    is_entry = not function.__name__.startswith("_")
    # No wrappers where none is called from outside: they are a fifth of the time to compile.
    wrappers = {"no_cfunc_wrapper": True, "no_cpython_wrapper": not is_entry}
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", **wrappers}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder that it may write to
        return numba.njit(**options)(function)
