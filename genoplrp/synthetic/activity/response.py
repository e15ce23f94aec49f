"""The named functions of the language: kernels over a distance, links, and plain arithmetic; no names, no parsing."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature

import numpy as np
from jaxtyping import Float

Numbers = Float[np.ndarray, "..."]


def exponential(x: Numbers, scale: Numbers) -> Numbers:
    """exp(-|x| / scale): 1 at 0, 1/e at ``scale``."""
    return np.asarray(np.exp(-np.abs(x) / scale))


def gaussian(x: Numbers, sd: Numbers, mean: Numbers | float = 0.0) -> Numbers:
    """exp(-((x - mean) / sd)**2 / 2): 1 at ``mean``."""
    return np.asarray(np.exp(-(((x - mean) / sd) ** 2) / 2))


def periodic(x: Numbers, period: Numbers | float = 10.5, phase: Numbers | float = 0.0) -> Numbers:
    """(1 + cos(2 pi (x - phase) / period)) / 2: 1 at ``phase`` and every period from there, 0 half a period off.

    The default period is the helical pitch of B-DNA in bp.
    """
    return np.asarray((1 + np.cos(2 * np.pi * (x - phase) / period)) / 2)


def step(x: Numbers, edge: Numbers) -> Numbers:
    """1 where |x| <= edge, else 0."""
    return np.asarray(np.abs(x) <= edge, dtype=np.float64)


def hill(x: Numbers, half: Numbers, n: Numbers | float = 1.0) -> Numbers:
    """x**n / (x**n + half**n): 0 at and below 0, 1/2 at ``half``, towards 1 above; ``n`` is the Hill coefficient.

    References
    ----------
    Hill, *J. Physiol.* 40, 1910.
    """
    x = np.maximum(x, 0)
    # (half / x)**n instead of x**n: no overflow for large x, and the right limit, 0, at 0.
    with np.errstate(divide="ignore"):
        return np.asarray(1 / (1 + (half / x) ** n))


def logistic(x: Numbers) -> Numbers:
    """1 / (1 + exp(-x))."""
    return np.asarray((1 + np.tanh(np.asarray(x) / 2)) / 2)


#: Functions of numbers by the name that the language gives them.
FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "exponential": exponential,
    "gaussian": gaussian,
    "periodic": periodic,
    "step": step,
    "hill": hill,
    "logistic": logistic,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "min": np.minimum,
    "max": np.maximum,
}

_PLAIN = {"exp": 1, "log": 1, "sqrt": 1, "abs": 1, "min": 2, "max": 2}


def parameters(name: str) -> tuple[list[str], int]:
    """Names of a function's arguments (empty where they have none), and how many it needs.

    Examples
    --------
    >>> parameters("hill"), parameters("max")
    ((['x', 'half', 'n'], 2), (['', ''], 2))
    """
    if name in _PLAIN:
        return [""] * _PLAIN[name], _PLAIN[name]
    found = signature(FUNCTIONS[name]).parameters
    return list(found), sum(one.default is Parameter.empty for one in found.values())
