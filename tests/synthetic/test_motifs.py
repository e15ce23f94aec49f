import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from genoplrp.errors import InputError
from genoplrp.synthetic import Motif, read_motifs, similarity, similarity_matrix, write_meme

COUNTS = np.array([[4, 0, 10, 1], [3, 0, 0, 7], [2, 10, 0, 1], [1, 0, 0, 1]])
JASPAR = ">MA0001.1\tTEST\n" + "\n".join(
    f"{base} [ {' '.join(map(str, row))} ]" for base, row in zip("ACGT", COUNTS, strict=True)
)
TRANSFAC = (
    "AC M1\nXX\nID TEST\nXX\nP0 A C G T\n"
    + "\n".join(f"{k + 1:02d} {' '.join(map(str, column))} N" for k, column in enumerate(COUNTS.T))
    + "\nXX\n//\n"
)
HOMER = ">ACGT\tTEST(fam),IR3/Some-ChIP(GSE1)/Homer\t6.1\t-10\t0\tT:1(2%)\n" + "\n".join(
    "\t".join(str(x / 10) for x in column) for column in COUNTS.T
)
PFM = "\n".join("\t".join(map(str, row)) for row in COUNTS)
MEME = (
    "MEME version 4\n\nALPHABET= ACGT\n\nMOTIF TEST MA0001.1\n"
    "letter-probability matrix: alength= 4 w= 4 nsites= 10 E= 0\n"
    + "\n".join(" ".join(str(x / 10) for x in column) for column in COUNTS.T)
    + "\n"
)

pwms = st.integers(1, 12).flatmap(
    lambda w: arrays(np.float64, (4, w), elements=st.floats(0.001, 1)).map(lambda a: a / a.sum(axis=0))
)


@pytest.mark.parametrize(
    ("text", "name"), [(JASPAR, "TEST"), (TRANSFAC, "TEST"), (PFM, "some"), (MEME, "TEST")]
)
@pytest.mark.parametrize("packed", [False, True])
def test_every_format_gives_the_same_matrix(tmp_path: Path, text: str, name: str, packed: bool) -> None:
    path = tmp_path / "some.txt"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    (motif,) = read_motifs(path)
    assert motif.name == name
    np.testing.assert_allclose(motif.pwm, COUNTS / 10, atol=1e-12)
    assert motif.sites == 10


def test_homer_files_are_told_from_jaspar_by_their_header(tmp_path: Path) -> None:
    other = ">CCCC\tOTHER\t3.5\n" + "0.1\t0.7\t0.1\t0.1\n" * 3
    (tmp_path / "x.motifs").write_text(HOMER + "\n" + other)
    one, two = read_motifs(tmp_path / "x.motifs")
    assert (one.name, two.name, two.width) == ("TEST(fam)_IR3", "OTHER", 3)
    np.testing.assert_allclose(one.pwm, COUNTS / 10, atol=1e-12)
    (tmp_path / "bad.motifs").write_text(HOMER + "\n0.5\t0.5\n")
    with pytest.raises(InputError, match=r"TEST\(fam\),IR3 is not made of rows of four"):
        read_motifs(tmp_path / "bad.motifs")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(pwms, min_size=1, max_size=4))
def test_meme_files_read_back_bit_by_bit(tmp_path: Path, matrices: list[np.ndarray]) -> None:
    motifs = [Motif(f"m{k}", pwm, matrix_id=f"X{k}", sites=7) for k, pwm in enumerate(matrices)]
    write_meme(tmp_path / "x.meme", motifs)
    assert read_motifs(tmp_path / "x.meme") == motifs


@given(pwms)
def test_information_is_two_minus_entropy(pwm: np.ndarray) -> None:
    motif = Motif("m", pwm)
    expected = [2 - sum(-p * np.log2(p) for p in column if p > 0) for column in motif.pwm.T]
    np.testing.assert_allclose(motif.information(), np.maximum(expected, 0), atol=1e-9)


