"""``genoplrp train`` from the command line: files in, files out, exit codes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import genoplrp
from genoplrp.cli.main import main
from genoplrp.sequence import write_fasta
from genoplrp.synthetic import Dataset
from genoplrp.training import load_model


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in ("train", *arguments)])
    return ended.value.code


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    letters = np.array(list("ACGT"))[rng.integers(0, 4, (240, 30))]
    labels = np.arange(240) % 2
    letters[labels == 1, 10:16] = list("GATAAG")
    return Dataset.from_sequences(["".join(row) for row in letters], labels, ["gata"])


@pytest.fixture
def folder(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data.save("data")
    return tmp_path


QUICK = ("--epochs", 3, "--batch-size", 32, "--device", "cpu")


def test_data_set_to_checkpoint_with_a_table_of_metrics(folder, data, capsys):
    assert run("data", "-o", "model", *QUICK, "--figure", "curves.png", "--log", "log.csv") == 0
    printed = capsys.readouterr()
    assert "auroc" in printed.out
    assert "Wrote model" in printed.err
    assert {p.name for p in (folder / "model").iterdir()} == {
        "weights.safetensors",
        "model.json",
        "history.csv",
    }
    card = json.loads((folder / "model" / "model.json").read_text())
    assert card["provenance"]["data_sha256"] == data.checksum()
    assert len(pd.read_csv("log.csv")) == 3
    assert (folder / "curves.png").stat().st_size > 5000
    assert load_model("model").predict(data.sequences).shape == (240, 1)


def test_fasta_with_labels_trains_too(folder, data):
    write_fasta("x.fa", data.sequences, data.names)
    pd.DataFrame({"name": data.names, "gata": data.labels[:, 0]}).to_csv("y.csv", index=False)
    assert run("x.fa", "--labels", "y.csv", "-o", "model", "-a", "deepbind", *QUICK) == 0
    assert load_model("model").tasks == ("gata",)


def test_several_seeds_give_a_checkpoint_each_and_their_spread(folder, capsys):
    assert run("data", "-o", "models", "--seed", 4, "--seeds", 2, *QUICK) == 0
    assert [load_model(folder / "models" / f"seed{s}").seed for s in (4, 5)] == [4, 5]
    assert "sd" in capsys.readouterr().out


def test_each_seed_has_logs_of_its_own(folder):
    pytest.importorskip("tensorboard")
    assert run("data", "-o", "m", "--seeds", 2, "--log", "l.csv", "--tensorboard", "tb", *QUICK) == 0
    logs = [pd.read_csv(f"l.seed{s}.csv") for s in (0, 1)]
    assert all(len(log) == 3 for log in logs)
    assert logs[0]["train_loss"].tolist() != logs[1]["train_loss"].tolist()
    assert sorted(p.name for p in (folder / "tb").iterdir()) == ["seed0", "seed1"]


def test_a_parameter_changes_the_reference_architecture(folder):
    assert run("data", "-o", "m", "-P", "filters=8,12", "-P", "dense=16", *QUICK, "--schedule", "cosine") == 0
    fit = load_model("m")
    assert (fit.model.conv1.out_channels, fit.model.conv2.out_channels) == (8, 12)
    assert fit.model.output.in_features == 16
    assert fit.provenance["options"]["schedule"] == "cosine"


OWN = """
from torch import nn

def build():
    return nn.Sequential(nn.Conv1d(4, 8, 7), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(8, 1))
"""


def test_your_own_module_is_trained_from_the_command_line_and_the_seed_decides_its_weights(folder):
    Path("mine.py").write_text(OWN)
    before = torch.random.get_rng_state()
    for out, seed in (("a", 1), ("again", 1), ("b", 2)):
        assert run("data", "-o", out, "-a", "mine.py:build", "--seed", seed, *QUICK) == 0
    assert torch.equal(before, torch.random.get_rng_state())
    weights = [(folder / out / "weights.safetensors").read_bytes() for out in ("a", "again", "b")]
    assert weights[0] == weights[1] != weights[2]
    assert run("data", "-o", "a", "-a", "mine.py:build", "--seed", 1, "--resume", *QUICK) == 0
    assert json.loads((folder / "a" / "model.json").read_text())["architecture"]["name"] == "Sequential"


def test_a_simdata_file_trains(folder, data):
    rows = ["seqName\tsequence\tembeddings\tgata"]
    for name, letters, label in zip(data.names, data.sequences, data.labels[:, 0], strict=True):
        rows.append(f"{name}\t{letters}\t{'pos-10_GATA-GATAAG' if label else ''}\t{int(label)}")
    Path("x.simdata").write_text("\n".join(rows) + "\n")
    assert run("x.simdata", "-o", "model", *QUICK) == 0
    assert load_model("model").tasks == ("gata",)


def test_architectures_are_listed(capsys):
    assert run("--list") == 0
    shown = capsys.readouterr().out
    assert all(
        name in shown
        for name in ("koo", "koo_exp", "bpnet", "deepbind", "basset", "deepstarr", "residualbind")
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "-o", "m"], "nowhere"),
        (["data"], "--out are needed"),
        (["data", "-o", "data"], "data exists already"),
        (["data", "-o", "m", "-a", "vgg"], "no architecture 'vgg'"),
        (["data", "-o", "m", "--device", "gpu"], "device='gpu'"),
        (["data", "-o", "m", "--lr", "-1"], "lr=-1"),
        (["data", "-o", "m", "--figure", "c.bmp"], "c.bmp"),
        (["data", "-o", "m", "-P", "filters"], "give key=value"),
        (["data", "-o", "m", "-P", "filters=8,8", "-P", "filters=8"], "is given twice"),
        (["data", "-o", "m", "-P", "filters=8"], "filters=8 is one number, and filters takes several"),
        (["data", "-o", "m", "-P", "depth=3"], "no parameter 'depth'"),
        (["data", "-o", "m", "-a", "mine.py:build"], "there is no file mine.py"),
        (["data", "-o", "m", "--label-smoothing", "2"], "label_smoothing=2"),
    ],
)
def test_bad_input_is_one_message_exit_code_2_and_nothing_written(folder, capsys, arguments, message):
    before = sorted(p.name for p in folder.iterdir())
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert sorted(p.name for p in folder.iterdir()) == before


def test_killed_process_resumes_to_the_same_weights(folder):
    """SIGKILL: no handler runs; what is on disk has to do."""
    options = ["data", "--batch-size", "8", "--epochs", "15", "--patience", "0", "--device", "cpu"]
    command = [sys.executable, "-m", "genoplrp", "train", *options, "-o", "killed"]
    root = str(Path(genoplrp.__file__).parents[1])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": root}
    started = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    state = folder / "killed.unfinished.safetensors"
    deadline = time.monotonic() + 60
    while not state.exists() and started.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    started.send_signal(signal.SIGKILL)
    started.wait()
    assert state.exists()
    assert not (folder / "killed").exists()
    assert run(*options, "-o", "killed", "--resume") == 0
    assert run(*options, "-o", "whole") == 0
    weights = [(folder / out / "weights.safetensors").read_bytes() for out in ("killed", "whole")]
    assert weights[0] == weights[1]
