import gzip
from pathlib import Path

import pytest
from Bio import bgzf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genoplrp.errors import InputError, OutputExistsError
from genoplrp.sequence import read_fasta, write_fasta

TEXT = ">a first one\nACGT\nacgn\n\n>b\nGG CC\r\n>c\twith tab\nT\n"


@pytest.fixture(params=["plain", "gzip", "bgzip"])
def fasta(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    # No compressed name has a telling ending: the content decides.
    path = tmp_path / "some.fa"
    if request.param == "plain":
        path.write_bytes(TEXT.encode())
    elif request.param == "gzip":
        path.write_bytes(gzip.compress(TEXT.encode()))
    else:
        with bgzf.BgzfWriter(str(path)) as handle:
            handle.write(TEXT.encode())
    return path


def test_records_are_read_whatever_the_compression(fasta: Path) -> None:
    records = read_fasta(fasta)
    assert records.names == ["a", "b", "c"]
    assert records.descriptions == ["first one", "", "with tab"]
    assert records.sequences == ["ACGTacgn", "GGCC", "T"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    st.lists(st.text("ACGTacgtN", min_size=1, max_size=300), min_size=1, max_size=6),
    st.sampled_from(["", ".gz"]),
)
def test_reading_inverts_writing(tmp_path: Path, sequences: list[str], ending: str) -> None:
    path = tmp_path / f"round.fa{ending}"
    write_fasta(path, sequences, overwrite=True)
    records = read_fasta(path)
    assert records.sequences == sequences
    assert records.names == [f"seq{i}" for i in range(len(sequences))]


def test_a_compressed_file_is_bgzip_with_its_end_marker(tmp_path: Path) -> None:
    path = tmp_path / "x.fa.gz"
    write_fasta(path, ["ACGT"] * 10)
    assert path.read_bytes().endswith(bgzf._bgzf_eof)
    with bgzf.open(str(path), "rt") as handle:
        assert handle.readline() == ">seq0\n"


def test_an_existing_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.fa"
    path.write_text("precious")
    with pytest.raises(OutputExistsError, match="exists already"):
        write_fasta(path, ["ACGT"])
    assert path.read_text() == "precious"


def test_nothing_is_left_of_a_failed_write(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Name 1"):
        write_fasta(tmp_path / "x.fa", ["A", "C"], names=["ok", "not ok"])
    with pytest.raises(InputError, match="2 sequences, 1 names"):
        write_fasta(tmp_path / "x.fa", ["A", "C"], names=["ok"])
    assert list(tmp_path.iterdir()) == []


def test_writing_into_a_missing_folder_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        write_fasta(tmp_path / "no" / "x.fa", ["A"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n \n", "holds no sequences"),
        (b"name,sequence\na,ACGT\n", "is not FASTA: the first line is 'name,sequence'"),
        (b">\nACGT\n", "record 1 has no name"),
        (b">a\nACGT\n>b\n", "record 'b' holds no bases"),
        (b">a\n\xff\xfe\n", "not a text file"),
        (b"BZh91AY", "bzip2"),
        # Without the time of day: it would be part of the test's name, which must be the same in every process.
        (gzip.compress(b">a\n" + b"ACGT" * 5000, mtime=0)[:-12], "damaged or cut off"),
    ],
)
def test_bad_files_give_one_clear_message(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad.fa"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_fasta(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file .*nothing\.fa"):
        read_fasta(tmp_path / "nothing.fa")
    with pytest.raises(InputError, match="is a folder"):
        read_fasta(tmp_path)
