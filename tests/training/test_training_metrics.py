"""The metrics against scikit-learn and scipy, the intervals against their definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

from genoplrp.training import evaluate
from genoplrp.training.metrics import auroc, average_precision, mean_squared_error, pearson, spearman


def sample(seed, n=60, levels=9):
    """Scores with many ties, labels of both classes, counts as weights."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n).astype(float)
    label[:2] = 0, 1
    weights = rng.integers(0, 4, (3, n)).astype(float)
    weights[:, :2] = 1
    return rng.integers(0, levels, n) / levels, label, weights


@given(st.integers(0, 10_000), st.integers(2, 70), st.integers(1, 12))
def test_auroc_and_average_precision_equal_scikit_learns_on_weighted_ties(seed, n, levels):
    score, label, weights = sample(seed, n, levels)
    expected = [roc_auc_score(label, score, sample_weight=w) for w in weights]
    np.testing.assert_allclose(auroc(score, label, weights), expected, atol=1e-12)
    expected = [average_precision_score(label, score, sample_weight=w) for w in weights]
    np.testing.assert_allclose(average_precision(score, label, weights), expected, atol=1e-12)


@given(st.integers(0, 10_000), st.integers(5, 70))
def test_correlations_equal_scipys_on_the_resample_written_out(seed, n):
    score, _, weights = sample(seed, n)
    score[:3] = 0, 1, 0.5
    weights[:, :3] = 1
    label = np.random.default_rng(seed + 1).integers(0, 5, n) + score
    for w in weights:
        x, y = np.repeat(score, w.astype(int)), np.repeat(label, w.astype(int))
        assert pearson(score, label, w[None])[0] == pytest.approx(pearsonr(x, y).statistic, abs=1e-10)
        assert spearman(score, label, w[None])[0] == pytest.approx(spearmanr(x, y).statistic, abs=1e-10)
        assert mean_squared_error(score, label, w[None])[0] == pytest.approx(np.mean((x - y) ** 2))


@pytest.mark.parametrize("constant", [0.0, 0.1, 1 / 3])
def test_correlation_with_a_constant_prediction_is_nan(constant):
    label = np.arange(7.0)
    assert np.isnan(pearson(np.full(7, constant), label, np.ones((1, 7)))[0])
    assert np.isnan(spearman(np.full(7, constant), label, np.ones((1, 7)))[0])


def test_one_class_has_no_auroc_and_is_left_out_of_the_mean():
    labels = np.array([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    figures = evaluate(np.array([[0.1, 0.9], [0.2, 0.1], [0.3, 0.8]]), labels, ["binary"] * 2, ["one", "two"])
    assert np.isnan(figures["tasks"]["one"]["auroc"])
    assert figures["auroc"] == figures["tasks"]["two"]["auroc"] == 1.0


def test_missing_labels_do_not_count():
    score, label, _ = sample(3)
    with_gaps = np.concatenate([label, np.full(10, np.nan)])[:, None]
    longer = np.concatenate([score, np.linspace(0, 1, 10)])[:, None]
    figures = evaluate(longer, with_gaps, ["binary"], ["t"])
    assert figures["tasks"]["t"]["n"] == len(label)
    assert figures["auroc"] == pytest.approx(roc_auc_score(label, score))


def test_accuracy_of_classes_is_the_share_of_rows_whose_largest_output_is_right():
    prediction = np.array([[0.6, 0.4, 0.0], [0.1, 0.2, 0.7], [0.3, 0.5, 0.2], [0.8, 0.1, 0.1]])
    figures = evaluate(prediction, np.eye(3)[[0, 2, 0, 0]], ["multiclass"] * 3, ["a", "b", "c"])
    assert figures["accuracy"] == 0.75


def test_kinds_may_differ_between_tasks():
    prediction = np.array([[0.9, 3.0], [0.1, 1.0], [0.8, 2.5], [0.3, 0.0]])
    labels = np.array([[1.0, 2.9], [0.0, 1.2], [1.0, 2.0], [0.0, 0.1]])
    figures = evaluate(prediction, labels, ["binary", "regression"], ["site", "level"])
    assert set(figures["tasks"]["site"]) == {"n", "auroc", "average_precision"}
    assert set(figures["tasks"]["level"]) == {"n", "pearson", "spearman", "mse"}
    assert figures["pearson"] == figures["tasks"]["level"]["pearson"]


def test_bootstrap_interval_of_a_mean_squared_error_matches_the_normal_theory():
    rng = np.random.default_rng(0)
    labels = rng.normal(size=(2000, 1))
    prediction = labels + rng.normal(size=(2000, 1))
    figures = evaluate(prediction, labels, ["regression"], ["t"], bootstrap=2000, seed=1)
    squared = (prediction - labels) ** 2
    half = 1.96 * squared.std() / np.sqrt(len(squared))
    low, high = figures["mse_interval"]
    assert low == pytest.approx(squared.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(squared.mean() + half, abs=0.1 * half)


def test_intervals_depend_on_the_seed_alone():
    score, label, _ = sample(5)
    draws = [
        evaluate(score[:, None], label[:, None], ["binary"], ["t"], bootstrap=200, seed=s)["auroc_interval"]
        for s in (1, 1, 2)
    ]
    assert draws[0] == draws[1] != draws[2]
