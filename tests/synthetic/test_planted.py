"""What is left of a sequence when instances are taken out, and what that is worth."""

import numpy as np
import pytest
from specs import small

from genoplrp.synthetic.grammar import Units
from genoplrp.synthetic.plant import Placed
from genoplrp.synthetic.planted import Planted, count_names, planted_units, score_tasks

PAIR = {"pair": {"motifs": ["A", "B"]}}


def holding(*instances: tuple[int, int, int]) -> Planted:
    """One sequence with instances given as (motif, site, unit), all of full affinity."""
    motif, site, unit = np.array(instances, dtype=np.int64).reshape(-1, 3).T
    many = len(motif)
    return Planted(
        classes=np.zeros(1, dtype=np.int64),
        lengths=np.array([60]),
        row=np.zeros(many, dtype=np.int64),
        motif=motif,
        affinity=np.ones(many),
        site=site,
        unit=unit,
        start=np.arange(many) * 10,
        minus=np.zeros(many, dtype=bool),
    )


def test_a_site_that_loses_a_motif_is_one_no_more_and_its_other_motif_stays() -> None:
    tasks = [{"name": name, "rule": rule} for name, rule in (("a", "A"), ("b", "B"), ("pair", "pair"))]
    spec = small(tasks=tasks, sites=PAIR)
    both = holding((0, 0, 7), (1, 0, 7))
    assert score_tasks(spec, both).tolist() == [[1, 1, 1]]
    assert score_tasks(spec, both.without(np.array([True, False]))).tolist() == [[0, 1, 0]]


def test_another_site_and_single_motifs_are_untouched() -> None:
    spec = small(tasks=[{"name": "pairs", "rule": "pair >= 2"}], sites=PAIR)
    three = holding((0, 0, 0), (1, 0, 0), (0, 0, 1), (1, 0, 1), (0, 0, 2), (1, 0, 2), (0, -1, 3))
    gone = np.arange(7) == 0
    left = three.without(gone)
    assert left.site.tolist() == [-1, 0, 0, 0, 0, -1] and left.start.tolist() == [10, 20, 30, 40, 50, 60]
    assert score_tasks(spec, left).tolist() == [[1]]
    assert score_tasks(spec, left.without(np.arange(6) == 4)).tolist() == [[0]]


def random_planted(n: int = 40, seed: int = 0) -> Planted:
    """Sequences with up to four units of one instance, or of a pair of a site; the last sequence has none."""
    rng = np.random.default_rng(seed)
    rows = []
    for row in range(n - 1):
        for _ in range(rng.integers(5)):
            unit, start = len(rows), int(rng.integers(50))  # unit numbers with gaps
            if rng.random() < 0.5:
                rows += [(row, motif, 0, unit, start + 5 * motif) for motif in (0, 1)]
            else:
                rows.append((row, int(rng.integers(2)), -1, unit, start))
    row, motif, site, unit, start = np.array(rows).T
    affinity, minus, lengths = (
        rng.random(len(rows)),
        rng.random(len(rows)) < 0.5,
        rng.integers(60, 90, size=n),
    )
    return Planted(rng.integers(2, size=n), lengths, row, motif, affinity, site, unit, start, minus)


def test_what_rules_name_is_counted_by_loops() -> None:
    rule = "A >= 1 and B >= 1 and either >= 1 and pair >= 1 and without >= 1 or with >= 1"
    spec = small(tasks=[{"name": "y", "rule": rule}], sites=PAIR, sets={"either": ["A", "B"]})
    planted = random_planted()
    counts = count_names(spec, planted)
    assert set(counts) == {"A", "B", "either", "pair", "with", "without"}
    for index in range(planted.n):
        here = np.flatnonzero(planted.row == index)
        expected = {
            "A": sum(planted.motif[here] == 0),
            "B": sum(planted.motif[here] == 1),
            "either": len(here),
            "pair": len({planted.unit[i] for i in here if planted.site[i] == 0}),
            "with": planted.classes[index] == 0,
            "without": planted.classes[index] == 1,
        }
        assert {name: count[index] for name, count in counts.items()} == expected


