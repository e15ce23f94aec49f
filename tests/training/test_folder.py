"""From labelled FASTA to a checkpoint folder, with interruptions."""

import numpy as np
import pandas as pd
import pytest

from genoplrp.errors import CheckpointError, InputError, OutputExistsError
from genoplrp.sequence import write_fasta
from genoplrp.training import load_model, read_labelled_fasta, read_training_data, train_to_folder
from genoplrp.training.folder import state_path
from genoplrp.training.loop import Run

QUICK = {
    "parameters": {"filters": (4, 4), "dense": 4},
    "epochs": 3,
    "batch_size": 64,
    "bootstrap": 0,
    "progress": False,
}


@pytest.fixture
def files(task, tmp_path):
    sequences, labels = task
    names = [f"s{i}" for i in range(len(sequences))]
    write_fasta(tmp_path / "x.fa", sequences, names)
    table = pd.DataFrame({"name": names, "cell": "liver", "site": labels, "level": labels * 2.5})
    table.loc[3, "level"] = np.nan
    return tmp_path, table


def test_fasta_and_table_are_joined_by_name_whatever_the_order(files, task):
    folder, table = files
    table.sample(frac=1, random_state=0).to_csv(folder / "y.tsv", sep="\t", index=False)
    read = read_labelled_fasta(folder / "x.fa", folder / "y.tsv")
    assert read.tasks == ("site", "level")
    assert (read.labels[:, 0] == task[1]).all()
    assert np.isnan(read.labels[3, 1])
    assert read.checksum == read_training_data((task[0], table[["site", "level"]]), tasks=read.tasks).checksum


def test_split_and_tasks_of_the_table_are_kept(files):
    folder, table = files
    table["split"] = np.where(np.arange(len(table)) < 500, "train", "valid")
    table.to_csv(folder / "y.csv", index=False)
    read = read_labelled_fasta(folder / "x.fa", folder / "y.csv", tasks=["level"])
    assert read.tasks == ("level",)
    assert (read.split == table["split"]).all()


@pytest.mark.parametrize(
    ("change", "tasks", "message"),
    [
        (lambda t: t.iloc[5:], None, "no row for 5 of 600 sequences"),
        (lambda t: t.rename(columns={"name": "id"}), None, "no column 'name'"),
        (lambda t: pd.concat([t, t.iloc[:1]]), None, "has 's0' more than once"),
        (lambda t: t, ["activity"], "no column 'activity'"),
        (lambda t: t, ["cell"], r"'liver' \(s0, cell\) is no number"),
        (lambda t: t[["name", "cell"]], None, "no column of numbers"),
    ],
)
def test_table_that_does_not_fit_is_refused(files, change, tasks, message):
    folder, table = files
    change(table).to_csv(folder / "y.tsv", sep="\t", index=False)
    with pytest.raises(InputError, match=message):
        read_labelled_fasta(folder / "x.fa", folder / "y.tsv", tasks=tasks)


def test_interrupted_training_is_taken_up_and_a_finished_one_is_not_repeated(task, tmp_path, monkeypatch):
    out = tmp_path / "model"
    unbroken = Run.epoch

    def third_epoch_fails(self, bar):
        if len(self.history) == 2:
            raise KeyboardInterrupt
        unbroken(self, bar)

    monkeypatch.setattr(Run, "epoch", third_epoch_fails)
    with pytest.raises(KeyboardInterrupt):
        train_to_folder(task, out, **QUICK)
    monkeypatch.undo()
    assert state_path(out).exists()
    assert not out.exists()
    with pytest.raises(OutputExistsError, match="interrupted training"):
        train_to_folder(task, out, **QUICK)
    epochs = []
    monkeypatch.setattr(
        Run, "epoch", lambda self, bar: (epochs.append(len(self.history)), unbroken(self, bar))
    )
    fit = train_to_folder(task, out, resume=True, **QUICK)
    assert epochs == [2]
    assert not state_path(out).exists()
    again = train_to_folder(task, out, resume=True, **QUICK)
    assert epochs == [2]
    assert (again.logits(task[0]) == fit.logits(task[0])).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0.5}, "lr was 0.01, now 0.5"),
        ({"seed": 4}, "seed was 0, now 4"),
        ({"architecture": "deepbind", "parameters": None}, "architecture was 'koo', now 'deepbind'"),
        ({"parameters": QUICK["parameters"] | {"filters": (4, 8)}}, r"filters was \[4, 4\], now \(4, 8\)"),
        ({"reverse_complement": True}, "reverse_complement was False, now True"),
    ],
)
def test_finished_training_with_other_settings_is_not_taken_for_the_one_asked_for(
    task, tmp_path, change, message
):
    out = tmp_path / "model"
    train_to_folder(task, out, **QUICK | {"epochs": 1})
    with pytest.raises(CheckpointError, match=message):
        train_to_folder(task, out, resume=True, **QUICK | {"epochs": 1} | change)
    with pytest.raises(CheckpointError, match="on other data"):
        train_to_folder((task[0], 1 - task[1]), out, resume=True, **QUICK | {"epochs": 1})


def test_folder_that_exists_is_kept_unless_overwriting(task, tmp_path):
    out = tmp_path / "model"
    train_to_folder(task, out, seed=1, **QUICK)
    with pytest.raises(OutputExistsError, match="exists already"):
        train_to_folder(task, out, seed=2, **QUICK)
    assert load_model(out).seed == 1
    train_to_folder(task, out, seed=2, overwrite=True, **QUICK)
    assert load_model(out).seed == 2


def test_a_folder_that_must_not_be_replaced_is_refused_before_the_training(task, tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "epoch", lambda self, bar: pytest.fail("trained"))
    (tmp_path / "notes").mkdir()
    with pytest.raises(OutputExistsError, match="it was not made by this command"):
        train_to_folder(task, tmp_path / "notes", overwrite=True, **QUICK)


def test_with_nothing_to_resume_the_training_starts_anew_and_says_so(task, tmp_path):
    with pytest.warns(UserWarning, match="nothing to resume"):
        fit = train_to_folder(task, tmp_path / "model", resume=True, **QUICK | {"epochs": 1})
    assert len(fit.history) == 1
