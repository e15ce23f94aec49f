from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest
import torch

from genoplrp.cli.main import main
from genoplrp.evaluation import score
from genoplrp.formats.attribution import AttributionFile
from genoplrp.relevance import Explainer, Pruning
from genoplrp.synthetic import Dataset, load_spec, simulate
from genoplrp.training import load_model, train

ROWS = np.array([1, 4, 8])


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """What `genoplrp quickstart` leaves behind, of a network that has hardly learnt anything."""
    path = tmp_path_factory.mktemp("run")
    data = simulate(load_spec("koo2021"), n=60, seed=3, progress=False)
    data.save(path / "data")
    train(data, "koo", 0, epochs=1, progress=False).save(path / "model")
    (path / "relevance").mkdir()
    AttributionFile(np.zeros((3, 4, data.length)), np.zeros(3), np.zeros(3, int), ROWS).save(
        path / "relevance" / "lrp.npz"
    )
    return path


@pytest.fixture(scope="module")
def report(run_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "report.html"
    assert run("report", run_folder, "-o", out, "--steps", "3", "--rules", "epsilon,gamma") == 0
    return out.read_text("utf-8")


def run(*arguments):
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return exit_.value.code


def meta(page: str) -> dict:
    return json.loads(re.search(r'id="meta">(.*?)</script>', page, re.DOTALL).group(1))


def test_the_report_shows_the_sequences_that_the_run_explained(run_folder, report):
    data = Dataset.load(run_folder / "data")
    found = meta(report)
    assert found["names"] == [data.names[i] for i in ROWS]
    assert found["sequences"] == [data.sequences[i].upper() for i in ROWS]
    assert found["label"] == data.labels[ROWS, 0].tolist()
    assert found["p"] == [0.0, 0.475, 0.95]
    assert (found["rules"], found["methods"]) == (["epsilon", "gamma"], ["lambda", "M"])


def test_its_scores_are_those_of_one_explanation_after_another(run_folder, report):
    data, fit = Dataset.load(run_folder / "data"), load_model(run_folder / "model")
    X = torch.tensor(data.subset(ROWS).one_hot())
    found = meta(report)
    expected = []
    for rule in found["rules"]:
        for method in found["methods"]:
            for p in found["p"]:
                maps = Explainer(fit.model, rule, Pruning(p, method=method))(X, 0).per_nucleotide
                expected.append(score(maps, data.mask(0)[ROWS]))
    for metric, packed in found["scores"].items():
        shown = np.frombuffer(base64.b64decode(packed), "<f4").reshape(len(ROWS), -1)
        np.testing.assert_allclose(
            shown, np.stack([t[metric] for t in expected], axis=1), rtol=1e-4, atol=1e-5
        )


def test_its_prediction_is_the_models(run_folder, report):
    data, fit = Dataset.load(run_folder / "data"), load_model(run_folder / "model")
    logits = fit.logits(data.subset(ROWS).one_hot())[:, 0]
    np.testing.assert_allclose(meta(report)["prediction"], logits, atol=1e-3)


def test_a_part_of_the_data_set_can_be_asked_for(run_folder, tmp_path):
    out = tmp_path / "r.html"
    code = run("report", run_folder, "-o", out, "--split", "test", "--limit", "2", "--steps", "2", "--rules",
               "epsilon", "--methods", "lambda")  # fmt: skip
    assert code == 0
    data = Dataset.load(run_folder / "data")
    assert meta(out.read_text("utf-8"))["names"] == [
        data.names[i] for i in np.flatnonzero(data.split == "test")[:2]
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rules", "nonsense"], "nonsense"),
        (["--methods", "nonsense"], "nonsense"),
        (["--target", "7"], "out of range"),
        (["--model", "nowhere"], "no model 'nowhere'"),
        (["-o", "nowhere/report.html"], "does not exist"),
        (["-o", "report.pdf"], "ends in .html"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(
    run_folder, tmp_path, monkeypatch, capsys, options, message
):
    monkeypatch.chdir(tmp_path)
    out = [] if "-o" in options else ["-o", "report.html"]
    assert run("report", run_folder, *out, *options) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_run_and_a_report_that_exists_are_refused(run_folder, tmp_path, capsys):
    assert run("report", tmp_path / "nothing", "-o", tmp_path / "r.html") == 2
    assert "quickstart" in capsys.readouterr().err
    (tmp_path / "r.html").write_text("mine")
    assert run("report", run_folder, "-o", tmp_path / "r.html") == 2
    assert (tmp_path / "r.html").read_text() == "mine"


def test_the_flow_is_added_on_demand(run_folder, report, tmp_path):
    out = tmp_path / "report.html"
    assert (
        run(
            "report",
            run_folder,
            "-o",
            out,
            "--steps",
            "2",
            "--rules",
            "gamma",
            "--methods",
            "lambda",
            "--flow",
        )
        == 0
    )
    page = out.read_text("utf-8")
    assert "<summary>What flows where" in page
    assert "<svg" in page
    assert "<summary>" not in report
