"""Padding is not a position: ragged sequences score as each of them does alone."""

from __future__ import annotations

import tracemalloc
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from genoplrp.errors import InputError, NonFiniteError
from genoplrp.evaluation import (
    Job,
    Plan,
    agreement,
    auroc,
    average_over_knockouts,
    average_over_path,
    average_precision,
    deletion_insertion,
    effective_bases,
    entropy,
    explain_with,
    gini,
    hoyer,
    pointing_game,
    random_removals,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
    reverse_strand,
    scan,
    score,
    score_dataset,
    score_grammar,
    score_instances,
    score_recovery,
    score_robustness,
    score_signed,
    sharpen_at_gini,
    shift,
    signal_contrast,
    substitutions,
    sufficiency_necessity,
    summarise,
    support,
    threshold_at_gini,
    top_k_intersection,
    weight_by_contiguity,
    weighted_cosine,
    zero_fraction,
)
from genoplrp.evaluation.blocks import blocks
from genoplrp.evaluation.ready import Ready, score_truth
from genoplrp.synthetic import Dataset, simulate
from genoplrp.synthetic.motifs import Motif
from genoplrp.synthetic.spec_toml import spec_from_table

pytestmark = pytest.mark.filterwarnings("ignore:task .* has one class only")
LENGTHS = np.array([30, 11, 30, 17, 11, 24])
OF_MAP = (gini, hoyer, entropy, zero_fraction, effective_bases)
OF_MASK = (
    relevance_mass_accuracy,
    partial(relevance_mass_accuracy, sign="absolute"),
    relevance_rank_accuracy,
    average_precision,
    auroc,
    pointing_game,
    partial(top_k_intersection, k=4),
    signal_contrast,
)


