"""What a perfect model could know: the posterior of each class given the sequence, from the planted PWMs and the rules.

For each class the likelihood of a sequence is summed over all arrangements of its motifs and sites that do not overlap,
by one pass along the sequence. That is the Bayes classifier of the specification, up to four things: arrangements with
different total widths are weighted alike; positions count as uniform; mutated and shuffled instances, and shuffled
sequences, count as background; and hits that were removed from the background after planting are not accounted for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations, product
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from genoplrp.errors import InputError
from genoplrp.sequence import encode_padded
from genoplrp.synthetic.breaking import SiteRule
from genoplrp.synthetic.odds import background_logs, log_ratios
from genoplrp.synthetic.spec_check import gap_rules, site_rule

if TYPE_CHECKING:
    from genoplrp.synthetic.dataset import Dataset
    from genoplrp.synthetic.spec import Spec
from genoplrp.synthetic.spec_parts import Plant, SequenceClass, Site

_CHUNK = 64


class _Part(NamedTuple):
    """A motif inside a unit: number, strand, offset."""

    motif: int
    minus: bool
    offset: int


class _Kind(NamedTuple):
    """One way a unit can look: the plant it belongs to, its probability, its width and its motifs."""

    plant: int
    weight: float
    width: int
    parts: tuple[_Part, ...]


def oracle_scores(data: Dataset, *, progress: bool = False) -> Float[np.ndarray, "n tasks"]:
    """Probability of each binary label, as a perfect observer would give it who knows the specification.

    Parameters
    ----------
    data : Dataset
        Generated sequences, with their specification.
    progress : bool, default False
        Show a progress bar on stderr.

    Returns
    -------
    array, (N, T)
        Posterior probability that each rule holds, before label noise; for a task that is no rule, its expected label
        within the likeliest mixture of classes.

    Raises
    ------
    InputError
        If the data set has no specification or no classes.

    Examples
    --------
    >>> from genoplrp.synthetic import simulate
    >>> data = simulate("spacing", n=60, seed=1)
    >>> p = oracle_scores(data)[:, 0]
    >>> bool(p[data.labels[:, 0] == 1].mean() > 0.8 > 0.3 > p[data.labels[:, 0] == 0].mean())
    True
    """
    if data.spec is None or data.classes is None:
        raise InputError("The oracle needs a generated data set with its specification; this one has none.")
    spec = data.spec
    codes = encode_padded(data.sequences)
    logs = class_log_likelihoods(spec, codes, data.lengths, progress=progress)
    logs = logs + np.log([one.fraction for one in spec.classes])
    posterior = np.exp(logs - logs.max(axis=1, keepdims=True))
    posterior /= posterior.sum(axis=1, keepdims=True)
    return np.asarray(posterior @ labels_of_classes(spec))


def best_scores(data: Dataset, *, progress: bool = False) -> Float[np.ndarray, "n tasks"]:
    """What no model can be expected to beat: the posterior of each rule, of every other task its label before noise.

    Parameters
    ----------
    data : Dataset
        Generated sequences, with their specification.
    progress : bool, default False
        Show a progress bar on stderr.

    Returns
    -------
    array, (N, T)
        Probabilities of rules and of binary labels with an activity, expected counts, real labels before noise.

    Raises
    ------
    InputError
        If the data set has no specification or no classes.
    """
    if data.spec is None:
        raise InputError("The oracle needs a generated data set with its specification; this one has none.")
    scores = np.array(data.labels if data.clean is None else data.clean, dtype=np.float64)
    rules = [bool(task.rule) for task in data.spec.tasks]
    if any(rules):
        scores[:, rules] = oracle_scores(data, progress=progress)[:, rules]
    return scores


def class_log_likelihoods(
    spec: Spec,
    codes: UInt8[np.ndarray, "n length"],
    lengths: Int[np.ndarray, " n"],
    *,
    progress: bool = False,
) -> Float[np.ndarray, "n classes"]:
    """Log-likelihood of each sequence in each class, relative to the common background alone, in nats.

    Parameters
    ----------
    spec : Spec
        The specification.
    codes : array, (n, length), uint8
        Base numbers.
    lengths : array, (n,), int
        Length of each sequence, in bp.
    progress : bool, default False
        Show a progress bar on stderr.

    Returns
    -------
    array, (n, classes)
    """
    from tqdm.auto import tqdm

    logs = np.zeros((len(codes), len(spec.classes)))
    models = [ClassModel(spec, one) for one in spec.classes]
    # The specification as each class sees it: with the background that it has.
    views = [
        None if one.background is None else replace(spec, background=one.background) for one in spec.classes
    ]
    with tqdm(total=len(codes), unit="seq", desc="oracle", disable=not progress) as bar:
        for first in range(0, len(codes), _CHUNK):
            rows = slice(first, first + _CHUNK)
            ratios = log_ratios(spec, codes[rows], lengths[rows])
            for column, (model, view) in enumerate(zip(models, views, strict=True)):
                own = ratios if view is None else log_ratios(view, codes[rows], lengths[rows])
                logs[rows, column] = model.log_likelihood(own, lengths[rows])
                if view is not None:
                    inside = np.arange(codes.shape[1]) < lengths[rows, None]
                    change = background_logs(view, codes[rows]) - background_logs(spec, codes[rows])
                    logs[rows, column] += (change * inside).sum(axis=1)
            bar.update(len(codes[rows]))
    return logs


class ClassModel:
    """The ways in which the units of one class can look, and how many of each there can be."""

    def __init__(self, spec: Spec, one: SequenceClass) -> None:
        intact = [] if one.shuffled else one.plant
        plants = [plant for plant in intact if plant.broken not in ("mutated", "shuffled")]
        self.kinds = [kind for number, plant in enumerate(plants) for kind in _kinds_of(spec, plant, number)]
        self.counts = [plant.count.pmf() for plant in plants]

    def log_likelihood(
        self, ratios: dict[tuple[int, bool], np.ndarray], lengths: Int[np.ndarray, " n"]
    ) -> Float[np.ndarray, " n"]:
        """Log-likelihood of sequences in this class relative to background, in nats; see `log_ratios`."""
        from genoplrp.synthetic.kernels import arrangements

        if not self.kinds:
            return np.zeros(len(lengths))
        odds, tables, shares = self._prepare(ratios, lengths)
        return np.asarray(np.log(np.maximum((arrangements(odds, *tables) * shares).sum(axis=1), 1e-300)))

    def instance_odds(
        self, ratios: dict[tuple[int, bool], np.ndarray], lengths: Int[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, " n"], dict[tuple[int, bool], Float[np.ndarray, "n length"]]]:
        """Likelihood of sequences in this class, and the part of it with an instance at each place.

        Parameters
        ----------
        ratios : dict
            See `log_ratios`.
        lengths : array, (n,), int
            Length of each sequence, in bp.

        Returns
        -------
        likelihood : array, (n,)
            Relative to background.
        parts : dict of (motif number, minus) to array, (n, length)
            Of the likelihood, what arrangements with an instance of this motif and strand at this start contribute.
            Divided by the likelihood it is the probability of the instance.
        """
        from genoplrp.synthetic.kernels import arrangement_parts

        if not self.kinds:
            return np.ones(len(lengths)), {}
        odds, tables, shares = self._prepare(ratios, lengths)
        likelihood, of_kinds = arrangement_parts(*(odds, *tables, shares))
        parts: dict[tuple[int, bool], np.ndarray] = {}
        for kind, found in zip(self.kinds, of_kinds, strict=True):
            for part in kind.parts:
                total = parts.setdefault((part.motif, part.minus), np.zeros(found.shape))
                total[:, part.offset :] += found[:, : found.shape[1] - part.offset]
        return likelihood, parts

    def _prepare(
        self, ratios: dict[tuple[int, bool], np.ndarray], lengths: np.ndarray
    ) -> tuple[np.ndarray, tuple[Any, ...], np.ndarray]:
        """Odds of each kind of unit at each start, the tables of the kernels, and what each state's sum counts for."""
        from genoplrp.synthetic.kernels import arrangements

        top = np.array([int(values.max()) for values, _ in self.counts], dtype=np.int64)
        stride = np.concatenate([[1], np.cumprod(top[:-1] + 1)]).astype(np.int64)
        n, starts = next(iter(ratios.values())).shape
        odds = np.zeros((len(self.kinds), n, starts))
        for number, kind in enumerate(self.kinds):
            room = starts - kind.width + 1
            if room > 0:
                total = sum(
                    ratios[part.motif, part.minus][:, part.offset : part.offset + room] for part in kind.parts
                )
                odds[number, :, :room] = np.exp(total)
        width = np.array([kind.width for kind in self.kinds], dtype=np.int64)
        plant = np.array([kind.plant for kind in self.kinds], dtype=np.int64)
        weight = np.array([kind.weight for kind in self.kinds])
        states = int(np.prod(top + 1))
        grid = (width, plant, weight, stride, top, states)
        even = arrangements(np.ones_like(odds[:, :1]), *grid, lengths[:1])
        if (lengths != lengths[0]).any():
            even = arrangements(np.ones_like(odds), *grid, lengths)
        shares = np.zeros((n, states))
        for counts in product(*(zip(*pmf, strict=True) for pmf in self.counts)):
            state = sum(int(value) * int(step) for (value, _), step in zip(counts, stride, strict=True))
            p = float(np.prod([probability for _, probability in counts]))
            ways = even[:, state]
            shares[:, state] += np.where(ways > 0, p / np.where(ways > 0, ways, 1), 0)
        return odds, (*grid, lengths), shares


