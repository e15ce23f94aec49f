"""Keeping what other packages compile: their numba kernels on disk, so that only the first run waits for them."""

from __future__ import annotations

from types import ModuleType


def keep_compiled(*modules: ModuleType) -> None:
    """Let numba keep the compiled functions of a module on disk, beside it or in the user's cache folder.

    Compiling those of modisco-lite or tangermeme takes longer than what they do with a thousand sequences. The cache
    belongs to the module's own file, so the functions must call none of another file; that holds for these two.
    """
    from numba.core.dispatcher import Dispatcher

    for module in modules:
        for value in list(vars(module).values()):
            # Compiled at import, or cached by its own package: nothing to do.
            if isinstance(value, Dispatcher) and value.__module__ == module.__name__ and not value.signatures:
                value.enable_caching()
