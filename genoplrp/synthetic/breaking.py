"""How a site can be broken: which orders and strands of its motifs no intact site can have.

An *arrangement* is what lies on the DNA from left to right: motifs and their strands. DNA has two strands, so an
arrangement is one that the site's rule allows if it is so read from either end; and a motif that reads the same on both
strands (a palindrome), or like another one, is told from it by nobody. A site counts as broken only in an arrangement
that is not allowed in this sense; broken spacings are disjoint from the allowed ones anyway.

Where sites are drawn and broken ones asked for: `grammar`; how a mutated one loses its letters: `plant`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations, product

import numpy as np
from jaxtyping import Bool, Int

from genoplrp.synthetic.motifs import Motif
from genoplrp.synthetic.spec_parts import Site

#: Two matrices of one width are taken for the same from this overlap of the words drawn from them on (Bhattacharyya's
#: coefficient): an observer who knows both is wrong about at least 7 % of the words.
SAME_WORDS = 0.5

_Strands = tuple[bool, ...]


class SiteRule:
    """The arrangements that a site's rule allows, and those that break it.

    Parameters
    ----------
    site : Site
        The site.
    slots : sequence of sequence of str
        The motifs that may stand in each of its slots.
    motifs : mapping of str to Motif
        The matrices that instances are drawn from.

    Examples
    --------
    >>> motifs = {"A": Motif.from_consensus("TGACTC"), "B": Motif.from_consensus("CACGTG")}
    >>> rule = SiteRule(Site(("A", "B"), orientation="++"), [["A"], ["B"]], motifs)
    >>> rule.allows(("A", "B"), (False, True)), rule.allows(("A", "B"), (True, False))
    (True, False)
    >>> rule.orientations(("A", "B"), (False, False), (0, 1))  # turning B, a palindrome, alone (2) changes nothing
    [1, 3]
    """

    def __init__(self, site: Site, slots: Sequence[Sequence[str]], motifs: Mapping[str, Motif]) -> None:
        self.site = site
        self.slots = [tuple(dict.fromkeys(members)) for members in slots]
        names = list(dict.fromkeys(name for members in self.slots for name in members))
        like = {(a, b): _strands_alike(motifs[a], motifs[b]) for a in names for b in names}
        # For each motif: whether it fills each slot as it stands, and turned round.
        self.fills = {
            name: tuple(
                tuple(any(like[name, other][turned] for other in members) for turned in (0, 1))
                for members in self.slots
            )
            for name in names
        }
        self.turned_alike = {name for name in names if like[name, name][1]}
        self._allowed: dict[tuple[object, ...], bool] = {}

    def allows(self, motifs: Sequence[str], minus: Sequence[bool]) -> bool:
        """Whether an intact site can look like this: motifs and strands from left to right."""
        key = (*(self.fills[name] for name in motifs), *map(bool, minus))
        if key not in self._allowed:
            there = list(zip(key[: len(motifs)], map(bool, minus), strict=True))
            back = [(fills, not turned) for fills, turned in reversed(there)]
            self._allowed[key] = self._reads(there) or self._reads(back)
        return self._allowed[key]

    def intact_strands(self) -> Iterator[_Strands]:
        """Strands of the slots that the rule allows, on the site's own forward strand."""
        for minus in product((False, True), repeat=len(self.slots)):
            if self._oriented(minus):
                yield minus

    def orientations(self, motifs: Sequence[str], minus: _Strands, order: Sequence[int]) -> list[int]:
        """Which motifs can be turned to break the rule, as bits (bit k: slot k); the first stays if it can.

        Parameters
        ----------
        motifs, minus
            Motif and strand of each slot, as the rule has them.
        order
            The slot that stands at each place.
        """

        def breaks(turned: int) -> bool:
            strands = [minus[slot] ^ bool(turned >> slot & 1) for slot in order]
            return not self.allows([motifs[slot] for slot in order], strands)

        patterns = range(1, 2 ** len(motifs))
        return [t for t in patterns if not t & 1 and breaks(t)] or [
            t for t in patterns if t & 1 and breaks(t)
        ]

    def orders(self, motifs: Sequence[str], minus: _Strands) -> list[tuple[int, ...]]:
        """Orders of the slots that break the rule: the reversed one if it does, else all that do."""

        def breaks(order: Sequence[int]) -> bool:
            return not self.allows([motifs[slot] for slot in order], [minus[slot] for slot in order])

        slots = range(len(motifs))
        reversed_order = tuple(slots)[::-1]
        return [reversed_order] if breaks(reversed_order) else [o for o in permutations(slots) if breaks(o)]

    def unbreakable(self, broken: str) -> tuple[str, ...] | None:
        """Motifs (one a slot) with which the site cannot be broken in its "order" or "orientation", or None."""
        for motifs in self._situations():
            for minus in self.intact_strands():
                if broken == "order":
                    ways: Sequence[object] = () if self.site.order == "any" else self.orders(motifs, minus)
                else:
                    # Where any order is allowed, which one it is makes no difference.
                    ways = self.orientations(motifs, minus, range(len(motifs)))
                if not ways:
                    return motifs
        return None

    def _situations(self) -> Iterator[tuple[str, ...]]:
        """One choice of motifs for each that differs in what fills which slot."""
        kinds = [{self.fills[name]: name for name in reversed(members)}.values() for members in self.slots]
        yield from product(*kinds)

    def _oriented(self, minus: Sequence[bool]) -> bool:
        """Whether the strands of the slots are as the rule has them, on the site's own forward strand."""
        rule = self.site.orientation
        if rule == "any":
            return True
        if rule in ("same", "opposite"):
            return len(set(minus)) == (1 if rule == "same" else 2)
        return all(turned == (sign == "-") for turned, sign in zip(minus, rule, strict=True))

    def _reads(self, places: Sequence[tuple[object, bool]]) -> bool:
        """Whether motifs, from left to right, can fill the slots on the site's own forward strand."""
        n = len(self.slots)
        orders = permutations(range(n)) if self.site.order == "any" else [tuple(range(n))]
        for order in orders:
            strands: list[list[bool]] = [[] for _ in range(n)]
            for (fills, minus), slot in zip(places, order, strict=True):
                strands[slot] = [minus ^ bool(turned) for turned in (0, 1) if fills[slot][turned]]  # type: ignore[index]
            if any(self._oriented(choice) for choice in product(*strands)):
                return True
        return False


