from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genoplrp.errors import InputError
from genoplrp.sequence import shuffle_bases, shuffle_dinucleotides


def dinucleotides(sequence: str) -> Counter[str]:
    return Counter(sequence[k : k + 2] for k in range(len(sequence) - 1))


@settings(max_examples=200)
@given(st.text("ACGTN", min_size=1, max_size=60), st.integers(0, 2**31))
def test_dinucleotide_counts_and_ends_are_exactly_kept(sequence: str, seed: int) -> None:
    for shuffled in shuffle_dinucleotides(sequence, np.random.default_rng(seed), n=3):
        assert dinucleotides(shuffled) == dinucleotides(sequence)
        assert (shuffled[0], shuffled[-1]) == (sequence[0], sequence[-1])


@given(st.text("ACGTN", min_size=1, max_size=60), st.integers(0, 2**31))
def test_base_shuffles_keep_the_bases(sequence: str, seed: int) -> None:
    assert Counter(shuffle_bases(sequence, np.random.default_rng(seed))) == Counter(sequence)


@pytest.mark.parametrize("sequence", ["ACAGATA", "AACAGTCA", "ACGTACGT", "ANACGAN"])
def test_every_sequence_with_the_same_dinucleotides_is_equally_likely(sequence: str) -> None:
    inner = {sequence[0] + "".join(p) + sequence[-1] for p in permutations(sequence[1:-1])}
    possible = sorted(s for s in inner if dinucleotides(s) == dinucleotides(sequence))
    draws = 6000
    seen = Counter(shuffle_dinucleotides(sequence, np.random.default_rng(1), n=draws))
    assert sorted(seen) == possible
    expected = draws / len(possible)
    chi_square = sum((seen[s] - expected) ** 2 / expected for s in possible)
    # Five standard deviations above the mean of a chi-square with k - 1 degrees of freedom.
    k = len(possible)
    assert chi_square < (k - 1) + 5 * np.sqrt(2 * max(k - 1, 1))


def test_the_seed_decides_the_shuffle() -> None:
    sequence = "ACGTTGCAACGATTAGCCATGACAGT"
    one, again, other = (shuffle_dinucleotides(sequence, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one == again != other


def test_zero_shuffles_are_refused() -> None:
    with pytest.raises(InputError, match="n is 0"):
        shuffle_dinucleotides("ACGT", np.random.default_rng(0), n=0)
