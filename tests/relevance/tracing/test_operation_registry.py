"""The registry of operations: one entry serves LRP, DeepLIFT and the pass without autograd."""

import pytest
import torch
from torch import nn

from genoplrp.errors import InputError, UnsupportedOperationError
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


def as_it_is(tracer, func, args, kwargs):
    return func(*args, **kwargs)


@pytest.fixture
def trapezoid():
    def register(name="trapezoid", handler=as_it_is, **kinds):
        register_operation(name, handler, **kinds)

    yield register
    for name in ("trapezoid", "hypot"):
        for table in (registry.HANDLERS, registry.DIFFERENCES):
            table.pop(name, None)
        for kind in (registry.LINEAR, registry.ELEMENTWISE, registry.NEUTRAL):
            kind.discard(name)
        registry.FROM_OUTSIDE.discard(name)


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


def test_an_operation_of_no_kind_can_bring_what_deeplift_does_with_it(sequences, trapezoid):
    class Norm(nn.Module):
        def forward(self, x):
            return torch.hypot(x, 1 + x)

    def difference(tracer, func, args, kwargs):
        squares = [tracer.pair("hypot", x).through(torch.square).here for x in args]
        return tracer.pair("hypot", squares[0] + squares[1]).through(torch.sqrt).here

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(4, 3, 3), Norm(), nn.Flatten(), nn.Linear(24, 1)).double()
    references = torch.full_like(sequences, 0.25)[:, None]
    trapezoid("hypot")
    with pytest.raises(UnsupportedOperationError, match=r"hypot.*there is none for DeepLIFT"):
        DeepLift(model, references=references)(sequences)
    trapezoid("hypot", difference=difference)
    e = DeepLift(model, references=references)(sequences)
    expected = (model(sequences) - model(references[:, 0]))[:, 0].detach()
    torch.testing.assert_close(e.relevance.sum((1, 2)), expected)


def test_an_operation_registered_as_neutral_may_hide_its_tensors_under_vmap(sequences, trapezoid):
    class Mapped(nn.Module):
        def forward(self, x):
            return torch.vmap(torch.trapezoid)(torch.stack([x, 3 * x], dim=1))

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(4, 3, 3), Mapped(), nn.Flatten(), nn.Linear(6, 1)).double()
    trapezoid()
    with pytest.raises(UnsupportedOperationError, match="vmap"):
        Explainer(model)(sequences)
    trapezoid(neutral=True)
    assert Explainer(model)(sequences).check().holds


def test_what_the_pass_without_autograd_takes_as_neutral_is_so_for_the_tracer():
    combinations = {"cat", "concat", "concatenate"}  # neutral where nothing constant is joined
    assert reading.NEUTRAL - combinations <= registry.NEUTRAL | {"max_pool1d", "avg_pool1d"}
    assert combinations <= registry.LINEAR


@pytest.mark.parametrize(
    ("handler", "says"),
    [
        (lambda tracer, func, args, kwargs: args[0].mean(dim=0), "by up to"),
        (lambda tracer, func, args, kwargs: args[0], "returned shapes"),
        (lambda tracer, func, args, kwargs: None, "returned None"),
    ],
)
def test_a_handler_that_computes_something_else_is_refused(model, sequences, trapezoid, handler, says):
    # The mean of x and 3 x is what trapezoid returns: a mean of half of it, everything, or nothing are not.
    wrong = handler if says != "by up to" else lambda *call: handler(*call) / 2
    trapezoid(handler=wrong, linear=True)
    with pytest.raises(InputError, match=f"the handler registered for 'trapezoid' (returned .*)?{says}"):
        Explainer(model)(sequences)


def test_the_refusal_says_under_which_name_a_function_is_registered(sequences):
    class Erfc(nn.Module):
        def forward(self, x):
            return torch.special.erfc(x)

    model = nn.Sequential(nn.Conv1d(4, 3, 3), Erfc(), nn.Flatten(), nn.Linear(24, 1)).double()
    with pytest.raises(
        UnsupportedOperationError, match=r"erfc, for the registry 'special_erfc', .*register_operation"
    ):
        Explainer(model)(sequences)
