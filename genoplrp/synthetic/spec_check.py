"""Does a specification fit together: names that exist, fractions that sum up, motifs that fit; nothing is read here."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Int

from genoplrp.errors import InputError, SpecError
from genoplrp.synthetic.activity import Activity
from genoplrp.synthetic.breaking import SiteRule
from genoplrp.synthetic.near_miss import LEAST_LETTER, can_be_near_missed, lowest_allowed_score
from genoplrp.synthetic.spec_parts import Parts, Plant, SequenceClass, Site
from genoplrp.synthetic.splits import check_fractions
from genoplrp.synthetic.suggestion import suggestion


def check_spec(spec: Parts) -> None:
    """Raise SpecError, naming the key, unless the parts of a specification fit together."""
    low, high = spec.length_range
    if not 0 < low <= high:
        raise SpecError(f"length is {spec.length}; expected a number of bp above 0, or [smallest, largest].")
    if not spec.name or any(letter.isspace() for letter in spec.name):
        raise SpecError(f"name is {spec.name!r}; expected one word.")
    try:
        check_fractions(spec.split, "split")
    except InputError as error:
        raise SpecError(str(error)) from error
    _check_namespace(spec)
    for name, members in spec.sets.items():
        _check_known(members, spec.motifs, f"sets.{name}", "motif")
        if not members:
            raise SpecError(f"sets.{name} is empty; name at least one motif.")
    choices = [*spec.motifs, *spec.sets]
    for name, site in spec.sites.items():
        _check_known(site.motifs, choices, f"sites.{name}.motifs", "motif or set")
    _check_classes(spec, choices)
    _check_tasks(spec)
    if spec.scan is not None:
        _check_known(spec.scan.motifs, choices, "scan.motifs", "motif or set")
    for index, limit in enumerate(spec.similarity):
        _check_known([limit.of, limit.to], choices, f"similarity[{index}]", "motif or set")


def widest(spec: Parts, plant: Plant) -> int:
    """Return the largest width that one unit of a plant can have, in bp."""
    if plant.motifs:
        return max(spec.motifs[name].motif.width for name in spec.all_members(plant.motifs))
    site = spec.sites[plant.site]
    gaps = [gaps for gaps, _ in gap_rules(site, plant.broken == "spacing")]
    motifs = sum(max(spec.motifs[name].motif.width for name in spec.members(slot)) for slot in site.motifs)
    return motifs + sum(int(of_pair.max()) for of_pair in gaps)


def gap_rules(site: Site, broken: bool) -> list[tuple[Int[np.ndarray, " k"], Float[np.ndarray, " k"]]]:
    """Return the gaps of each pair of neighbours in bp, or those that break its rule, and their probabilities.

    Unless they are given, gaps that no pair of the site may have break the rule: read on the other strand, a gap is
    that of another pair.
    """
    if not broken:
        return [(rule.allowed(), rule.shares()) for rule in site.spacings]
    fine = np.concatenate([rule.allowed() for rule in site.spacings])
    found = []
    for rule, wrong in zip(site.spacings, site.broken_spacings, strict=True):
        if wrong is not None:
            found.append((wrong.allowed(), wrong.shares()))
            continue
        others = np.setdiff1d(rule.forbidden(), fine)
        found.append((others, np.full(len(others), 1 / max(len(others), 1))))
    return found


def site_rule(spec: Parts, name: str) -> SiteRule:
    """Return the rule of a site: which arrangements of its motifs are intact."""
    site = spec.sites[name]
    motifs = {one: use.motif for one, use in spec.motifs.items()}
    return SiteRule(site, [spec.members(slot) for slot in site.motifs], motifs)


def _check_namespace(spec: Parts) -> None:
    """Rules name motifs, sets, sites and classes alike, so each name may stand for one thing only."""
    seen: dict[str, str] = {}
    classes = [one.name for one in spec.classes]
    named = (("motif", spec.motifs), ("set", spec.sets), ("site", spec.sites), ("class", classes))
    for kind, names in named:
        for name in names:
            if seen.get(name) == kind:
                raise SpecError(f"Two {kind}es have the name {name!r}; name each differently.")
            if name in seen:
                raise SpecError(f"The name {name!r} is a {seen[name]} and a {kind}; rename one of them.")
            seen[name] = kind
    for name, use in spec.motifs.items():
        if name != use.motif.name:
            raise SpecError(
                f"motifs.{name} holds the motif {use.motif.name!r}; use the motif's own name as its key."
            )


def _check_classes(spec: Parts, choices: list[str]) -> None:
    if not spec.classes:
        raise SpecError("classes is empty; give at least one class of sequences.")
    total = sum(c.fraction for c in spec.classes)
    if abs(total - 1) > 1e-6:
        raise SpecError(f"classes: the fractions sum to {total:g}; they must sum to 1.")
    for index, one in enumerate(spec.classes):
        for number, plant in enumerate(one.plant):
            where = f"classes[{index}].plant[{number}]"
            _check_known(plant.motifs, choices, f"{where}.motifs", "motif or set")
            if plant.site:
                _check_known([plant.site], spec.sites, f"{where}.site", "site")
            _check_distinct(spec, plant, where)
            _check_breakable(spec, plant, where)
            _check_near_misses(spec, plant, where)
        _check_room(spec, one, index)


def _check_distinct(spec: Parts, plant: Plant, where: str) -> None:
    if not plant.distinct:
        return
    if not plant.motifs:
        raise SpecError(f"{where}.distinct: only motifs can be distinct, not the site {plant.site!r}.")
    if plant.weights:
        raise SpecError(f"{where}.distinct: distinct motifs are drawn with equal weights; leave weights out.")
    most, available = int(plant.count.pmf()[0].max()), len(list(spec.all_members(plant.motifs)))
    if most > available:
        raise SpecError(
            f"{where}.distinct: up to {most} distinct motifs are asked for, there are {available}."
        )


def _check_breakable(spec: Parts, plant: Plant, where: str) -> None:
    """A site can only be broken in a way that its rule forbids: otherwise the negative would be a positive."""
    if not plant.site or not plant.broken:
        return
    site, broken = spec.sites[plant.site], f"{where}.broken: site {plant.site!r} cannot be broken"
    if plant.broken == "spacing":
        fine = {int(gap) for gaps, _ in gap_rules(site, broken=False) for gap in gaps}
        wrong = [set(gaps.tolist()) for gaps, _ in gap_rules(site, broken=True)]
        both = fine & set().union(*wrong)
        if both:
            raise SpecError(
                f"sites.{plant.site}.broken_spacing allows {min(both)} bp, which spacing allows too; keep them apart."
            )
        if not all(wrong):
            raise SpecError(f"{broken} in its spacing: no other gap is off the period; give broken_spacing.")
    if plant.broken not in ("order", "orientation"):
        return
    rule = site_rule(spec, plant.site)
    motifs = rule.unbreakable(plant.broken)
    if motifs is None:
        return
    palindromes = [name for name in dict.fromkeys(motifs) if name in rule.turned_alike]
    also = f"; {', '.join(palindromes)} reads the same on both strands" if palindromes else ""
    if plant.broken == "order":
        raise SpecError(
            f"{broken} in its order: of the motifs {', '.join(motifs)} it allows every other order, too, read on one "
            f"strand or the other (order {site.order!r}, orientation {site.orientation!r}{also}). Fix the strands, say "
            f"orientation = {'+' * len(motifs)!r}, and order = 'fixed', or break something else."
        )
    raise SpecError(
        f"{broken} in its orientation: of the motifs {', '.join(motifs)} it allows every other one, too, read on one "
        f"strand or the other (order {site.order!r}, orientation {site.orientation!r}{also}). Break something else."
    )


def _check_near_misses(spec: Parts, plant: Plant, where: str) -> None:
    """A mutated motif must lose half of its score by letters that its matrix allows, unless any will do."""
    if plant.broken != "mutated" or plant.letters == "any":
        return
    for name in spec.all_members(plant.motifs or spec.sites[plant.site].motifs):
        motif = spec.motifs[name].motif
        if not can_be_near_missed(motif):
            raise SpecError(
                f"{where}.broken: {name} cannot be mutated within what its matrix allows: letters of at least "
                f"{LEAST_LETTER:.0%} keep {lowest_allowed_score(motif):.1f} of its {motif.best_score:.1f} bits, more "
                'than half. Give the motif a pseudocount, or set letters = "any".'
            )


def _check_room(spec: Parts, one: SequenceClass, index: int) -> None:
    """The likeliest numbers must fit the shortest sequence; rarer ones may be drawn again."""
    least = sum(int(p.count.pmf()[0].min()) * widest(spec, p) for p in one.plant if not p.count.zero)
    if least > spec.length_range[0]:
        raise SpecError(
            f"classes[{index}] ({one.name}): its motifs need up to {least} bp, the sequences have "
            f"{spec.length_range[0]}; make them longer or plant fewer."
        )


def _check_tasks(spec: Parts) -> None:
    if not spec.tasks:
        raise SpecError("tasks is empty; give at least one task.")
    names = [task.name for task in spec.tasks]
    if len(set(names)) != len(names):
        raise SpecError(f"tasks: names repeat ({', '.join(names)}); name each task differently.")
    known = [*spec.motifs, *spec.sets, *spec.sites, *(one.name for one in spec.classes)]
    for index, task in enumerate(spec.tasks):
        if task.activity:
            _check_activity(spec, task.parsed_activity, f"tasks[{index}]", known)
        _check_known(task.names, known, f"tasks[{index}]", "motif, set, site or class")
        _check_known(task.motifs, [*spec.motifs, *spec.sets], f"tasks[{index}].motifs", "motif or set")
        _check_known(task.weights, spec.motifs, f"tasks[{index}].weights", "motif")


def _check_activity(spec: Parts, activity: Activity, key: str, known: list[str]) -> None:
    """An activity names what there is, and asks a class for no instances; the message has the column."""
    of_classes = {one.name for one in spec.classes}
    for name, column in activity.names.items():
        where = f"{key}: activity {activity.text!r}, column {column}"
        if name not in known:
            raise SpecError(
                f"{where}: there is no motif, set, site or class {name!r}; {suggestion(name, known)}"
            )
        if name in of_classes & activity.of_instances:
            raise SpecError(
                f"{where}: {name!r} is a class, which has no instances; name a motif, set or site."
            )


def _check_known(names: Iterable[str], known: Iterable[str], key: str, what: str) -> None:
    choices = list(known)
    for name in names:
        if name not in choices:
            raise SpecError(f"{key}: there is no {what} {name!r}; {suggestion(name, choices)}")
