"""What ``genoplrp train --architecture`` names: a reference architecture with parameters, or the user's own module."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from genoplrp.errors import InputError

if TYPE_CHECKING:
    from torch import nn


def named_architecture(name: str) -> str | Callable[[int], nn.Module]:
    """Return the name itself; of ``module:callable`` or ``file.py:callable`` a function from the seed to the module.

    The callable runs once a seed, with torch's global generator seeded for the time being, so that a module that draws
    its weights in the usual way is the same for the same seed.

    Raises
    ------
    InputError
        If the module cannot be imported, or gives no ``nn.Module``.
    """
    if ":" not in name:
        return name
    from genoplrp.scan.models import untrained_model

    def build(seed: int) -> nn.Module:
        import torch

        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return untrained_model(name)

    return build


def parse_parameters(pairs: Sequence[str]) -> dict[str, Any] | None:
    """Read ``key=value`` pairs: numbers, text, or lists such as ``64,96``.

    Raises
    ------
    InputError
        If a pair has no equals sign, or a key is given twice.

    Examples
    --------
    >>> parse_parameters(["filters=64,96", "dense=256", "activation=exponential"])
    {'filters': [64, 96], 'dense': 256, 'activation': 'exponential'}
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals and value):
            raise InputError(f"--parameter {pair}: give key=value, for example filters=64,96")
        if key in found:
            raise InputError(f"--parameter {key} is given twice; give it once")
        found[key] = [_value(part) for part in value.split(",")] if "," in value else _value(value)
    return found or None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
