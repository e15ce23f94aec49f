"""The end of a message about a name that nobody knows; what is known is for the caller to say."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggestion(name: str, choices: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the nearest known ones, or all."""
    known = list(choices)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    return (
        f"known are {', '.join(known[:20])}{', ...' if len(known) > 20 else ''}."
        if known
        else "there are none."
    )
