"""What a model is made of, by rule: all of it is named, not the first thing that fails."""

import pytest
import torch
from torch import nn

from genoplrp.errors import InputError, UnsupportedModelError
from genoplrp.relevance import coverage


class Sine(nn.Module):
    def forward(self, x):
        return x.sin()


class Hidden(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2


class Odd(nn.Module):
    """Three things without a rule, one of them twice, one in place, among things with one."""

    def __init__(self):
        super().__init__()
        self.conv, self.sine, self.out = nn.Conv1d(4, 6, 5), Sine(), nn.Linear(6, 1)

    def forward(self, x):
        h = self.sine(self.conv(x))
        h = self.sine(h).relu()
        h = h.cumprod(dim=-1)
        h.lerp_(torch.zeros(()), 0.5)
        return self.out(Hidden.apply(h).mean(dim=-1))


def _one_hot(n=2, length=12):
    return torch.eye(4)[torch.randint(4, (n, length), generator=torch.Generator().manual_seed(0))].mT


def test_every_refusal_is_named_with_its_module_and_reason():
    model = Odd().train()
    frame = coverage(model, _one_hot())
    refused = frame[frame["kind"] == "refused"].set_index(["module", "operation"])
    assert set(refused.index) == {("sine", "sin"), ("", "cumprod"), ("", "lerp"), ("", "HiddenBackward")}
    assert refused.loc[("sine", "sin"), "calls"] == 2
    assert "in module 'sine'" in refused.loc[("sine", "sin"), "reason"]
    others = frame[frame["kind"] != "refused"]
    assert list(others["operation"]) == ["conv1d", "relu", "mul", "mean", "linear"]
    assert (others["reason"] == "").all()
    assert model.training and all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_the_callers_grad_mode_does_not_matter(context):
    with context():
        frame = coverage(Odd(), _one_hot())
    assert (frame["kind"] == "refused").sum() == 4


def test_what_cannot_be_run_at_all_is_an_error():
    with pytest.raises(UnsupportedModelError):
        coverage(torch.jit.script(torch.nn.Flatten()), _one_hot())
    with pytest.raises(InputError):
        coverage(Odd(), [1, 2])
