"""Labels recomputed from the instance table, by hand."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from specs import planting, small

from genoplrp.errors import SpecError
from genoplrp.synthetic import Dataset, simulate
from genoplrp.synthetic.grammar import COUNTED

RANDOM = {"motifs": ["A", "B"], "count": {"kind": "uniform", "low": 0, "high": 4}}


def counts(data: Dataset, index: int) -> Counter[str]:
    rows = data.instances[(data.instances["sequence"] == index) & data.instances["role"].isin(COUNTED)]
    return Counter(rows["motif"].astype(str))


@pytest.mark.parametrize(
    ("rule", "python"),
    [
        ("A and B", lambda n: n["A"] > 0 and n["B"] > 0),
        ("A xor B", lambda n: (n["A"] > 0) != (n["B"] > 0)),
        ("A and not B", lambda n: n["A"] > 0 and n["B"] == 0),
        ("A + B >= 3", lambda n: n["A"] + n["B"] >= 3),
        ("both >= 2", lambda n: n["A"] + n["B"] >= 2),
        ("exactly(1, A, B)", lambda n: (n["A"] > 0) + (n["B"] > 0) == 1),
    ],
)
def test_a_label_follows_from_the_instances(rule: str, python: Any) -> None:
    data = simulate(
        planting(RANDOM, tasks=[{"name": "label", "rule": rule}], sets={"both": ["A", "B"]}), n=300
    )
    expected = [float(python(counts(data, i))) for i in range(300)]
    assert data.labels[:, 0].tolist() == expected
    assert 0 < np.mean(expected) < 1


def test_counts_are_numbers_of_instances() -> None:
    task = {"name": "sites", "kind": "count", "motifs": ["A", "B"]}
    data = simulate(planting(RANDOM, tasks=[task]), n=200)
    assert data.labels[:, 0].tolist() == [sum(counts(data, i).values()) for i in range(200)]
    assert data.kinds == ["count"]


def affinity_sum(data: Dataset, index: int, weights: dict[str, float]) -> float:
    rows = data.instances[data.instances["sequence"] == index]
    pairs = zip(rows["motif"].astype(str), rows["score"], strict=True)
    return sum(weights[motif] * max(score / data.motifs[motif].best_score, 0) for motif, score in pairs)


@pytest.mark.parametrize("formula", ["sum", "saturating"])
def test_real_labels_follow_their_formula(formula: str) -> None:
    task = {"name": "y", "kind": "real", "motifs": ["A", "B"], "weights": {"B": -0.5}, "formula": formula}
    motifs = [{"consensus": "GATRAG", "name": "A"}, {"consensus": "CAGNTGTT", "name": "B"}]
    data = simulate(planting(RANDOM, tasks=[task | {"half": 0.7, "maximum": 3.0}], motifs=motifs), n=200)
    x = np.array([affinity_sum(data, i, {"A": 1, "B": -0.5}) for i in range(200)])
    if formula == "saturating":
        x = 3 * np.maximum(x, 0) / (np.maximum(x, 0) + 0.7)
    np.testing.assert_allclose(data.labels[:, 0], x, atol=1e-3)


def test_a_cooperative_label_adds_the_product_of_the_affinities_of_each_site() -> None:
    data = simulate("cooperative", n=400, seed=3)
    assert data.clean is not None
    for i in range(400):
        rows = data.instances[data.instances["sequence"] == i]
        affinity = [
            max(score / data.motifs[motif].best_score, 0)
            for motif, score in zip(rows["motif"].astype(str), rows["score"], strict=True)
        ]
        expected = sum(affinity)
        if (rows["site"] == "composite").any():
            expected += 2.0 * np.prod(affinity)
        assert data.clean[i, 0] == pytest.approx(expected, abs=1e-3)
    noise = data.labels[:, 0] - data.clean[:, 0]
    assert noise.std() == pytest.approx(0.2, abs=0.03) and abs(noise.mean()) < 0.05


def test_label_noise_flips_its_share_and_keeps_the_truth() -> None:
    data = simulate(small(tasks=[{"name": "label", "rule": "A", "noise": 0.1}]), n=20_000)
    assert data.clean is not None
    flipped = (data.labels != data.clean)[:, 0]
    assert flipped.mean() == pytest.approx(0.1, abs=0.011)
    assert data.report["noisy"] == flipped.sum()
    planted = np.isin(np.arange(20_000), data.instances["sequence"])
    np.testing.assert_array_equal(data.clean[:, 0] == 1, planted)


def test_a_class_may_be_named_in_a_rule() -> None:
    data = simulate(small(tasks=[{"name": "label", "rule": "without"}]), n=100)
    assert data.classes is not None
    np.testing.assert_array_equal(data.labels[:, 0] == 1, data.classes == "without")


def test_decoys_and_broken_instances_count_for_no_rule_and_no_mask() -> None:
    data = simulate(planting({"motifs": "A", "role": "decoy"}), n=50)
    assert not data.labels.any() and not data.mask(0).any()
    assert (data.instances["tasks"].astype(str) == "").all()


def test_the_mask_holds_what_the_rule_names_for_each_task_apart() -> None:
    tasks = [{"name": "a", "rule": "A"}, {"name": "b", "rule": "not B"}, {"name": "ab", "rule": "A or B"}]
    data = simulate(planting(RANDOM, tasks=tasks), n=100)
    table = data.instances
    for task, motifs in (("a", {"A"}), ("b", {"B"}), ("ab", {"A", "B"})):
        assert set(data.instances_of(task).index) == set(table[table["motif"].astype(str).isin(motifs)].index)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({"rule": "A and"}, r"tasks\[0\]: rule 'A and'"),
        ({}, "needs a rule"),
        ({"rule": "A", "noise": 0.7}, "noise is 0.7"),
        ({"kind": "real"}, "needs motifs"),
        ({"kind": "count", "motifs": ["A"], "noise": 0.1}, "counts have none"),
        ({"kind": "real", "motifs": ["A"], "formula": "cooperative"}, "names its site"),
        ({"kind": "real", "motifs": ["A"], "formula": "saturating", "half": 0}, "half is 0"),
        ({"rule": "A", "name": "split"}, "column of its own"),
        ({"rule": "A and C"}, "no motif, set, site or class 'C'"),
        ({"kind": "real", "motifs": ["A"], "weights": {"Z": 1}}, "no motif 'Z'"),
    ],
)
def test_tasks_that_make_no_sense_are_named(task: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        small(tasks=[{"name": "label"} | task])


@pytest.mark.parametrize("preset", ["tal_gata", "spacing", "koo2021", "cooperative"])
def test_the_derivation_names_the_counts_that_give_the_label(preset: str) -> None:
    data = simulate(preset, n=60, seed=2)
    assert data.spec is not None
    for index in range(60):
        table = data.derivation(index)
        for k, task in enumerate(data.spec.tasks):
            row = table.loc[task.name]
            assert row["label"] == data.labels[index, k]
            if task.kind == "binary":
                pairs = (text.rsplit(" ", 1) for text in row["counts"].split(", "))
                numbers = {name: np.array([int(count)]) for name, count in pairs}
                assert bool(task.parsed(numbers)[0]) == bool(row["clean"])


def test_there_is_no_derivation_without_a_specification_or_beyond_the_end() -> None:
    from genoplrp.errors import InputError

    with pytest.raises(InputError, match="no specification"):
        Dataset.from_sequences(["ACGT"], [1]).derivation(0)
    with pytest.raises(InputError, match="no sequence 60"):
        simulate("tal_gata", n=60).derivation(60)
