"""The oracle against brute force, and what it reaches on the presets."""

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from specs import small

from genoplrp.errors import InputError
from genoplrp.sequence import encode_codes
from genoplrp.synthetic import Dataset, Spec, list_presets, load_spec, simulate
from genoplrp.synthetic.oracle import class_log_likelihoods, oracle_scores

MOTIFS = [{"consensus": "GAR", "name": "A"}, {"consensus": "CT", "name": "B"}]


def brute_force(spec: Spec, number: int, sequence: str) -> float:
    """Likelihood ratio of a class of single motifs with fixed counts: the mean over all ordered arrangements."""
    plants = spec.classes[number].plant
    units = [plant for plant in plants for _ in range(plant.count.value)]
    ratios = []
    for names in product(*(plant.motifs for plant in units)):
        widths = [spec.matrices[name].width for name in names]
        room = [range(len(sequence) - width + 1) for width in widths]
        for starts in product(*room):
            spans = sorted((start, start + width) for start, width in zip(starts, widths, strict=True))
            if any(one[1] > other[0] for one, other in pairwise(spans)):
                continue
            for minus in product((False, True), repeat=len(units)):
                ratio = 1.0
                for name, start, turned, plant in zip(names, starts, minus, units, strict=True):
                    motif = spec.matrices[name].reverse_complement() if turned else spec.matrices[name]
                    pwm = (1 - 1e-6) * motif.pwm + 1e-6 / 4
                    ratio *= plant.minus if turned else 1 - plant.minus
                    for k in range(motif.width):
                        ratio *= pwm["ACGT".index(sequence[start + k]), k] / 0.25
                # Strands are weighted within an arrangement, arrangements all alike.
                ratios.append(ratio * 2 ** len(units))
    return float(np.mean(ratios))


@pytest.mark.parametrize(
    "plant",
    [
        [{"motifs": "A"}],
        [{"motifs": "A", "minus": 0.2}],
        [{"motifs": "A", "count": 2}],
        [{"motifs": "A"}, {"motifs": "B"}],
        [{"motifs": "A", "count": 2}, {"motifs": "B"}],
    ],
)
def test_class_likelihoods_are_the_mean_over_all_arrangements(plant: list[dict[str, Any]]) -> None:
    spec = small(
        length=12,
        motifs=MOTIFS,
        classes=[{"name": "some", "fraction": 0.5, "plant": plant}, {"name": "none", "fraction": 0.5}],
    )
    sequences = simulate(spec, n=8, seed=3).sequences
    logs = class_log_likelihoods(spec, encode_codes(sequences), np.full(8, 12))
    np.testing.assert_allclose(logs[:, 1], 0)
    expected = [np.log(brute_force(spec, 0, sequence)) for sequence in sequences]
    np.testing.assert_allclose(logs[:, 0], expected, rtol=1e-9)


def test_a_site_is_the_mean_over_gaps_orientations_and_places() -> None:
    site = {
        "motifs": ["A", "B"],
        "spacing": {"kind": "range", "low": 1, "high": 2},
        "orientation": "+-",
        "minus": 0.3,
    }
    classes = [
        {"name": "some", "fraction": 0.5, "plant": [{"site": "pair"}]},
        {"name": "none", "fraction": 0.5},
    ]
    spec = small(
        length=10, motifs=MOTIFS, sites={"pair": site}, classes=classes, tasks=[{"name": "t", "rule": "pair"}]
    )
    sequences = simulate(spec, n=6, seed=1).sequences
    logs = class_log_likelihoods(spec, encode_codes(sequences), np.full(6, 10))[:, 0]
    for sequence, log in zip(sequences, logs, strict=True):
        total, ways = 0.0, 0.0
        for gap, turned in product((1, 2), (False, True)):
            width = 3 + gap + 2
            for start in range(10 - width + 1):
                parts = [("A", False, 0), ("B", True, 3 + gap)]
                if turned:
                    parts = [("A", True, gap + 2), ("B", False, 0)]
                ratio = 0.3 if turned else 0.7
                ways += ratio
                for name, minus, offset in parts:
                    motif = spec.matrices[name].reverse_complement() if minus else spec.matrices[name]
                    pwm = (1 - 1e-6) * motif.pwm + 1e-6 / 4
                    for k in range(motif.width):
                        ratio *= pwm["ACGT".index(sequence[start + offset + k]), k] / 0.25
                total += ratio
        assert log == pytest.approx(np.log(total / ways), rel=1e-9)


def test_posteriors_are_calibrated() -> None:
    data = simulate("tal_gata", n=4_000, seed=8)
    p = oracle_scores(data)
    for task in range(3):
        for low, high in ((0.0, 0.1), (0.1, 0.4), (0.4, 0.6), (0.6, 0.9), (0.9, 1.0)):
            chosen = (p[:, task] >= low) & (p[:, task] <= high)
            expected = p[chosen, task].mean()
            error = np.sqrt(expected * (1 - expected) / chosen.sum())
            assert data.labels[chosen, task].mean() == pytest.approx(expected, abs=4 * error + 0.01)


@pytest.mark.parametrize(
    "preset", [name for name in list_presets() if load_spec(name).tasks[0].kind == "binary"]
)
def test_the_labels_of_a_preset_can_be_known(preset: str) -> None:
    data = simulate(preset, n=400, seed=4)
    p = oracle_scores(data)
    for task in range(len(data.tasks)):
        assert roc_auc_score(data.labels[:, task], p[:, task]) > 0.97


def test_the_oracle_knows_nothing_where_nothing_is_planted() -> None:
    spec = small(
        tasks=[{"name": "t", "rule": "one"}], classes=[{"name": n, "fraction": 0.5} for n in ("one", "two")]
    )
    np.testing.assert_allclose(oracle_scores(simulate(spec, n=50)), 0.5)


def test_sequences_of_different_lengths_are_judged_by_their_own() -> None:
    data = simulate(small(length=[20, 60]), n=600, seed=1)
    assert roc_auc_score(data.labels[:, 0], oracle_scores(data)[:, 0]) > 0.95


def test_real_data_has_no_oracle() -> None:
    with pytest.raises(InputError, match="needs a generated data set"):
        oracle_scores(Dataset.from_sequences(["ACGT"], [1]))


def test_the_oracle_knows_how_a_site_with_a_palindrome_is_broken() -> None:
    site = {"motifs": ["A", "P"], "orientation": "++", "spacing": 4}
    spec = small(
        motifs=[{"consensus": "TGACTCA", "name": "A"}, {"consensus": "CACGTG", "name": "P"}],
        sites={"s": site},
        tasks=[{"name": "y", "rule": "s"}],
        classes=[
            {"name": "yes", "fraction": 0.5, "plant": [{"site": "s"}]},
            {"name": "no", "fraction": 0.5, "plant": [{"site": "s", "broken": "orientation"}]},
        ],
    )
    data = simulate(spec, n=60, seed=1)
    known = oracle_scores(data)[:, 0]
    assert known[data.labels[:, 0] == 1].min() > 0.9 > 0.1 > known[data.labels[:, 0] == 0].max()
