import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genoplrp.errors import InputError
from genoplrp.sequence import (
    check_one_hot,
    encode_codes,
    one_hot_decode,
    one_hot_encode,
    reverse_complement,
)

AMBIGUOUS = "NRYSWKMBDHV"
dna = st.text(alphabet="ACGTN", min_size=1, max_size=40)
iupac = st.text(alphabet="ACGTacgt" + AMBIGUOUS + AMBIGUOUS.lower(), min_size=1, max_size=40)


def encode_by_hand(sequence: str) -> np.ndarray:
    """Brute force: letter by letter."""
    result = np.zeros((4, len(sequence)))
    for position, letter in enumerate(sequence.upper()):
        if letter in "ACGT":
            result["ACGT".index(letter), position] = 1
    return result


@given(iupac)
def test_encoding_equals_letter_by_letter(sequence: str) -> None:
    np.testing.assert_array_equal(one_hot_encode(sequence)[0], encode_by_hand(sequence))


@given(st.lists(dna, min_size=1, max_size=5).map(lambda many: [m.ljust(40, "N") for m in many]))
def test_decoding_inverts_encoding(sequences: list[str]) -> None:
    assert one_hot_decode(one_hot_encode(sequences)) == sequences


@given(dna)
def test_decoding_inverts_encoding_of_a_tensor(sequence: str) -> None:
    assert one_hot_decode(torch.from_numpy(one_hot_encode(sequence))) == [sequence]


@given(iupac)
def test_reverse_complement_is_its_own_inverse(sequence: str) -> None:
    assert reverse_complement(reverse_complement(sequence)) == sequence


@given(dna)
def test_reverse_complement_of_letters_array_and_tensor_agree(sequence: str) -> None:
    X = one_hot_encode(sequence)
    expected = one_hot_encode(reverse_complement(sequence))
    np.testing.assert_array_equal(reverse_complement(X), expected)
    np.testing.assert_array_equal(reverse_complement(torch.from_numpy(X)).numpy(), expected)


def test_reverse_complement_of_ambiguity_codes_complements_the_set_of_bases() -> None:
    from genoplrp.sequence import IUPAC

    pair = dict(zip("ACGT", "TGCA", strict=True))
    for letter, bases in IUPAC.items():
        assert set(IUPAC[reverse_complement(letter)]) == {pair[base] for base in bases}


def test_reverse_complement_leaves_the_input_alone() -> None:
    X = one_hot_encode("AACG")
    before = X.copy()
    reverse_complement(X)[:] = 7
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.uint8, np.bool_])
def test_encoding_has_the_type_that_was_asked_for(dtype: type) -> None:
    assert one_hot_encode("ACGT", dtype=dtype).dtype == dtype


def test_rna_reads_as_dna() -> None:
    np.testing.assert_array_equal(one_hot_encode("ACGU"), one_hot_encode("ACGT"))


def test_many_rows_are_encoded_as_each_alone() -> None:
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ACGTN"), 301)) for _ in range(1000)]
    X = one_hot_encode(sequences)
    for index in (0, 434, 435, 436, 999):
        np.testing.assert_array_equal(X[index], encode_by_hand(sequences[index]))


@pytest.mark.parametrize(
    ("sequences", "words"),
    [
        ([], "No sequences"),
        ([""], "empty"),
        (["ACGT", "ACG"], "sequence 1 has 3"),
        (["ACG", "AC", "ACGT"], "sequence 1 has 2"),
        (["ACGT", "AC-T"], "Sequence 1 holds '-' at position 2"),
        (["ACGé"], "Sequence 0 holds 'é' at position 3"),
        (["ACG\u4e2d"], "position 3"),
        ([b"ACGT"], "Sequence 0 is bytes"),
    ],
)
def test_bad_letters_are_named_with_their_place(sequences: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        encode_codes(sequences)


def bad(change: str) -> np.ndarray:
    X = one_hot_encode(["ACGTA", "CCGTN"])
    if change == "nan":
        X[1, 2, 3] = np.nan
    elif change == "infinite":
        X[1, 2, 3] = np.inf
    elif change == "half":
        X[1, 2, 3] = 0.5
    elif change == "negative":
        X[1, 2, 3] = -1
    elif change == "two":
        X[1, 2, 3] = 1
    return X


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("nan", "NaN at sequence 1, channel G, position 3"),
        ("infinite", "inf at sequence 1"),
        ("half", "0.5 at sequence 1, channel G, position 3"),
        ("negative", "-1 at sequence 1"),
        ("two", "more than one base at sequence 1, position 3"),
    ],
)
@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("at_a_time", [1, 1 << 20])
def test_bad_values_are_named_with_their_place(
    change: str, words: str, kind: str, at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = bad(change)
    monkeypatch.setattr("genoplrp.sequence.onehot._CHECKED_AT_A_TIME", at_a_time)
    with pytest.raises(InputError, match=words):
        check_one_hot(torch.from_numpy(X) if kind == "torch" else X)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((2, 50, 4), r"looks like \(N, L, 4\)"),
        ((4, 50), r"X\[None\]"),
        ((50, 4), r"X\.T\[None\]"),
        ((2, 5, 50), "four channels"),
        ((50,), "three axes"),
        ((2, 1, 4, 50), "three axes"),
        ((0, 4, 50), "empty"),
        ((2, 4, 0), "empty"),
    ],
)
@pytest.mark.parametrize("make", [np.zeros, torch.zeros])
def test_wrong_shapes_are_refused_with_a_way_out(make, shape: tuple[int, ...], words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=words):
        check_one_hot(make(shape))


def test_square_ambiguity_between_axes_is_read_as_channels_first() -> None:
    check_one_hot(one_hot_encode(["ACGT", "AAAA"]))


@pytest.mark.parametrize(
    "X", ["ACGT", [[0, 1]], None, np.array([[["A"] * 5] * 4]), np.zeros((1, 4, 5), complex)]
)
def test_what_holds_no_numbers_is_refused(X: object) -> None:
    with pytest.raises(InputError, match="one_hot_encode"):
        check_one_hot(X)


def test_a_wrong_length_is_named() -> None:
    with pytest.raises(InputError, match="X has 4 positions, 5 are needed"):
        check_one_hot(one_hot_encode("ACGT"), length=5)


def test_checking_many_rows_finds_the_last_one() -> None:
    X = np.zeros((5000, 4, 100), dtype=np.float32)
    X[4999, 3, 99] = 2
    with pytest.raises(InputError, match="sequence 4999, channel T, position 99"):
        check_one_hot(X)
