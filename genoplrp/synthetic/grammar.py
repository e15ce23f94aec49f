"""What each sequence of a class holds: units (motifs and sites) with their inner layout, before they get a place.

A *unit* is what is placed as one rigid piece: a single motif, or a site with its gaps drawn. Instances sit inside
units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from genoplrp.synthetic.breaking import SiteRule, choose_orders, choose_orientations
from genoplrp.synthetic.distributions import draw_from
from genoplrp.synthetic.spec_check import gap_rules, site_rule

if TYPE_CHECKING:
    from genoplrp.synthetic.spec import Spec
from genoplrp.synthetic.spec_parts import Plant, SequenceClass, Site

#: Roles of instances, by number.
ROLES = ("core", "decoy", "broken", "inhibitor", "repressor")
CORE, DECOY, BROKEN, INHIBITOR, REPRESSOR = range(5)
#: Roles of instances that speak for a lower score, and names of the roles that count for labels.
NEGATIVE = (INHIBITOR, REPRESSOR)
COUNTED = ("core", "inhibitor", "repressor")

#: How the letters of an instance are made, by number.
INTACT, MUTATED, SHUFFLED, MUTATED_TO_ANY = range(4)

_NOT_DRAWN = np.zeros(0, dtype=np.int64)


class Units(NamedTuple):
    """Units and the instances inside them, not yet placed.

    Attributes
    ----------
    row : array, (U,), int
        Sequence of each unit; ascending.
    width : array, (U,), int
        Width of each unit, in bp.
    wanted : array, (U,), int
        Start that it wants, or -1.
    unit : array, (I,), int
        Unit of each instance; ascending.
    offset : array, (I,), int
        Start of the instance inside its unit.
    motif, role, site, how : array, (I,), int
        Motif number; number in ``ROLES``; site number or -1; how its letters are made.
    minus : array, (I,), bool
        Whether it lies on the minus strand.
    """

    row: Int[np.ndarray, " u"]
    width: Int[np.ndarray, " u"]
    wanted: Int[np.ndarray, " u"]
    unit: Int[np.ndarray, " i"]
    offset: Int[np.ndarray, " i"]
    motif: Int[np.ndarray, " i"]
    role: Int[np.ndarray, " i"]
    site: Int[np.ndarray, " i"]
    how: Int[np.ndarray, " i"]
    minus: Bool[np.ndarray, " i"]


class Layout:
    """A specification's names as numbers, and its motifs' widths, ready for drawing units.

    Parameters
    ----------
    spec : Spec
        The specification.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.number = {name: number for number, name in enumerate(spec.motifs)}
        self.site_number = {name: number for number, name in enumerate(spec.sites)}
        self.width = np.array([use.motif.width for use in spec.motifs.values()], dtype=np.int64)
        self._choices: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._rules: dict[str, SiteRule] = {}

    def draw(self, one: SequenceClass, rng: np.random.Generator, lengths: Int[np.ndarray, " n"]) -> Units:
        """Draw the units of sequences of one class.

        Parameters
        ----------
        one : SequenceClass
            What to plant.
        rng : Generator
            Source of chance.
        lengths : array, (n,)
            Length of each sequence, in bp.

        Returns
        -------
        Units
            Ordered by sequence.
        """
        parts = [self._draw_plant(plant, rng, lengths) for plant in one.plant]
        # The units of one plant are in order already.
        return parts[0] if len(parts) == 1 else _ordered(join_units(parts))

    def _draw_plant(self, plant: Plant, rng: np.random.Generator, lengths: np.ndarray) -> Units:
        counts = plant.count.draw(rng, len(lengths))
        row = np.repeat(np.arange(len(lengths)), counts)
        if plant.site:
            units = self._sites(plant, rng, row)
        else:
            motif = self._choose(plant, rng, counts)
            units = self._single(plant, rng, row, motif)
        # Uniform places do not look at the lengths yet.
        lengths = lengths if plant.position.kind == "uniform" else lengths[row]
        return units._replace(wanted=plant.position.draw(rng, units.width, lengths))

    def _single(self, plant: Plant, rng: np.random.Generator, row: np.ndarray, motif: np.ndarray) -> Units:
        n = len(row)
        how = _how(plant)
        return Units(
            row=row,
            width=self.width[motif],
            wanted=_NOT_DRAWN,
            unit=np.arange(n),
            offset=np.zeros(n, dtype=np.int64),
            motif=motif,
            role=np.full(n, _role(plant), dtype=np.int8),
            site=np.full(n, -1, dtype=np.int16),
            how=np.full(n, how, dtype=np.int8),
            minus=rng.random(n) < plant.minus,
        )

    def _choose(self, plant: Plant, rng: np.random.Generator, counts: np.ndarray) -> np.ndarray:
        """Draw a motif for each unit: with replacement, or distinct ones within each sequence."""
        members, p = self._members(plant)
        if plant.distinct:
            order = np.argsort(rng.random((len(counts), len(members))), axis=1, kind="stable")
            return members[order[np.arange(len(members)) < counts[:, None]]]
        return draw_from(rng, int(counts.sum()), members, p)

    def _members(self, plant: Plant) -> tuple[np.ndarray, np.ndarray]:
        """Return the motifs that a plant chooses among, and their probabilities; worked out once."""
        if id(plant) not in self._choices:
            groups = [[self.number[member] for member in self.spec.members(name)] for name in plant.motifs]
            weights = plant.weights or tuple(float(len(group)) for group in groups)
            p = np.concatenate([np.full(len(g), w / len(g)) for g, w in zip(groups, weights, strict=True)])
            self._choices[id(plant)] = np.array([member for group in groups for member in group]), p / p.sum()
        return self._choices[id(plant)]

    def _sites(self, plant: Plant, rng: np.random.Generator, row: np.ndarray) -> Units:
        site = self.spec.sites[plant.site]
        n, slots = len(row), len(site.motifs)
        motif = np.stack([self._slot(name, rng, n) for name in site.motifs], axis=1)
        minus = _orientations(site, rng, n)
        if plant.broken == "orientation":
            u = rng.random(n)
            order = _orders(site, rng, n)
            minus = choose_orientations(self._rule(plant.site), list(self.number), motif, minus, order, u)
        elif plant.broken == "order":
            order = choose_orders(self._rule(plant.site), list(self.number), motif, minus, rng)
        else:
            order = _orders(site, rng, n)
        motif, minus = np.take_along_axis(motif, order, 1), np.take_along_axis(minus, order, 1)
        gap = _gaps(site, rng, n, broken=plant.broken == "spacing")
        if plant.broken == "spacing" and slots > 2:
            gap = _one_broken_gap(site, rng, gap)
        width = self.width[motif]
        offset = np.cumsum(np.concatenate([np.zeros((n, 1), np.int64), width[:, :-1] + gap], axis=1), axis=1)
        whole = offset[:, -1] + width[:, -1]
        turned = rng.random(n) < site.minus
        offset = np.where(turned[:, None], whole[:, None] - offset - width, offset)
        minus = minus ^ turned[:, None]
        kept = np.ones((n, slots), dtype=bool)
        if plant.broken == "missing":
            kept[np.arange(n), np.floor(rng.random(n) * slots).astype(np.int64)] = False
        how = _how(plant)
        intact = not plant.broken
        # The mutated site has one motif spoilt; a shuffled one has all of them.
        hows = np.full((n, slots), how, dtype=np.int8)
        if plant.broken == "mutated":
            hows[:] = INTACT
            hows[np.arange(n), np.floor(rng.random(n) * slots).astype(np.int64)] = how
        role = _role(plant) if plant.broken != "missing" else ROLES.index(plant.role)
        chosen = kept.reshape(-1)
        total = int(chosen.sum())
        return Units(
            row=row,
            width=whole,
            wanted=_NOT_DRAWN,
            unit=np.repeat(np.arange(n), slots)[chosen],
            offset=offset.reshape(-1)[chosen],
            motif=motif.reshape(-1)[chosen],
            role=np.full(total, role, dtype=np.int8),
            site=np.full(total, self.site_number[plant.site] if intact else -1, dtype=np.int16),
            how=hows.reshape(-1)[chosen],
            minus=minus.reshape(-1)[chosen],
        )

    def _rule(self, site: str) -> SiteRule:
        if site not in self._rules:
            self._rules[site] = site_rule(self.spec, site)
        return self._rules[site]

    def _slot(self, name: str, rng: np.random.Generator, n: int) -> np.ndarray:
        members = np.array([self.number[member] for member in self.spec.members(name)])
        return draw_from(rng, n, members, np.full(len(members), 1 / len(members)))


