from __future__ import annotations

import tracemalloc
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch

from genoplrp.errors import InputError, NonFiniteError
from genoplrp.evaluation.faithfulness import deletion_insertion, sufficiency_necessity, support
from genoplrp.evaluation.fills import FILLS, draw_fill
from genoplrp.evaluation.removals import Removals, infidelity, random_removals, sensitivity_n
from genoplrp.sequence import one_hot_encode

WEIGHTS = np.random.default_rng(5).normal(size=(4, 30))


def linear(X):
    """A model whose output is a sum over bases: the right map is known."""
    return (X * WEIGHTS).sum(axis=(1, 2))


def contributions(X):
    return (X * WEIGHTS).sum(axis=1)


@pytest.fixture(name="X")
def random_sequences() -> np.ndarray:
    rng = np.random.default_rng(0)
    return one_hot_encode(["".join(rng.choice(list("ACGT"), 30)) for _ in range(6)])


def test_the_dinucleotide_fill_keeps_every_pair_of_neighbours(X):
    filled = draw_fill(X, "dinucleotide", np.random.default_rng(0)).argmax(axis=1)
    assert (filled != X.argmax(axis=1)).any(axis=1).all()
    for before, after in zip(X.argmax(axis=1), filled, strict=True):
        assert Counter(pairwise(before.tolist())) == Counter(pairwise(after.tolist()))


@pytest.mark.parametrize("fill", ["dinucleotide", "random"])
def test_fills_are_sequences_and_leave_unknown_bases_unknown(X, fill):
    X[:, :, 3] = 0
    filled = draw_fill(X, fill, np.random.default_rng(0))
    assert set(np.unique(filled.sum(axis=1))) <= {0.0, 1.0}
    assert (filled.sum(axis=(1, 2)) == 29).all()


def test_the_random_fill_never_keeps_a_base(X):
    filled = draw_fill(X, "random", np.random.default_rng(0))
    assert not ((filled == 1) & (X == 1)).any()


def test_deletion_of_a_linear_model_equals_a_loop(X):
    maps = contributions(X)
    curves = deletion_insertion(linear, X, maps, positions=[0, 3, 30], fill="zero", n_fills=2)
    for i, row in enumerate(maps):
        ranked = np.sort(row)[::-1]
        np.testing.assert_allclose(curves.deletion[i], [row.sum(), ranked[3:].sum(), 0], atol=1e-5)
        np.testing.assert_allclose(curves.insertion[i], [0, ranked[:3].sum(), row.sum()], atol=1e-5)


def test_steps_asked_together_are_steps_asked_one_by_one(X, monkeypatch):
    asked: list[int] = []

    def noted(x):
        asked.append(len(x))
        return linear(x)

    together = deletion_insertion(noted, X, contributions(X), fill="dinucleotide")
    few = len(asked)
    monkeypatch.setattr("genoplrp.evaluation.faithfulness._BASES_AT_A_TIME", 1)
    alone = deletion_insertion(noted, X, contributions(X), fill="dinucleotide")
    assert few < len(asked) - few and max(asked[few:]) == len(X)
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("fill", FILLS)
def test_the_curves_start_at_the_sequence_and_end_at_the_fill(X, fill):
    curves = deletion_insertion(linear, X, contributions(X), positions=[0, 30], fill=fill)
    np.testing.assert_allclose(curves.deletion[:, 0], curves.full, atol=1e-5)
    np.testing.assert_allclose(curves.deletion[:, 1], curves.empty, atol=1e-5)
    np.testing.assert_allclose(curves.insertion[:, 0], curves.empty, atol=1e-5)
    np.testing.assert_allclose(curves.insertion[:, 1], curves.full, atol=1e-5)


def test_the_right_map_deletes_faster_and_inserts_faster_than_its_negative(X):
    good = deletion_insertion(linear, X, contributions(X))
    bad = deletion_insertion(linear, X, -contributions(X))
    assert (good.deletion < bad.deletion).all()
    assert (good.insertion > bad.insertion).all()


def test_the_default_steps_are_the_first_thirty_percent():
    X = one_hot_encode(["ACGT" * 50])
    curves = deletion_insertion(lambda x: x[:, 0].sum(axis=1), X, np.zeros((1, 200)), n_fills=1)
    assert curves.positions.tolist() == list(range(5, 61, 5))


def test_the_table_is_nan_where_a_sequence_scores_no_more_than_its_fill(X):
    table = deletion_insertion(lambda x: np.zeros(len(x)), X, contributions(X)).to_frame()
    assert table[["deletion", "insertion"]].isna().all(axis=None)
    assert (table["deletion_drop"] == 0).all()