@given(pwms)
def test_the_best_score_is_that_of_the_best_letters(pwm: np.ndarray) -> None:
    motif = Motif("m", pwm)
    assert motif.best_score == pytest.approx(motif.log_odds().max(axis=0).sum())
    assert np.isfinite(motif.log_odds()).all()


def test_a_consensus_shares_each_position_among_its_bases() -> None:
    motif = Motif.from_consensus("ANRt")
    np.testing.assert_allclose(motif.pwm[:, 0], [1, 0, 0, 0])
    np.testing.assert_allclose(motif.pwm[:, 1], [0.25] * 4)
    np.testing.assert_allclose(motif.pwm[:, 2], [0.5, 0, 0.5, 0])
    assert motif.consensus() == "ANRT"


def test_a_pseudocount_weighs_as_so_many_sites() -> None:
    motif = Motif("m", COUNTS / 10, sites=10)
    np.testing.assert_allclose(motif.smoothed(2).pwm, (COUNTS + 0.5) / 12)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("hello world\n", "not a row of numbers"),
        ("1 2\n3 4\n5 6\n", "not a motif file"),
        ("1 2\n3 4\n5 6\n7\n", "not a motif file"),
        ("1 0\n1 0\n1 0\n1 0\n", "position 1 is all zero"),
        ("1 -2\n3 4\n5 6\n7 8\n", "negative"),
        ("MEME version 4\n\nALPHABET= ACDEFGHIKLMNPQRSTVWY\n", "only ACGT"),
        ("MEME version 4\n\nletter-probability matrix: w= 1\n1 0 0 0\n", "without a MOTIF line"),
        ("MEME version 4\n", "holds no motif"),
        ("MEME version 4\nMOTIF a\nletter-probability matrix: w= 1\n1 0 x 0\n", "line 4"),
        ("MEME version 4\nMOTIF a\nletter-probability matrix: w= 1\n1 0 0\n", "not four probabilities"),
    ],
)
def test_bad_files_are_named_with_what_is_wrong(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "bad.txt"
    path.write_text(content)
    with pytest.raises(InputError, match=words):
        read_motifs(path)


@pytest.mark.parametrize(
    ("pwm", "words"),
    [
        (np.ones((4, 3)), "do not sum to 1"),
        (np.full((3, 4), 0.25), "transpose"),
        (np.full((4, 0), 0.25), "at least 1 position"),
        (np.full((4, 2), np.nan), "non-finite"),
    ],
)
def test_a_matrix_that_is_no_pwm_is_refused(pwm: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Motif("m", pwm)


@given(pwms, pwms)
def test_similarity_is_symmetric_and_blind_to_the_strand(one: np.ndarray, other: np.ndarray) -> None:
    a, b = Motif("a", one), Motif("b", other)
    value = similarity(a, b)
    assert 0 <= value <= 1
    assert similarity(b, a) == pytest.approx(value, abs=1e-9)
    assert similarity(a, b.reverse_complement()) == pytest.approx(value, abs=1e-9)


def test_a_motif_inside_another_one_is_a_look_alike() -> None:
    inner, outer = Motif.from_consensus("CACGTG"), Motif.from_consensus("NNGCACGTGACN")
    assert similarity(inner, outer) > 0.99
    assert similarity(inner, Motif.from_consensus("TTTAAA")) < 0.4


def test_known_families_resemble_each_other_more_than_strangers() -> None:
    folder = Path(__file__).parents[2] / "genoplrp" / "synthetic" / "presets" / "motifs"
    core = {m.name: m for m in read_motifs(folder / "koo2021_core.meme")}
    others = {m.name: m for m in read_motifs(folder / "koo2021_others.meme")}
    family = {
        "ETV5": "GABPA",
        "ETV3": "GABPA",
        "CEBPG": "CEBPB",
        "MLX": "MAX",
        "BHLHE40": "MAX",
        "E2F6": "SP1",
    }
    table = similarity_matrix([others[name] for name in family], list(core.values()))
    for row, relative in zip(table, family.values(), strict=True):
        assert list(core)[int(row.argmax())] == relative
        assert row.max() > 0.6
