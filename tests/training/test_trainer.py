"""Training as a user calls it: what it learns, what it leaves alone, what it refuses."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

import genoplrp as gp
from genoplrp.errors import CheckpointError, InputError, NonFiniteError
from genoplrp.synthetic import Dataset
from genoplrp.training import seed_table, train, train_seeds

SMALL = {"filters": (8, 8), "dense": 16}
QUICK = {"epochs": 2, "batch_size": 64, "bootstrap": 0, "progress": False}


class Scanner(nn.Module):
    """A user's own network."""

    def __init__(self, outputs=1):
        super().__init__()
        self.conv = nn.Conv1d(4, 8, 7)
        self.out = nn.Linear(8, outputs)

    def forward(self, x):
        return self.out(torch.relu(self.conv(x)).amax(dim=2))


def weights(fit):
    return fit.model.state_dict()


def same(first, second):
    return all(torch.equal(first[k], second[k]) for k in first)


def test_planted_motif_is_learnt(fit):
    assert fit.metrics["test"]["auroc"] > 0.9


def test_metrics_are_those_of_the_predictions_on_the_part(fit, task):
    from genoplrp.training import read_training_data

    read = read_training_data(task, seed=0)
    test = read.split == "test"
    predicted = fit.predict([s for s, yes in zip(task[0], test, strict=True) if yes])[:, 0]
    assert fit.metrics["test"]["auroc"] == pytest.approx(roc_auc_score(task[1][test], predicted))
    low, high = fit.metrics["test"]["auroc_interval"]
    assert low < fit.metrics["test"]["auroc"] <= high


def test_kept_weights_are_those_of_the_best_epoch(fit):
    best = fit.history.loc[fit.history["best"]].iloc[0]
    assert best["valid_loss"] == fit.history["valid_loss"].min()
    assert fit.metrics["valid"]["loss"] == pytest.approx(best["valid_loss"], rel=1e-5)


def test_predictions_are_the_sigmoid_of_the_logits(fit, task):
    np.testing.assert_allclose(fit.predict(task[0]), 1 / (1 + np.exp(-fit.logits(task[0]))), rtol=1e-5)


def test_same_seed_same_weights_and_global_random_state_untouched(task):
    torch_before, numpy_before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    fits = [train(task, parameters=SMALL, seed=s, **QUICK) for s in (3, 3, 4)]
    assert torch.equal(torch_before, torch.random.get_rng_state())
    assert (numpy_before == np.random.get_state()[1]).all()  # noqa: NPY002
    assert same(weights(fits[0]), weights(fits[1]))
    assert not same(weights(fits[0]), weights(fits[2]))


def test_result_does_not_depend_on_the_global_random_state(task):
    fits = []
    for global_seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(global_seed)
            fits.append(train(task, parameters=SMALL, **QUICK))
    assert same(weights(fits[0]), weights(fits[1]))


def test_training_stops_after_patience_epochs_without_gain(task):
    fit = train(
        task, parameters=SMALL, **QUICK | {"epochs": 30, "patience": 2, "lr": 0.05, "schedule": "constant"}
    )
    best = fit.provenance["best_epoch"]
    assert len(fit.history) == best + 3 < 30


def test_your_own_module_is_trained_as_a_copy(task):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        own = Scanner()
    before = {k: v.clone() for k, v in own.state_dict().items()}
    fit = train(task, own, **QUICK)
    assert same(before, own.state_dict())
    assert not same(before, weights(fit))
    assert isinstance(fit.model, Scanner)
    assert fit.architecture == "Scanner"


def test_frozen_parameters_stay_as_they_are(task):
    own = Scanner()
    own.conv.requires_grad_(False)
    fit = train(task, own, **QUICK)
    assert torch.equal(fit.model.conv.weight, own.conv.weight)
    assert not torch.equal(fit.model.out.weight, own.out.weight)