def test_support_is_the_smallest_set_with_the_mass():
    maps = [[5.0, 3.0, 1.0, 1.0, -9.0], [0.0, 0.0, 0.0, 0.0, -1.0], [1.0, 1.0, 1.0, 1.0, 1.0]]
    expected = [[1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]]
    np.testing.assert_array_equal(support(maps, mass=0.8), np.array(expected, dtype=bool))


def test_a_model_that_reads_four_bases_needs_just_these(X):
    used = np.zeros((6, 30))
    used[:, 10:14] = 1.0

    def counts_matches(sequences):
        return (sequences * X)[:, :, 10:14].sum(axis=(1, 2))[: len(sequences)]

    table = sufficiency_necessity(counts_matches, X, used, fill="random")
    np.testing.assert_allclose(table["sufficiency"], 1)
    np.testing.assert_allclose(table["necessity"], 1)
    np.testing.assert_allclose(table["support"], 4 / 30)
    elsewhere = sufficiency_necessity(counts_matches, X, np.roll(used, 10, axis=1), fill="random")
    np.testing.assert_allclose(elsewhere[["sufficiency", "necessity"]], 0)


def test_the_contributions_of_a_linear_model_are_perfectly_faithful(X):
    removals = random_removals(linear, X, size=6, fill="zero", n_fills=1)
    np.testing.assert_allclose(sensitivity_n(contributions(X), removals), 1, atol=1e-5)
    np.testing.assert_allclose(infidelity(contributions(X), removals), 0, atol=1e-6)
    np.testing.assert_allclose(infidelity(7 * contributions(X), removals), 0, atol=1e-6)
    np.testing.assert_allclose(infidelity(contributions(X), removals, rescale=False), 0, atol=1e-6)
    np.testing.assert_allclose(sensitivity_n(-contributions(X), removals), -1, atol=1e-5)


@pytest.mark.parametrize("constant", [0.0, 0.1])
def test_maps_that_say_nothing_do_not_correlate(X, constant):
    removals = random_removals(linear, X, size=6)
    assert (sensitivity_n(np.full((6, 30), constant), removals) == 0).all()


def test_an_all_zero_map_has_infidelity_one(X):
    removals = random_removals(linear, X)
    np.testing.assert_allclose(infidelity(np.zeros((6, 30)), removals), 1)


def test_a_model_that_never_reacts_has_no_score(X):
    removals = random_removals(lambda x: np.ones(len(x)), X)
    assert np.isnan(sensitivity_n(contributions(X), removals)).all()
    assert np.isnan(infidelity(contributions(X), removals)).all()


def test_sensitivity_n_equals_pearson_and_infidelity_equals_captum(X):
    captum = pytest.importorskip("captum.metrics")
    maps = np.random.default_rng(1).normal(size=(6, 30))
    removals = random_removals(linear, X, size=5, n_subsets=16, fill="zero", n_fills=1)
    claimed = np.einsum("nsl,nl->ns", removals.subsets, maps)
    expected = [np.corrcoef(c, d)[0, 1] for c, d in zip(claimed, removals.drop, strict=True)]
    np.testing.assert_allclose(sensitivity_n(maps, removals), expected)

    tensor = torch.tensor(X).double()
    attributions = torch.tensor(maps)[:, None] * tensor
    subsets = iter(range(16))

    def remove(inputs):
        taken = torch.tensor(removals.subsets[:, next(subsets)])[:, None] * inputs
        return taken, inputs - taken

    def forward(x):
        return (x * torch.tensor(WEIGHTS)).sum(dim=(1, 2))

    for rescale in (False, True):
        subsets = iter(range(16))
        theirs = captum.infidelity(
            forward,
            remove,
            tensor,
            attributions,
            n_perturb_samples=16,
            max_examples_per_batch=6,
            normalize=rescale,
        ).numpy()
        scale = np.square(removals.drop).mean(axis=1) if rescale else 1.0
        np.testing.assert_allclose(infidelity(maps, removals, rescale=rescale) * scale, theirs, rtol=1e-5)


def test_the_same_seed_gives_the_same_fills_to_every_map(X):
    maps = contributions(X)
    first, second = (deletion_insertion(linear, X, m, seed=3) for m in (maps, -maps))
    np.testing.assert_array_equal(first.empty, second.empty)
    again = deletion_insertion(linear, X, maps, seed=3)
    np.testing.assert_array_equal(first.deletion, again.deletion)


