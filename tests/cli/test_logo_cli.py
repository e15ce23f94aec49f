from __future__ import annotations

import re

import numpy as np
import pytest

from genoplrp.cli.main import main
from genoplrp.formats.attribution import AttributionFile
from genoplrp.synthetic import Dataset, load_spec, simulate


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set of 12 planted sequences and two relevance files of four of them."""
    path = tmp_path_factory.mktemp("logo")
    data = simulate(load_spec("koo2021"), n=12, seed=1, progress=False)
    data.save(path / "data")
    rows = np.array([2, 5, 7, 9])
    one_hot = data.subset(rows).one_hot()
    rng = np.random.default_rng(0)
    for name, method in (("lrp", "LRP gamma"), ("plrp", "PLRP-lambda gamma p=0.25")):
        relevance = one_hot * rng.normal(size=(4, 1, data.length)).astype(np.float32)
        AttributionFile(
            relevance, np.arange(4.0), np.zeros(4, int), rows, meta={"method": method, "task": data.tasks[0]}
        ).save(path / f"{name}.npz")
    return path


def run(*arguments):
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return exit_.value.code


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_a_logo_is_written_in_the_format_of_its_name(folder, tmp_path, suffix, magic):
    out = tmp_path / f"logo.{suffix}"
    assert run("logo", folder / "lrp.npz", folder / "plrp.npz", "-d", folder / "data", "-o", out) == 0
    assert out.read_bytes().startswith(magic)
    assert list(tmp_path.iterdir()) == [out]


def test_several_sequences_make_one_page_each(folder, tmp_path):
    out = tmp_path / "logos.pdf"
    assert run("logo", folder / "lrp.npz", "-d", folder / "data", "-i", "0,2-3", "-o", out) == 0
    assert len(re.findall(rb"/Type /Page\b", out.read_bytes())) == 3


def test_a_sequence_is_found_by_its_name(folder, tmp_path):
    name = Dataset.load(folder / "data").names[7]
    by_name, by_index = tmp_path / "name.png", tmp_path / "index.png"
    assert run("logo", folder / "lrp.npz", "-d", folder / "data", "--name", name, "-o", by_name) == 0
    assert run("logo", folder / "lrp.npz", "-d", folder / "data", "-i", "2", "-o", by_index) == 0
    assert by_name.read_bytes() == by_index.read_bytes()


def test_the_same_command_makes_the_same_bytes(folder, tmp_path):
    for name in ("a.png", "b.png"):
        assert run("logo", folder / "lrp.npz", "-d", folder / "data", "-o", tmp_path / name) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_file_that_exists_is_kept_unless_forced(folder, tmp_path, capsys):
    out = tmp_path / "logo.png"
    out.write_text("mine")
    arguments = ("logo", folder / "lrp.npz", "-d", folder / "data", "-o", out)
    assert run(*arguments) == 2
    assert "exists already" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert run(*arguments, "--force") == 0
    assert out.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-i", "4"], "out of range: the file holds 4"),
        (["-i", "one"], "0,3,10-19"),
        (["-i", "0-1"], "need pages"),
        (["--region", "50"], "START-END"),
        (["--region", "150-400"], "does not lie in the sequence"),
        (["--region", "50-50"], "region 50-50 is empty"),
        (["--region", "50-40"], "region 50-40 is empty"),
        (["--width", "5000"], "is not in the range"),
        (["--name", "nobody"], "no sequence 'nobody'"),
        (["-o", "logo.bmp"], "ends in .png"),
        (["-o", "nowhere/logo.png"], "does not exist"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(folder, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    out = [] if "-o" in options else ["-o", "logo.png"]
    assert run("logo", folder / "lrp.npz", "-d", folder / "data", *out, *options) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_relevance_of_other_sequences_or_another_data_set_is_refused(folder, tmp_path, capsys):
    length = Dataset.load(folder / "data").length
    cases = {
        "short.npz": (AttributionFile(np.ones((1, 4, 9)), [0.0], [0], [2]), "sequences of 9 bp"),
        "many.npz": (AttributionFile(np.ones((1, 4, length)), [0.0], [0], [99]), "another data set"),
        "sum.npz": (
            AttributionFile(np.ones((1, 4, length)), [0.0], [0], [2], meta={"data_checksum": "0"}),
            "made from another data set",
        ),
        "rows.npz": (AttributionFile(np.ones((1, 4, length)), [0.0], [0], [3]), "different sequences"),
    }
    for name, (file, message) in cases.items():
        file.save(tmp_path / name)
        first = [folder / "lrp.npz"] if name == "rows.npz" else []
        code = run("logo", *first, tmp_path / name, "-d", folder / "data", "-o", tmp_path / "x.png")
        assert code == 2
        assert message in capsys.readouterr().err
