from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, roc_auc_score

from genoplrp.errors import InputError, NonFiniteError
from genoplrp.evaluation import (
    auroc,
    average_precision,
    gini,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
    score,
)
from genoplrp.evaluation.localization import expected_hits
from tests.oracles.oracle_metrics import (
    auroc_of_order,
    average_precision_of_order,
    gini_pairwise,
    over_all_orders,
    rra_of_order,
)

LOCALIZATION = ["rma", "rma_absolute", "rra", "average_precision", "auroc"]


@pytest.fixture
def many() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(30, 50)), rng.random((30, 50)) < 0.2


def tied_maps_and_masks():
    """Short maps of few distinct values, so that ties are the rule; masks neither empty nor full."""
    length = st.integers(2, 6)
    return length.flatmap(
        lambda n: st.tuples(
            hnp.arrays(np.float64, n, elements=st.sampled_from([-1.0, 0.0, 0.5, 2.0])),
            hnp.arrays(np.bool_, n).filter(lambda m: 0 < m.sum() < len(m)),
        )
    )


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], [0.0, 0.0, 5.0], [-4.0, 1.0, 0.0, 2.0], [2.0, 2.0]])
def test_gini_equals_the_pairwise_definition(values):
    assert gini([values])[0] == pytest.approx(gini_pairwise(values))


def test_gini_of_one_peak_among_l_is_one_minus_one_over_l():
    assert gini(np.eye(5)[:1])[0] == pytest.approx(0.8)


def test_gini_of_all_zero_and_constant_maps_is_zero():
    assert gini(np.array([[0.0] * 7, [0.1] * 7, [-3.0] * 7])).tolist() == pytest.approx([0, 0, 0])


def test_rma_by_hand():
    values, mask = [[4.0, 1.0, -3.0, 0.0]], [[1, 0, 1, 0]]
    assert relevance_mass_accuracy(values, mask)[0] == pytest.approx(4 / 5)
    assert relevance_mass_accuracy(values, mask, sign="absolute")[0] == pytest.approx(7 / 8)


def test_rma_of_a_map_without_positive_mass_is_chance():
    assert relevance_mass_accuracy([[-1.0, 0.0, -2.0, 0.0]], [[1, 0, 0, 0]])[0] == 0.25


def test_rma_is_a_share_on_every_scale_and_however_the_map_lies():
    maps = np.random.default_rng(0).random((400, 37))
    maps[:, 0] = 0
    mask = np.ones(maps.shape, dtype=bool)
    mask[:, 0] = False
    for scale in (1e-3, 1.0, 1e3):
        for order in ("C", "F"):  # by which sums run in other orders
            shares = relevance_mass_accuracy(np.array(scale * maps, order=order), mask)
            assert shares.max() <= 1 and shares.min() > 1 - 1e-12
    with pytest.raises(InputError, match="sign='negative': choose one of positive, absolute"):
        relevance_mass_accuracy(maps, mask, sign="negative")


@pytest.mark.parametrize(
    "metric", [relevance_mass_accuracy, relevance_rank_accuracy, average_precision, auroc]
)
def test_a_sequence_is_scored_as_if_it_were_alone_and_not_padded(metric, many):
    maps, masks = many[0][:6], many[1][:6].copy()
    masks[2] = False  # no site, no score
    lengths = [50, 20, 30, 50, 41, 7]
    for k, length in enumerate(lengths):
        masks[k, 0], masks[k, length:] = k != 2, False
    expected = [metric(maps[[k], :n], masks[[k], :n])[0] for k, n in enumerate(lengths)]
    np.testing.assert_array_equal(metric(maps, masks, lengths=lengths), expected)
    assert np.isnan(expected).tolist() == [k == 2 for k in range(6)]
    whole = [metric(maps[[k]], masks[[k]])[0] for k in range(6)]
    np.testing.assert_array_equal(metric(maps, masks), whole)
    masks[5, 7] = True
    with pytest.raises(InputError, match="mask marks position 7 of sequence 5, which has 7 positions"):
        metric(maps, masks, lengths=lengths)


@given(tied_maps_and_masks())
@settings(max_examples=60, deadline=None)
def test_ties_are_broken_in_expectation_over_all_orders(case):
    values, mask = case
    table = score(values[None], mask[None]).iloc[0]
    assert table["rra"] == pytest.approx(over_all_orders(rra_of_order, values, mask))
    assert table["average_precision"] == pytest.approx(
        over_all_orders(average_precision_of_order, values, mask)
    )
    assert table["auroc"] == pytest.approx(over_all_orders(auroc_of_order, values, mask))


def test_ranking_metrics_equal_scikit_learn_without_ties(many):
    maps, masks = many
    expected_ap = [average_precision_score(m, r) for m, r in zip(masks, maps, strict=True)]
    expected_auc = [roc_auc_score(m, r) for m, r in zip(masks, maps, strict=True)]
    np.testing.assert_allclose(average_precision(maps, masks), expected_ap)
    np.testing.assert_allclose(auroc(maps, masks), expected_auc)


def test_auroc_equals_scikit_learn_with_ties(many):
    maps, masks = many
    maps = maps.round()
    np.testing.assert_allclose(
        auroc(maps, masks), [roc_auc_score(m, r) for m, r in zip(masks, maps, strict=True)]
    )