def no_units() -> Units:
    """Make units of nothing."""
    types = {"role": np.int8, "site": np.int16, "how": np.int8, "minus": np.bool_}
    return Units(*(np.zeros(0, dtype=types.get(name, np.int64)) for name in Units._fields))


def join_units(parts: list[Units]) -> Units:
    """Put the units of several parts in a row; instances keep pointing at their own units."""
    if not parts:
        return no_units()
    if len(parts) == 1:
        return parts[0]
    shift = np.cumsum([0] + [len(part.row) for part in parts[:-1]])
    moved = [part._replace(unit=part.unit + by) for part, by in zip(parts, shift, strict=True)]
    return Units(*(np.concatenate(columns) for columns in zip(*moved, strict=True)))


def select_rows(units: Units, keep: Bool[np.ndarray, " n"], number: Int[np.ndarray, " n"]) -> Units:
    """Keep the units of some sequences and give these new numbers.

    Parameters
    ----------
    units : Units
        Units of ``n`` sequences.
    keep : array, (n,), bool
        Which sequences.
    number : array, (n,), int
        Their new numbers.

    Returns
    -------
    Units
    """
    if keep.all():
        return units._replace(row=number[units.row])
    chosen = keep[units.row]
    place = np.cumsum(chosen) - 1
    inside = chosen[units.unit]
    return Units(
        number[units.row[chosen]],
        units.width[chosen],
        units.wanted[chosen],
        place[units.unit[inside]],
        *(column[inside] for column in units[4:]),
    )


