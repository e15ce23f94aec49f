"""What an expression is about: the instances of each name in some sequences, and the pairs among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num


class Instances(NamedTuple):
    """The instances that one name stands for, in any order.

    Attributes
    ----------
    row : array, (I,), int
        Sequence of each.
    start, end : array, (I,), int
        Where it lies, 0-based, half-open, in bp.
    strand : array, (I,), int
        +1 or -1.
    affinity : array, (I,)
        Score divided by the motif's best score, at least 0; of a site, the product over its motifs.
    """

    row: Int[np.ndarray, " i"]
    start: Num[np.ndarray, " i"]
    end: Num[np.ndarray, " i"]
    strand: Int[np.ndarray, " i"]
    affinity: Float[np.ndarray, " i"]

    def chosen(self, which: np.ndarray) -> Instances:
        """Some of them, by a mask or by their numbers."""
        return Instances(*(column[which] for column in self))

    @property
    def middle(self) -> Float[np.ndarray, " i"]:
        """Middle of each instance, in bp from the sequence's first boundary."""
        return np.asarray((self.start + self.end) / 2)


class Pairs(NamedTuple):
    """Pairs of instances in the same sequence, by their numbers in two lists of instances."""

    row: Int[np.ndarray, " p"]
    first: Int[np.ndarray, " p"]
    second: Int[np.ndarray, " p"]


@dataclass(frozen=True, eq=False)
class Sites:
    """The instances in n sequences, by name.

    Attributes
    ----------
    lengths : array, (n,), int
        Length of each sequence, in bp.
    instances : dict of str to Instances
        Of motifs, sets and sites.
    classes : dict of str to array, (n,)
        Of classes of sequences: 1 where a sequence belongs to it, else 0.
    """

    lengths: Int[np.ndarray, " n"]
    instances: Mapping[str, Instances]
    classes: Mapping[str, Num[np.ndarray, " n"]] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Number of sequences."""
        return len(self.lengths)

    def pairs(self, one: str, other: str) -> Pairs:
        """Return each pair of an instance of ``one`` and a different one of ``other`` in the same sequence.

        Of a name with itself each pair stands once, the left instance first. An instance that both names stand for
        (of a motif and a set that holds it) makes no pair with itself.
        """
        a, b = self.instances[one], self.instances[other]
        order = np.argsort(b.row, kind="stable")
        begin = np.searchsorted(b.row[order], a.row, side="left")
        count = np.searchsorted(b.row[order], a.row, side="right") - begin
        first = np.repeat(np.arange(len(a.row)), count)
        within = np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
        second = order[np.repeat(begin, count) + within]
        # Planted instances do not overlap, so that one that starts and ends where another does is the same.
        same = (a.start[first] == b.start[second]) & (a.end[first] == b.end[second])
        kept = (a.start[first] < b.start[second]) if one == other else ~same
        first, second = first[kept], second[kept]
        return Pairs(a.row[first], first, second)
