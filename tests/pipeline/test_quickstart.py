"""The whole workflow, small: what it writes, and that it neither overwrites nor leaves halves."""

import importlib

import numpy as np
import pandas as pd
import pytest

import genoplrp as gp
from genoplrp.errors import InputError, OutputExistsError
from genoplrp.formats.attribution import AttributionFile
from genoplrp.pipeline import explain_dataset, quickstart, rows_to_explain, splice_quickstart
from genoplrp.pipeline.splice import three_class_accuracy
from genoplrp.relevance import Pruning
from genoplrp.training.loop import Run

SMALL = {"n": 600, "epochs": 2, "explain": 12, "progress": False, "log": lambda line: None}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("road") / "quickstart"
    return quickstart(out, **SMALL)


def test_quickstart_writes_what_its_readme_names(finished):
    text = (finished.out / "README.txt").read_text()
    for name in ("data/", "model/", "relevance/", "scores.csv", "summary.csv", "figures/"):
        assert name in text
        assert (finished.out / name).exists()
    assert {p.suffix for p in (finished.out / "figures").iterdir()} == {".png", ".svg"}


def test_everything_written_can_be_read_again(finished):
    data, fit = gp.Dataset.load(finished.out / "data"), gp.load_model(finished.out / "model")
    file = AttributionFile.load(finished.out / "relevance" / "lrp.npz")
    assert len(data) == 600
    again = gp.lrp(fit.model, data.subset(file.sequence).one_hot(), 0)
    np.testing.assert_allclose(again.numpy(), file.relevance, rtol=1e-4, atol=1e-5)


def test_the_summary_holds_the_means_of_the_scores(finished):
    scores = pd.read_csv(finished.out / "scores.csv")
    means = scores.groupby("method", sort=False)["rma"].mean()
    np.testing.assert_allclose(finished.scores["rma"], means)
    assert list(means.index) == ["LRP", "PLRP-lambda p=0.25", "PLRP-M p=0.25", "consensus"]


def test_a_folder_that_exists_is_left_alone(finished):
    before = sorted(p.name for p in finished.out.iterdir())
    with pytest.raises(OutputExistsError, match="exists already"):
        quickstart(finished.out, **SMALL)
    assert sorted(p.name for p in finished.out.iterdir()) == before


def test_an_interrupted_run_goes_on_where_it_was(tmp_path, monkeypatch):
    module = importlib.import_module("genoplrp.pipeline.quickstart")

    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "_score", interrupt)
        with pytest.raises(KeyboardInterrupt):
            quickstart(tmp_path / "q", **SMALL)
    assert not (tmp_path / "q").exists()
    weights = (tmp_path / "q.partial" / "model" / "weights.safetensors").read_bytes()
    with pytest.raises(OutputExistsError, match=r"other settings \(n 600, now 700\)"):
        quickstart(tmp_path / "q", **(SMALL | {"n": 700}))
    quickstart(tmp_path / "q", **SMALL)
    assert (tmp_path / "q" / "model" / "weights.safetensors").read_bytes() == weights
    assert not (tmp_path / "q.partial").exists()


def test_an_interrupted_training_goes_on_with_the_epochs_it_has(tmp_path, monkeypatch):
    whole, epochs = Run.epoch, []

    def second_epoch_is_interrupted(self, bar):
        if len(self.history) == 1:
            raise KeyboardInterrupt
        whole(self, bar)

    with monkeypatch.context() as patched:
        patched.setattr(Run, "epoch", second_epoch_is_interrupted)
        with pytest.raises(KeyboardInterrupt):
            quickstart(tmp_path / "q", **SMALL)
    monkeypatch.setattr(Run, "epoch", lambda self, bar: (epochs.append(len(self.history)), whole(self, bar)))
    quickstart(tmp_path / "q", **SMALL)
    assert epochs[0] == 1
    assert not list((tmp_path / "q").glob("*unfinished*"))


def test_splice_quickstart_profiles_donors_and_acceptors(tmp_path):
    result = splice_quickstart(tmp_path / "s", epochs=3, progress=False, log=lambda line: None)
    profile = result.scores
    assert set(profile["task"]) == {"donor", "acceptor"}
    sums = profile.groupby(["task", "method"])["share"].sum()
    np.testing.assert_allclose(sums, 1, rtol=1e-5)
    assert (tmp_path / "s" / "figures" / "acceptor.png").stat().st_size > 10_000


def test_three_class_accuracy_counts_neither_as_a_class():
    class Fixed:
        def logits(self, X):
            return np.array([[2.0, 1.0], [-1.0, 3.0], [-1.0, -2.0], [1.0, -1.0]])

    data = gp.Dataset.from_sequences(["ACGT"] * 4, [[1, 0], [0, 1], [0, 0], [0, 0]], ["donor", "acceptor"])
    assert three_class_accuracy(Fixed(), data) == 0.75


def test_rows_to_explain_picks_positives_of_a_split(finished):
    data = gp.Dataset.load(finished.out / "data")
    rows = rows_to_explain(data, task=0, limit=5)
    assert len(rows) == 5
    assert (data.labels[rows, 0] == 1).all()
    assert (data.split[rows] == "test").all()
    with pytest.raises(InputError, match="nowhere"):
        rows_to_explain(data, split="nowhere")


def test_explaining_says_what_does_not_fit(finished):
    data, fit = gp.Dataset.load(finished.out / "data"), gp.load_model(finished.out / "model")
    with pytest.raises(InputError, match="no output 'liver'"):
        explain_dataset(fit, data, np.arange(2), target="liver")
    with pytest.raises(InputError, match="out of range"):
        explain_dataset(fit, data, np.arange(2), target=3)
    short = gp.Dataset.from_sequences(["ACGT" * 5] * 3, [1, 0, 1])
    with pytest.raises(InputError, match="20 bp"):
        explain_dataset(fit, short, np.arange(2))


def test_the_meta_data_say_how_it_was_explained(finished):
    data, fit = gp.Dataset.load(finished.out / "data"), gp.load_model(finished.out / "model")
    file, explanation = explain_dataset(fit, data, np.arange(3), pruning=Pruning(0.1))
    assert file.meta["method"] == "PLRP-lambda gamma p=0.1"
    assert file.meta["pruning"]["p"] == 0.1
    assert file.meta["data_checksum"] == data.checksum()
    assert explanation.check().holds
