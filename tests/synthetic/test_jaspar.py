import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from specs import small

from genoplrp.errors import InputError, MissingDependencyError, SpecError
from genoplrp.synthetic import Motif, fetch_jaspar, read_motifs, write_meme

FOLDER = Path(__file__).parents[2] / "genoplrp" / "synthetic" / "presets" / "motifs"


def test_shipped_matrices_are_those_of_jaspar() -> None:
    pytest.importorskip("pyjaspar")
    for file in FOLDER.glob("*.meme"):
        shipped = read_motifs(file)
        fetched = fetch_jaspar([motif.matrix_id for motif in shipped], "JASPAR2016")
        for one, other in zip(shipped, fetched, strict=True):
            np.testing.assert_allclose(one.pwm, other.pwm, atol=1e-12)


def test_a_specification_can_name_jaspar_motifs() -> None:
    pytest.importorskip("pyjaspar")
    spec = small(
        motifs=[{"jaspar": ["MA0079.3", "YY1"], "release": "JASPAR2016"}],
        tasks=[{"name": "t", "rule": "SP1"}],
        classes=[{"name": "all", "fraction": 1.0, "plant": [{"motifs": ["SP1", "YY1"]}]}],
    )
    assert [motif.matrix_id for motif in spec.matrices.values()] == ["MA0079.3", "MA0095.2"]


def library(**source: object) -> list[str]:
    return list(
        small(
            motifs=[{"set": "all"} | source],
            tasks=[{"name": "t", "rule": "all"}],
            classes=[{"name": "every", "fraction": 1.0, "plant": [{"motifs": "all"}]}],
        ).motifs
    )


def test_all_vertebrate_matrices_are_planted_at_once_and_keep_their_names(tmp_path: Path) -> None:
    pytest.importorskip("pyjaspar")
    found = fetch_jaspar(["vertebrates"])
    repeated = {name for name, count in Counter(motif.name for motif in found).items() if count > 1}
    assert len(found) == 879 and len(repeated) == 44
    expected = [f"{m.name}.{m.matrix_id}" if m.name in repeated else m.name for m in found]
    assert library(jaspar="vertebrates") == expected
    write_meme(tmp_path / "all.meme", found)
    assert library(file=str(tmp_path / "all.meme")) == expected
    assert library(jaspar="vertebrates", name_by="id") == [motif.matrix_id for motif in found]


def test_motifs_of_one_name_are_told_apart_or_refused(tmp_path: Path) -> None:
    pwms = np.eye(4), np.roll(np.eye(4), 1, axis=0)
    write_meme(tmp_path / "two.meme", [Motif("X", pwm, matrix_id=f"MA{k}") for k, pwm in enumerate(pwms)])
    file = str(tmp_path / "two.meme")
    assert library(file=file) == ["X.MA0", "X.MA1"]
    assert library(file=file, names=["MA1"]) == library(file=file, names=["X.MA1"]) == ["X"]
    with pytest.raises(
        SpecError, match=r"'X' stands for 2 motifs of the file; give a matrix id \(MA0, MA1\)"
    ):
        library(file=file, names=["X"])
    write_meme(tmp_path / "two.meme", [Motif("X", pwm) for pwm in pwms])
    with pytest.raises(SpecError, match="'X' is there already"):
        library(file=file)
    with pytest.raises(SpecError, match="X has no matrix id"):
        library(file=file, name_by="id")


@pytest.mark.parametrize(
    ("names", "release", "words"),
    [
        (["NOSUCHFACTOR"], "JASPAR2016", "stands for 0 matrices"),
        (["MA9999.9"], "JASPAR2016", "stands for 0 matrices"),
        (["GATA1"], "JASPAR2024", "stands for 2 matrices"),
        (["SP1"], "JASPAR1999", "no JASPAR release 'JASPAR1999'"),
    ],
)
def test_what_jaspar_does_not_have_once_is_named(names: list[str], release: str, words: str) -> None:
    pytest.importorskip("pyjaspar")
    with pytest.raises(InputError, match=words):
        fetch_jaspar(names, release)


def test_without_pyjaspar_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyjaspar", None)
    with pytest.raises(MissingDependencyError, match=r"genoplrp\[jaspar\]"):
        fetch_jaspar(["SP1"])


def test_without_pyarrow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from genoplrp.synthetic import simulate

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r"genoplrp\[parquet\]"):
        simulate("tal_gata", n=10).save(tmp_path / "x", parquet=True)
    assert list(tmp_path.iterdir()) == []
