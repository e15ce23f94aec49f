"""The entry point: lazy, one readable message on bad input, the right exit code."""

import subprocess
import sys

import pytest

from genoplrp.cli.main import COMMANDS, main


def run(capsys, *args):
    with pytest.raises(SystemExit) as stopped:
        main(list(args))
    captured = capsys.readouterr()
    return stopped.value.code, captured.out, captured.err


def test_help_lists_every_command_and_an_example(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert all(name in out for name in COMMANDS)
    assert "Example" in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(capsys, name):
    code, out, _ = run(capsys, name, "--help")
    assert code == 0
    assert "Example" in out


def test_importing_the_package_imports_nothing_heavy():
    script = (
        "import sys, genoplrp; "
        "heavy = {'torch', 'numpy', 'pandas', 'matplotlib', 'numba', 'sklearn'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_help_imports_neither_torch_nor_pandas():
    script = (
        "import sys\nfrom genoplrp.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'pandas', 'matplotlib', 'numba'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


def test_an_unknown_command_is_exit_code_2(capsys):
    code, _, err = run(capsys, "explode")
    assert code == 2
    assert "explode" in err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["explain", "nowhere", "--dataset", "nowhere", "--out", "r.npz"], "nowhere"),
        (["score", "nowhere.npz", "--dataset", "nowhere"], "nowhere"),
        (["quickstart", "--dataset", "no_such_preset", "--out", "q"], "no_such_preset"),
        (["simulate", "no_such_preset", "-n", "10", "--out", "d"], "no_such_preset"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2_and_nothing_written(
    capsys, tmp_path, monkeypatch, args, said
):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, *args)
    assert code == 2
    assert said in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_an_unforeseen_failure_is_exit_code_1_without_a_traceback(capsys, monkeypatch):
    import click

    from genoplrp.cli import main as module

    def broken():
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr(module.cli, "get_command", lambda ctx, name: click.Command("score", callback=broken))
    code, _, err = run(capsys, "score")
    assert code == 1
    assert "the disk is on fire" in err
    assert "Traceback" not in err


def test_a_full_disk_is_said_in_plain_words(capsys, monkeypatch):
    import click

    from genoplrp.cli import main as module

    def full():
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.cli, "get_command", lambda ctx, name: click.Command("score", callback=full))
    code, _, err = run(capsys, "score")
    assert code == 1
    assert "the disk is full (No space left on device)" in err
    assert "run the same command again" in err


def test_a_progress_bar_does_not_flood_a_log(tmp_path):
    code = (
        "import sys, time\nfrom genoplrp.cli.main import main\n"
        "try:\n    main(['--version'])\nexcept SystemExit:\n    pass\n"
        "from tqdm import tqdm\n"
        "for _ in tqdm(range(40)):\n    time.sleep(0.02)\n"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stderr.count("\r") <= 3  # at the start and at the end; ten a second on a terminal


@pytest.mark.parametrize(
    "command",
    [
        ["quickstart", "-o", "run"],
        ["train", "nowhere", "-o", "model"],
        ["explain", "nowhere", "--fasta", "nowhere.fa", "-o", "scan"],
        ["report", "nowhere", "-o", "report.html"],
        ["flow", "nowhere", "-d", "nowhere", "-o", "flow"],
        ["motifs", "nowhere", "-m", "nowhere", "-o", "motifs"],
    ],
    ids=lambda command: command[0],
)
def test_a_device_that_is_not_there_is_refused_before_any_work(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main([*command, "--device", "foo"])
    assert end.value.code == 2
    assert "device='foo' cannot be used here" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
