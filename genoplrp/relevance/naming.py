"""Short names of methods, for records of what was computed and for titles."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genoplrp.relevance.presets import Rules
    from genoplrp.relevance.pruning.policy import Pruning


CONSENSUS_RULES = "gamma, gamma-all"
"""The rules of a consensus that was given none, as records name them."""


def describe(rules: Rules, pruning: Pruning | None) -> str:
    """Return a short name of a method, e.g. ``"PLRP-lambda gamma p=0.25"``.

    Examples
    --------
    >>> describe("gamma", None)
    'LRP gamma'
    """
    name = rules if isinstance(rules, str) else type(rules).__name__
    if pruning is None:
        return f"LRP {name}"
    p = pruning.p
    share = p if isinstance(p, str) else f"{p:g}" if isinstance(p, float | int) else "by layer"
    return f"PLRP-{pruning.method} {name} p={share}"