def test_regression_count_and_missing_labels_train_together(task):
    sequences, site = task
    rng = np.random.default_rng(0)
    labels = np.stack([site, 100 + 20 * site + rng.normal(size=len(site)), rng.poisson(1 + 4 * site)], axis=1)
    labels[rng.random(labels.shape) < 0.2] = np.nan
    fit = train(
        (sequences, labels), tasks=["site", "level", "reads"], **QUICK | {"epochs": 8, "batch_size": 32}
    )
    assert fit.kinds == ("binary", "regression", "count")
    test = fit.metrics["test"]["tasks"]
    assert test["site"]["auroc"] > 0.9
    assert test["level"]["pearson"] > 0.7
    assert test["reads"]["spearman"] > 0.5
    best = fit.history.loc[fit.history["best"]].iloc[0]
    for column in ("auroc/site", "pearson/level", "pearson/reads"):
        metric, name = column.split("/")
        assert best[f"valid_{column}"] == pytest.approx(fit.metrics["valid"]["tasks"][name][metric])
    predicted = fit.predict(sequences)
    assert 100 < predicted[:, 1].mean() < 120
    assert (predicted[:, 2] > 0).all()


def test_several_classes_train_with_softmax(task):
    sequences, site = task
    fit = train((sequences, np.stack([site, 1 - site], axis=1)), parameters=SMALL, **QUICK)
    assert fit.kinds == ("multiclass", "multiclass")
    np.testing.assert_allclose(fit.predict(sequences[:5]).sum(axis=1), 1.0, rtol=1e-6)
    assert 0 <= fit.metrics["test"]["accuracy"] <= 1


def test_a_data_set_and_its_directory_train_the_same(task, tmp_path):
    data = Dataset.from_sequences(*task, ["site"])
    data.save(tmp_path / "data")
    fits = [gp.train(source, parameters=SMALL, **QUICK) for source in (data, tmp_path / "data")]
    assert same(weights(fits[0]), weights(fits[1]))
    assert fits[0].tasks == ("site",)
    assert fits[0].provenance["data_sha256"] == data.checksum()


class InterruptedRunError(Exception):
    pass


def test_killed_training_goes_on_and_ends_in_the_same_bytes(task, tmp_path, monkeypatch):
    options = QUICK | {
        "epochs": 5,
        "parameters": SMALL,
        "seed": 2,
        "reverse_complement": True,
        "max_shift": 2,
    }
    whole = train(task, **options)
    state = tmp_path / "run" / "state.safetensors"
    from genoplrp.training import loop

    unbroken = loop.Run.epoch

    def third_epoch_fails(self, bar):
        if len(self.history) == 2:
            raise InterruptedRunError
        unbroken(self, bar)

    monkeypatch.setattr(loop.Run, "epoch", third_epoch_fails)
    with pytest.raises(InterruptedRunError):
        train(task, state=state, **options)
    monkeypatch.undo()
    assert state.exists()
    resumed = train(task, state=state, **options)
    assert same(weights(whole), weights(resumed))
    pd.testing.assert_frame_equal(
        whole.history.drop(columns="seconds"), resumed.history.drop(columns="seconds"), check_exact=True
    )
    assert not state.exists()


def test_state_of_another_training_is_refused_and_names_what_differs(task, tmp_path, monkeypatch):
    from genoplrp.training import trainer

    state = tmp_path / "state.safetensors"
    monkeypatch.setattr(trainer, "_final_metrics", lambda *_: (_ for _ in ()).throw(InterruptedRunError))
    with pytest.raises(InterruptedRunError):
        train(task, parameters=SMALL, state=state, **QUICK)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=r"lr was 0.01, now 0.5"):
        train(task, parameters=SMALL, state=state, lr=0.5, **QUICK)
    state.write_bytes(b"not a state")
    with pytest.raises(CheckpointError, match="is not the state of a training"):
        train(task, parameters=SMALL, state=state, **QUICK)


def test_several_seeds_share_the_split_and_are_summed_up(task):
    fits = train_seeds(task, seeds=(1, 2), parameters=SMALL, **QUICK)
    assert [fit.seed for fit in fits] == [1, 2]
    assert fits[0].provenance["data_sha256"] == fits[1].provenance["data_sha256"]
    table = seed_table(fits).set_index(["part", "task", "metric"])
    row = table.loc[("test", "all", "auroc")]
    values = [fit.metrics["test"]["auroc"] for fit in fits]
    assert row["mean"] == pytest.approx(np.mean(values))
    assert row["sd"] == pytest.approx(np.std(values, ddof=1))


def test_seeds_start_a_function_made_module_from_weights_of_their_own(task):
    asked = []

    def make(seed):
        asked.append(seed)
        return Scanner()

    train_seeds(task, make, seeds=(5, 6), **QUICK)
    assert asked == [5, 6]


