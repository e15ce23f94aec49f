import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from genoplrp.errors import InputError
from genoplrp.relevance import Explainer, Pruning
from genoplrp.sequence import codes_to_one_hot, encode_codes, shuffle_codes
from genoplrp.sites import (
    call_sites,
    candidate_sites,
    fill_between,
    find_sites,
    locate_sites,
    q_values,
    recursive_seqlets,
    strongest,
)
from genoplrp.sites.candidates import TRIM


def greedy(row, width):
    """Best windows by looking at all of them again after each choice."""
    free, found = np.ones(len(row), bool), []
    while True:
        windows = [
            (row[j : j + width].sum(), -j) for j in range(len(row) - width + 1) if free[j : j + width].all()
        ]
        if not windows or max(windows)[0] <= 0:
            return sorted(found)
        score, j = max(windows)
        j = -j
        free[j : j + width] = False
        inside = row[j : j + width]
        kept = np.flatnonzero((inside > 0) & (inside >= TRIM * inside.max()))
        found.append((j + kept[0], j + kept[-1] + 1, score))


@given(st.integers(0, 10_000), st.integers(1, 9), st.floats(0, 0.9))
@settings(max_examples=60)
def test_candidates_equal_a_greedy_search_over_all_windows(seed, width, zeros):
    rng = np.random.default_rng(seed)
    r = rng.integers(-4, 8, size=(3, 30)) * (rng.random((3, 30)) >= zeros)
    found = candidate_sites(r, width)
    for i in range(3):
        mine = found.sequence == i
        listed = list(zip(found.start[mine], found.end[mine], found.score[mine], strict=True))
        assert listed == greedy(r[i].astype(float), width)


def test_a_map_of_exact_zeros_has_no_candidates():
    assert len(candidate_sites(np.zeros((5, 40))).score) == 0


def test_blocked_positions_are_in_no_candidate():
    r = np.random.default_rng(0).random((20, 60))
    blocked = np.zeros((20, 60), bool)
    blocked[:, 20:40] = True
    found = candidate_sites(r, 8, blocked=blocked)
    assert ((found.end <= 20) | (found.start >= 40)).all()
    assert not np.shares_memory(blocked, candidate_sites(r, 8, blocked=blocked).start)
    assert blocked[:, 20:40].all()
    assert not blocked[:, :20].any()


def poisson_bound(count):
    """The mean at which so few counts, or fewer, have a probability of a fifth; by bisection."""
    low, high = 0.0, 2.0 * count + 20
    for _ in range(60):
        mean = (low + high) / 2
        at_most = sum(math.exp(-mean) * mean**k / math.factorial(k) for k in range(count + 1))
        low, high = (mean, high) if at_most > 0.2 else (low, mean)
    return low


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=30), st.lists(st.integers(-20, 20), max_size=30))
@settings(max_examples=80)
def test_q_values_equal_counting(score, null):
    score, null = np.array(score, float), np.array(null, float)
    for count, bound in ((lambda k: k + 1, None), (poisson_bound, 0.8)):
        rate = {s: count(int((null >= s).sum())) * 0.5 / (score >= s).sum() for s in score}
        expected = [min(1.0, min(rate[s] for s in score if s <= one)) for one in score]
        np.testing.assert_allclose(q_values(score, null, 0.5, bound=bound), expected)


def test_what_is_not_kept_is_filled_with_a_shuffle_of_the_whole_sequence():
    codes = np.random.default_rng(1).integers(4, size=(30, 50), dtype=np.uint8)
    kept = np.zeros((30, 50), bool)
    kept[:, 10:14] = kept[::2, 30:35] = kept[::3, 45:] = True
    filled = fill_between(codes, kept, np.random.default_rng(7))
    whole = shuffle_codes(codes, np.random.default_rng(7))
    for i in range(30):
        for j in range(50):
            assert filled[i, j] == (codes if kept[i, j] else whole)[i, j]
    assert filled.dtype == np.uint8


def test_the_strongest_windows_hold_the_share_asked_for_without_ripples():
    rng = np.random.default_rng(3)
    r = rng.normal(size=(60, 60)) * np.repeat(rng.exponential(size=(60, 10)), 6, axis=1)
    left_out = 0
    for share in (0.2, 0.5):
        mask = strongest(r, 6, share)
        for i in range(60):
            found = candidate_sites(r[i : i + 1], 6)
            order = np.argsort(-found.score)
            held = np.cumsum(found.score[order])
            number = int(np.searchsorted(held, share * np.maximum(r[i], 0).sum())) + 1
            expected, kept = np.zeros(60, bool), []
            for k in order[:number]:
                if expected.mean() >= 0.3:
                    break
                start, end, score = found.start[k], found.end[k], found.score[k]
                if any(start - b < 6 and a - end < 6 and score < s / 2 for a, b, s in kept):
                    left_out += 1
                    continue
                kept.append((start, end, score))
                expected[max(0, found.start[k] - 2) : found.end[k] + 2] = True
            np.testing.assert_array_equal(mask[i], expected)
    assert left_out >= 5


