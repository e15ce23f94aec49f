"""Small specifications for tests, built from tables as a TOML file would give them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genoplrp.synthetic import Spec, spec_from_table

MOTIF_FILE = Path(__file__).parents[2] / "genoplrp" / "synthetic" / "presets" / "motifs" / "tal_gata.meme"


def table(**changes: Any) -> dict[str, Any]:
    """Two consensus motifs A and B in 60 bp; ``changes`` replace keys."""
    base: dict[str, Any] = {
        "name": "small",
        "length": 60,
        "motifs": [{"consensus": "GATAAG", "name": "A"}, {"consensus": "CAGCTGTT", "name": "B"}],
        "tasks": [{"name": "label", "rule": "A"}],
        "classes": [
            {"name": "with", "fraction": 0.5, "plant": [{"motifs": "A"}]},
            {"name": "without", "fraction": 0.5},
        ],
    }
    return base | changes


def small(**changes: Any) -> Spec:
    """Build the specification of :func:`table`."""
    return spec_from_table(table(**changes))


def planting(*plant: dict[str, Any], **changes: Any) -> Spec:
    """Build a specification whose sequences all hold the same things."""
    return small(classes=[{"name": "all", "fraction": 1.0, "plant": list(plant)}], **changes)
