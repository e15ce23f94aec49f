from __future__ import annotations

import importlib.util
import os
from typing import Any

import pytest


@pytest.fixture(scope="session", autouse=True)
def language_made_ready_once_a_launch():
    """Let Triton's interpreter make its language ready once a launch, which took half the time of a kernel.

    It puts functions of its own in the place of those of ``triton.language`` when a kernel starts and takes them away
    when it ends. In between it would look through the whole language again at every call of a device function, such as
    ``tl.sum``, and find nothing new.
    """
    if os.environ.get("TRITON_INTERPRET") != "1" or importlib.util.find_spec("triton") is None:
        yield
        return
    from triton.runtime import interpreter

    launch, make_ready = interpreter.GridExecutor.__call__, interpreter._patch_lang
    ready: set[int] = set()  # the modules whose names are the interpreter's, in this launch

    def launch_anew(self: Any, *args: Any, **options: Any) -> None:
        ready.clear()
        launch(self, *args, **options)

    def make_ready_once(function: Any) -> Any:
        module = id(function.__globals__)
        if module in ready:
            return None  # only what is given to the launch itself, the first in it, is looked at
        ready.add(module)
        return make_ready(function)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interpreter.GridExecutor, "__call__", launch_anew)
        patch.setattr(interpreter, "_patch_lang", make_ready_once)
        yield