def called_by_hand(relevance, null, blocked, width, level=0.2):
    """(sequence, start, end, sign, q-value) of all candidates, everything counted one by one."""
    positions = [(i, s) for i in range(len(relevance)) for s in (1, -1)]
    found = [(i, a, b, s, v) for i, s in positions for a, b, v in greedy(s * relevance[i], width)]
    chance = [
        (s, v)
        for i in range(len(null))
        for s in (1, -1)
        for a, b, v in greedy(s * null[i], width)
        if blocked[i, a:b].sum() < (b - a) / 2
    ]
    ratio = len(relevance) / len(null) * blocked.size / (~blocked).sum()
    room = 1.0
    while True:
        rate = {
            (s, v): room
            * ratio
            * poisson_bound(sum(t == s and w >= v for t, w in chance))
            / sum(t == s and w >= v for *_, t, w in found)
            for *_, s, v in found
        }
        q = [min(1.0, min(rate[t, w] for t, w in rate if t == s and w <= v)) for *_, s, v in found]
        taken = sum(b - a for (_, a, b, _, _), one in zip(found, q, strict=True) if one <= level)
        now = 1 - (1 - level) * taken / relevance.size
        if now >= room:
            return [
                (i, a, b, "+" if s > 0 else "-", one) for (i, a, b, s, _), one in zip(found, q, strict=True)
            ]
        room = now


@pytest.mark.parametrize("seed", range(4))
def test_sites_called_equal_counting_one_by_one(seed):
    rng = np.random.default_rng(seed)
    relevance, null = rng.normal(size=(12, 40)), rng.normal(size=(20, 40))
    for i, at in enumerate(rng.integers(0, 34, size=12)):
        relevance[i, at : at + 6] += 4.0 * rng.choice([-1, 1, 1])
    blocked = np.zeros(null.shape, bool)
    for i, at in enumerate(rng.integers(0, 30, size=20)):
        blocked[i, at : at + rng.integers(3, 11)] = True
    sites = call_sites(relevance, null, blocked=blocked, width=6, fdr=1.0)
    expected = sorted(called_by_hand(relevance, null, blocked, 6))
    assert sites[["sequence", "start", "end", "sign"]].values.tolist() == [list(row[:4]) for row in expected]
    np.testing.assert_allclose(sites["q_value"], [row[4] for row in expected])
    assert (sites["q_value"] <= 0.2).any()


def motif_network(motif="GATAAGCT", sign=1.0, noise=0.0, seed=0):
    """A network that answers to a motif, its half matches, and a little to anything."""
    generator = torch.Generator().manual_seed(seed)
    width = len(motif)
    model = nn.Sequential(nn.Conv1d(4, 9, width), nn.ReLU(), nn.Flatten(), nn.LazyLinear(1, bias=False))
    with torch.no_grad():
        model(torch.zeros(1, 4, 80))
        weight = torch.randn(9, 4, width, generator=generator) * noise
        weight[0] = -1.0
        for k, letter in enumerate(motif):
            weight[0, "ACGT".index(letter), k] = 1.0
        model[0].weight.copy_(weight)
        model[0].bias.fill_(0.0)
        model[0].bias[0] = -0.25 * width
        model[3].weight.copy_(sign * torch.ones_like(model[3].weight))
    return model


