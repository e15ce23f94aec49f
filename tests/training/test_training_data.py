"""What the trainer accepts, and how sequences are kept together in a split."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genoplrp.errors import InputError
from genoplrp.sequence import one_hot_encode, reverse_complement
from genoplrp.synthetic import Dataset
from genoplrp.training import read_training_data
from genoplrp.training.data import draw_split, encode

DNA = st.text("ACGT", min_size=8, max_size=8)


def random_sequences(n, length, seed=0):
    letters = np.array(list("ACGT"))[np.random.default_rng(seed).integers(0, 4, (n, length))]
    return ["".join(row) for row in letters]


@given(st.lists(DNA, min_size=4, max_size=30), st.integers(0, 100))
def test_equal_sequences_and_reverse_complements_stay_in_one_part(sequences, seed):
    doubled = [*sequences, *reverse_complement(sequences), *sequences]
    parts = draw_split(encode(doubled), seed).reshape(3, -1)
    assert (parts == parts[0]).all()


def test_split_of_distinct_sequences_has_the_shares_asked_for():
    parts = draw_split(encode(random_sequences(1000, 40)), seed=0)
    assert [int((parts == p).sum()) for p in ("train", "valid", "test")] == [800, 100, 100]


def test_strings_one_hot_and_tensors_give_the_same_data():
    sequences, labels = random_sequences(30, 20), np.arange(30) % 2
    X = one_hot_encode(sequences)
    read = [read_training_data((x, labels)) for x in (sequences, X, torch.from_numpy(X))]
    assert len({r.checksum for r in read}) == 1
    assert (read[0].codes == read[1].codes).all()


def test_data_set_keeps_its_split_kinds_and_checksum(tmp_path):
    data = Dataset.from_sequences(random_sequences(40, 20), np.arange(40) % 2, ["site"], seed=3)
    data.save(tmp_path / "data")
    for source in (data, tmp_path / "data", str(tmp_path / "data")):
        read = read_training_data(source)
        assert (read.split == data.split).all()
        assert read.tasks == ("site",)
        assert read.kinds == ("binary",)
        assert read.checksum == data.checksum()


def test_split_without_a_validation_part_takes_it_from_the_training_part():
    sequences = random_sequences(100, 20)
    read = read_training_data((sequences, np.arange(100) % 2), split=["train"] * 80 + ["test"] * 20)
    assert (read.split[80:] == "test").all()
    assert int((read.split == "valid").sum()) == 8


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ((["ACGT", "ACG"], [0, 1]), {}, "differ in length"),
        ((["ACGT"] * 3, [0, 1]), {}, "do not fit 3 sequences"),
        ((np.zeros((3, 20, 4)), [0, 1, 0]), {}, r"swap the axes"),
        ((["ACGT"] * 2, [0, np.inf]), {}, "infinity, first in row 1"),
        ((["ACGT"] * 2, ["a", "b"]), {}, "Labels must be numbers"),
        ((["ACGT"] * 2, [0, 1]), {"split": ["train", "dev"]}, "'dev'"),
        ((["ACGT"] * 2, [0, 1]), {"split": ["test", "test"]}, "No sequence is in the train part"),
        ((["ACGT"] * 2, [0, 1]), {"tasks": ["a", "b"]}, "1 label columns, but 2 task names"),
        (3, {}, "Cannot train on int"),
    ],
)
def test_bad_data_is_refused_with_what_is_wrong(data, options, message):
    with pytest.raises(InputError, match=message):
        read_training_data(data, **options)