def _how(plant: Plant) -> int:
    if plant.broken == "mutated":
        return MUTATED if plant.letters == "allowed" else MUTATED_TO_ANY
    return SHUFFLED if plant.broken == "shuffled" else INTACT


def _role(plant: Plant) -> int:
    return BROKEN if plant.broken else ROLES.index(plant.role)


def _orientations(site: Site, rng: np.random.Generator, n: int) -> Bool[np.ndarray, "n slots"]:
    """Strand of each slot on the site's own forward strand."""
    slots = len(site.motifs)
    if site.orientation == "any":
        return rng.random((n, slots)) < 0.5
    if site.orientation in ("same", "opposite"):
        first = rng.random(n) < 0.5
        rule = np.zeros((n, slots), dtype=bool)
        rule[:, 1:] = site.orientation == "opposite"
        return rule ^ first[:, None]
    return np.tile(np.array([sign == "-" for sign in site.orientation]), (n, 1))


def _orders(site: Site, rng: np.random.Generator, n: int) -> Int[np.ndarray, "n slots"]:
    slots = len(site.motifs)
    if site.order == "any":
        return np.argsort(rng.random((n, slots)), axis=1, kind="stable")
    return np.tile(np.arange(slots), (n, 1))


def _gaps(site: Site, rng: np.random.Generator, n: int, broken: bool) -> Int[np.ndarray, "n gaps"]:
    """Draw the gaps of n sites, all of them broken or none."""
    rules = gap_rules(site, broken)
    pairs = len(rules)
    if isinstance(site.spacing, tuple) or isinstance(site.broken_spacing, tuple):
        return np.stack([draw_from(rng, n, gaps, p) for gaps, p in rules], axis=1)
    return draw_from(rng, n * pairs, *rules[0]).reshape(n, pairs)


def _one_broken_gap(site: Site, rng: np.random.Generator, gap: np.ndarray) -> np.ndarray:
    """Of several gaps only one breaks the rule: the others are allowed ones."""
    n, number = gap.shape
    fine = _gaps(site, rng, n, broken=False)
    broken = np.floor(rng.random(n) * number).astype(np.int64)
    return np.where(np.arange(number) == broken[:, None], gap, fine)


def _ordered(units: Units) -> Units:
    """Units by sequence, and instances by unit."""
    order = np.argsort(units.row, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    unit = place[units.unit]
    inside = np.argsort(unit, kind="stable")
    return Units(
        units.row[order],
        units.width[order],
        units.wanted[order],
        unit[inside],
        *(column[inside] for column in units[4:]),
    )