@pytest.mark.parametrize("constant", [0.0, 1.0, -0.3])
def test_a_map_that_says_nothing_scores_what_random_maps_score_on_average(constant):
    rng = np.random.default_rng(1)
    mask = np.zeros((1, 20), dtype=bool)
    mask[0, 3:8] = True
    silent = score(np.full((1, 20), constant), mask).iloc[0]
    n = 4000
    random = score(rng.random((n, 20)), np.repeat(mask, n, axis=0))
    for metric in ["rma", "rra", "average_precision", "auroc"]:
        error = random[metric].std() / np.sqrt(n)
        assert abs(silent[metric] - random[metric].mean()) < 4 * error, metric


def test_an_all_zero_map_is_not_rewarded_for_being_empty():
    mask = np.zeros((1, 200), dtype=bool)
    mask[0, :32] = True
    row = score(np.zeros((1, 200)), mask).iloc[0]
    assert row["rma"] == row["rma_absolute"] == row["rra"] == row["prevalence"] == 0.16
    assert row["auroc"] == 0.5
    assert row["average_precision"] < 0.2


def test_a_perfect_map_scores_one(many):
    _, masks = many
    table = score(masks * 2.5, masks)
    assert np.allclose(table[LOCALIZATION], 1.0)


def test_an_empty_mask_gives_nan_for_localization_only(many):
    maps, _ = many
    table = score(maps, np.zeros(maps.shape, dtype=bool))
    assert table[LOCALIZATION].isna().all(axis=None)
    assert table["gini"].notna().all()


def test_a_full_mask_has_no_auroc_and_is_found_whole(many):
    maps, _ = many
    table = score(maps, np.ones(maps.shape, dtype=bool))
    assert table["auroc"].isna().all()
    assert np.allclose(table[["rma", "rma_absolute", "rra", "average_precision"]], 1.0)


@given(st.integers(0, 2**32 - 1), st.sampled_from([2.0**-40, 0.5, 4.0, 2.0**30]))
@settings(max_examples=25, deadline=None)
def test_no_score_depends_on_scale_on_order_or_on_the_other_sequences(seed, scale):
    rng = np.random.default_rng(seed)
    maps, masks = rng.normal(size=(4, 15)).round(1), rng.random((4, 15)) < 0.3
    table = score(maps, masks)
    order = rng.permutation(15)
    np.testing.assert_allclose(score(maps * scale, masks), table)
    np.testing.assert_allclose(score(maps[:, order], masks[:, order]), table)
    np.testing.assert_allclose(score(maps[2:3], masks[2:3]), table.iloc[2:3])


def test_score_leaves_the_arrays_alone_and_takes_tensors(many):
    maps, masks = many
    before = maps.copy()
    table = score(maps, masks)
    assert (maps == before).all()
    tensor = torch.tensor(maps, requires_grad=True)
    np.testing.assert_array_equal(score(tensor, torch.tensor(masks)), table)
    assert score(tensor.bfloat16(), torch.tensor(masks)).notna().all(axis=None)


def test_score_has_one_named_row_per_sequence(many):
    maps, masks = many
    table = score(maps, masks.astype(np.int8))
    assert list(table.columns) == ["gini", *LOCALIZATION, "prevalence"]
    assert table.index.name == "sequence"
    assert len(table) == 30


def test_no_sequences_give_an_empty_table():
    assert len(score(np.zeros((0, 9)), np.zeros((0, 9), dtype=bool))) == 0


@pytest.mark.parametrize(
    ("maps", "mask", "message"),
    [
        (np.zeros((2, 4, 9)), np.zeros((2, 9)), "sum over the four bases"),
        (np.zeros(9), np.zeros(9), r"\(N, L\)"),
        (np.zeros((2, 9)), np.zeros((2, 8)), r"mask has shape \(2, 8\)"),
        (np.zeros((2, 9)), np.full((2, 9), 0.5), "only 0 and 1; got 0.5 at sequence 0, position 0"),
        (np.zeros((2, 0)), np.zeros((2, 0)), "no positions"),
        (np.array([["a"]]), np.zeros((1, 1)), "numeric"),
        ([[1.0], [1.0, 2.0]], np.zeros((2, 1)), "array"),
    ],
)
def test_bad_arrays_are_refused_with_the_reason(maps, mask, message):
    with pytest.raises(InputError, match=message):
        score(maps, mask)


def test_nan_is_refused_with_its_place():
    maps = np.zeros((2, 9))
    maps[1, 4] = np.nan
    with pytest.raises(NonFiniteError, match="sequence 1, position 4"):
        score(maps, np.zeros((2, 9)))


def test_an_unknown_sign_is_refused():
    with pytest.raises(InputError, match="'negative'"):
        relevance_mass_accuracy([[1.0]], [[1]], sign="negative")


def test_rra_counts_ties_with_the_share_that_fits():
    assert relevance_rank_accuracy([[9.0, 5.0, 5.0, 5.0]], [[0, 1, 1, 0]])[0] == pytest.approx((2 / 3) / 2)


@pytest.mark.parametrize("k", range(5))
def test_expected_hits_are_the_mean_over_all_orders_of_tied_positions(k):
    values, mask = np.array([2.0, 1.0, 1.0, 1.0]), np.array([False, True, False, True])
    orders = [sorted(order, key=lambda i: -values[i]) for order in itertools.permutations(range(4))]
    expected = np.mean([mask[order[:k]].sum() for order in orders])
    hits = expected_hits(values[None], mask[None], np.array([k]))
    np.testing.assert_allclose(hits, [expected], rtol=1e-12)
