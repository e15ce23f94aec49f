import gzip
from pathlib import Path

import numpy as np
import pytest

from genoplrp.errors import InputError
from genoplrp.synthetic import Dataset, read_simdata

#        0123456789012345678901234567890
ROWS = [
    ("synthNeg0", "ACGTACGTACGTACGTACGTACGTACGTACG", "", "0", "0"),
    (
        "synthPos0",
        "ACGTAGATAAGTACGTACCAGCTGTACGTACG",
        "pos-5_GATA_disc1-GATAAG,pos-18_revComp-TAL1_known1-CAGCTG",
        "1",
        "1",
    ),
    ("synthPos1", "TTGATAAGTTTTTTTTTTTTTTTTTTTTTTT", "pos-2_GATA_disc1-GATAAG", "1", "0"),
]
ROWS[1] = (ROWS[1][0], ROWS[1][1][:31], ROWS[1][2], "1", "1")
HEADER = ("seqName", "sequence", "embeddings", "GATA", "TAL")


def written(path: Path, header: tuple[str, ...] = HEADER, rows: list[tuple[str, ...]] = ROWS) -> Path:
    text = "\n".join("\t".join(row[: len(header)]) for row in [header, *rows]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["x.simdata", "x.simdata.gz"])
def test_sequences_labels_and_embeddings_are_read(tmp_path: Path, name: str) -> None:
    data = read_simdata(written(tmp_path / name))
    assert data.names == ["synthNeg0", "synthPos0", "synthPos1"] and data.tasks == ["GATA", "TAL"]
    assert data.labels.tolist() == [[0, 0], [1, 1], [1, 0]]
    columns = ["sequence", "start", "end", "motif", "strand"]
    assert data.instances[columns].to_numpy().tolist() == [
        [1, 5, 11, "GATA_disc1", "+"],
        [1, 18, 24, "TAL1_known1", "-"],
        [2, 2, 8, "GATA_disc1", "+"],
    ]
    assert data.mask("GATA").sum(axis=1).tolist() == [0, 12, 6]


def test_motifs_can_be_told_their_tasks(tmp_path: Path) -> None:
    tasks_of = {"GATA_disc1": ["GATA"], "TAL1_known1": ["TAL"]}
    data = read_simdata(written(tmp_path / "x.simdata"), tasks_of=tasks_of)
    assert data.mask("GATA").sum(axis=1).tolist() == [0, 6, 6]
    assert data.mask("TAL").sum(axis=1).tolist() == [0, 6, 0]
    with pytest.raises(InputError, match="'FOX'"):
        read_simdata(tmp_path / "x.simdata", tasks_of={"FOX": ["GATA"]})


def test_a_file_without_labels_gets_the_task_embedded(tmp_path: Path) -> None:
    data = read_simdata(written(tmp_path / "x.simdata", HEADER[:3]))
    assert data.tasks == ["embedded"] and data.labels[:, 0].tolist() == [0, 1, 1]


def test_it_can_be_saved_and_loaded_again(tmp_path: Path) -> None:
    data = read_simdata(written(tmp_path / "x.simdata"))
    data.save(tmp_path / "x")
    again = Dataset.load(tmp_path / "x")
    assert again.checksum() == data.checksum()
    np.testing.assert_array_equal(again.mask(0), data.mask(0))
    assert np.isnan(again.instances["score"]).all()


@pytest.mark.parametrize(
    ("embedding", "words"),
    [
        ("pos-4_GATA_disc1-GATAAG", "does not hold GATAAG at 4"),
        ("GATA at 5", "is not understood"),
        ("pos-28_GATA_disc1-GATAAG", "does not hold"),
    ],
)
def test_embeddings_that_are_not_there_are_named(tmp_path: Path, embedding: str, words: str) -> None:
    row = ("bad", ROWS[1][1], embedding, "1", "1")
    with pytest.raises(InputError, match=f"'bad'.*{words}"):
        read_simdata(written(tmp_path / "x.simdata", rows=[row]))


def test_other_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a simdata file"):
        read_simdata(written(tmp_path / "x.tsv", ("name", "seq", "motifs")))
    with pytest.raises(InputError, match="line 3: 4 columns"):
        read_simdata(written(tmp_path / "x.tsv", rows=[ROWS[0], ROWS[1][:4]]))
    with pytest.raises(InputError, match="not a number"):
        read_simdata(written(tmp_path / "x.tsv", rows=[(*ROWS[0][:4], "yes")]))


def test_a_data_set_can_be_loaded_from_the_file_itself(tmp_path: Path) -> None:
    path = written(tmp_path / "x.simdata")
    assert Dataset.load(path).checksum() == read_simdata(path).checksum()
    for content in (b"", b"\xff\xfe\x00", b">seq\nACGT\n"):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(
            InputError, match=r"neither a folder|is a FASTA file, which holds no labels|is empty"
        ):
            Dataset.load(tmp_path / "other")
