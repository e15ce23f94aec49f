"""Labels with an activity, recomputed from the instance table by loops, and their noise against scipy."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import stats
from specs import planting, small, table

from genoplrp.errors import SpecError
from genoplrp.synthetic import Dataset, simulate, spec_from_table
from genoplrp.synthetic.counts import gamma_factors, poisson_numbers

MOTIFS = [{"consensus": "GATRAG", "name": "A"}, {"consensus": "CAGNTGTT", "name": "B"}]
RANDOM = {"motifs": ["A", "B"], "count": {"kind": "uniform", "low": 0, "high": 4}}
PAIR = {"pair": {"motifs": ["A", "B"], "spacing": {"kind": "range", "low": 2, "high": 9}, "minus": 0.5}}


def with_activity(activity: str, **task: Any) -> dict[str, Any]:
    return {"name": "y", "kind": "real", "activity": activity} | task


def rows_of(data: Dataset, index: int) -> list[dict[str, Any]]:
    """Core instances of a sequence with their affinity and middle."""
    table = data.instances[(data.instances["sequence"] == index) & (data.instances["role"] == "core")]
    rows = [row._asdict() for row in table.itertuples()]
    for row in rows:
        row["affinity"] = max(row["score"] / data.motifs[row["motif"]].best_score, 0)
        row["middle"] = (row["start"] + row["end"]) / 2
    return rows


def test_a_cooperation_that_falls_with_the_distance_follows_from_the_instances() -> None:
    spec = planting(
        RANDOM, motifs=MOTIFS, tasks=[with_activity("A + pairs(A, B, exponential(gap, 10) * same_strand)")]
    )
    data = simulate(spec, n=200)
    for index in range(200):
        rows = rows_of(data, index)
        a, b = ([row for row in rows if row["motif"] == name] for name in "AB")
        expected = sum(row["affinity"] for row in a)
        for one, other in product(a, b):
            gap = max(one["start"], other["start"]) - min(one["end"], other["end"])
            if one["strand"] == other["strand"]:
                expected += one["affinity"] * other["affinity"] * np.exp(-gap / 10)
        assert data.labels[index, 0] == pytest.approx(expected, abs=2e-3)
    assert data.labels.std() > 0.3 and data.clean is None


def test_a_site_is_worth_the_product_of_its_motifs_and_lies_from_its_first_to_its_last_base() -> None:
    activity = "2 * pair + 0.01 * sum(pair, position) + 0.1 * count(pair) - sum(pair, strand > 0)"
    spec = planting(
        {"site": "pair", "count": {"kind": "uniform", "low": 0, "high": 2}},
        {"motifs": "A"},
        motifs=MOTIFS,
        sites=PAIR,
        tasks=[with_activity(activity)],
        length=90,
    )
    data = simulate(spec, n=150)
    for index in range(150):
        rows = [row for row in rows_of(data, index) if row["site"] == "pair"]
        expected = 0.0
        for one, other in zip(rows[::2], rows[1::2], strict=True):
            both = one["affinity"] * other["affinity"]
            middle = (one["start"] + other["end"]) / 2
            expected += both * (2 + 0.01 * middle - (one["strand"] == "+")) + 0.1
        assert data.labels[index, 0] == pytest.approx(expected, abs=5e-3)
    assert data.labels.std() > 0.3


def test_classes_sets_lengths_and_the_centre_are_known() -> None:
    activity = "both + 0.5 * without - sum(A, step(center, 8))"
    spec = small(length=[40, 60], sets={"both": ["A", "B"]}, tasks=[with_activity(activity)])
    data = simulate(spec, n=200)
    assert data.classes is not None
    for index in range(200):
        rows = rows_of(data, index)
        expected = 0.5 * (data.classes[index] == "without") + sum(row["affinity"] for row in rows)
        middle = data.lengths[index] / 2
        expected -= sum(row["affinity"] for row in rows if abs(row["middle"] - middle) <= 8)
        assert data.labels[index, 0] == pytest.approx(expected, abs=1e-3)


def test_broken_and_decoy_instances_are_worth_nothing() -> None:
    plants = [{"motifs": "A", "role": "decoy"}, {"site": "pair", "broken": "order"}]
    spec = planting(
        *plants,
        sites={"pair": PAIR["pair"] | {"orientation": "++"}},
        tasks=[with_activity("A + pair + count(A)")],
    )
    with pytest.warns(UserWarning, match="one value only"):
        data = simulate(spec, n=30)
    assert not data.labels.any()


def test_numbers_are_those_of_the_inverted_poisson_distribution() -> None:
    mean = np.array([0.0, 1e-9, 0.3, 1.0, 7.5, 60.0, 255.9])
    for m in mean:
        u = np.random.default_rng(3).random(2000)
        found = poisson_numbers(np.random.default_rng(3), np.full(2000, m))
        np.testing.assert_array_equal(found, stats.poisson.ppf(u, m) if m else np.zeros(2000))


def test_large_means_and_dispersion_have_their_mean_and_variance() -> None:
    rng = np.random.default_rng(0)
    large = poisson_numbers(rng, np.full((100, 200), 1000.0))
    assert large.mean() == pytest.approx(1000, abs=5 * np.sqrt(1000 / 20_000))
    assert large.var() == pytest.approx(1000, rel=0.06)
    factors = gamma_factors(rng, 20_000, 0.4)
    assert stats.kstest(factors, stats.gamma(1 / 0.4, scale=0.4).cdf).pvalue > 1e-3
    numbers = poisson_numbers(rng, 6 * factors)
    peer = stats.nbinom(1 / 0.4, 1 / (1 + 0.4 * 6))
    shares = np.bincount(numbers, minlength=40)[:40]
    expected = 20_000 * peer.pmf(np.arange(40))
    kept = expected > 10
    chi_square = ((shares - expected)[kept] ** 2 / expected[kept]).sum()
    assert stats.chi2.sf(chi_square, kept.sum()) > 1e-3


@pytest.mark.parametrize("dispersion", [0.0, 0.5])
def test_a_count_is_drawn_around_its_activity(dispersion: float) -> None:
    task = with_activity("20 * A - 8 * B", kind="count", dispersion=dispersion)
    data = simulate(planting(RANDOM, tasks=[task]), n=20_000, seed=1)
    assert data.kinds == ["count"] and data.clean is not None
    assert (
        (data.labels == np.round(data.labels)).all() and (data.clean >= 0).all() and (data.clean == 0).any()
    )
    for mean in (12.0, 20.0, 40.0, 60.0):
        drawn = data.labels[np.isclose(data.clean[:, 0], mean), 0]
        variance = mean + dispersion * mean**2
        assert len(drawn) > 300
        assert drawn.mean() == pytest.approx(mean, abs=5 * np.sqrt(variance / len(drawn)))
        assert drawn.var() == pytest.approx(variance, rel=0.35)


def test_a_binary_label_is_drawn_with_its_probability() -> None:
    task = with_activity("logistic(2 * A - 1)", kind="binary")
    data = simulate(planting(RANDOM, tasks=[task]), n=20_000, seed=1)
    assert data.clean is not None and set(np.unique(data.labels)) == {0, 1}
    for p in np.unique(data.clean).tolist():
        drawn = data.labels[np.isclose(data.clean, p)]
        assert drawn.mean() == pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / len(drawn)) + 1e-3)


def test_a_data_set_with_an_activity_is_saved_and_made_again(tmp_path: Any) -> None:
    tasks = [with_activity("5 * A *\n near(A, B, 30)", kind="count", dispersion=0.2)]
    data = simulate(planting(RANDOM, tasks=tasks), n=100, seed=4)
    data.save(tmp_path / "d")
    again = Dataset.load(tmp_path / "d")
    assert again.spec == data.spec and again.checksum() == data.checksum()
    assert data.clean is not None and again.clean is not None
    np.testing.assert_array_equal(again.clean, data.clean)
    assert again.spec is not None
    assert simulate(again.spec, n=100, seed=4).checksum() == data.checksum()
    row = again.derivation(0).loc["y"]
    assert row["rule"] == "5 * A * near(A, B, 30)" and row["counts"].startswith("A ")


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({"activity": "A + Q"}, r"tasks\[0\]: activity 'A \+ Q', column 5: there is no motif.* 'Q'"),
        ({"activity": "A +"}, r"tasks\[0\]: activity 'A \+', column 4"),
        ({"activity": "count(without)"}, "column 7: 'without' is a class"),
        ({"activity": "A", "motifs": ["A"]}, "leave rule, motifs"),
        ({"activity": "A", "rule": "A"}, "leave rule, motifs"),
        ({"activity": "A", "formula": "saturating"}, "leave rule, motifs"),
        ({"activity": "A", "kind": "count", "noise": 1.0}, "see dispersion"),
        ({"activity": "A", "kind": "count", "dispersion": -1.0}, "dispersion is -1"),
        ({"activity": "A", "dispersion": 1.0}, "for a count with an activity"),
        ({"activity": "sum(A, offset)"}, "nothing else, names offset"),
    ],
)
def test_activities_that_make_no_sense_are_named(task: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        spec_from_table(table(tasks=[{"name": "y", "kind": "real"} | task]))


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (with_activity("1 / B"), "is inf for a sequence .*keep divisors"),
        (with_activity("log(A)"), "is -inf for a sequence with"),
        (with_activity("count(A)", kind="binary"), r"is [2-4] for a sequence with [2-4] A.*logistic"),
    ],
)
def test_values_that_no_label_can_have_are_refused_with_what_the_sequence_holds(
    task: dict[str, Any], words: str
) -> None:
    with pytest.raises(SpecError, match=words):
        simulate(planting(RANDOM, tasks=[task]), n=200)


def test_what_a_site_and_a_pair_are_worth_follows_from_the_expression() -> None:
    spec = planting(
        RANDOM, motifs=MOTIFS, tasks=[with_activity("A - B + 4 * pairs(A, B, exponential(gap, 20))")]
    )
    data = simulate(spec, n=80)
    table = data.instances.assign(
        affinity=[
            max(s / data.motifs[m].best_score, 0)
            for s, m in zip(data.instances["score"], data.instances["motif"], strict=True)
        ]
    )

    def together(one: Any, other: Any) -> float:
        gap = max(one.start, other.start) - min(one.end, other.end)
        return (
            float(4 * one.affinity * other.affinity * np.exp(-gap / 20)) if one.motif != other.motif else 0.0
        )

    rows = list(table.itertuples())
    for row, effect in zip(rows, data.site_effects("y")["effect"], strict=True):
        others = [other for other in rows if other.sequence == row.sequence]
        expected = (1 if row.motif == "A" else -1) * row.affinity + sum(
            together(row, other) for other in others
        )
        assert effect == pytest.approx(expected, abs=1e-3)
    pairs = data.pair_effects("y")
    assert len(pairs) > 50
    for first, second, interaction in zip(pairs["first"], pairs["second"], pairs["interaction"], strict=True):
        # What is lost with both is counted once, and twice in the two single effects.
        assert interaction == pytest.approx(together(rows[first], rows[second]), abs=1e-3)


def test_counts_are_not_reported_as_noisy_labels() -> None:
    data = simulate(planting(RANDOM, tasks=[with_activity("9 * A", kind="count")]), n=100)
    assert data.report["noisy"] == 0 and data.clean is not None and (data.labels != data.clean).any()
