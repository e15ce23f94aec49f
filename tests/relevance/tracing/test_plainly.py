"""What hides a model's operations in ordinary use is run plainly for an explanation, and as it was afterwards."""

import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils import checkpoint as checkpointing
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from genoplrp.relevance import Explainer, Pruning, lrp, plrp


def _one_hot(n=3, length=20):
    codes = torch.randint(4, (n, length), generator=torch.Generator().manual_seed(0))
    return torch.eye(4, dtype=torch.float64)[codes].mT.contiguous()


class Body(nn.Module):
    """Two convolutions; the second one and what follows in it may be called through something."""

    def __init__(self, call=None):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.head = nn.Conv1d(4, 6, 5), nn.Conv1d(6, 6, 3), nn.Linear(6, 2)
        self.call = call
        self.double()

    def block(self, h):
        return F.gelu(self.second(F.relu(h)))

    def forward(self, x):
        h = self.first(x)
        h = self.block(h) if self.call is None else self.call(self.block, h)
        return self.head(h.mean(dim=-1))


WAYS = {
    "checkpoint": lambda block, h: checkpoint(block, h, use_reentrant=False),
    "checkpoint-reentrant": lambda block, h: checkpoint(block, h, use_reentrant=True),
    "checkpoint-sequential": lambda block, h: checkpoint_sequential([block], 1, h, use_reentrant=False),
    "compiled-function": lambda block, h: torch.compile(block)(h),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_part_that_is_checkpointed_or_compiled_is_explained_as_if_it_were_not(way):
    X = _one_hot()
    expected = plrp(Body(), X, 1, p=0.1)
    assert torch.equal(plrp(Body(WAYS[way]), X, 1, p=0.1), expected)


def test_whole_models_that_are_compiled_or_in_parallel_are_taken_out_with_a_note():
    X, body = _one_hot(), Body()
    for wrapped, note in (
        (torch.compile(body), "before torch.compile"),
        (nn.DataParallel(body), "without its DataParallel"),
        (torch.compile(nn.DataParallel(body)), "without its DataParallel"),
    ):
        e = Explainer(wrapped, pruning=Pruning(0.1))(X)
        assert torch.equal(e.relevance, plrp(body, X, p=0.1))
        assert any(note in line for line in e.notes)
        assert "second" in set(e.layers["layer"])  # names are those of the model itself


def test_a_part_of_a_model_that_is_compiled_is_explained():
    X, body = _one_hot(), Body()
    expected = lrp(body, X)
    body.second = torch.compile(body.second)
    assert torch.equal(lrp(body, X), expected)


def test_checkpointing_is_as_before_afterwards_also_where_the_model_fails():
    own = checkpointing.CheckpointFunction, checkpointing._checkpoint_without_reentrant_generator

    def fails(block, h):
        assert checkpointing.CheckpointFunction is not own[0]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lrp(Body(fails), _one_hot())
    assert (checkpointing.CheckpointFunction, checkpointing._checkpoint_without_reentrant_generator) == own


def test_another_thread_keeps_its_checkpointing_meanwhile():
    seen = {}

    def elsewhere():
        h = torch.ones(2, requires_grad=True)
        calls = []
        checkpoint(lambda v: calls.append(1) or v * v, h, use_reentrant=True).sum().backward()
        seen["calls"] = len(calls)  # once forward, once again in the backward pass

    def between(block, h):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        return block(h)

    lrp(Body(between), _one_hot())
    assert seen["calls"] == 2
