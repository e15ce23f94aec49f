"""Quantus as an oracle: imported where it is installed, skipped where it is not."""

from __future__ import annotations

import sys
import warnings

import pytest


def quantus():
    """The Quantus package, or a skip that says how to get it.

    Quantus imports zennit where it finds it, and zennit's import needs torchvision, which nothing here needs;
    so zennit is hidden for the length of the import.
    """
    if "quantus" in sys.modules:
        return sys.modules["quantus"]
    kept = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "zennit"}
    for name in kept:
        del sys.modules[name]
    sys.modules["zennit"] = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import quantus
    except ImportError as error:
        for name in [name for name in sys.modules if name.split(".")[0] == "quantus"]:
            del sys.modules[name]
        pytest.skip(
            f"Quantus cannot be imported ({error}); pip install --no-deps quantus scikit-image opencv-python"
        )
    finally:
        del sys.modules["zennit"]
        sys.modules.update(kept)
    return quantus
