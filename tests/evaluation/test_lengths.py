"""Padding is no position: ragged sequences score as each of them does alone."""

from __future__ import annotations

import tracemalloc
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from genoplrp.errors import InputError, NonFiniteError
from genoplrp.evaluation import (
    auroc,
    average_precision,
    effective_bases,
    entropy,
    gini,
    hoyer,
    pointing_game,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
    score,
    score_dataset,
    signal_contrast,
    summarise,
    top_k_intersection,
    weighted_cosine,
    zero_fraction,
)
from genoplrp.evaluation.blocks import blocks
from genoplrp.synthetic import Dataset, simulate
from genoplrp.synthetic.spec_toml import spec_from_table

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
        per_nucleotide=maps, prediction=np.zeros(n), target=np.zeros(n, int), sequence=np.arange(n)
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
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The maps alone are 8 MB, 16 MB in float64.
    assert peak < 10e6
