from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genoplrp.errors import InputError, OutputExistsError
from genoplrp.sequence import one_hot_encode
from genoplrp.synthetic import Dataset, simulate
from genoplrp.synthetic.splits import split_by_sequence
from genoplrp.training import read_training_data

PRESETS = ["tal_gata", "koo2021_fixed", "spacing", "cooperative"]


@pytest.fixture(scope="module", params=PRESETS)
def data(request: pytest.FixtureRequest) -> Dataset:
    return simulate(request.param, n=200, seed=5)


def mask_by_hand(data: Dataset, task: str) -> np.ndarray:
    mask = np.zeros((len(data), data.length), dtype=bool)
    for _, row in data.instances.iterrows():
        if task in row["tasks"].split(","):
            mask[row["sequence"], row["start"] : row["end"]] = True
    return mask


def test_the_mask_covers_the_instances_of_the_task_base_by_base(data: Dataset) -> None:
    for number, task in enumerate(data.tasks):
        expected = mask_by_hand(data, task)
        np.testing.assert_array_equal(data.mask(number), expected)
        np.testing.assert_array_equal(data.mask(task), expected)
        assert 0 < expected.mean() < 0.5


def test_information_is_the_bits_of_the_planted_column_on_the_right_strand(data: Dataset) -> None:
    expected = np.zeros((len(data), data.length))
    for _, row in data.instances.iterrows():
        if data.tasks[0] not in row["tasks"].split(","):
            continue
        p = data.motifs[row["motif"]].pwm
        bits = [2 + sum(x * np.log2(x) for x in column if x > 0) for column in p.T]
        expected[row["sequence"], row["start"] : row["end"]] = bits if row["strand"] == "+" else bits[::-1]
    np.testing.assert_allclose(data.information(0), expected, atol=1e-6)
    assert not data.information(0)[~data.mask(0)].any()


def test_a_subset_is_the_rows_that_were_asked_for_in_their_order(data: Dataset) -> None:
    rows = [7, 3, 150]
    part = data.subset(rows)
    assert part.sequences == [data.sequences[row] for row in rows]
    np.testing.assert_array_equal(part.mask(0), data.mask(0)[rows])
    np.testing.assert_array_equal(part.information(0), data.information(0)[rows])
    np.testing.assert_array_equal(part.labels, data.labels[rows])


def test_parts_are_disjoint_and_make_up_the_whole(data: Dataset) -> None:
    parts = [data.subset(part) for part in ("train", "valid", "test")]
    assert sorted(name for part in parts for name in part.names) == sorted(data.names)
    assert all(
        (part.split == name).all() for part, name in zip(parts, ("train", "valid", "test"), strict=True)
    )


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("parquet", [False, True])
def test_loading_inverts_saving(data: Dataset, tmp_path: Path, compress: bool, parquet: bool) -> None:
    data.save(tmp_path / "x", compress=compress, parquet=parquet)
    again = Dataset.load(tmp_path / "x")
    assert again.checksum() == data.checksum()
    assert (again.names, again.tasks, again.kinds, again.seed) == (
        data.names,
        data.tasks,
        data.kinds,
        data.seed,
    )
    assert again.instances.astype(str).equals(data.instances.astype(str))
    assert again.spec == data.spec
    assert list(again.classes) == list(data.classes)  # type: ignore[arg-type]
    assert (again.clean is None) == (data.clean is None)
    if data.clean is not None:
        np.testing.assert_array_equal(again.clean, data.clean)
    np.testing.assert_array_equal(again.information(0), data.information(0))