def _kinds_of(spec: Spec, plant: Plant, number: int) -> list[_Kind]:
    motif_number = {name: k for k, name in enumerate(spec.motifs)}
    widths = [use.motif.width for use in spec.motifs.values()]
    if plant.site:
        return [
            _Kind(number, weight, width, parts)
            for weight, width, parts in _site_kinds(spec, plant.site, plant.broken, motif_number, widths)
        ]
    groups = [spec.members(name) for name in plant.motifs]
    weights = plant.weights or tuple(float(len(group)) for group in groups)
    kinds = []
    for group, weight in zip(groups, weights, strict=True):
        for name in group:
            share = weight / sum(weights) / len(group)
            for minus, p in ((False, 1 - plant.minus), (True, plant.minus)):
                if p > 0:
                    part = _Part(motif_number[name], minus, 0)
                    kinds.append(_Kind(number, share * p, widths[part.motif], (part,)))
    return kinds


def _site_kinds(
    spec: Spec, name: str, broken: str, motif_number: dict[str, int], widths: list[int]
) -> list[tuple[float, int, tuple[_Part, ...]]]:
    """All ways a site can look, by its motifs, orientations, orders, gaps and strand, with their probabilities."""
    site = spec.sites[name]
    gaps = list(_gap_rows(site, broken))
    arrangements = [
        (share, signs, order, [motif_number[one] for one in names])
        for names in product(*(spec.members(slot) for slot in site.motifs))
        for share, signs, order in _arrangements(site_rule(spec, name), names, broken)
    ]
    total = sum(share for share, *_ in arrangements)
    ways: list[tuple[float, int, tuple[_Part, ...]]] = []
    for share, signs, order, motifs in arrangements:
        ordered, turned_signs = [motifs[k] for k in order], [signs[k] for k in order]
        ways.extend((share / total * p, *_layout(ordered, turned_signs, gap, widths)) for p, gap in gaps)
    return _on_strands(ways, site, broken, widths)