def ragged(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Maps with something in the padding that would be seen if anybody looked, and masks."""
    rng = np.random.default_rng(0)
    maps = {"noise": rng.normal, "ties": lambda size: rng.integers(-1, 2, size).astype(float)}
    values = maps[kind](size=(6, 30)) if kind in maps else np.full((6, 30), {"zero": 0.0, "one": 1.0}[kind])
    padding = np.arange(30) >= LENGTHS[:, None]
    values[padding] = 9.0
    mask = (rng.random((6, 30)) < 0.3) & ~padding
    mask[2] = False
    return values, mask


def designed(n: int) -> Dataset:
    """Sequences of 50 to 400 bp with two sites each."""
    table = {
        "name": "ragged",
        "length": [50, 400],
        "motifs": [{"consensus": "TGACTCA", "name": "A"}],
        "tasks": [{"name": "y", "rule": "A"}],
        "classes": [{"name": "p", "fraction": 1.0, "plant": [{"motifs": "A", "count": 2}]}],
    }
    return simulate(spec_from_table(table), n=n, seed=0)


def explained(maps: np.ndarray) -> SimpleNamespace:
    n = len(maps)
    return SimpleNamespace(
        per_nucleotide=maps, prediction=np.zeros(n), target=np.zeros(n, int), sequence=np.arange(n), meta={}
    )


@pytest.mark.parametrize("kind", ["noise", "ties", "zero", "one"])
def test_every_metric_scores_a_padded_sequence_as_it_does_alone(kind):
    maps, mask = ragged(kind)
    alone = [(maps[i : i + 1, :size], mask[i : i + 1, :size]) for i, size in enumerate(LENGTHS)]
    for metric in OF_MAP:
        expected = [metric(r)[0] for r, _ in alone]
        np.testing.assert_allclose(metric(maps, lengths=LENGTHS), expected, rtol=1e-12)
    for metric in OF_MASK:
        expected = [metric(r, m)[0] for r, m in alone]
        np.testing.assert_allclose(metric(maps, mask, lengths=LENGTHS), expected, rtol=1e-12)
    weights = mask * np.linspace(0, 2, 30)
    expected = [weighted_cosine(r, weights[i : i + 1, : r.shape[1]])[0] for i, (r, _) in enumerate(alone)]
    np.testing.assert_allclose(weighted_cosine(maps, weights, lengths=LENGTHS), expected, rtol=1e-12)
    expected = pd.concat([score(*pair) for pair in alone], ignore_index=True)
    np.testing.assert_allclose(score(maps, mask, lengths=LENGTHS), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", ["noise", "ties", "zero"])
def test_signed_scores_are_those_of_the_sequence_alone(kind):
    maps, mask = ragged(kind)
    signs = np.where(np.arange(30) % 3, 1, -1) * mask
    effects = np.where(np.arange(30) < LENGTHS[:, None], np.linspace(-1, 2, 30), np.nan)
    alone = [
        score_signed(maps[i : i + 1, :n], signs[i : i + 1, :n], effects[i : i + 1, :n])
        for i, n in enumerate(LENGTHS)
    ]
    np.testing.assert_allclose(
        score_signed(maps, signs, effects, lengths=LENGTHS), pd.concat(alone, ignore_index=True), rtol=1e-10
    )


def test_sites_are_scored_as_in_the_sequence_alone():
    maps, _ = ragged("noise")
    sites = pd.DataFrame(
        {
            "sequence": [0, 0, 1, 3, 3, 5],
            "start": [2, 20, 4, 0, 12, 10],
            "end": [6, 25, 8, 3, 17, 14],
            "role": ["core", "broken", "core", "core", "inhibitor", "decoy"],
        }
    )
    for metric in (score_recovery, score_grammar):
        alone = [
            metric(maps[i : i + 1, :size], sites[sites["sequence"] == i].assign(sequence=0))
            for i, size in enumerate(LENGTHS)
        ]
        np.testing.assert_allclose(
            metric(maps, sites, lengths=LENGTHS), pd.concat(alone, ignore_index=True), rtol=1e-12
        )
    with pytest.raises(InputError, match=r"instance 0 .*10 to 12.* of 11 bp"):
        score_instances(maps, pd.DataFrame({"sequence": [1], "start": [10], "end": [12]}), lengths=LENGTHS)


@pytest.mark.parametrize("kind", ["noise", "ties"])
def test_controls_change_a_padded_sequence_as_they_do_it_alone(kind):
    maps, _ = ragged(kind)
    wanted = np.linspace(0.6, 0.9, 6)
    controls = (
        lambda r, g, **k: threshold_at_gini(r, g, **k),
        lambda r, g, **k: sharpen_at_gini(r, g, **k),
        lambda r, g, **k: weight_by_contiguity(r, **k),
    )
    for control in controls:
        changed = control(maps, wanted, lengths=LENGTHS)
        for i, size in enumerate(LENGTHS):
            alone = control(maps[i : i + 1, :size], wanted[i : i + 1])[0]
            np.testing.assert_allclose(changed[i, :size], alone, rtol=1e-12)
            assert (changed[i, size:] == 9.0).all()


def test_maps_agree_as_those_of_the_sequences_alone():
    (first, _), (second, _) = ragged("noise"), ragged("ties")
    alone = [agreement(first[i : i + 1, :n], second[i : i + 1, :n]) for i, n in enumerate(LENGTHS)]
    np.testing.assert_allclose(
        agreement(first, second, lengths=LENGTHS), pd.concat(alone, ignore_index=True), rtol=1e-12
    )


def padded_sequences() -> np.ndarray:
    rng = np.random.default_rng(1)
    X = np.eye(4, dtype=np.float32)[rng.integers(0, 4, (6, 30))].transpose(0, 2, 1)
    return X * (np.arange(30) < LENGTHS[:, None])[:, None]


def count_a(X: np.ndarray) -> np.ndarray:
    """A model that sees padding as anything else."""
    return X[:, 0].sum(axis=1) + 0.5 * X[:, 1].sum(axis=1)


def test_changes_of_the_input_leave_the_padding_behind():
    X, maps, rng = padded_sequences(), ragged("noise")[0], np.random.default_rng(0)
    for change in (shift(3, lengths=LENGTHS), shift(-40, lengths=LENGTHS), reverse_strand(lengths=LENGTHS)):
        changed = change.apply(X, rng)
        for i, size in enumerate(LENGTHS):
            assert not changed[i, :, size:].any()
            assert sorted(changed[i, :, :size].any(axis=0)) == [True] * size
        np.testing.assert_array_equal(change.undo(change.apply(maps[:, None].repeat(4, 1), rng)[:, 0]), maps)
    alone = [reverse_strand().apply(X[i : i + 1, :, :n], rng)[0] for i, n in enumerate(LENGTHS)]
    turned = reverse_strand(lengths=LENGTHS).apply(X, rng)
    assert all((turned[i, :, :n] == alone[i]).all() for i, n in enumerate(LENGTHS))
    few = substitutions(np.arange(30) >= np.zeros((6, 1)) + 5, count=5).apply(X, rng)
    assert ((few != X).any(axis=1).sum(axis=1) == 5).all()


def test_robustness_does_not_look_at_the_padding():
    X = padded_sequences()
    noisy = np.random.default_rng(0)
    table = score_robustness(
        lambda x: x[:, 0] + (x.sum(axis=1) == 0) * noisy.normal(size=(6, 30)),
        X,
        np.ones((6, 30)),
        lengths=LENGTHS,
    )
    assert (table[["max_sensitivity", "shift_sensitivity"]] == 0).all(axis=None)


@pytest.mark.parametrize("fill", ["zero", "mean"])
def test_faithfulness_asks_about_a_padded_sequence_as_about_it_alone(fill):
    X, (maps, _) = padded_sequences(), ragged("noise")
    ask = {"fill": fill, "n_fills": 2}
    curves = deletion_insertion(count_a, X, maps, lengths=LENGTHS, **ask)
    named = sufficiency_necessity(count_a, X, maps, lengths=LENGTHS, **ask)
    for i, size in enumerate(LENGTHS):
        one, own = X[i : i + 1, :, :size], maps[i : i + 1, :size]
        expected = deletion_insertion(count_a, one, own, **ask)
        assert sorted(set(curves.positions[i])) == expected.positions.tolist()
        np.testing.assert_allclose(curves.to_frame().iloc[[i]], expected.to_frame(), rtol=1e-6)
        np.testing.assert_allclose(
            named.iloc[[i]], sufficiency_necessity(count_a, one, own, **ask), rtol=1e-6
        )


def test_bases_are_removed_at_random_from_the_sequence_only():
    removals = random_removals(count_a, padded_sequences(), size=9, n_subsets=20, lengths=LENGTHS)
    assert (removals.subsets.sum(axis=2) == 9).all()
    assert not (removals.subsets & (np.arange(30) >= LENGTHS[:, None])[:, None]).any()
    with pytest.raises(InputError, match="length 11 of the shortest"):
        random_removals(count_a, padded_sequences(), size=12, lengths=LENGTHS)


def test_methods_put_nothing_where_there_is_no_base():
    X = padded_sequences()
    padding = X.sum(axis=1) == 0

    def explain(partial_X: np.ndarray) -> np.ndarray:
        assert not partial_X.sum(axis=1)[padding].any()
        return partial_X.max(axis=1)

    average_over_knockouts(explain, X, passes=4)
    average_over_path(explain, X)
    motif = Motif.from_consensus("TGACTCA")
    found = scan(X, [motif], lengths=LENGTHS)
    for i, size in enumerate(LENGTHS):
        np.testing.assert_allclose(found[i, :size], scan(X[i : i + 1, :, :size], [motif])[0], rtol=1e-12)


def test_rivals_take_padded_sequences():
    pytest.importorskip("captum")
    pytest.importorskip("tangermeme")
    X = padded_sequences()
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(4, 6, 5), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 26, 1)).eval()
    job = Job(net, X, lengths=LENGTHS)
    maps = {
        name: explain_with(name, job)
        for name in ("deeplift-shap", "pruned-0:deeplift-shap", "integrated-gradients", "ism")
    }
    for values in maps.values():
        assert not values[np.arange(30) >= LENGTHS[:, None]].any()
    # Another implementation, on the same references.
    np.testing.assert_allclose(maps["deeplift-shap"], maps["pruned-0:deeplift-shap"], atol=1e-5)
    whole = LENGTHS == 30
    alone = explain_with("deeplift-shap", Job(net, X[whole]))
    np.testing.assert_allclose(maps["deeplift-shap"][whole], alone, atol=1e-6)


def test_a_benchmark_s_scores_are_those_of_the_sequences_alone():
    data = designed(200)
    data.spec = None
    data.split[:] = "train"
    # The longest sequence is not explained: the network takes its length all the same.
    tested = np.argsort(data.lengths)[:4]
    data.split[tested] = "test"
    seen = []
    net = nn.Sequential(nn.Flatten(), nn.Linear(4 * data.length, 1))
    fit = SimpleNamespace(logits=lambda X: seen.append(X.shape) or np.ones((len(X), 1)), model=net)
    ready = Ready(Plan(datasets=("ragged",), methods=("random",)), data, fit)
    assert seen == [(4, 4, data.length)]
    maps = np.random.default_rng(0).normal(size=(4, data.length))
    table = score_truth(maps, ready)
    for i, row in enumerate(ready.rows):
        one = Ready(Plan(datasets=("one",), methods=("random",)), data.subset([row]), fit)
        alone = score_truth(maps[i : i + 1, : data.lengths[row]], one)
        np.testing.assert_allclose(table.iloc[[i]], alone, rtol=1e-10)
    assert ready.first(3).job(0).lengths.tolist() == data.lengths[ready.rows[:3]].tolist()


def test_a_data_set_of_many_lengths_gives_a_map_that_says_nothing_chance():
    data = designed(300)
    real = data.one_hot().sum(axis=1)
    means = score_dataset(explained(real), data).mean(numeric_only=True)
    share = np.mean([m[:size].mean() for m, size in zip(data.mask(0), data.lengths, strict=True)])
    assert means["auroc"] == 0.5
    assert [means["rma"], means["rra"], means["prevalence"]] == pytest.approx([share] * 3)


def test_the_chance_beside_a_score_is_that_of_the_same_sequences():
    data = simulate("koo2021_fixed", n=60, seed=0)
    mask = data.mask(0)
    assert 0 < mask.any(axis=1).mean() < 1
    table = summarise(score(np.ones(mask.shape), mask))
    assert table.loc["prevalence"].tolist() == pytest.approx(table.loc["rma"].tolist())


def test_what_stands_in_the_padding_may_be_anything_but_truth():
    maps, mask = ragged("noise")
    maps[1, 20] = np.nan
    assert score(maps, mask, lengths=LENGTHS)["gini"].notna().all()
    with pytest.raises(NonFiniteError, match="sequence 1, position 20"):
        score(maps, mask)
    mask[3, 17] = True
    with pytest.raises(InputError, match="marks position 17 of sequence 3, which has 17 positions"):
        auroc(maps, mask, lengths=LENGTHS)


@pytest.mark.parametrize("lengths", [[30] * 5, [30.0] * 6, [0] + [30] * 5, [31] + [30] * 5])
def test_lengths_that_fit_nothing_are_refused(lengths):
    with pytest.raises(InputError, match="lengths must"):
        gini(ragged("noise")[0], lengths=lengths)


def test_blocks_hand_out_every_row_once():
    rng = np.random.default_rng(0)
    for lengths in (None, rng.integers(1, 3000, 200), np.full(200, 3000)):
        seen = np.concatenate([np.arange(200)[rows] for rows, _ in blocks((200, 3000), lengths)])
        assert sorted(seen) == list(range(200))


@pytest.mark.parametrize("lengths", [None, np.tile([400, 500], 2000)])
def test_memory_does_not_grow_with_the_number_of_sequences(lengths):
    maps, mask = (
        np.random.default_rng(0).normal(size=(4000, 500)).astype(np.float32),
        np.zeros((4000, 500), bool),
    )
    mask[:, 100:120] = True
    score(maps[:100], mask[:100])
    tracemalloc.start()
    try:
        score(maps, mask, lengths=lengths)
        support(maps, lengths=lengths)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The support is 2 MB; the maps alone are 8 MB, 16 MB in float64.
    assert peak < 10e6
