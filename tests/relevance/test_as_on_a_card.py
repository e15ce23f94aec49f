"""The lines that run on a card, on the CPU: the kernels in Triton's interpreter (on a card where there is one)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("triton")

from benchmarks.launches import as_a_card, counted, launches
from genoplrp.relevance import Explainer, Pruning, devices

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Residual(nn.Module):
    """Everything a plain chain may hold: normalisation, pooling, a residual sum, a mean, a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv1d(4, 6, 5, padding=2), nn.BatchNorm1d(6), nn.ReLU(), nn.MaxPool1d(2)
        )
        self.second = nn.Sequential(nn.Conv1d(6, 6, 3, padding=2, dilation=2), nn.ReLU())
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        out: Tensor = self.head((h + self.second(h)).mean(dim=2))
        return out


@pytest.fixture(scope="module")
def network() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = Residual().eval()
    with torch.no_grad():
        for tensor in (model.first[1].weight, model.first[1].running_var):
            tensor.uniform_(0.5, 2)
    return model, torch.eye(4)[torch.randint(4, (2, 24))].mT.contiguous()


@pytest.mark.parametrize(
    "rules, method, autograd",
    [("epsilon", "lambda", False), ("gamma", "lambda", True), ("zplus", "M", False)],
)
def test_a_card_explains_as_the_cpu_does_and_waits_at_its_end(
    network: tuple[nn.Module, Tensor], rules: str, method: str, autograd: bool
) -> None:
    model, X = network
    pruning = Pruning(p=0.2, method=method)
    expected = Explainer(model, rules, pruning)(X)
    there = Explainer(model, rules, pruning, device=DEVICE)
    if autograd:
        there._chains.declined = "for autograd"
    with as_a_card():
        first = there(X.flip(0))
        there(X)  # asks whether the weights are still those of the first batch
        with counted() as count:
            last = there(X)
    size = expected.relevance.abs().max()
    torch.testing.assert_close(first.relevance.flip(0) / size, expected.relevance / size, rtol=0, atol=1e-5)
    torch.testing.assert_close(last.relevance / size, expected.relevance / size, rtol=0, atol=1e-5)
    assert count.waits == 3  # for the input at the door, the batch, and its ledger
    assert last.check().holds


@pytest.mark.parametrize("autograd", [False, True])
def test_a_card_may_compute_channels_last(
    network: tuple[nn.Module, Tensor], autograd: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, X = network
    expected = Explainer(model, "gamma", Pruning(p=0.2))(X).relevance
    there = Explainer(model, "gamma", Pruning(p=0.2), device=DEVICE)
    there._chains.declined = "for autograd" if autograd else ""
    monkeypatch.setattr(devices, "CHANNELS_LAST", {"cpu", "cuda"})
    with as_a_card():
        found = there(X).relevance
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_launches_are_counted(network: tuple[nn.Module, Tensor]) -> None:
    model, X = network
    x = X.to(DEVICE)
    with counted() as count:
        y = x.relu()[0].reshape(-1) + torch.empty(1, device=DEVICE)
        float(y[0])
    assert count.operations == {"relu": 1, "add": 1} and count.waits == 1 and not count.triton
    with as_a_card():
        explain = Explainer(model, "epsilon", Pruning(p=0.2), device=DEVICE, diagnostics=False)
        count = launches(explain, x)
    assert count.triton == {"_signal": 3, "_prune_row": 2}  # nothing is pruned at the network's input
    assert count.launches < 65
