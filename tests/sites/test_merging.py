import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genoplrp.sequence import codes_to_one_hot, encode_codes
from genoplrp.sites import FoundMotif, merge_alike, overlay
from genoplrp.synthetic import Motif


def letters(word):
    return Motif.from_consensus(word, name="m").pwm


def by_loops(one, other):
    """The best similarity by trying every placement, both strands, on a wide canvas."""
    w, v, best = one.shape[1], other.shape[1], -1.0
    norm = np.sqrt(((one - 0.25) ** 2).sum() * ((other - 0.25) ** 2).sum())
    for turned in (other, other[::-1, ::-1]):
        for at in range(w + v):
            wide = np.zeros((2, 4, w + 2 * v))
            wide[0, :, v : v + w] = one - 0.25
            wide[1, :, at : at + v] = turned - 0.25
            shared = min(v + w, at + v) - max(v, at)
            if shared >= min(5, w, v):
                best = max(best, (wide[0] * wide[1]).sum() / norm)
    return best


@given(st.integers(0, 10_000), st.integers(3, 9), st.integers(3, 9))
@settings(max_examples=50)
def test_the_overlay_is_the_best_of_all_placements_and_as_good_both_ways(seed, w, v):
    rng = np.random.default_rng(seed)
    one, other = rng.dirichlet([0.3] * 4, size=w).T, rng.dirichlet([0.3] * 4, size=v).T
    found = overlay(one, other).similarity
    assert found == pytest.approx(by_loops(one, other), abs=1e-9)
    assert found == pytest.approx(overlay(other, one).similarity, abs=1e-9)


def test_one_different_base_of_eight_is_another_motif_and_a_shift_is_not():
    assert overlay(letters("GATTACAG"), letters("GATTACCG")).similarity < 0.85
    shifted = overlay(letters("GATTACAG"), letters("ATTACAG"))
    assert shifted.similarity > 0.9
    assert (shifted.offset, shifted.strand) == (1, "+")


WORD = "GATTACAGT"


def planted():
    """Sixty sequences with one word each, on either strand, found by two motifs of which one is shifted or turned."""
    rng = np.random.default_rng(2)
    codes = rng.integers(4, size=(60, 50), dtype=np.uint8)
    minus, at = rng.random(60) < 0.5, rng.integers(8, 30, size=60)
    forward = encode_codes(WORD)[0]
    for i in range(60):
        codes[i, at[i] : at[i] + 9] = 3 - forward[::-1] if minus[i] else forward
    return codes, minus, at


@pytest.mark.parametrize("turned", [False, True])
def test_two_halves_of_a_motif_become_one_with_every_instance_in_place(turned):
    codes, minus, at = planted()
    X = codes_to_one_hot(codes)
    scores = X * np.random.default_rng(0).random(X.shape).astype(np.float32)

    def motif(name, rows, first, last, flip):
        pwm = letters(WORD)[:, first:last]
        strand = np.where(minus[rows] != flip, "-", "+")
        low = np.where(minus[rows], at[rows] + 9 - last, at[rows] + first)
        table = pd.DataFrame(
            {"motif": name, "sequence": rows, "start": low, "end": low + last - first, "strand": strand}
        )
        return FoundMotif(name, pwm[::-1, ::-1] if flip else pwm, pwm, table)

    one = motif("positive_0", np.arange(40), 0, 9, False)
    two = motif("positive_1", np.arange(35, 60), 1, 9, turned)
    other = motif("negative_0", np.arange(40), 0, 9, False)
    merged = merge_alike([one, two, other], X, scores)
    assert [m.name for m in merged] == ["positive_0", "negative_0"]
    table = merged[0].instances
    assert table["sequence"].tolist() == list(range(60))
    np.testing.assert_array_equal(table["start"], at)
    np.testing.assert_array_equal(table["strand"] == "-", minus)
    np.testing.assert_allclose(merged[0].pwm, letters(WORD), atol=1e-5)
    total = np.zeros((4, 9))
    for i in range(60):
        piece = scores[i, :, at[i] : at[i] + 9]
        total += piece[::-1, ::-1] if minus[i] else piece
    np.testing.assert_allclose(merged[0].contribution, total / 60, rtol=1e-5)


def test_different_motifs_stay_apart():
    codes, _, at = planted()
    X = codes_to_one_hot(codes)
    table = pd.DataFrame({"motif": "m", "sequence": range(60), "start": at, "end": at + 9, "strand": "+"})
    motifs = [
        FoundMotif(f"positive_{k}", letters(word), letters(word), table)
        for k, word in enumerate(("CCACGTGGA", "TTGCGCAAT", WORD))
    ]
    assert len(merge_alike(motifs, X, X)) == 3
