"""``genoplrp explain``: from files to a file, and what it says on bad input."""

import numpy as np
import pytest

import genoplrp as gp
from genoplrp.cli.main import main
from genoplrp.formats.attribution import AttributionFile


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("explain")
    data = gp.simulate(gp.load_spec("tal_gata"), n=200, seed=1)
    data.save(path / "data")
    gp.train(data, "koo", 0, epochs=1, progress=False).save(path / "model")
    return path


def run(*args):
    with pytest.raises(SystemExit) as stopped:
        main([str(a) for a in args])
    return stopped.value.code


def test_explain_writes_relevance_of_the_test_split(folder, tmp_path, capsys):
    out = tmp_path / "r.npz"
    assert run("explain", folder / "model", "-d", folder / "data", "-o", out, "--p", 0.1, "--target", 1) == 0
    file, data = AttributionFile.load(out), gp.Dataset.load(folder / "data")
    assert (data.split[file.sequence] == "test").all()
    assert set(file.target) == {1}
    model = gp.load_model(folder / "model").model
    wanted = gp.plrp(model, data.subset(file.sequence).one_hot(), 1, 0.1)
    np.testing.assert_allclose(file.relevance, wanted.numpy(), rtol=1e-4, atol=1e-6)
    assert "Conserved" in capsys.readouterr().out


def test_p_zero_is_lrp(folder, tmp_path):
    out = tmp_path / "r.npz"
    assert run("explain", folder / "model", "-d", folder / "data", "-o", out, "--p", 0, "--limit", 3) == 0
    file = AttributionFile.load(out)
    assert len(file) == 3
    assert file.meta["method"] == "LRP gamma"


def test_an_automatic_p_is_taken(folder, tmp_path):
    out = tmp_path / "r.npz"
    assert (
        run("explain", folder / "model", "-d", folder / "data", "-o", out, "--p", "auto", "--limit", 3) == 0
    )
    assert AttributionFile.load(out).meta["pruning"]["p"] == "auto"


def test_a_consensus_is_that_of_the_library_and_says_so(folder, tmp_path):
    out = tmp_path / "r.npz"
    options = ["--consensus", "--limit", 3]
    assert run("explain", folder / "model", "-d", folder / "data", "-o", out, *options) == 0
    file, data = AttributionFile.load(out), gp.Dataset.load(folder / "data")
    wanted = gp.consensus(
        gp.load_model(folder / "model").model, data.subset(file.sequence).one_hot()
    ).relevance
    np.testing.assert_allclose(file.relevance, wanted.numpy(), rtol=1e-4, atol=1e-6)
    assert file.meta["method"] == "consensus, LRP gamma, gamma-all"
    assert file.meta["pruning"] is None
    options += ["--rules", "gamma", "--p", "0.1", "--force"]
    assert run("explain", folder / "model", "-d", folder / "data", "-o", out, *options) == 0
    assert AttributionFile.load(out).meta["method"] == "consensus, PLRP-lambda gamma p=0.1"
    assert AttributionFile.load(out).meta["pruning"]["total"] is True


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--consensus", "--p", "auto"], "by a number"),
        (["--p", "1.5"], "share"),
        (["--p", "often"], "often"),
        (["--target", "9"], "out of range"),
        (["--target", "liver"], "liver"),
        (["--rules", "magic"], "magic"),
        (["--split", "holdout"], "holdout"),
        (["--device", "gpu7"], "device='gpu7' cannot be used here"),
        (["--fasta", "genome.fa"], "exclude each other"),
        (["--hypothetical"], "--hypothetical is an option of --fasta"),
        (["--layout", "NLC"], "takes (N, 4, L): leave --layout out"),
        (["--length", "80"], "--length is an option of --fasta"),
    ],
)
def test_bad_options_are_exit_code_2_and_write_nothing(folder, tmp_path, capsys, extra, said):
    out = tmp_path / "r.npz"
    assert run("explain", folder / "model", "-d", folder / "data", "-o", out, *extra) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_options_of_a_data_set_are_not_ignored_of_a_genome(folder, tmp_path, capsys):
    out = tmp_path / "scan"
    fasta = folder / "data" / "sequences.fa"
    assert run("explain", folder / "model", "--fasta", fasta, "-o", out, "--limit", 3) == 2
    assert "--limit is an option of --dataset" in capsys.readouterr().err
    assert not out.exists()


def test_a_file_that_exists_is_left_alone(folder, tmp_path, capsys):
    out = tmp_path / "r.npz"
    out.write_text("mine")
    assert run("explain", folder / "model", "-d", folder / "data", "-o", out) == 2
    assert out.read_text() == "mine"
    assert "--force" in capsys.readouterr().err


def test_what_is_no_checkpoint_is_said(folder, tmp_path, capsys):
    assert run("explain", folder / "data", "-d", folder / "data", "-o", tmp_path / "r.npz") == 2
    assert "Error" in capsys.readouterr().err


OWN = """
import torch
from torch import nn

def build():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv1d(4, 4, 9), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(4, 3)
    )
"""


def test_a_model_of_ones_own_is_explained_on_a_data_set_and_reported(folder, tmp_path, capsys):
    (tmp_path / "mine.py").write_text(OWN)
    model, out = f"{tmp_path}/mine.py:build", tmp_path / "r.npz"
    explain = ["explain", model, "-d", folder / "data", "--limit", 4]
    assert run(*explain, "-o", out, "--target", "2-0") == 0
    assert "target '2-0'" in capsys.readouterr().out
    file, data = AttributionFile.load(out), gp.Dataset.load(folder / "data")
    namespace: dict = {}
    exec(OWN, namespace)
    net = namespace["build"]().eval()
    X = data.subset(file.sequence).one_hot()
    wanted = gp.plrp(net, X, lambda y: y[:, 2] - y[:, 0], 0.25)
    np.testing.assert_allclose(file.relevance, wanted.numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(gp.plrp(net, X, "2-0", 0.25), wanted, rtol=1e-4, atol=1e-6)
    assert (file.target == -1).all()
    assert run("score", out, "-d", folder / "data") == 2
    assert "a function of several outputs" in capsys.readouterr().err
    assert run("score", out, "-d", folder / "data", "--target", "TAL1") == 0
    assert run(*explain, "-o", tmp_path / "p.npz", "--target", "2-0", "--positives") == 2
    assert run(*explain, "-o", tmp_path / "p.npz", "--target", 7) == 2
    assert "out of range" in capsys.readouterr().err
    html = tmp_path / "report.html"
    report = ["report", folder, "--model", model, "--limit", 3, "--steps", 2, "--rules", "gamma"]
    assert run(*report, "--methods", "lambda", "--target", 1, "--out", html) == 0
    assert "mine.py:build" in html.read_text()