def test_parquet_holds_the_same_tables_as_text(data: Dataset, tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    data.save(tmp_path / "x", parquet=True)
    text = pd.read_csv(tmp_path / "x" / "labels.tsv", sep="\t", keep_default_na=False)
    table = pd.read_parquet(tmp_path / "x" / "labels.parquet")
    assert list(text) == list(table)
    for task in data.tasks:
        np.testing.assert_allclose(text[task], table[task], rtol=1e-6)
    assert len(pd.read_parquet(tmp_path / "x" / "instances.parquet")) == len(data.instances)


def test_a_data_set_made_again_from_its_folder_is_the_same(data: Dataset, tmp_path: Path) -> None:
    data.save(tmp_path / "x")
    again = simulate(str(tmp_path / "x"), n=200, seed=5)
    assert again.checksum() == data.checksum()


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    simulate("tal_gata", n=20).save(tmp_path / "x")
    fasta = tmp_path / "x" / "sequences.fa"
    fasta.write_bytes(fasta.read_bytes().replace(b"A", b"C", 1))
    with pytest.raises(InputError, match=r"sequences\.fa was changed"):
        Dataset.load(tmp_path / "x")
    fasta.unlink()
    with pytest.raises(InputError, match=r"sequences\.fa is missing"):
        Dataset.load(tmp_path / "x")


def test_what_is_no_data_set_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        Dataset.load(tmp_path / "nowhere")
    with pytest.raises(InputError, match="not a data set"):
        Dataset.load(tmp_path)


def test_only_a_data_set_is_ever_overwritten(tmp_path: Path) -> None:
    data = simulate("tal_gata", n=20)
    data.save(tmp_path / "x")
    with pytest.raises(OutputExistsError, match="exists already"):
        data.save(tmp_path / "x")
    other = simulate("tal_gata", n=30)
    other.save(tmp_path / "x", overwrite=True)
    assert len(Dataset.load(tmp_path / "x")) == 30
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("two years")
    with pytest.raises(OutputExistsError, match="holds no data set"):
        data.save(tmp_path / "precious", overwrite=True)
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "two years"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["precious", "x"]


def test_nothing_is_left_of_an_interrupted_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = simulate("tal_gata", n=20)
    monkeypatch.setattr(
        "genoplrp.synthetic.writer.write_manifest", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        data.save(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_one_hot_is_that_of_the_letters() -> None:
    data = Dataset.from_sequences(["ACGT", "NNTA"], [0, 1])
    np.testing.assert_array_equal(data.one_hot(), one_hot_encode(["ACGT", "NNTA"]))


def test_real_data_has_an_empty_mask_and_round_trips(tmp_path: Path) -> None:
    data = Dataset.from_sequences(["ACGT", "TTTT", "ccga"], [[0.5, 1], [1.25, 0], [-3, 1]], ["score", "on"])
    assert data.kinds == ["real", "binary"]
    assert not data.mask("score").any()
    data.save(tmp_path / "x")
    again = Dataset.load(tmp_path / "x")
    assert again.checksum() == data.checksum() and again.spec is None and again.kinds == data.kinds
    assert len(again.instances) == 0


def test_missing_labels_are_those_of_a_trainer_and_round_trip(tmp_path: Path) -> None:
    labels = np.array([[1, 0.5], [np.nan, 2], [0, np.nan], [1, -1.25]], dtype=np.float32)
    data = Dataset.from_sequences(
        ["ACGT", "TTTT", "CCGA", "GGAG"], labels, ["on", "score"], split=["train", "train", "valid", "test"]
    )
    assert data.kinds == ["binary", "real"]
    data.save(tmp_path / "x")
    again = Dataset.load(tmp_path / "x")
    np.testing.assert_array_equal(again.labels, labels)
    assert again.checksum() == data.checksum() and again.kinds == data.kinds
    np.testing.assert_array_equal(read_training_data(again).labels, labels)
    assert "mean of on" in data._repr_html_()


def test_a_folder_with_a_name_twice_is_refused(tmp_path: Path) -> None:
    data = Dataset.from_sequences(["ACGT", "TTTT"], [0, 1], names=["a", "b"])
    data.names = ["a", "a"]
    data.save(tmp_path / "x")
    with pytest.raises(InputError, match=r"sequences.fa: The name 'a' occurs twice"):
        Dataset.load(tmp_path / "x")


@given(
    st.lists(st.sampled_from(["AA", "CC", "GG", "TT", "aa", "AC"]), min_size=1, max_size=60),
    st.integers(0, 1000),
)
def test_equal_sequences_never_stand_in_two_parts(sequences: list[str], seed: int) -> None:
    parts = split_by_sequence(sequences, {"train": 0.5, "valid": 0.2, "test": 0.3}, seed=seed)
    of: dict[str, set[str]] = {}
    for sequence, part in zip(sequences, parts, strict=True):
        of.setdefault(sequence.upper(), set()).add(str(part))
    assert all(len(where) == 1 for where in of.values())
    distinct = len(of)
    for part, fraction in (("train", 0.5), ("valid", 0.2), ("test", 0.3)):
        assert abs(sum(where == {part} for where in of.values()) - fraction * distinct) <= 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": [0, 1]}, r"shape \(2,\) for 3 sequences"),
        ({"labels": [0, 1, np.inf]}, "sequence 2, task 0 is inf"),
        ({"labels": [np.nan] * 3}, "'label' has no label at all"),
        ({"labels": [np.nan, 1, 2], "kinds": ["binary"]}, "binary but holds"),
        ({"labels": [np.nan, -1, 2], "kinds": ["count"]}, "whole numbers"),
        ({"labels": ["a", "b", "c"]}, "not numbers"),
        ({"tasks": ["a", "b"]}, "2 task names for 1 columns"),
        ({"tasks": ["a,b"]}, "holds a comma"),
        ({"names": ["a", "a", "b"]}, "'a' occurs twice"),
        ({"names": ["a b", "c", "d"]}, "Name 0"),
        ({"split": ["train", "test", "holdout"]}, "Unknown part 'holdout'"),
        ({"split": ["train"]}, "one part for each of 3"),
        ({"split": {"train": 0.5}}, "sum to 0.5"),
        ({"split": {"train": 1.5, "test": -0.5}}, r"split\.train is 1\.5"),
        ({"sequences": ["ACGT", "ACG", "ACGT"]}, "sequence 1 has 3"),
        ({"sequences": []}, "No sequences"),
        ({"kinds": ["binary"], "labels": [0, 1, 2]}, "binary but holds"),
        ({"kinds": ["count"], "labels": [0, 1, 2.5]}, "whole numbers"),
        ({"kinds": ["ordinal"]}, "expected binary, count or real"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], words: str) -> None:
    good: dict[str, object] = {"sequences": ["ACGT", "CCCC", "GGGG"], "labels": [0, 1, 0]}
    with pytest.raises(InputError, match=words):
        Dataset.from_sequences(**(good | change))  # type: ignore[arg-type]


@pytest.mark.parametrize("task", [3, -1, "TAL9"])
def test_an_unknown_task_is_named_with_the_known_ones(task: int | str) -> None:
    data = simulate("tal_gata", n=20)
    with pytest.raises(InputError, match="0 = TAL1, 1 = GATA1, 2 = both"):
        data.mask(task)


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("holdout", "no part"),
        ([0, 99], "99 is out of range"),
        ([1, 1], "is given twice"),
        (np.ones(3, bool), "shape"),
    ],
)
def test_a_subset_that_cannot_be_is_refused(which: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        simulate("tal_gata", n=20).subset(which)  # type: ignore[arg-type]
