"""Before an hour of training: what cannot be learned or measured is refused, or said in one line."""

import warnings

import numpy as np
import pytest
from torch import nn

from genoplrp.errors import InputError
from genoplrp.synthetic import Dataset
from genoplrp.training import read_labelled_fasta, train
from genoplrp.training.metrics import average_precision

QUICK = {"epochs": 2, "batch_size": 32, "bootstrap": 0, "progress": False}
PARTS = np.array(["train"] * 24 + ["valid"] * 8 + ["test"] * 8)


class Tiny(nn.Module):
    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.conv, self.out = nn.Conv1d(4, 4, 5), nn.Linear(4, outputs)

    def forward(self, x):
        return self.out(self.conv(x).relu().amax(dim=2))


def letters(n: int = 40, length: int = 20) -> list[str]:
    return ["".join(row) for row in np.random.default_rng(3).choice(list("ACGT"), (n, length))]


def notes_of(labels, outputs: int = 1, **options) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = train((letters(), labels), Tiny(outputs), split=PARTS, **QUICK | options)
    said = [str(one.message) for one in caught if one.category is UserWarning]
    assert said == fit.provenance["notes"], "what is said stands in the checkpoint, too"
    return said


def only(part: str, value: float, otherwise: np.ndarray) -> np.ndarray:
    return np.where(part == PARTS, value, otherwise).astype(np.float32)


ALTERNATING = np.arange(40) % 2


@pytest.mark.parametrize("value", [0.0, 1.0, 2.5])
def test_labels_that_never_change_are_refused(value):
    with pytest.raises(
        InputError, match=f"Nothing can be learned: task 'task0' is {value:g} in all 24 sequences"
    ):
        notes_of(np.full(40, value))


def test_one_class_for_all_is_refused():
    with pytest.raises(InputError, match="Nothing can be learned: class 'task0' is 1"):
        notes_of(np.eye(2)[np.zeros(40, dtype=int)], 2, task="multiclass")


def test_one_constant_task_of_two_is_said():
    (said,) = notes_of(np.stack([ALTERNATING, only("train", 1, ALTERNATING)], axis=1), 2, task="binary")[:1]
    assert said == "task 'task1' is 1 in all 24 sequences in the training part: not to be learned"


def test_a_validation_part_without_labels_is_refused():
    with pytest.raises(InputError, match="The validation part has no label"):
        notes_of(only("valid", np.nan, ALTERNATING))


def test_a_test_part_without_labels_is_said():
    assert notes_of(only("test", np.nan, ALTERNATING)) == ["The test part has no label of task0"]


@pytest.mark.parametrize(("part", "name"), [("valid", "validation"), ("test", "test")])
def test_one_class_in_a_part_is_said(part, name):
    (said,) = notes_of(only(part, 1, ALTERNATING))
    assert said == f"task 'task0' is 1 in all 8 sequences in the {name} part: no score can be given there"


def test_a_monitor_that_cannot_change_is_refused():
    with pytest.raises(InputError, match="monitor='score' cannot change: task 'task0' is 1"):
        notes_of(only("valid", 1, ALTERNATING), monitor="score")


def test_too_few_sequences_for_an_interval_are_said_and_have_none():
    with pytest.warns(UserWarning, match="The test part has 8 sequences, too few for a bootstrap interval"):
        fit = train((letters(), ALTERNATING), Tiny(), split=PARTS, **QUICK | {"bootstrap": 50})
    assert "auroc" in fit.metrics["test"]
    assert "auroc_interval" not in fit.metrics["test"]


def test_good_data_is_trained_on_without_a_word():
    assert notes_of(ALTERNATING) == []


def test_sequences_in_two_parts_and_contradicting_labels_are_said():
    sequences = letters()
    sequences[39] = sequences[0]  # test and train; labels 1 and 0
    with pytest.warns(UserWarning) as caught:
        train((sequences, ALTERNATING), Tiny(), split=PARTS, **QUICK)
    assert [str(one.message) for one in caught] == [
        "1 of 8 sequences of the test part are in the training part, too",
        "1 sequence repeats an earlier one (on either strand) with another label",
    ]


def test_declared_kinds_are_kept_and_said():
    labels = np.stack([ALTERNATING, 1 - ALTERNATING], axis=1)
    data = Dataset.from_sequences(letters(), labels, ["A", "B"], split=PARTS, kinds=["binary", "binary"])
    with pytest.warns(
        UserWarning, match="Each sequence has exactly one of A, B; they are trained as 2 binary"
    ):
        fit = train(data, Tiny(2), **QUICK)
    assert fit.kinds == ("binary", "binary")


def test_every_task_of_mixed_kinds_is_monitored_and_the_combination_is_stated():
    rng = np.random.default_rng(0)
    labels = np.stack([ALTERNATING, rng.normal(size=40), rng.poisson(3, 40)], axis=1)
    with pytest.warns(UserWarning) as caught:
        fit = train(
            (letters(), labels),
            Tiny(3),
            tasks=["a", "b", "c"],
            split=PARTS,
            **QUICK | {"monitor": "score", "epochs": 4},
        )
    stated = "mean over the tasks of AUROC (a) and Pearson r (b, c)"
    assert str(caught[0].message) == f"Tasks of different kinds: monitored is the {stated}"
    assert fit.provenance["monitored"] == stated
    history = fit.history
    each = history[["valid_auroc/a", "valid_pearson/b", "valid_pearson/c"]]
    np.testing.assert_allclose(history["valid_score"], each.mean(axis=1))
    assert history["best"].idxmax() == history["valid_score"].idxmax()


def test_average_precision_needs_both_classes():
    score, ones = np.array([0.1, 0.5, 0.9]), np.ones((1, 3))
    assert np.isnan(average_precision(score, np.ones(3), ones)).all()
    assert np.isnan(average_precision(score, np.zeros(3), ones)).all()


def test_names_that_stand_twice_are_refused(tmp_path):
    fasta, table = tmp_path / "a.fa", tmp_path / "a.tsv"
    fasta.write_text(">a\nACGTACGTAC\n>a\nTTTTTTTTTT\n>b\nGGGGGGGGGG\n")
    table.write_text("name\ty\na\t1\nb\t0\n")
    with pytest.raises(InputError, match="has the name 'a' more than once"):
        read_labelled_fasta(fasta, table)
    fasta.write_text(">a\nACGTACGTAC\n>c\nTTTTTTTTTT\n>b\nGGGGGGGGGG\n")
    table.write_text("name\ty\ty\na\t1\t0\nb\t0\t1\nc\t1\t1\n")
    with pytest.raises(InputError, match="has the column 'y' more than once"):
        read_labelled_fasta(fasta, table)
    with pytest.raises(InputError, match="Task names repeat: y, y"):
        train((letters(), np.stack([ALTERNATING] * 2, axis=1)), Tiny(2), tasks=["y", "y"], **QUICK)