def test_sequences_and_maps_are_left_alone(X):
    maps = contributions(X)
    before = X.copy(), maps.copy()
    deletion_insertion(linear, X, maps)
    sufficiency_necessity(linear, X, maps)
    random_removals(linear, X)
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(maps, before[1])


def test_bad_input_is_refused_with_the_reason(X):
    maps = contributions(X)
    with pytest.raises(InputError, match="one number per sequence"):
        deletion_insertion(lambda x: np.zeros((len(x), 2)), X, maps)
    with pytest.raises(NonFiniteError, match="nan"):
        deletion_insertion(lambda x: np.full(len(x), np.nan), X, maps)
    with pytest.raises(InputError, match="ascend"):
        deletion_insertion(linear, X, maps, positions=[5, 3])
    with pytest.raises(InputError, match="fill='blur': choose one of dinucleotide"):
        deletion_insertion(linear, X, maps, fill="blur")
    with pytest.raises(InputError, match=r"\(6, 29\)"):
        deletion_insertion(linear, X, maps[:, :29])
    with pytest.raises(InputError, match="size must lie"):
        random_removals(linear, X, size=31)
    with pytest.raises(InputError, match="at least 2"):
        random_removals(linear, X, n_subsets=1)
    with pytest.raises(InputError, match="removals are of 6"):
        sensitivity_n(maps[:3], random_removals(linear, X))
    with pytest.raises(InputError, match="mass must lie"):
        support(maps, mass=0)


def test_removals_are_a_pair_of_any_sets_and_what_is_lost():
    subsets = np.random.default_rng(0).random((4, 3, 21)) < 0.4
    drop = np.arange(12.0).reshape(4, 3)
    found = Removals(subsets, drop)
    np.testing.assert_array_equal(found.subsets, subsets)
    np.testing.assert_array_equal(found.subsets_of(slice(1, 3)), subsets[1:3])
    first, second = found
    assert (first == subsets).all() and second is drop


def test_removals_take_an_eighth_of_a_byte_a_base():
    def peak(n: int) -> int:
        X = one_hot_encode(["ACGT" * 100] * n)
        tracemalloc.start()
        try:
            removals = random_removals(lambda x: x[:, 0, 0], X, n_subsets=8, fill="zero", n_fills=1)
            infidelity(X[:, 0], removals)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # 8 subsets of 400 bases are 400 bytes a sequence; arrays of a number a subset 64 bytes each.
    assert peak(12_000) - peak(6_000) < 6_000 * 800


def test_removals_take_away_as_many_bases_as_asked_for(X):
    removals = random_removals(linear, X, size=7, n_subsets=5)
    assert isinstance(removals, Removals)
    assert (removals.subsets.sum(axis=2) == 7).all()


@pytest.mark.parametrize("fill", ["zero", "mean"])
def test_many_sequences_are_asked_about_in_pieces(X, fill, monkeypatch):
    maps = np.random.default_rng(3).normal(size=(6, 30)).astype(np.float32)
    ask = {"fill": fill, "n_fills": 2}
    curves, named = deletion_insertion(linear, X, maps, **ask), sufficiency_necessity(linear, X, maps, **ask)
    monkeypatch.setattr("genoplrp.evaluation.faithfulness._BASES_OF_A_PIECE", 4 * 30)
    for whole, pieces in zip(curves, deletion_insertion(linear, X, maps, **ask), strict=True):
        np.testing.assert_allclose(pieces, whole, atol=1e-6)
    np.testing.assert_allclose(sufficiency_necessity(linear, X, maps, **ask), named, atol=1e-6)
    removals = random_removals(linear, X, size=5, n_subsets=8, fill=fill)
    assert (removals.subsets.sum(axis=2) == 5).all()
    np.testing.assert_allclose(
        sensitivity_n(contributions(X) - (fill == "mean") * WEIGHTS.mean(axis=0), removals), 1.0
    )


def test_memory_of_deletion_does_not_grow_with_the_number_of_sequences():
    def peak(n: int) -> int:
        X = np.eye(4, dtype=np.float32)[np.random.default_rng(0).integers(0, 4, (n, 100))].transpose(0, 2, 1)
        maps = X[:, 0].copy()
        tracemalloc.start()
        try:
            deletion_insertion(lambda x: x[:, 0, 0], X, maps, positions=[5, 10], fill="zero", n_fills=1)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # 8,000 sequences more are 13 MB more of input.
    assert peak(12_000) - peak(4_000) < 6e6
