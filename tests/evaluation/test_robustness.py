from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from genoplrp.errors import InputError
from genoplrp.evaluation.robustness import (
    Change,
    agreement,
    reverse_strand,
    score_robustness,
    sensitivity,
    shift,
    substitutions,
)
from genoplrp.evaluation.sanity import randomise_cascading, score_sanity
from genoplrp.sequence import one_hot_encode, reverse_complement


@pytest.fixture(name="X")
def random_sequences() -> np.ndarray:
    rng = np.random.default_rng(0)
    return one_hot_encode(["".join(rng.choice(list("ACGT"), 40)) for _ in range(5)])


@pytest.fixture
def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv1d(4, 6, 5), nn.ReLU(), nn.BatchNorm1d(6), nn.Flatten(), nn.Linear(216, 1)
        ).eval()


def gradient_times_input(model, X):
    x = torch.tensor(X, requires_grad=True)
    model(x).sum().backward()
    return (x.grad * x).sum(dim=1).detach().numpy()


def test_substitutions_change_exactly_so_many_bases_and_none_inside_the_mask(X):
    mask = np.zeros((5, 40), dtype=bool)
    mask[:, 10:30] = True
    changed = substitutions(mask, count=6).apply(X, np.random.default_rng(0))
    differs = (changed != X).any(axis=1)
    assert (differs.sum(axis=1) == 6).all()
    assert not (differs & mask).any()
    assert (changed.sum(axis=1) == 1).all()


def test_substitutions_outside_a_full_mask_change_nothing(X):
    changed = substitutions(np.ones((5, 40))).apply(X, np.random.default_rng(0))
    np.testing.assert_array_equal(changed, X)


@pytest.mark.parametrize("change", [shift(3), shift(-11), reverse_strand()])
def test_undo_brings_positions_back(X, change):
    marked = change.apply(X, np.random.default_rng(0))
    positions = np.broadcast_to(np.arange(40.0), (5, 40))
    moved = change.apply(np.repeat(positions[:, None], 4, axis=1), np.random.default_rng(0))[:, 0]
    np.testing.assert_array_equal(change.undo(moved), positions)
    assert marked.shape == X.shape


def test_the_reverse_strand_is_the_reverse_complement(X):
    np.testing.assert_array_equal(reverse_strand().apply(X, np.random.default_rng(0)), reverse_complement(X))


def test_sensitivity_by_hand(X):
    double = Change(lambda X, rng: X, lambda maps: maps * 3)
    np.testing.assert_allclose(sensitivity(lambda x: x[:, 0], X, double, n_draws=2), 2.0)


def test_an_explanation_that_follows_the_sequence_is_robust_to_shift_and_one_of_both_strands_to_the_strand(X):
    table = score_robustness(lambda x: x[:, 0] + x[:, 3], X, np.zeros((5, 40)))
    assert (table[["shift_sensitivity", "strand_sensitivity"]] == 0).all(axis=None)
    assert (table["max_sensitivity"] >= table["average_sensitivity"]).all()
    assert (table["average_sensitivity"] > 0).all()


def test_the_maximum_grows_with_the_draws_and_the_seed_fixes_them(X):
    change = substitutions(np.zeros((5, 40)))
    few = sensitivity(lambda x: x[:, 0], X, change, n_draws=3, seed=1)
    many = sensitivity(lambda x: x[:, 0], X, change, n_draws=9, seed=1)
    np.testing.assert_array_equal(many[:, :3], few)


def test_all_zero_maps_do_not_move_and_maps_from_nothing_have_no_size(X):
    assert (sensitivity(lambda x: np.zeros((5, 40)), X, shift(1), n_draws=1) == 0).all()
    moved = sensitivity(lambda x: x[:, 0], X, shift(1), n_draws=1, maps=np.zeros((5, 40)))
    assert np.isnan(moved).all()


def test_agreement_equals_scipy_and_is_one_with_itself():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 8, 30)).round(1)
    table = agreement(a, b)
    np.testing.assert_allclose(table["spearman"], [spearmanr(x, y)[0] for x, y in zip(a, b, strict=True)])
    np.testing.assert_allclose(agreement(a, 2 * a)[["cosine", "spearman"]], 1)
    assert agreement(a, np.zeros_like(a)).iloc[0][["cosine", "spearman"]].tolist() == [0, 0]


def test_top_k_of_unrelated_maps_is_at_chance():
    a, b = np.random.default_rng(0).normal(size=(2, 400, 100))
    assert agreement(a, b, k=20)["top_k"].mean() == pytest.approx(0.2, abs=0.02)
    assert agreement(np.zeros_like(a), b, k=20)["top_k"].unique() == pytest.approx([0.2])


def test_maps_of_different_sequences_are_not_compared():
    with pytest.raises(InputError, match="shapes"):
        agreement(np.ones((2, 5)), np.ones((3, 5)))


def test_randomisation_goes_from_the_output_down_and_leaves_the_network_alone(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.random.get_rng_state()
    steps = list(randomise_cascading(network))
    assert [name for name, _ in steps] == ["4", "2", "0"]
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    first, last = steps[0][1], steps[-1][1]
    assert torch.equal(first[0].weight, network[0].weight)
    assert not torch.equal(first[4].weight, network[4].weight)
    assert not torch.equal(last[0].weight, network[0].weight)
    assert torch.equal(last[4].weight, first[4].weight)


def test_a_map_of_the_input_alone_survives_randomisation_and_a_gradient_does_not(network, X):
    input_only = score_sanity(lambda m, x: x[:, 0], network, X)
    np.testing.assert_allclose(input_only["cosine"], 1)
    gradient = score_sanity(gradient_times_input, network, X)
    assert (gradient.groupby("layers")["spearman"].mean() < 0.8).all()
    assert gradient["layer"].unique().tolist() == ["4", "2", "0"]


def test_a_network_without_parameters_cannot_be_randomised():
    with pytest.raises(InputError, match="ReLU has no layer"):
        list(randomise_cascading(nn.ReLU()))