def planted(n=800, length=80, motif="GATAAGCT", seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(4, size=(n, length), dtype=np.uint8)
    truth = np.zeros((n, length), bool)
    for i, at in enumerate(rng.integers(5, length - 15, size=n)):
        codes[i, at : at + len(motif)] = encode_codes(motif)[0]
        truth[i, at : at + len(motif)] = True
    return codes, truth


def explaining(model, pruning=None):
    explainer = Explainer(model, "epsilon", pruning, diagnostics=False)
    return lambda codes: explainer(torch.from_numpy(codes_to_one_hot(codes))).per_nucleotide.numpy()


def false_share(sites, truth):
    half = [
        truth[i, a:b].mean() >= 0.5
        for i, a, b in zip(sites["sequence"], sites["start"], sites["end"], strict=True)
    ]
    return 1 - np.mean(half)


@pytest.mark.parametrize("null", ["background", "shuffled"])
@pytest.mark.parametrize("pruning", [None, Pruning(0.15)])
def test_the_false_discovery_rate_asked_for_holds_on_planted_truth(null, pruning):
    codes, truth = planted()
    explain = explaining(motif_network(noise=0.15), pruning)
    sites = find_sites(explain, codes, fdr=0.05, null=null, width=10, sign="positive")
    assert false_share(sites, truth) <= 0.07
    assert sites["sequence"].nunique() >= 500
    assert (sites["q_value"] <= 0.05).all()


def test_the_background_null_finds_at_least_as_many_sites():
    codes, _ = planted()
    explain = explaining(motif_network(noise=0.15))
    one, two = (find_sites(explain, codes, null=null, sign="positive") for null in ("shuffled", "background"))
    assert len(two) >= len(one)


def test_a_repressing_motif_is_found_as_negative_sites():
    codes, truth = planted()
    sites = find_sites(explaining(motif_network(sign=-1.0, noise=0.15)), codes, width=10)
    assert set(sites["sign"]) == {"-"}
    assert (sites["score"] < 0).all()
    assert false_share(sites, truth) <= 0.07


def test_the_rate_holds_where_sites_fill_a_third_of_the_sequences():
    explain, shares, hits = explaining(motif_network(noise=0.5)), [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        codes = rng.integers(4, size=(150, 80), dtype=np.uint8)
        truth = np.zeros(codes.shape, bool)
        for i in range(150):
            for third in range(3):
                at = 26 * third + rng.integers(0, 18)
                codes[i, at : at + 8] = encode_codes("GATAAGCT")[0]
                truth[i, at : at + 8] = True
        sites = find_sites(explain, codes, fdr=0.2, width=10, seed=seed)
        shares.append(false_share(sites, truth))
        hits.append(truth[sites["sequence"], (sites["start"] + sites["end"]) // 2].sum() / 450)
    assert np.mean(shares) <= 0.2
    assert np.mean(hits) >= 0.75  # 0.65 where the null is counted for all windows, and the ripples stay


def test_sequences_without_motif_have_hardly_any_sites():
    codes = np.random.default_rng(5).integers(4, size=(300, 80), dtype=np.uint8)
    for null in ("shuffled", "background"):
        sites = find_sites(explaining(motif_network(noise=0.15)), codes, fdr=0.05, null=null)
        assert len(sites) <= 15


def test_same_seed_same_sites():
    codes, _ = planted(n=40)
    explain = explaining(motif_network(noise=0.15))
    pd.testing.assert_frame_equal(find_sites(explain, codes, seed=3), find_sites(explain, codes, seed=3))


def test_sites_are_put_into_the_genome_strand_by_strand():
    sites = pd.DataFrame(
        {"sequence": [0, 1], "start": [2, 2], "end": [6, 6], "sign": "+", "score": [1.0, 2.0]}
    )
    regions = pd.DataFrame(
        {
            "chrom": ["c", "d"],
            "start": [100, 200],
            "end": [120, 220],
            "name": ["a", "b"],
            "strand": ["+", "-"],
        }
    )
    located = locate_sites(sites, regions)
    assert located[["chrom", "start", "end"]].values.tolist() == [["c", 102, 106], ["d", 214, 218]]
    assert located["sign"].tolist() == ["+", "+"]


def test_tangermemes_seqlets_come_in_the_same_columns():
    pytest.importorskip("tangermeme")
    codes, truth = planted(n=60)
    found = recursive_seqlets(explaining(motif_network(noise=0.15))(codes), threshold=0.01)
    assert found.columns.tolist() == ["sequence", "start", "end", "sign", "score", "p_value"]
    assert truth[found["sequence"], (found["start"] + found["end"]) // 2].mean() > 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fdr": 0.0}, "fdr=0"),
        ({"null": "none"}, "null='none'"),
        ({"sign": "up"}, "sign='up'"),
        ({"n_shuffles": 0}, "n_shuffles=0"),
        ({"width": 90}, "window 90 bp"),
    ],
)
def test_a_wrong_argument_is_an_error(arguments, message):
    codes, _ = planted(n=3)
    with pytest.raises(InputError, match=message):
        find_sites(lambda c: np.zeros(c.shape), codes, **arguments)


@pytest.mark.parametrize("explain", [torch.nn.Flatten(), 3])
def test_what_cannot_explain_is_said(explain):
    codes, _ = planted(n=3)
    with pytest.raises(InputError, match=r"explain is a (Flatten|int): give gp.Explainer\(model"):
        find_sites(explain, codes)


def test_no_null_is_an_error():
    with pytest.raises(InputError, match="at least one sequence"):
        call_sites(np.zeros((2, 20)), np.zeros((0, 20)))
