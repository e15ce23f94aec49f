"""Losses and predictions of each kind of task against their formulas."""

import numpy as np
import pytest
import torch

from genoplrp.errors import InputError
from genoplrp.training.kinds import Objective, check_labels, choose_kinds, detect_kinds

NAN = float("nan")


def objective(labels, kinds, **options):
    return Objective.fit(torch.as_tensor(labels).float().numpy(), kinds, **options)


@pytest.mark.parametrize(
    ("labels", "kinds"),
    [
        ([[0.0], [1.0], [NAN]], ("binary",)),
        ([[1.0, 1.0], [0.0, 1.0]], ("binary", "binary")),
        ([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], ("multiclass",) * 3),
        ([[0.0], [3.0]], ("count",)),
        ([[0.5, 1.0], [3.0, 0.0]], ("regression", "binary")),
        ([[-1.0], [1.0]], ("regression",)),
    ],
)
def test_kind_is_told_from_the_labels(labels, kinds):
    assert detect_kinds(np.array(labels)) == kinds


def test_declared_kinds_win_over_the_look_of_the_labels():
    labels = np.array([[0.0, 1.0], [1.0, 1.0]])
    assert choose_kinds("auto", labels, ["real", "count"]) == ("regression", "count")


def test_binary_loss_is_cross_entropy_over_the_labels_present():
    output = torch.tensor([[0.3, 2.0], [-1.0, 0.5]])
    labels = torch.tensor([[1.0, NAN], [0.0, 1.0]])
    p = 1 / (1 + np.exp(-np.array([0.3, -1.0, 0.5])))
    expected = -(np.log(p[0]) + np.log(1 - p[1]) + np.log(p[2])) / 3
    assert float(objective(labels, ["binary"] * 2).loss(output, labels)) == pytest.approx(expected, rel=1e-6)


def test_regression_is_learnt_on_standardised_labels_and_predicted_on_their_own_scale():
    labels = torch.tensor([[100.0], [300.0]])
    fitted = objective(labels, ["regression"])
    assert float(fitted.loss(torch.tensor([[-1.0], [1.0]]), labels)) == 0.0
    assert fitted.prediction(torch.tensor([[-1.0], [1.0]])).tolist() == [[100.0], [300.0]]


def test_count_loss_is_least_at_the_log_of_the_mean():
    labels = torch.tensor([[1.0], [3.0], [5.0]])
    rate = torch.full((3, 1), np.log(3.0), requires_grad=True)
    fitted = objective(labels, ["count"])
    (gradient,) = torch.autograd.grad(fitted.loss(rate, labels), rate)
    assert float(gradient.sum()) == pytest.approx(0.0, abs=1e-6)
    assert fitted.prediction(rate.detach())[0].item() == pytest.approx(3.0)


@pytest.mark.parametrize("kinds", [("binary",), ("multiclass",) * 2])
def test_balanced_weights_make_a_constant_output_neutral(kinds):
    """With one positive in five, balanced classes leave the even prediction as the optimum."""
    positive = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0])
    labels = torch.stack([positive, 1 - positive], dim=1)[:, : len(kinds)]
    output = torch.zeros(5, len(kinds), requires_grad=True)
    loss = objective(labels, kinds, class_weight="balanced").loss(output, labels)
    (gradient,) = torch.autograd.grad(loss, output)
    assert gradient.sum(0).abs().max().item() == pytest.approx(0.0, abs=1e-6)


def test_smoothed_loss_is_least_at_the_smoothed_label():
    labels = torch.ones(1, 1)
    output = torch.logit(torch.tensor([[0.95]])).requires_grad_()
    (gradient,) = torch.autograd.grad(
        objective(labels, ["binary"]).loss(output, labels, smoothing=0.1), output
    )
    assert float(gradient) == pytest.approx(0.0, abs=1e-6)


def test_mixed_kinds_add_up_to_the_mean_over_all_labels():
    labels = torch.tensor([[1.0, 4.0], [0.0, 6.0]])
    output = torch.tensor([[0.5, -1.0], [0.1, 0.2]])
    both = objective(labels, ["binary", "regression"])
    first = objective(labels[:, :1], ["binary"]).loss(output[:, :1], labels[:, :1])
    second = objective(labels[:, 1:], ["regression"]).loss(output[:, 1:], labels[:, 1:])
    assert float(both.loss(output, labels)) == pytest.approx(float(first + second) / 2)


@pytest.mark.parametrize(
    ("labels", "kinds", "message"),
    [
        ([[0.0], [2.0]], ["binary"], r"Label 2 of task 't0' \(row 1\) is not 0 or 1"),
        ([[0.5]], ["count"], "not a count"),
        ([[1.0, 1.0]], ["multiclass"] * 2, "exactly one 1"),
        ([[NAN], [NAN]], ["binary"], "no label at all"),
    ],
)
def test_labels_of_another_kind_are_refused(labels, kinds, message):
    with pytest.raises(InputError, match=message):
        check_labels(np.array(labels), kinds, [f"t{i}" for i in range(len(kinds))])


@pytest.mark.parametrize("task", ["softmax", ["binary"], ["binary", "multiclass"]])
def test_unknown_or_misfitting_kinds_are_refused(task):
    with pytest.raises(InputError):
        choose_kinds(task, np.zeros((3, 2)))
