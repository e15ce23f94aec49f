import numpy as np
import pandas as pd
import pytest

from genoplrp.sequence import codes_to_one_hot, encode_codes
from genoplrp.sites import FoundMotif, merge_alike, taken_apart
from genoplrp.synthetic import Motif

ONE, TWO = "GATTACAGT", "CCGGAAGTA"
N, LENGTH = 240, 80


def planted(spacers, words=(ONE, TWO), seed=4):
    """Sequences with two words at one of several distances, on either strand; clustered by distance."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(4, size=(N, LENGTH), dtype=np.uint8)
    spacer = np.asarray(spacers)[np.arange(N) % len(spacers)]
    minus, at = rng.random(N) < 0.5, rng.integers(5, 40, size=N)
    for i in range(N):
        piece = rng.integers(4, size=18 + spacer[i], dtype=np.uint8)
        piece[:9], piece[9 + spacer[i] :] = (encode_codes(word)[0] for word in words)
        codes[i, at[i] : at[i] + len(piece)] = 3 - piece[::-1] if minus[i] else piece
    X = codes_to_one_hot(codes)
    motifs = []
    for k, gap in enumerate(spacers):
        rows = np.flatnonzero(spacer == gap)
        table = pd.DataFrame(
            {
                "motif": f"positive_{k}",
                "sequence": rows,
                "start": at[rows],
                "end": at[rows] + 18 + gap,
                "strand": np.where(minus[rows], "-", "+"),
            }
        )
        pwm = np.full((4, 18 + gap), 0.25)
        pwm[:, :9], pwm[:, 9 + gap :] = (Motif.from_consensus(word, name="m").pwm for word in words)
        motifs.append(FoundMotif(f"positive_{k}", pwm, pwm, table))
    return X, motifs, at, minus, spacer


def test_two_motifs_at_several_distances_are_two_motifs_with_every_instance_in_place():
    X, motifs, at, minus, spacer = planted([4, 6, 9])
    found = merge_alike(taken_apart(motifs, X, X), X, X)
    assert sorted(len(one.instances) for one in found) == [N, N]
    for one in found:
        is_first = one.pwm[:, 0].argmax() == "ACGT".index(ONE[0])
        np.testing.assert_allclose(
            one.pwm, Motif.from_consensus(ONE if is_first else TWO, name="m").pwm, atol=1e-5
        )
        # On the other strand the second word comes first.
        before = np.where(minus == is_first, 9 + spacer, 0)
        table = one.instances
        assert table["sequence"].tolist() == list(range(N))
        np.testing.assert_array_equal(table["start"], at + before)
        np.testing.assert_array_equal(table["strand"] == "-", minus)


@pytest.mark.parametrize(
    ("spacers", "words"),
    [([6], (ONE, TWO)), ([4, 9], (ONE, ONE)), ([1, 2], (ONE, TWO))],
    ids=["one distance only", "a dimer of equal halves", "no spacer to speak of"],
)
def test_what_may_be_one_motif_stays_whole(spacers, words):
    X, motifs, *_ = planted(spacers, words)
    rng = np.random.default_rng(0)
    elsewhere = (
        motifs[0].instances.iloc[:60].assign(start=66, end=74)
    )  # of something else, on the other sign, too
    word = np.eye(4)[rng.integers(4, size=8)].T
    other = FoundMotif("positive_9", word, word, elsewhere)
    found = taken_apart([*motifs, other], X, X)
    assert sorted(one.width for one in found) == sorted([8, *(one.width for one in motifs)])


def test_one_of_two_that_also_stands_alone_takes_the_composite_apart():
    X, motifs, *_ = planted([6])
    rng = np.random.default_rng(1)
    codes = rng.integers(4, size=(100, LENGTH), dtype=np.uint8)
    codes[:, 30:39] = encode_codes(ONE)[0]
    both = np.concatenate([X, codes_to_one_hot(codes)])
    table = pd.DataFrame(
        {"motif": "positive_1", "sequence": N + np.arange(100), "start": 30, "end": 39, "strand": "+"}
    )
    pwm = Motif.from_consensus(ONE, name="m").pwm
    found = merge_alike(
        taken_apart([*motifs, FoundMotif("positive_1", pwm, pwm, table)], both, both), both, both
    )
    assert sorted(len(one.instances) for one in found) == [N, N + 100]


def test_an_instance_that_holds_one_of_the_two_only_is_one_of_that_one():
    X, motifs, at, minus, spacer = planted([4, 6, 9])
    lacking = np.arange(0, N, 10)  # a run of one base stands where the second word was
    for i in lacking:
        low = at[i] if minus[i] else at[i] + 9 + spacer[i]
        X[i, :, low : low + 9] = np.eye(4)[[3]].T
    found = merge_alike(taken_apart(motifs, X, X), X, X)
    assert [len(one.instances) for one in found] == [N, N - len(lacking)]
    assert not set(lacking) & set(found[1].instances["sequence"])
