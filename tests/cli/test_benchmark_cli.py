from __future__ import annotations

import json

import pytest

from genoplrp.cli.main import main
from genoplrp.evaluation import default_methods, get_method


def run(*arguments) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


def test_the_methods_of_a_plan_can_be_listed_without_running_it(tmp_path, capsys):
    assert run("benchmark", "--quick", "--list", "--out", tmp_path / "run") == 0
    names = capsys.readouterr().out.split()
    assert {get_method(name).name for name in default_methods(quick=True, p=(0.05, 0.15))} <= set(names)
    assert not (tmp_path / "run").exists()


def test_a_list_needs_no_folder_and_a_run_does(capsys):
    assert run("benchmark", "--quick", "--list") == 0
    assert "lrp" in capsys.readouterr().out
    assert run("benchmark", "--quick") == 2
    assert "--out" in capsys.readouterr().err


def test_the_sweep_adds_forty_maps(tmp_path, capsys):
    run("benchmark", "--method", "lrp", "--sweep", "--list", "--out", tmp_path / "run")
    assert len(capsys.readouterr().out.split()) == 41


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "no-such-preset"], "no-such-preset"),
        (["--quick", "--method", "saliency"], "unknown method 'saliency'"),
        (["--quick", "--dataset", "koo2021_fixed", "--task", "5", "--n-sequences", "40"], "no task 5"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(tmp_path, capsys, arguments, message):
    assert run("benchmark", *arguments, "--out", tmp_path / "run") == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_folder_that_is_no_benchmark_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert run("benchmark", "--quick", "--out", tmp_path, "--force") == 2
    assert "is no benchmark" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_data_set_on_disk_is_taken_by_its_folder(tmp_path, capsys):
    run("simulate", "koo2021_fixed", "-n", "300", "--out", tmp_path / "mine")
    code = run(
        "benchmark", "--dataset", tmp_path / "mine", "-a", "koo", "--seeds", 1, "--epochs", 1,
        "-m", "random", "--n-explain", 5, "--least-auroc", 0, "--out", tmp_path / "run",
    )  # fmt: skip
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert plan["datasets"] == ["mine"]
    # One epoch on so little may predict no positive at all: then that is what is said.
    assert code == 0 or "no positive of the test part" in capsys.readouterr().err