def choose_orientations(
    rule: SiteRule,
    names: Sequence[str],
    motif: Int[np.ndarray, "n slots"],
    minus: Bool[np.ndarray, "n slots"],
    order: Int[np.ndarray, "n slots"],
    u: np.ndarray,
) -> Bool[np.ndarray, "n slots"]:
    """Turn motifs of sites so that their orientation is broken, each possible way equally likely.

    Parameters
    ----------
    rule
        The site's rule.
    names
        Names of all motifs, by number.
    motif, minus
        Motif number and strand of each slot.
    order
        The slot that stands at each place.
    u : array, (n,)
        One uniform number a site.

    Returns
    -------
    array, (n, slots), bool
        Strand of each slot.
    """
    slots = motif.shape[1]
    situations, place = _distinct_rows(motif, minus, order)
    turned = np.empty(len(motif), dtype=np.int64)
    for number, row in enumerate(situations):
        chosen = place == number
        motifs, strands, at = row[:slots], row[slots : 2 * slots], row[2 * slots :]
        ways = np.array(
            rule.orientations([names[k] for k in motifs], tuple(map(bool, strands)), at.tolist()),
            dtype=np.int64,
        )
        turned[chosen] = ways[(u[chosen] * len(ways)).astype(np.int64)]
    return np.asarray(minus ^ ((turned[:, None] >> np.arange(slots)) & 1 == 1))


def choose_orders(
    rule: SiteRule,
    names: Sequence[str],
    motif: Int[np.ndarray, "n slots"],
    minus: Bool[np.ndarray, "n slots"],
    rng: np.random.Generator,
) -> Int[np.ndarray, "n slots"]:
    """Give sites orders that break their rule, each possible one equally likely.

    Returns
    -------
    array, (n, slots), int
        The slot that stands at each place.
    """
    slots = motif.shape[1]
    situations, place = _distinct_rows(motif, minus)
    ways = [
        np.array(rule.orders([names[k] for k in row[:slots]], tuple(map(bool, row[slots:]))))
        for row in situations
    ]
    u = np.zeros(len(motif)) if all(len(some) == 1 for some in ways) else rng.random(len(motif))
    order = np.empty(motif.shape, dtype=np.int64)
    for number, some in enumerate(ways):
        chosen = place == number
        order[chosen] = some[(u[chosen] * len(some)).astype(np.int64)]
    return order


def _distinct_rows(*columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows, place = np.unique(
        np.concatenate([column.astype(np.int64) for column in columns], axis=1), axis=0, return_inverse=True
    )
    return rows, place.reshape(-1)


def _strands_alike(one: Motif, other: Motif) -> tuple[bool, bool]:
    """Whether words of two motifs cannot be told apart, as they stand and with one of them turned round."""
    if one.width != other.width:
        return False, False
    turned = other.pwm[::-1, ::-1]
    return _overlap(one.pwm, other.pwm) > SAME_WORDS, _overlap(one.pwm, turned) > SAME_WORDS


def _overlap(p: np.ndarray, q: np.ndarray) -> float:
    """Bhattacharyya's coefficient of the words drawn from two matrices: 1 for the same, 0 for none in common."""
    return float(np.prod(np.sqrt(p * q).sum(axis=0)))
