from __future__ import annotations

import numpy as np
import pytest

from genoplrp.errors import InputError
from genoplrp.evaluation import auroc, average_precision, relevance_mass_accuracy, relevance_rank_accuracy
from genoplrp.evaluation.pointing import pointing_game, signal_contrast, top_k_intersection, weighted_cosine
from tests.oracles.oracle_metrics_quantus import quantus


@pytest.fixture
def many() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    masks = rng.random((15, 30)) < 0.3
    masks[:, 0] = True
    return rng.normal(size=(15, 30)), masks


@pytest.mark.parametrize(
    ("name", "ours", "options"),
    [
        ("RelevanceMassAccuracy", lambda r, m: relevance_mass_accuracy(r, m, sign="absolute"), {"abs": True}),
        ("RelevanceRankAccuracy", relevance_rank_accuracy, {"abs": False}),
        ("PointingGame", pointing_game, {"abs": False}),
        ("TopKIntersection", lambda r, m: top_k_intersection(r, m, k=7), {"abs": False, "k": 7}),
    ],
)
def test_localization_equals_quantus_where_nothing_ties(many, name, ours, options):
    maps, masks = many
    metric = getattr(quantus(), name)(
        normalise=False, disable_warnings=True, return_aggregate=False, **options
    )
    theirs = metric(
        model=None,
        x_batch=np.zeros((15, 1, 30)),
        y_batch=np.zeros(15),
        a_batch=maps[:, None].copy(),
        s_batch=masks[:, None].copy(),
    )
    np.testing.assert_allclose(ours(maps, masks), np.ravel(theirs).astype(float), rtol=1e-6)


def test_top_k_with_k_of_the_masks_size_is_rank_accuracy(many):
    maps, masks = many
    masks = np.broadcast_to(masks[0], masks.shape)
    expected = relevance_rank_accuracy(maps, masks)
    np.testing.assert_allclose(top_k_intersection(maps, masks, k=int(masks[0].sum())), expected)


@pytest.mark.parametrize("constant", [0.0, 2.0])
def test_a_map_that_says_nothing_is_at_chance(many, constant):
    _, masks = many
    maps = np.full(masks.shape, constant)
    np.testing.assert_allclose(top_k_intersection(maps, masks, k=4), masks.mean(axis=1))
    np.testing.assert_allclose(pointing_game(maps, masks), masks.mean(axis=1))
    np.testing.assert_allclose(signal_contrast(maps, masks), 0, atol=1e-12)
    np.testing.assert_allclose(weighted_cosine(maps, masks), np.sqrt(masks.mean(axis=1)))


def test_signal_contrast_by_hand_and_finite_where_the_ratio_is_not():
    masks = [[1, 1, 0, 0]] * 3
    maps = [[4.0, 2.0, 1.0, -9.0], [1.0, 0.0, 0.0, 0.0], [-1.0, 0.0, 2.0, 2.0]]
    np.testing.assert_allclose(signal_contrast(maps, masks), [2.5 / 3.5, 1.0, -1.0])


def test_the_weighted_cosine_is_one_only_for_maps_in_proportion_to_the_weights():
    weights = np.array([[2.0, 1.0, 0.5, 0.0]] * 4)
    maps = [[4.0, 2.0, 1.0, 0.0], [4.0, 2.0, 1.0, -5.0], [2.0, 0.0, 0.0, 0.0], [2.0, 1.0, 0.5, 1.0]]
    scores = weighted_cosine(maps, weights)
    assert scores[:2] == pytest.approx([1, 1])
    assert (scores[2:] < 0.95).all()


def test_empty_and_full_masks_give_nan():
    maps = np.ones((2, 5))
    empty, full = np.zeros((2, 5)), np.ones((2, 5))
    assert np.isnan(pointing_game(maps, empty)).all()
    assert np.isnan(signal_contrast(maps, empty)).all()
    assert np.isnan(signal_contrast(maps, full)).all()
    assert np.isnan(weighted_cosine(maps, empty)).all()


def test_a_share_does_not_pass_one_whatever_the_layout_in_memory():
    maps = np.asfortranarray(np.random.default_rng(0).random((300, 53)))
    np.testing.assert_allclose(relevance_mass_accuracy(maps, np.ones(maps.shape)), 1, rtol=1e-14)
    assert relevance_mass_accuracy(maps, np.ones(maps.shape)).max() == 1


def test_one_position_is_ranked_too():
    assert relevance_rank_accuracy([[3.0], [3.0]], [[1], [0]]).tolist() == pytest.approx(
        [1, np.nan], nan_ok=True
    )
    assert average_precision([[3.0]], [[1]]).tolist() == [1]


@pytest.mark.parametrize("metric", [relevance_rank_accuracy, average_precision, auroc])
def test_where_there_is_no_site_nothing_is_divided(metric):
    with np.errstate(all="raise"):
        scores = metric([[1.0, 2.0, 2.0], [2.0, 1.0, 2.0]], [[0, 0, 0], [0, 1, 0]])
    assert np.isnan(scores[0])
    assert np.isfinite(scores[1])


@pytest.mark.parametrize("k", [0, 6, -1])
def test_k_out_of_range_is_refused(k):
    with pytest.raises(InputError, match=f"between 1 and the length 5; got {k}"):
        top_k_intersection(np.ones((2, 5)), np.ones((2, 5)), k=k)


@pytest.mark.parametrize(
    ("weights", "message"), [(np.full((2, 5), -1.0), "negative"), (np.ones((2, 4)), r"shape \(2, 4\)")]
)
def test_bad_weights_are_refused(weights, message):
    with pytest.raises(InputError, match=message):
        weighted_cosine(np.ones((2, 5)), weights)
