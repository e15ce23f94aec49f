"""Outside of what is planted the sequences say nothing about the label."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from genoplrp.sequence import encode_codes
from genoplrp.synthetic import Dataset, list_presets, simulate


def kmer_frequencies(data: Dataset, k: int, *, hide: bool) -> np.ndarray:
    """Frequencies of k-mers in each sequence, over the windows that touch no planted instance where ``hide``."""
    codes = encode_codes(data.sequences).astype(np.int64)
    hidden = np.zeros(codes.shape, dtype=bool)
    for i, start, end in zip(*(data.instances[name] for name in ("sequence", "start", "end")), strict=True):
        hidden[i, start:end] = hide
    windows = np.lib.stride_tricks.sliding_window_view(codes, k, axis=1) @ 4 ** np.arange(k)
    free = ~np.lib.stride_tricks.sliding_window_view(hidden, k, axis=1).any(axis=2)
    table = np.zeros((len(data), 4**k))
    rows = np.broadcast_to(np.arange(len(data))[:, None], windows.shape)
    np.add.at(table, (rows[free], windows[free]), 1)
    return table / np.maximum(table.sum(axis=1, keepdims=True), 1)


def held_out_auroc(features: np.ndarray, label: np.ndarray) -> float:
    half = len(label) // 2
    scaled = (features - features[:half].mean(axis=0)) / (features[:half].std(axis=0) + 1e-9)
    model = LogisticRegression(C=0.01, max_iter=300).fit(scaled[:half], label[:half])
    return float(roc_auc_score(label[half:], model.decision_function(scaled[half:])))


@pytest.mark.parametrize("preset", list_presets())
def test_kmers_outside_the_planted_instances_leave_the_label_at_chance(preset: str) -> None:
    data = simulate(preset, n=6_000, seed=9)
    features = kmer_frequencies(data, 3, hide=True)
    for k, kind in enumerate(data.kinds):
        label = data.labels[:, k] > (0.5 if kind == "binary" else np.median(data.labels[:, k]))
        positives = label[3_000:].mean()
        # Standard error of an AUROC at chance with these numbers of positives and negatives.
        error = np.sqrt((3_000 + 1) / (12 * 3_000**2 * positives * (1 - positives)))
        assert abs(held_out_auroc(features, label) - 0.5) < 4 * error, data.tasks[k]


def test_the_same_classifier_sees_motifs_that_are_not_hidden() -> None:
    data = simulate("tal_gata", n=6_000, seed=9)
    assert held_out_auroc(kmer_frequencies(data, 3, hide=False), data.labels[:, 0] > 0.5) > 0.6


def test_position_of_the_instances_says_nothing_about_the_label() -> None:
    for preset in ("koo2021_fixed", "spacing", "order"):
        data = simulate(preset, n=4_000, seed=3)
        middle = (data.instances["start"] + data.instances["end"]) / 2
        label = data.labels[data.instances["sequence"], 0]
        assert roc_auc_score(label, middle) == pytest.approx(0.5, abs=0.025)