@pytest.mark.parametrize("formula", ["sum", "saturating", "cooperative"])
def test_the_formulas_of_a_real_label_by_loops(formula: str) -> None:
    weights = {"A": 0.7, "B": -0.4}
    task = {"name": "y", "kind": "real", "motifs": ["A", "B"], "weights": weights, "formula": formula}
    own = {"saturating": {"half": 0.6, "maximum": 3.0}, "cooperative": {"site": "pair", "strength": 2.5}}
    spec = small(tasks=[task | own.get(formula, {})], sites=PAIR)
    planted = random_planted()
    for index, found in enumerate(score_tasks(spec, planted)[:, 0]):
        here = [i for i in range(len(planted.row)) if planted.row[i] == index]
        y = sum(weights["AB"[planted.motif[i]]] * planted.affinity[i] for i in here)
        if formula == "saturating":
            y = 3.0 * max(y, 0) / (max(y, 0) + 0.6)
        if formula == "cooperative":
            for unit in {planted.unit[i] for i in here if planted.site[i] == 0}:
                y += 2.5 * np.prod([planted.affinity[i] for i in here if planted.unit[i] == unit])
        assert found == pytest.approx(y, rel=1e-12, abs=1e-12)


def test_a_real_label_is_of_its_own_motifs_and_a_count_is_of_instances_whatever_their_affinity() -> None:
    tasks = [{"name": kind, "kind": kind, "motifs": ["B"]} for kind in ("real", "count")]
    planted = random_planted()
    for index, (real, count) in enumerate(score_tasks(small(tasks=tasks), planted)):
        here = [i for i in range(len(planted.row)) if planted.row[i] == index and planted.motif[i] == 1]
        assert real == pytest.approx(sum(planted.affinity[i] for i in here), rel=1e-12)
        assert count == len(here)


def test_sequences_are_repeated_with_what_they_hold_and_copies_of_a_unit_are_units_of_their_own() -> None:
    planted = random_planted(n=12)
    rows = np.random.default_rng(1).integers(12, size=300)
    copies, source = planted.repeated(rows)
    holding_, instances = [], []
    for number, row in enumerate(rows):
        for i in np.flatnonzero(planted.row == row):
            instances.append(i)
            holding_.append((number, planted.unit[i]))
    assert source.tolist() == instances
    assert copies.row.tolist() == [number for number, _ in holding_]
    for name in ("motif", "affinity", "site", "start", "minus"):
        assert getattr(copies, name).tolist() == getattr(planted, name)[instances].tolist()
    assert copies.classes.tolist() == planted.classes[rows].tolist()
    assert copies.lengths.tolist() == planted.lengths[rows].tolist()
    # Instances share a unit where they did so in the same copy, and nowhere else.
    assert (
        len(set(copies.unit.tolist()))
        == len(set(holding_))
        == len(set(zip(copies.unit, holding_, strict=True)))
    )
    none, empty = planted.instances(np.zeros(0, dtype=np.int64)).repeated(rows)
    assert (none.n, len(none.row), len(empty)) == (300, 0, 0)


def test_what_counts_of_placed_units_lies_where_they_were_placed() -> None:
    ints = [
        np.array(x) for x in ([0, 0, 2], [20, 6, 9], [-1, -1, -1], [0, 0, 1, 2], [0, 12, 0, 1], [1, 0, 0, 1])
    ]
    row, width, wanted, unit, offset, motif = ints
    site, role, how = np.array([3, 3, -1, -1]), np.zeros(4, dtype=np.int64), np.zeros(4, dtype=np.int64)
    minus = np.array([True, False, False, True])
    units = Units(row, width, wanted, unit, offset, motif, role, site, how, minus)
    placed, affinity = Placed(units, np.array([30, 4, 17]), 0), np.array([0.1, 0.2, 0.3, 0.4])
    counts, classes, lengths = (
        np.array([True, True, False, True]),
        np.array([0, 1, 1]),
        np.array([60, 50, 40]),
    )
    found = planted_units(placed, affinity, counts, classes, lengths)
    rows = zip(found.row, found.motif, found.affinity, found.site, found.start, found.minus, strict=True)
    assert list(rows) == [(0, 1, 0.1, 3, 30, True), (0, 0, 0.2, 3, 42, False), (2, 1, 0.4, -1, 18, True)]
    assert found.unit.tolist() == [0, 0, 2]
    assert (found.classes.tolist(), found.lengths.tolist()) == ([0, 1, 1], [60, 50, 40])
