"""Signed scores by enumeration of all orders and signs, and on the truth of every preset."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from scipy import stats

from genoplrp.errors import InputError, NonFiniteError
from genoplrp.evaluation import (
    average_precision,
    base_correlation,
    correlate,
    relevance_mass_accuracy,
    score_signed,
    signed_average_precision,
    signed_mass_accuracy,
    site_correlation,
)
from genoplrp.synthetic import list_presets, simulate

RNG = np.random.default_rng(0)


def average_precision_of(order: tuple[int, ...], signs: list[int], truth: np.ndarray) -> float:
    found, total = 0, 0.0
    for rank, position in enumerate(order, start=1):
        if truth[position] != 0 and signs[position] == truth[position]:
            found += 1
            total += found / rank
    return total / (truth != 0).sum()


def by_enumeration(r: np.ndarray, truth: np.ndarray) -> float:
    """Mean over all orders that absolute values allow, and all signs of zeros."""
    zeros = np.flatnonzero(r == 0)
    orders = [o for o in permutations(range(len(r))) if all(np.diff(np.abs(r[list(o)])) <= 0)]
    scores = []
    for coins in product((-1, 1), repeat=len(zeros)):
        signs = np.sign(r).astype(int)
        signs[zeros] = coins
        scores += [average_precision_of(order, signs.tolist(), truth) for order in orders]
    return float(np.mean(scores))


@pytest.mark.parametrize("seed", range(12))
def test_signed_average_precision_is_the_mean_over_all_orders_and_signs_of_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    r = rng.integers(-2, 3, 6).astype(float)
    truth = rng.integers(-1, 2, 6)
    truth[0] = 1
    assert signed_average_precision(r[None], truth[None])[0] == pytest.approx(
        by_enumeration(r, truth), abs=1e-12
    )


def test_without_negatives_they_are_the_unsigned_scores() -> None:
    maps, masks = np.abs(RNG.normal(size=(5, 40))) + 1e-3, RNG.random((5, 40)) < 0.3
    np.testing.assert_allclose(signed_average_precision(maps, masks), average_precision(maps, masks))
    np.testing.assert_allclose(signed_mass_accuracy(maps, masks), relevance_mass_accuracy(maps, masks))


def test_a_wrong_sign_counts_like_a_position_outside_the_sites() -> None:
    truth = np.array([[1, 1, -1, 0, 0, 0]])
    wrong = [[3.0, -2.0, -1.0, 0.5, 0.0, 0.0]]
    outside = [[3.0, 0.0, -1.0, 0.5, 2.0, 0.0]]
    assert (
        signed_mass_accuracy(wrong, truth) == pytest.approx(4 / 6.5) == signed_mass_accuracy(outside, truth)
    )
    assert signed_average_precision(wrong, truth) == pytest.approx((1 + 2 / 3) / 3)


def test_a_map_of_zeros_scores_what_random_numbers_score() -> None:
    truth = np.zeros((4000, 24), dtype=int)
    truth[:, :4], truth[:, 4:6] = 1, -1
    noise, zeros = RNG.normal(size=truth.shape), np.zeros((1, 24))
    for metric in (signed_average_precision, signed_mass_accuracy):
        scores = metric(noise, truth)
        error = scores.std() / np.sqrt(len(scores))
        assert metric(zeros, truth[:1])[0] == pytest.approx(scores.mean(), abs=4 * error)


@pytest.mark.parametrize("preset", list_presets())
def test_on_every_preset_the_truth_scores_one_and_its_negative_zero(preset: str) -> None:
    data = simulate(preset, n=16, seed=1)
    for task in data.tasks:
        signed = data.signed_mask(task)
        effects = data.base_effects(task)
        table = score_signed(signed, signed, effects, lengths=data.lengths)
        holding = data.mask(task).any(axis=1)
        np.testing.assert_array_equal(table["signed_rma"].notna(), holding)
        assert (table.loc[holding, ["signed_rma", "signed_average_precision"]] == 1).all(axis=None)
        negative = score_signed(-signed, signed, lengths=data.lengths)
        assert (negative[holding] == 0).all(axis=None)
        unsigned = score_signed(np.abs(signed), signed, lengths=data.lengths)["signed_rma"]
        assert ((unsigned == 1) == ((signed >= 0).all(axis=1) & holding)).all()
        varies = np.ptp(effects, axis=1) > 0
        np.testing.assert_allclose(base_correlation(effects, effects)[varies], 1)
        np.testing.assert_allclose(base_correlation(-effects, effects)[varies], -1)
        sites = data.site_effects(task)
        # A site that is worth nothing alone (a helper without the one that it helps) leaves no base with an effect.
        assert data.spec is not None
        if not data.spec.tasks[data.task_index(task)].rule:
            holding = np.isin(np.arange(len(data)), sites.loc[sites["effect"] != 0, "sequence"])
        assert varies[holding].all()
        worth = np.zeros(signed.shape)
        for row in sites.itertuples():
            worth[row.sequence, row.start : row.end] = row.effect / (row.end - row.start)
        if np.ptp(sites["effect"]) > 0:
            assert site_correlation(worth, sites).pearson == pytest.approx(1)
            assert site_correlation(-worth, sites).pearson == pytest.approx(-1)
        if sites["effect"].any():
            assert site_correlation(worth, sites).cosine == pytest.approx(1)
            assert site_correlation(-worth, sites).cosine == pytest.approx(-1)


def test_correlations_are_those_of_scipy() -> None:
    x, y = RNG.normal(size=(3, 50)).round(1), RNG.normal(size=(3, 50)).round(1)
    np.testing.assert_allclose(
        base_correlation(x, y), [stats.pearsonr(a, b)[0] for a, b in zip(x, y, strict=True)]
    )
    found = correlate(x[0], y[0])
    assert found.n == 50 and found.spearman == pytest.approx(stats.spearmanr(x[0], y[0])[0])
    assert found.cosine == pytest.approx(x[0] @ y[0] / np.sqrt(x[0] @ x[0] * (y[0] @ y[0])))
    assert base_correlation(x * 1e-200, y * 1e-200)[0] == pytest.approx(base_correlation(x, y)[0])


def test_what_says_nothing_correlates_with_nothing_and_a_constant_truth_has_no_score() -> None:
    assert base_correlation(np.ones((1, 5)), [[0.0, 1.0, 2.0, 3.0, 4.0]]).tolist() == [0.0]
    assert np.isnan(base_correlation([[0.0, 1.0, 2.0]], np.ones((1, 3))))
    assert np.isnan(correlate([], []).pearson) and np.isnan(correlate([1.0, 2.0], [0.0, 0.0]).cosine)


def test_only_the_cosine_sees_that_a_shifted_map_has_the_wrong_signs() -> None:
    found = correlate([3.0, 2.0, 1.0], [1.0, 0.0, -1.0])
    assert found.pearson == found.spearman == 1.0 and found.cosine == pytest.approx(2 / np.sqrt(28))


def test_padding_is_no_position() -> None:
    maps, truth, effects = RNG.normal(size=(2, 9)), RNG.integers(-1, 2, (2, 9)), RNG.normal(size=(2, 9))
    maps[1, 6:], truth[1, 6:], effects[1, 6:], truth[:, 0] = np.nan, 0, 0, 1
    whole = score_signed(maps, truth, effects, lengths=[9, 6])
    for row, length in enumerate((9, 6)):
        alone = (values[row : row + 1, :length] for values in (maps, truth, effects))
        np.testing.assert_allclose(whole.iloc[[row]], score_signed(*alone))


def test_wrong_input_is_refused() -> None:
    with pytest.raises(InputError, match="only -1, 0 and 1; got 2"):
        signed_mass_accuracy([[1.0, 2.0]], [[1, 2]])
    with pytest.raises(InputError, match=r"signed_mask has shape \(1, 2\)"):
        signed_average_precision([[1.0, 2.0, 3.0]], [[1, 0]])
    with pytest.raises(NonFiniteError, match="true holds 1"):
        correlate([1.0, 2.0], [np.nan, 1.0])
    with pytest.raises(InputError, match="found and true hold 2 and 1"):
        correlate([1.0, 2.0], [1.0])
    sites = simulate("not", n=4, seed=0).site_effects()
    with pytest.raises(InputError, match="is no part of maps"):
        site_correlation(np.zeros((1, 20)), sites)
    with pytest.raises(InputError, match="lacks the column 'effect'"):
        site_correlation(np.zeros((4, 200)), sites.drop(columns="effect"))