def test_csv_log_and_tensorboard_hold_every_epoch(task, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    fit = train(task, parameters=SMALL, log=tmp_path / "log.csv", tensorboard=tmp_path / "events", **QUICK)
    logged = pd.read_csv(tmp_path / "log.csv")
    np.testing.assert_allclose(logged["valid_loss"], fit.history["valid_loss"])
    events = accumulator.EventAccumulator(str(tmp_path / "events")).Reload()
    assert [e.step for e in events.Scalars("valid/loss")] == [1, 2]
    np.testing.assert_allclose(
        [e.value for e in events.Scalars("valid/loss")], fit.history["valid_loss"], rtol=1e-5
    )


def test_progress_bar_is_on_standard_error_and_can_be_left_out(task, capsys):
    train(task, parameters=SMALL, **QUICK | {"progress": True})
    shown = capsys.readouterr()
    assert not shown.out
    assert "train" in shown.err
    train(task, parameters=SMALL, **QUICK)
    assert not capsys.readouterr().err


MIXED = """
import sys
import numpy as np
import torch
from genoplrp.training import train
from genoplrp.training.options import Options

if not torch.cuda.is_available():  # on a CPU it does not pay, but the loop is the same
    Options.check_precision = lambda self, device: None
rng = np.random.default_rng(0)
letters, labels = np.array(list("ACGT"))[rng.integers(0, 4, (600, 40))], np.arange(600) % 2
letters[labels == 1, 15:21] = list("GATAAG")
data = ["".join(row) for row in letters], labels
chosen = {"parameters": {"filters": (8, 8), "dense": 16}, "epochs": 4, "batch_size": 32, "bootstrap": 0}
single = train(data, precision="float32", progress=False, **chosen)
for precision in sys.argv[1:]:
    mixed = train(data, precision=precision, progress=False, **chosen)
    assert all(weight.dtype == torch.float32 for weight in mixed.model.parameters())
    assert any((a != b).any() for a, b in zip(single.model.parameters(), mixed.model.parameters()))
    gaps = np.abs(single.history["valid_loss"] - mixed.history["valid_loss"])
    assert gaps.max() < 0.03, (precision, gaps)
    assert mixed.metrics["test"]["auroc"] > 0.95, precision
    print(precision, flush=True)
"""
PRECISIONS = ["bfloat16", "float16"]


@pytest.fixture(scope="module")
def mixed():
    """The end of a process that trains in each precision; it prints those that learn what they should."""
    # In a process of its own: some CPUs lack instructions that half precision is compiled to.
    return subprocess.run(
        [sys.executable, "-c", MIXED, *PRECISIONS],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.mark.parametrize("precision", PRECISIONS)
def test_mixed_precision_learns_what_single_precision_learns(precision, mixed):
    if mixed.returncode < 0 and precision not in mixed.stdout.split():
        pytest.skip(f"half precision ends in signal {-mixed.returncode} on this processor")
    assert precision in mixed.stdout.split(), mixed.stderr


def test_loss_that_explodes_is_an_error_that_says_what_to_do(task):
    with pytest.raises(NonFiniteError, match="lower lr"):
        train(task, Scanner(), **QUICK | {"lr": 1e30, "clip_norm": None, "schedule": "constant"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 1}, "batch_size=1"),
        ({"lr": -1.0}, "lr=-1.0"),
        ({"schedule": "step"}, "schedule='step'"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
        ({"class_weight": "even"}, "class_weight='even'"),
        ({"device": "gpu"}, "device='gpu' cannot be used here"),
        ({"precision": "bfloat16", "device": "cpu"}, "needs a CUDA device"),
        ({"architecture": 3}, "architecture is int"),
        ({"architecture": Scanner(2)}, r"returns \(2, 2\) for two sequences; \(2, 1\) is needed"),
        ({"architecture": nn.Linear(3, 1)}, "does not take an input of shape"),
        ({"architecture": Scanner(), "parameters": SMALL}, "your own module is built already"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_trained(task, options, message):
    with pytest.raises(InputError, match=message):
        train(task, **QUICK | options)


def test_sequences_of_another_length_are_refused(fit):
    with pytest.raises(InputError, match="12 bp, the model was trained on 40 bp"):
        fit.predict(["ACGTACGTACGT"])
