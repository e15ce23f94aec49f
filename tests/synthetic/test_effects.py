"""Effects of sites and pairs against each preset's rule written out by hand and applied with sites taken out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from specs import planting

from genoplrp.errors import InputError
from genoplrp.synthetic import Dataset, Task, list_presets, load_spec, simulate
from genoplrp.synthetic.polarity import polarity

CORE = set(load_spec("koo2021_fixed").sets["core"])


class Held(NamedTuple):
    """What a sequence holds: its intact instances, grammar sites, and class."""

    motifs: Counter[str]
    sites: int
    one: str
    instances: list[tuple[str, int, int, float]]  # motif, start, end, affinity

    @property
    def affinities(self) -> list[float]:
        return [affinity for *_, affinity in self.instances]

    def pairs(self) -> Iterator[tuple[float, int, float]]:
        """Product of the affinities, bases between, and middle of GATA1, for each TAL1 with each GATA1."""
        for motif, start, end, affinity in self.instances:
            for other, first, last, worth in self.instances:
                if (motif, other) == ("TAL1", "GATA1"):
                    yield affinity * worth, max(start - last, first - end), (first + last) / 2


def has_core(held: Held) -> bool:
    return any(held.motifs[name] for name in CORE)


def footprint(middle: float) -> float:
    return float(np.exp(-(((np.arange(200) + 0.5 - middle) / 8) ** 2) / 2).sum())


def reads(held: Held) -> float:
    alone = sum(
        w * footprint((start + end) / 2) for motif, start, end, w in held.instances if motif == "GATA1"
    )
    helped = sum(worth * math.exp(-gap / 20) * footprint(middle) for worth, gap, middle in held.pairs())
    return 200 * 0.1 + 2 * alone + 8 * helped


def saturated(x: float) -> float:
    return 2 + 60 * x**2 / (x**2 + 1.5**2)


#: Each preset's score of what a sequence holds, by preset and task.
BY_HAND: dict[tuple[str, str], Callable[[Held], float]] = {
    ("and", "label"): lambda h: h.motifs["TAL1"] > 0 and h.motifs["GATA1"] > 0,
    ("cooperative", "activity"): lambda h: sum(h.affinities) + 2.0 * h.sites * math.prod(h.affinities),
    ("hard_background", "label"): has_core,
    ("koo2021", "label"): lambda h: h.one == "positive" and has_core(h),
    ("koo2021_fixed", "label"): has_core,
    ("not", "label"): lambda h: h.motifs["TAL1"] > 0 and h.motifs["GATA1"] == 0,
    ("order", "label"): lambda h: h.sites > 0,
    ("profile", "reads"): reads,
    ("saturation", "reads"): lambda h: saturated(sum(h.affinities)),
    ("soft_syntax", "activity"): lambda h: (
        sum(h.affinities) + 4 * sum(worth * math.exp(-gap / 20) for worth, gap, _ in h.pairs())
    ),
    ("spacing", "label"): lambda h: h.sites > 0,
    ("tal_gata", "TAL1"): lambda h: h.motifs["TAL1"] > 0,
    ("tal_gata", "GATA1"): lambda h: h.motifs["GATA1"] > 0,
    ("tal_gata", "both"): lambda h: h.motifs["TAL1"] > 0 and h.motifs["GATA1"] > 0,
    ("xor", "label"): lambda h: (h.motifs["TAL1"] > 0) != (h.motifs["GATA1"] > 0),
}


@pytest.fixture(scope="module")
def made() -> dict[str, Dataset]:
    return {preset: simulate(preset, n=40, seed=5) for preset in {preset for preset, _ in BY_HAND}}


def affinity(data: Dataset, row: pd.Series) -> float:
    letters = data.sequences[row["sequence"]][row["start"] : row["end"]]
    if row["strand"] == "-":
        letters = letters[::-1].translate(str.maketrans("ACGT", "TGCA"))
    motif = data.motifs[str(row["motif"])]
    odds = motif.log_odds()
    return max(sum(odds["ACGT".index(letter), k] for k, letter in enumerate(letters)) / motif.best_score, 0)


def score(data: Dataset, rule: Callable[[Held], float], rows: pd.DataFrame, sequence: int) -> float:
    """Apply a rule by hand to rows of the instance table; the presets plant at most one grammar site a sequence."""
    intact = rows[~rows["role"].isin(["decoy", "broken"])]
    sites = sum(
        int(set(intact["motif"][intact["site"] == name]) >= set(site.motifs))
        for name, site in data.spec.sites.items()
        if name != "far"
    )
    assert data.classes is not None
    instances = [
        (str(row["motif"]), row["start"], row["end"], affinity(data, row)) for _, row in intact.iterrows()
    ]
    held = Held(Counter(intact["motif"].astype(str)), sites, str(data.classes[sequence]), instances)
    return float(rule(held))


@pytest.mark.parametrize(("preset", "task"), BY_HAND)
def test_effects_are_those_of_the_rule_with_sites_taken_out(made, preset, task) -> None:
    data, rule = made[preset], BY_HAND[preset, task]
    effects, pairs = data.site_effects(task), data.pair_effects(task)
    clean = (data.labels if data.clean is None else data.clean)[:, data.task_index(task)]
    matters = data.instances_of(task).index
    for sequence, rows in data.instances.groupby("sequence"):
        whole = score(data, rule, rows, sequence)
        assert whole == pytest.approx(clean[sequence], abs=1e-6)
        for row in rows.index:
            expected = whole - score(data, rule, rows.drop(row), sequence)
            assert effects.loc[row, "effect"] == pytest.approx(expected, abs=1e-12)
        here = pairs[pairs["sequence"] == sequence].set_index(["first", "second"])
        assert set(here.index) == set(combinations(sorted(rows.index.intersection(matters)), 2))
        for (first, second), found in here.iterrows():
            joint = whole - score(data, rule, rows.drop([first, second]), sequence)
            single = effects.loc[first, "effect"] + effects.loc[second, "effect"]
            assert found["joint"] == pytest.approx(joint, abs=1e-12)
            assert found["interaction"] == pytest.approx(single - joint, abs=1e-12)


def test_every_preset_has_a_rule_by_hand() -> None:
    assert set(list_presets()) == {preset for preset, _ in BY_HAND}


@pytest.mark.parametrize(("preset", "task"), BY_HAND)
def test_the_signed_mask_covers_the_mask_and_agrees_with_every_effect(made, preset, task) -> None:
    data = made[preset]
    signed = data.signed_mask(task)
    np.testing.assert_array_equal(signed != 0, data.mask(task))
    np.testing.assert_array_equal(np.abs(data.signed_weights(task)), data.information(task))
    assert (data.signed_weights(task) * signed >= 0).all()
    table = data.site_effects(task)
    moved = table[table["effect"] != 0]
    assert (np.sign(moved["effect"]) == moved["sign"]).all()
    for row in table.itertuples():
        assert (signed[row.sequence, row.start : row.end] == row.sign).all()


def test_only_the_inhibitor_of_not_is_negative_whatever_stands_beside_it(made) -> None:
    table = made["not"].site_effects()
    signs = {
        (motif, role): sign for motif, role, sign in zip(table.motif, table.role, table.sign, strict=True)
    }
    assert signs == {("TAL1", "core"): 1, ("GATA1", "inhibitor"): -1}


def test_in_xor_two_motifs_speak_against_the_label_and_one_for_it(made) -> None:
    data = made["xor"]
    table = data.site_effects()
    many = table.groupby("sequence")["sign"].transform("size")
    assert (table["sign"] == np.where(many == 2, -1, 1)).all() and set(many) == {1, 2}
    assert set(table["role"]) == {"core"}


@pytest.mark.parametrize(
    ("tasks", "role"),
    [
        ([{"name": "y", "kind": "real", "motifs": ["A", "B"], "weights": {"B": -1.0}}], "repressor"),
        ([{"name": "y", "rule": "A and B < 2"}], "inhibitor"),
        ([{"name": "y", "rule": "A and not B"}, {"name": "b", "rule": "B"}], "core"),
        ([{"name": "y", "rule": "A and not B"}, {"name": "a", "rule": "A"}], "inhibitor"),
    ],
)
def test_a_role_is_negative_only_where_the_motif_lowers_every_label_it_matters_for(tasks, role) -> None:
    data = simulate(
        planting({"motifs": ["A", "B"], "count": {"kind": "uniform", "low": 0, "high": 4}}, tasks=tasks), n=60
    )
    table = data.site_effects("y")
    assert set(zip(table["motif"], table["role"], table["sign"], strict=True)) == {
        ("A", "core", 1),
        ("B", role, -1),
    }


def test_two_of_a_motif_in_xor_have_the_sign_of_both_together() -> None:
    spec = planting(
        {"motifs": "A", "count": 2},
        {"motifs": "B", "count": {"kind": "uniform", "low": 0, "high": 1}},
        tasks=[{"name": "y", "rule": "A xor B"}],
    )
    data = simulate(spec, n=40)
    table = data.site_effects()
    both = table.groupby("sequence")["motif"].transform("nunique") == 2
    assert (table["effect"][table["motif"] == "A"] == 0).all() and 0 < both.mean() < 1
    assert (table["sign"] == np.where(both, -1, 1)).all()


def test_the_effects_of_a_part_are_those_of_the_whole() -> None:
    data = simulate("tal_gata", n=60, seed=2)
    chosen = [7, 3, 50]
    part = data.subset(chosen)
    np.testing.assert_array_equal(part.signed_mask("both"), data.signed_mask("both")[chosen])
    whole = data.site_effects("both").groupby("sequence")["effect"].apply(list)
    here = part.site_effects("both").groupby("sequence")["effect"].apply(list)
    assert [here.get(k) for k in range(3)] == [whole.get(k) for k in chosen]


def test_several_grammar_sites_in_one_sequence_are_told_apart() -> None:
    spec = planting(
        {"site": "pair", "count": 2},
        sites={"pair": {"motifs": ["A", "B"], "spacing": {"kind": "range", "low": 0, "high": 2}}},
        tasks=[{"name": "two", "rule": "pair >= 2"}, {"name": "one", "rule": "pair"}],
        length=100,
    )
    data = simulate(spec, n=20)
    assert (data.site_effects("two")["effect"] == 1).all() and (data.site_effects("one")["effect"] == 0).all()
    pairs = data.pair_effects("one")
    neighbours = pairs["second"] - pairs["first"] == 1
    within = neighbours & (pairs["first"] % 2 == 0)
    assert (pairs["joint"] == np.where(within, 0, 1)).all()


def test_polarity_tells_up_down_and_both_ways() -> None:
    tasks = [Task("up", rule="A or B"), Task("down", rule="not A"), Task("both", rule="exactly(1, A, B)")]
    spec = planting({"motifs": ["A", "B"], "count": {"kind": "uniform", "low": 0, "high": 3}})
    from dataclasses import replace

    signs = polarity(replace(spec, tasks=tuple(tasks)))[:, -1]
    assert signs.tolist() == [[1, -1, 0], [1, 0, 0]]


def test_without_a_specification_the_roles_give_the_signs_and_there_are_no_effects(made) -> None:
    data = made["not"].subset(np.arange(30))
    expected = data.signed_mask()
    data.spec = None
    np.testing.assert_array_equal(data.signed_mask(), expected)
    with pytest.raises(InputError, match="no specification"):
        data.site_effects()
