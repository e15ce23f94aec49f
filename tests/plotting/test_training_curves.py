"""Training curves: what is drawn is what the history says."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from genoplrp.errors import InputError
from genoplrp.plotting.training_curves import plot_training_curves


@pytest.fixture
def history():
    epochs = np.arange(1, 6)
    return pd.DataFrame(
        {
            "epoch": epochs,
            "train_loss": 1 / epochs,
            "valid_loss": [0.9, 0.6, 0.5, 0.55, 0.6],
            "valid_auroc": [0.5, 0.7, 0.8, 0.8, 0.79],
            "valid_mse": [9.0, 8.0, 7.0, 7.0, 7.0],
            "best": epochs == 3,
        }
    )


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_curves_are_the_columns_and_the_kept_epoch_is_marked(history):
    left, right = plot_training_curves(history)
    train, valid, kept = left.get_lines()
    np.testing.assert_array_equal(train.get_ydata(), history["train_loss"])
    np.testing.assert_array_equal(valid.get_ydata(), history["valid_loss"])
    assert (kept.get_xdata().tolist(), kept.get_ydata().tolist()) == ([3], [0.5])
    np.testing.assert_array_equal(right.get_lines()[0].get_ydata(), history["valid_auroc"])
    assert right.get_ylabel() == "AUROC"


def test_errors_are_not_drawn_among_metrics_from_0_to_1(history):
    _, right = plot_training_curves(history.assign(valid_pearson=0.5))
    labels = [text.get_text() for text in right.get_legend().get_texts()]
    assert labels == ["AUROC", "Pearson's r"]


def test_each_run_has_one_colour_in_both_axes(history):
    left, right = plot_training_curves({"a": history, "b": history.head(4)})
    for ax in (left, right):
        colours = {
            line.get_label().split(":")[0]: line.get_color()
            for line in ax.get_lines()
            if line.get_label()[0] in "ab"
        }
        assert (colours["a"], colours["b"]) == ("C0", "C1")


def test_axes_of_the_callers_own_are_drawn_on(history):
    _, (first, second) = plt.subplots(1, 2)
    assert plot_training_curves(history, axes=(first, second)) == (first, second)


@pytest.mark.parametrize(
    ("change", "metrics", "message"),
    [
        (lambda h: h.drop(columns="valid_loss"), None, "lacks the column 'valid_loss'"),
        (lambda h: h.head(0), None, "no rows"),
        (lambda h: h, ["accuracy"], "lacks the column 'valid_accuracy'"),
        (lambda h: h.drop(columns="valid_auroc"), None, "no validation metric"),
    ],
)
def test_history_without_what_is_to_be_drawn_is_refused(history, change, metrics, message):
    with pytest.raises(InputError, match=message):
        plot_training_curves(change(history), metrics)
