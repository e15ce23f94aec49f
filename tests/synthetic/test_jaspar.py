import sys
from pathlib import Path

import numpy as np
import pytest
from specs import small

from genoplrp.errors import InputError, MissingDependencyError
from genoplrp.synthetic import fetch_jaspar, read_motifs

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