def _on_strands(
    ways: list[tuple[float, int, tuple[_Part, ...]]], site: Site, broken: str, widths: list[int]
) -> list[tuple[float, int, tuple[_Part, ...]]]:
    """Return the ways a site can look on either strand, a site that is broken by a missing motif without each."""
    slots = len(site.motifs)
    found: list[tuple[float, int, tuple[_Part, ...]]] = []
    for weight, width, parts in ways:
        turned = tuple(_Part(q.motif, not q.minus, width - q.offset - widths[q.motif]) for q in parts)
        for here, p in ((parts, 1 - site.minus), (turned, site.minus)):
            lacking = [here[:k] + here[k + 1 :] for k in range(slots)] if broken == "missing" else [here]
            found.extend((weight * p / len(lacking), width, kept) for kept in lacking if p > 0)
    return found


def _arrangements(
    rule: SiteRule, names: tuple[str, ...], broken: str
) -> Iterator[tuple[float, tuple[bool, ...], tuple[int, ...]]]:
    """Strands of the slots and orders of a site with given motifs, with their relative probabilities."""
    for signs in rule.intact_strands():
        if broken == "order":
            wrong = rule.orders(names, signs)
            yield from ((1 / len(wrong), signs, order) for order in wrong)
            continue
        for order in _orders(rule.site):
            if broken != "orientation":
                yield 1.0, signs, order
                continue
            turns = rule.orientations(names, signs, order)
            for turn in turns:
                turned = tuple(sign ^ bool(turn >> slot & 1) for slot, sign in enumerate(signs))
                yield 1 / len(turns), turned, order


def _layout(
    motifs: list[int], signs: list[bool], gap: tuple[int, ...], widths: list[int]
) -> tuple[int, tuple[_Part, ...]]:
    parts, at = [], 0
    for k, (motif, minus) in enumerate(zip(motifs, signs, strict=True)):
        parts.append(_Part(motif, minus, at))
        at += widths[motif] + (gap[k] if k < len(gap) else 0)
    return at, tuple(parts)


def _gap_rows(site: Site, broken: str) -> Iterator[tuple[float, tuple[int, ...]]]:
    """Gaps of a site and their probability; where the spacing is broken, one of them breaks the rule."""
    fine = [list(zip(*rule, strict=True)) for rule in gap_rules(site, broken=False)]
    rows = [fine]
    if broken == "spacing":
        wrong = [list(zip(*rule, strict=True)) for rule in gap_rules(site, broken=True)]
        rows = [[*fine[:at], wrong[at], *fine[at + 1 :]] for at in range(len(fine))]
    for row in rows:
        for chosen in product(*row):
            yield prod(float(p) for _, p in chosen) / len(rows), tuple(int(gap) for gap, _ in chosen)


def _orders(site: Site) -> list[tuple[int, ...]]:
    fixed = tuple(range(len(site.motifs)))
    return list(permutations(fixed)) if site.order == "any" else [fixed]


def labels_of_classes(spec: Spec) -> Float[np.ndarray, "classes tasks"]:
    """Mean label of each class before noise, from a sample of it where the rule depends on what was drawn."""
    from genoplrp.synthetic.generate import simulate

    sample = simulate(spec, n=max(2000, 400 * len(spec.classes)), seed=0)
    clean = sample.labels if sample.clean is None else sample.clean
    assert sample.classes is not None, "generated data sets have classes"
    return np.stack([clean[sample.classes == one.name].mean(axis=0) for one in spec.classes])
