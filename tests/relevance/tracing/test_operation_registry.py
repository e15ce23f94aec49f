"""The registry of operations: one entry serves LRP, DeepLIFT and the pass without autograd."""

import pytest
import torch
from torch import nn

from genoplrp.errors import UnsupportedOperationError
from genoplrp.relevance import DeepLift, Explainer, register_operation
from genoplrp.relevance.fastpath import reading
from genoplrp.relevance.tracing import registry


class Doubled(torch.nn.Module):
    def forward(self, x):
        return torch.trapezoid(torch.stack([x, 3 * x]), dim=0)  # linear: the mean of x and 3 x


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(4, 3, 3), Doubled(), nn.ReLU(), nn.Flatten(), nn.Linear(24, 1)).double()


@pytest.fixture
def sequences():
    return torch.eye(4, dtype=torch.float64)[torch.randint(4, (2, 10), generator=torch.manual_seed(1))].mT


@pytest.fixture
def trapezoid():
    def register(**kinds):
        def handler(tracer, func, args, kwargs):
            return func(*args, **kwargs)

        register_operation("trapezoid", handler, **kinds)

    yield register
    registry.HANDLERS.pop("trapezoid", None)
    registry.LINEAR.discard("trapezoid")
    registry.ELEMENTWISE.discard("trapezoid")


def test_an_operation_registered_as_linear_serves_lrp_and_deeplift(model, sequences, trapezoid):
    trapezoid(linear=True)
    assert Explainer(model)(sequences).check().holds
    references = torch.full_like(sequences, 0.25)
    e = DeepLift(model, references=references[:, None])(sequences)
    torch.testing.assert_close(e.relevance.sum((1, 2)), (model(sequences) - model(references))[:, 0].detach())


def test_of_an_operation_of_no_kind_deeplift_says_that_it_has_no_rule(model, sequences, trapezoid):
    trapezoid()
    assert Explainer(model)(sequences).check().holds
    with pytest.raises(UnsupportedOperationError, match=r"trapezoid.*there is none for DeepLIFT"):
        DeepLift(model)(sequences)


def test_what_the_pass_without_autograd_takes_as_neutral_is_so_for_the_tracer():
    combinations = {"cat", "concat", "concatenate"}  # neutral where nothing constant is joined
    assert reading.NEUTRAL - combinations <= registry.NEUTRAL | {"max_pool1d", "avg_pool1d"}
    assert combinations <= registry.LINEAR
