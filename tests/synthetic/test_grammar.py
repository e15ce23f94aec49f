"""Sites: spacing, order, orientation, and what breaks them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from specs import planting, small

from genoplrp.errors import SpecError
from genoplrp.synthetic import simulate
from genoplrp.synthetic.oracle import oracle_scores

THREE = [
    {"consensus": "GATAAG", "name": "A"},
    {"consensus": "CAGCTGTT", "name": "B"},
    {"consensus": "TTCCGGAA", "name": "C"},
    {"consensus": "TGACTCA", "name": "D"},
]


def sites(broken: str = "", n: int = 3_000, **site: Any) -> pd.DataFrame:
    """One row a sequence: the motifs in the order of their places, their strands and the gaps between them."""
    site = {"motifs": ["A", "B"]} | site
    spec = planting(
        {"site": "pair", "broken": broken} if broken else {"site": "pair"},
        motifs=THREE,
        sites={"pair": site},
        tasks=[{"name": "label", "rule": "pair"}],
        length=120,
    )
    data = simulate(spec, n=n, seed=7)
    assert data.labels.all() == (not broken)
    names = ("sequence", "start", "end", "motif", "strand", "role", "site")
    by_sequence: dict[int, list[tuple[Any, ...]]] = {}
    for sequence, *rest in zip(*(data.instances[name].tolist() for name in names), strict=True):
        by_sequence.setdefault(sequence, []).append(tuple(rest))
    rows = []
    for instances in by_sequence.values():
        start, end, motif, strand, role, site_name = zip(*instances, strict=True)
        gaps = tuple(b - a for a, b in zip(end[:-1], start[1:], strict=True))
        row = ("".join(motif), "".join(strand), gaps, frozenset(role), frozenset(site_name))
        rows.append(dict(zip(("motifs", "strands", "gaps", "roles", "sites"), row, strict=True)))
    return pd.DataFrame(rows)


def shares(column: pd.Series) -> dict[Any, float]:
    return {key: float(value) for key, value in column.value_counts(normalize=True).items()}


def near(found: dict[Any, float], expected: dict[Any, float], tolerance: float = 0.04) -> bool:
    return set(found) == set(expected) and all(
        abs(found[key] - expected[key]) < tolerance for key in expected
    )


def test_gaps_are_uniform_over_what_is_allowed() -> None:
    table = sites(spacing={"kind": "range", "low": 4, "high": 8})
    assert near(shares(table["gaps"]), {(gap,): 0.2 for gap in range(4, 9)})
    assert set(table["roles"]) == {frozenset({"core"})} and set(table["sites"]) == {frozenset({"pair"})}


def test_a_fixed_gap_is_fixed() -> None:
    assert set(sites(spacing=5)["gaps"]) == {(5,)}


def test_a_broken_spacing_never_has_an_allowed_gap() -> None:
    table = sites("spacing", spacing={"kind": "range", "low": 4, "high": 8})
    assert not {(gap,) for gap in range(4, 9)} & set(table["gaps"])
    assert set(table["roles"]) == {frozenset({"broken"})} and set(table["sites"]) == {frozenset({""})}
    table = sites("spacing", spacing=5, broken_spacing={"kind": "choice", "values": [9, 11]})
    assert near(shares(table["gaps"]), {(9,): 0.5, (11,): 0.5})


def test_of_three_motifs_one_gap_breaks_the_rule() -> None:
    table = sites("spacing", motifs=["A", "B", "C"], spacing=5, broken_spacing=9)
    assert near(shares(table["gaps"]), {(9, 5): 0.5, (5, 9): 0.5})


def test_helical_spacing_keeps_the_phase_and_its_break_the_opposite_one() -> None:
    helical = {"kind": "periodic", "low": 0, "high": 42, "period": 10.5}
    assert set(sites(spacing=helical)["gaps"]) == {(0,), (11,), (21,), (32,), (42,)}
    wrong = np.array([gap for (gap,) in sites("spacing", spacing=helical)["gaps"]])
    turns = wrong / 10.5
    assert np.abs(turns - np.round(turns)).min() >= 0.25 - 1e-9


def test_orientations_follow_their_rule() -> None:
    assert near(shares(sites(orientation="any")["strands"]), {"++": 0.25, "+-": 0.25, "-+": 0.25, "--": 0.25})
    assert near(shares(sites(orientation="same")["strands"]), {"++": 0.5, "--": 0.5})
    assert near(shares(sites(orientation="opposite")["strands"]), {"+-": 0.5, "-+": 0.5})
    assert set(sites(orientation="+-")["strands"]) == {"+-"}


def test_broken_orientations_break_the_rule() -> None:
    assert near(shares(sites("orientation", orientation="same")["strands"]), {"+-": 0.5, "-+": 0.5})
    assert near(shares(sites("orientation", orientation="opposite")["strands"]), {"++": 0.5, "--": 0.5})
    # Turned as a whole it would still be the rule, on the other strand: that is no break.
    table = sites("orientation", orientation="++-", motifs=["A", "B", "D"])
    assert set(table["strands"]) == {"+--", "+++", "+-+"}
    # C is a palindrome: turning it alone is no break.
    table = sites("orientation", orientation="++-", motifs=["A", "B", "C"])
    assert set(table["strands"]) == {"+--", "+-+"}


def test_a_site_on_the_minus_strand_is_read_backwards() -> None:
    table = sites(orientation="+-", motifs=["A", "B"], minus=0.5)
    assert near(shares(table["motifs"] + table["strands"]), {"AB+-": 0.5, "BA+-": 0.5})
    table = sites(orientation="++", minus=1.0)
    assert set(table["motifs"] + table["strands"]) == {"BA--"}


def test_order_is_kept_free_or_broken() -> None:
    assert set(sites(orientation="++")["motifs"]) == {"AB"}
    assert near(shares(sites(order="any")["motifs"]), {"AB": 0.5, "BA": 0.5})
    broken = sites("order", orientation="++", minus=0.5)
    assert near(shares(broken["motifs"] + broken["strands"]), {"BA++": 0.5, "AB--": 0.5})


def test_a_missing_motif_leaves_the_others_as_core_without_the_site() -> None:
    table = sites("missing")
    assert near(shares(table["motifs"]), {"A": 0.5, "B": 0.5})
    assert set(table["roles"]) == {frozenset({"core"})} and set(table["sites"]) == {frozenset({""})}


def test_a_set_in_a_site_stands_for_one_of_its_motifs() -> None:
    spec = planting(
        {"site": "pair"},
        motifs=THREE,
        sets={"either": ["A", "C"]},
        sites={"pair": {"motifs": ["either", "B"]}},
        tasks=[{"name": "label", "rule": "pair"}],
    )
    table = simulate(spec, n=2_000, seed=1).instances
    assert near(shares(table["motif"].astype(str)), {"A": 0.25, "B": 0.5, "C": 0.25})


@pytest.mark.parametrize(
    ("site", "broken", "words"),
    [
        (
            {"orientation": "any", "minus": 0.5},
            "order",
            "cannot be broken in its order: .* every other order",
        ),
        ({"orientation": "same"}, "order", "cannot be broken in its order"),
        ({"order": "any"}, "order", "cannot be broken in its order"),
        ({"orientation": "any"}, "orientation", "cannot be broken in its orientation: .* every other one"),
        ({"spacing": {"kind": "periodic", "low": 0, "high": 0}}, "spacing", "no other gap is off the period"),
        ({"spacing": 5, "broken_spacing": {"kind": "range", "low": 3, "high": 5}}, "spacing", "allows 5 bp"),
    ],
)
def test_a_break_that_breaks_nothing_is_refused(site: dict[str, Any], broken: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        small(
            sites={"pair": {"motifs": ["A", "B"]} | site},
            classes=[{"name": "all", "fraction": 1, "plant": [{"site": "pair", "broken": broken}]}],
        )


WEIGHTED = {"kind": "choice", "values": [9, 2], "p": [0.2, 0.8]}


def test_each_pair_of_neighbours_may_have_a_rule_of_its_own_with_weights() -> None:
    table = sites(motifs=["A", "B", "D"], spacing=[WEIGHTED, 11])
    assert near(shares(table["gaps"]), {(9, 11): 0.2, (2, 11): 0.8})
    turned = sites(motifs=["A", "B", "D"], spacing=[WEIGHTED, 11], minus=1.0)
    assert near(shares(turned["gaps"]), {(11, 9): 0.2, (11, 2): 0.8})


def test_one_weighted_rule_holds_for_each_pair() -> None:
    table = sites(motifs=["A", "B", "D"], spacing=WEIGHTED)
    assert near(shares(table["gaps"]), {(9, 9): 0.04, (9, 2): 0.16, (2, 9): 0.16, (2, 2): 0.64})


def test_one_broken_gap_is_one_that_no_pair_of_the_site_may_have() -> None:
    table = sites("spacing", motifs=["A", "B", "D"], spacing=[WEIGHTED, 11])
    for one, other in table["gaps"]:
        wrong = (one not in (2, 9), other != 11)
        assert sum(wrong) == 1
        assert not (wrong[0] and one == 11) and not (wrong[1] and other in (2, 9))
    first = np.mean([one not in (2, 9) for one, _ in table["gaps"]])
    assert first == pytest.approx(0.5, abs=0.04)


def test_rules_that_do_not_fit_the_pairs_are_refused() -> None:
    with pytest.raises(SpecError, match="spacing has 2 rules for 2 motifs; give one, or 1"):
        sites(spacing=[3, 4])
    with pytest.raises(SpecError, match="broken_spacing allows 11 bp"):
        sites("spacing", motifs=["A", "B", "D"], spacing=[3, 11], broken_spacing=[11, 20])


def test_the_oracle_knows_the_weights_of_gaps() -> None:
    motifs = [{"consensus": "TGACTCATGACTCA", "name": "A"}, {"consensus": "CCACGTGGCCACGT", "name": "B"}]
    weights = {"mostly": [0.9, 0.1], "rarely": [0.1, 0.9]}
    rules = {name: {"kind": "choice", "values": [3, 8], "p": p} for name, p in weights.items()}
    spec = small(
        motifs=motifs,
        sites={f"{name}_3": {"motifs": ["A", "B"], "spacing": rule} for name, rule in rules.items()},
        classes=[{"name": name, "fraction": 0.5, "plant": [{"site": f"{name}_3"}]} for name in rules],
        tasks=[{"name": "label", "rule": "mostly"}],
        length=500,  # so that one gap leaves about as many places as the other
    )
    data = simulate(spec, n=200)
    ends = data.instances.groupby("sequence").agg({"start": list, "end": list})
    gap = np.array([start[1] - end[0] for start, end in zip(ends["start"], ends["end"], strict=True)])
    found = oracle_scores(data)[:, 0]
    np.testing.assert_allclose(found, np.where(gap == 3, 0.9, 0.1), atol=0.002)
