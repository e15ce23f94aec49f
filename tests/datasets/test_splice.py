from pathlib import Path

import numpy as np
import pytest

from genoplrp.datasets import load_splice_junctions
from genoplrp.errors import InputError
from genoplrp.sequence import read_fasta

COMMITTED = Path(__file__).parents[2] / "data" / "splice_junctions" / "splice_junctions.fa"


def test_the_packaged_file_holds_the_committed_records() -> None:
    data, records = load_splice_junctions(), read_fasta(COMMITTED)
    assert (data.names, data.sequences) == (records.names, records.sequences)


def test_labels_follow_the_classes() -> None:
    data, records = load_splice_junctions(), read_fasta(COMMITTED)
    expected = [[kind == "EI", kind == "IE"] for kind in records.descriptions]
    np.testing.assert_array_equal(data.labels, np.array(expected))


def test_no_sequence_stands_in_two_parts() -> None:
    data = load_splice_junctions(seed=3)
    parts = [
        {sequence.upper() for sequence in data.subset(part).sequences} for part in ("train", "valid", "test")
    ]
    assert all(parts)
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


def test_the_fractions_are_of_distinct_sequences() -> None:
    data = load_splice_junctions()
    distinct = len(set(data.sequences))
    for part, fraction in (("train", 0.7), ("valid", 0.1), ("test", 0.2)):
        assert abs(len(set(data.subset(part).sequences)) - fraction * distinct) <= 1


def test_donors_have_gt_and_acceptors_ag_at_the_junction() -> None:
    data = load_splice_junctions()
    donors = [s[30:32] == "GT" for s, y in zip(data.sequences, data.labels[:, 0], strict=True) if y]
    acceptors = [s[28:30] == "AG" for s, y in zip(data.sequences, data.labels[:, 1], strict=True) if y]
    assert np.mean(donors) > 0.95 and np.mean(acceptors) > 0.95


def test_the_seed_decides_the_split_and_nothing_else() -> None:
    one, again, other = (load_splice_junctions(seed=seed) for seed in (1, 1, 2))
    assert one.checksum() == again.checksum() != other.checksum()
    assert one.sequences == other.sequences


def test_a_file_with_other_classes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.fa"
    path.write_text(">a EI\nACGT\n>b exon\nACGT\n")
    with pytest.raises(InputError, match="record 'b' has the class 'exon'"):
        load_splice_junctions(path)
