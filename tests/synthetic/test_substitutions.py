"""Effects of substitutions against the oracle, and labels, of sequences that are really changed."""

from __future__ import annotations

import numpy as np
import pytest
from specs import planting, small

from genoplrp.errors import InputError
from genoplrp.sequence import encode_codes
from genoplrp.synthetic import Dataset, simulate
from genoplrp.synthetic.oracle import class_log_likelihoods, labels_of_classes
from genoplrp.synthetic.substitutions import base_effects, substitution_effects


def classes_of(data: Dataset, codes: np.ndarray) -> np.ndarray:
    """Joint probability of each class with each sequence, relative to background."""
    assert data.spec is not None
    share = [one.fraction for one in data.spec.classes]
    return np.exp(class_log_likelihoods(data.spec, codes, data.lengths)) * share


def log_odds(data: Dataset, codes: np.ndarray, label: np.ndarray) -> np.ndarray:
    joint = classes_of(data, codes)
    return np.log(joint @ label / (joint @ (1 - label)))


def changed(codes: np.ndarray, place: int, base: int) -> np.ndarray:
    other = codes.copy()
    other[:, place] = base
    return other


@pytest.mark.parametrize(
    ("preset", "tolerance"),
    [
        *((name, 2e-6) for name in ("and", "not", "koo2021", "koo2021_fixed", "order", "spacing", "xor")),
        ("tal_gata", 2e-6),
        # The memory of a Markov background is treated to first order where two motifs stand within it.
        ("hard_background", 2e-2),
    ],
)
def test_of_a_rule_they_are_changes_of_the_log_odds_by_the_oracle(preset: str, tolerance: float) -> None:
    data = simulate(preset, n=8, seed=4)
    data = data.subset([int(data.mask().any(axis=1).argmax())])
    codes = encode_codes(data.sequences)
    labels = labels_of_classes(data.spec)
    rng = np.random.default_rng(0)
    sites = np.flatnonzero(data.mask().any(axis=0))
    places = np.concatenate([rng.choice(sites, 4, replace=False), rng.choice(200, 3, replace=False)])
    for task in range(len(data.tasks)):
        effects = substitution_effects(data, task)
        before = log_odds(data, codes, labels[:, task])
        for place in places:
            for base in range(4):
                expected = log_odds(data, changed(codes, place, base), labels[:, task]) - before
                np.testing.assert_allclose(effects[:, base, place], expected, atol=tolerance)


def test_of_affinities_they_are_changes_of_the_label_itself() -> None:
    data = simulate("cooperative", n=4, seed=1)
    assert data.clean is not None and data.spec is not None
    effects = substitution_effects(data)
    codes = encode_codes(data.sequences)

    def label(sequence: int, letters: np.ndarray) -> float:
        rows = data.instances[data.instances["sequence"] == sequence]
        affinity = []
        for row in rows.itertuples():
            motif = data.motifs[str(row.motif)]
            here = letters[row.start : row.end]
            here = here if row.strand == "+" else 3 - here[::-1]
            affinity.append(max(motif.log_odds()[here, np.arange(len(here))].sum() / motif.best_score, 0))
        bonus = 2.0 * np.prod(affinity) if (rows["site"] == "composite").any() else 0.0
        return sum(affinity) + bonus

    for sequence in range(4):
        before = label(sequence, codes[sequence])
        assert before == pytest.approx(data.clean[sequence, 0], abs=1e-5)
        for place in range(0, 200, 4):
            for base in range(4):
                expected = label(sequence, changed(codes, place, base)[sequence]) - before
                assert effects[sequence, base, place] == pytest.approx(expected, abs=1e-6)
    assert not effects[np.broadcast_to(~data.mask()[:, None], effects.shape)].any()


def test_of_a_count_they_are_changes_of_the_count_that_is_expected() -> None:
    spec = small(tasks=[{"name": "sites", "kind": "count", "motifs": ["A"]}])
    data = simulate(spec, n=4)
    codes, label = encode_codes(data.sequences), labels_of_classes(spec)[:, 0]

    def expected(letters: np.ndarray) -> np.ndarray:
        joint = classes_of(data, letters)
        return joint @ label / joint.sum(axis=1)

    effects = substitution_effects(data)
    for place in range(0, 60, 7):
        found = expected(changed(codes, place, 2)) - expected(codes)
        np.testing.assert_allclose(effects[:, 2, place], found, atol=1e-6)


def test_sequences_of_several_lengths_end_where_they_end() -> None:
    data = simulate(small(length=[40, 70]), n=6, seed=2)
    codes = encode_codes([sequence.ljust(data.length, "N") for sequence in data.sequences])
    effects = substitution_effects(data)
    label = labels_of_classes(data.spec)[:, 0]
    before = log_odds(data, codes, label)
    for place in (5, 30, 39):
        found = log_odds(data, changed(codes, place, 1), label) - before
        np.testing.assert_allclose(effects[:, 1, place], found, atol=2e-6)
    beyond = np.arange(data.length) >= data.lengths[:, None]
    assert beyond.any() and not effects.transpose(0, 2, 1)[beyond].any()


def test_a_base_is_worth_its_mean_loss_and_signs_agree_with_the_mask() -> None:
    for preset in ("not", "xor", "and", "koo2021_fixed", "cooperative"):
        data = simulate(preset, n=16, seed=3)
        effects, substitutions = base_effects(data), substitution_effects(data)
        np.testing.assert_allclose(effects, -substitutions.sum(axis=1) / 3, rtol=1e-6)
        signed = data.signed_mask()
        for sign in (-1, 1):
            if (signed == sign).any():
                assert sign * effects[signed == sign].mean() > 10 * abs(effects[signed == 0].mean())


def test_nothing_changes_a_rule_that_always_holds() -> None:
    with pytest.warns(UserWarning, match="one class only"):
        data = simulate(planting({"motifs": "A"}), n=4)
    assert not substitution_effects(data).any()


def test_they_need_a_specification() -> None:
    with pytest.raises(InputError, match="no specification"):
        base_effects(Dataset.from_sequences(["ACGT"] * 5, [0, 1, 0, 1, 0]))
