"""How much motifs resemble each other: the measure that keeps decoys from being look-alikes; no planting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from genoplrp.errors import SpecError
from genoplrp.synthetic.motifs import Motif


@dataclass(frozen=True)
class Similarity:
    """A bound on how much the motifs of one set may resemble those of another.

    Attributes
    ----------
    of : str
        The set that is bounded (the decoys).
    to : str
        The set that it is compared with (the core).
    maximum : float
        Largest similarity allowed, see :func:`similarity`.
    action : {"error", "drop"}
        What happens to a motif above it.
    keep : int, optional
        After dropping, keep only this many, in the order of the set.
    """

    of: str
    to: str
    maximum: float
    action: Literal["error", "drop"] = "error"
    keep: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.maximum <= 1:
            raise SpecError(f"maximum is {self.maximum:g}; similarity lies between 0 and 1.")
        if self.keep is not None and self.keep < 1:
            raise SpecError(f"keep is {self.keep}; keep at least one motif.")


def similarity(one: Motif, other: Motif) -> float:
    """Similarity of two motifs, 0 to 1: the best alignment on either strand, weighted by information.

    At each offset the columns that face each other are compared by the cosine of their deviations from uniform, and
    weighted by the information of both columns; the sum is divided by the information of the *less* informative motif.
    A motif that is contained in another one therefore reaches nearly 1.

    Parameters
    ----------
    one, other : Motif
        Two motifs.

    Returns
    -------
    float
        1 for the same motif or its reverse complement, about 0.2 to 0.4 for unrelated ones.

    Examples
    --------
    >>> motif = Motif.from_consensus("TGASTCA")
    >>> round(similarity(motif, motif), 6)
    1.0
    """
    best = max(_aligned(one, other), _aligned(one, other.reverse_complement()))
    return float(min(max(best, 0.0), 1.0))


def similarity_matrix(
    rows: Sequence[Motif], columns: Sequence[Motif] | None = None
) -> Float[np.ndarray, "r c"]:
    """Similarity of each of ``rows`` to each of ``columns`` (by default to each other)."""
    columns = rows if columns is None else columns
    return np.array([[similarity(one, other) for other in columns] for one in rows])


def _aligned(one: Motif, other: Motif) -> float:
    bits, other_bits = one.information(), other.information()
    weakest = min(bits.sum(), other_bits.sum())
    if weakest <= 0:
        return 0.0
    scores = _unit_columns(one).T @ _unit_columns(other)
    # A pair of columns counts for the information that both of them have.
    scores = scores * np.minimum(bits[:, None], other_bits[None])
    return float(max(np.trace(scores, offset) for offset in range(1 - one.width, other.width)) / weakest)


def _unit_columns(motif: Motif) -> Float[np.ndarray, "4 width"]:
    deviation = motif.pwm - 0.25
    norm = np.sqrt((deviation**2).sum(axis=0))
    return np.asarray(deviation / np.where(norm > 0, norm, 1))
