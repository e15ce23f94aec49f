from pathlib import Path

import pytest

from genoplrp.cli.main import main
from genoplrp.synthetic import Dataset, list_presets, load_spec, simulate

PRESETS = Path(__file__).parents[2] / "genoplrp" / "synthetic" / "presets"


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["simulate", *args])
    return int(end.value.code or 0)


def test_it_writes_the_data_set_that_the_library_makes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("tal_gata", "-n", "50", "--seed", "3", "-o", str(tmp_path / "x")) == 0
    assert Dataset.load(tmp_path / "x").checksum() == simulate("tal_gata", 50, 3).checksum()
    assert "50 sequences of tal_gata, seed 3" in capsys.readouterr().out


def test_it_says_how_often_each_label_occurs_and_warns_of_one_class(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("tal_gata", "-n", "1000", "-o", str(tmp_path / "x")) == 0
    shown = capsys.readouterr()
    assert "TAL1: 50.0 % of 1000 sequences positive (train 50.0 %, valid 50.0 %, test 50.0 %)" in shown.out
    assert "both: 25.0 % of 1000" in shown.out and "Note" not in shown.err
    # A forgotten broken = "spacing": every sequence is positive.
    text = (PRESETS / "spacing.toml").read_text()
    text = text.replace(', broken = "spacing"', "").replace("motifs/", str(PRESETS / "motifs") + "/")
    Path(tmp_path / "forgot.toml").write_text(text)
    assert run(str(tmp_path / "forgot.toml"), "-n", "500", "-o", str(tmp_path / "y")) == 0
    shown = capsys.readouterr()
    assert "Note: task 'label' has one class only: the label is 1 in all 500 sequences" in shown.err
    assert "label: 100.0 % of 500" in shown.out


def test_motifs_become_tasks_of_the_same_sequences(tmp_path: Path) -> None:
    assert run("xor", "-n", "400", "--seed", "3", "--motif-tasks", "-o", str(tmp_path / "x")) == 0
    found, plain = Dataset.load(tmp_path / "x"), simulate("xor", 400, 3)
    assert found.sequences == plain.sequences and (found.split == plain.split).all()
    assert found.tasks == ["label", "TAL1", "GATA1"]
    label, tal1, gata1 = found.labels.T
    assert (label == plain.labels[:, 0]).all() and (label == (tal1 != gata1)).all()
    assert [int(((tal1 == a) & (gata1 == b)).sum()) for a in (0, 1) for b in (0, 1)] == [100] * 4
    # A task that is there already is not added twice, and a set stands for its motifs.
    assert run("tal_gata", "-n", "40", "--motif-tasks", "-o", str(tmp_path / "y")) == 0
    assert Dataset.load(tmp_path / "y").tasks == ["TAL1", "GATA1", "both"]
    core = load_spec("koo2021_fixed")
    assert [task.name for task in core.with_motif_tasks().tasks] == ["label", *core.members("core")]


def test_it_lists_the_presets(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--list") == 0
    out = capsys.readouterr().out
    assert all(f"\n{name}\n" in "\n" + out for name in list_presets())


def test_it_describes_a_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("xor", "--describe", "-n", "100") == 0
    assert "TAL1 xor GATA1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["koo", "-o", "x"], "no preset and no file 'koo'"),
        (["tal_gata"], "-o FOLDER"),
        ([], "Name a preset"),
        (["tal_gata", "-o", "x", "-n", "0"], "0 is not in the range"),
        (["tal_gata", "-o", "nowhere/deep/x", "-n", "5"], "does not exist"),
        (["bad.toml", "-o", "x"], "lenght: unknown key; did you mean 'length'"),
        (["taken", "-o", "taken"], "exists"),
    ],
)
def test_bad_input_gives_one_message_and_exit_code_2(
    args: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.toml").write_text("name = 'x'\nlenght = 3\n")
    Path("taken").mkdir()
    Path("taken/file").touch()
    before = sorted(Path().iterdir())
    assert run(*args) == 2
    captured = capsys.readouterr()
    assert words in captured.err and "Traceback" not in captured.err
    assert sorted(Path().iterdir()) == before


def test_a_folder_is_simulated_again_with_its_own_number_and_seed(tmp_path: Path) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    assert run("tal_gata", "-n", "7", "--seed", "3", "-o", str(first)) == 0
    assert run(str(first), "-o", str(again)) == 0
    assert {p.name: p.read_bytes() for p in again.iterdir()} == {
        p.name: p.read_bytes() for p in first.iterdir()
    }
    assert run(str(first), "-n", "4", "--seed", "1", "-o", str(tmp_path / "other")) == 0
    assert (tmp_path / "other" / "sequences.fa").read_text().count(">") == 4


def test_force_replaces_a_data_set(tmp_path: Path) -> None:
    out = str(tmp_path / "x")
    assert run("tal_gata", "-n", "5", "-o", out) == 0
    assert run("tal_gata", "-n", "7", "-o", out) == 2
    assert run("tal_gata", "-n", "7", "-o", out, "--force") == 0
    assert len(Dataset.load(out)) == 7


def test_it_draws_a_description(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = tmp_path / "spacing.png"
    assert run("spacing", "--describe", "-n", "60", "--figure", str(figure)) == 0
    assert figure.read_bytes().startswith(b"\x89PNG") and figure.stat().st_size > 20_000
    assert run("spacing", "--describe", "-n", "60", "--figure", str(figure)) == 2
    assert "exists already" in capsys.readouterr().err
    assert run("spacing", "-o", str(tmp_path / "x"), "--figure", "y.png") == 2
    assert "give --describe" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--truth"], ["--variants", "3"], ["-o", "x"], ["--workers", "2"]])
def test_a_description_refuses_what_belongs_to_a_data_set(
    option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("tal_gata", "--describe", *option) == 2
    assert "does nothing with --describe, which writes no data: leave it out" in capsys.readouterr().err
