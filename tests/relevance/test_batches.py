"""Batches: of any size, on any device, short of memory; their explanations are joined and stay as they are."""

import threading
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from genoplrp.errors import InputError
from genoplrp.relevance import (
    DeepLift,
    Explainer,
    Explanation,
    GradientTimesInput,
    Pruning,
    filter_windows,
    plrp,
)
from tests.relevance.small_net import Net, one_hot


def test_no_sequences_give_an_empty_explanation_on_the_cpu(device):
    e = Explainer(Net(), device=device)(one_hot()[:0])
    assert e.relevance.device.type == "cpu"
    assert e.relevance.shape == (0, 4, 20)
    assert e.per_nucleotide.shape == (0, 20)
    assert e.layers.empty
    assert e.check().holds
    assert [p for p, _ in Explainer(Net()).sweep(one_hot()[:0], p=[0, 0.1])] == [0, 0.1]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError, RuntimeError])
def test_exhausted_memory_halves_the_batch_and_says_so(error):
    sizes = []

    def between(model, h):
        sizes.append(len(h))
        if len(h) > 3:
            raise error("CUDA out of memory. Tried to allocate 20.00 GiB")
        return h

    X = one_hot(10)
    with pytest.warns(UserWarning, match="memory ran out with 10 sequences; going on with 5"):
        e = Explainer(Net(between), pruning=Pruning(0.1))(X)
    assert sizes == [10, 5, 2, 2, 2, 2, 2]
    torch.testing.assert_close(e.relevance, plrp(Net(), X, p=0.1), rtol=1e-4, atol=1e-5)
    assert e.layers["sequence"].nunique() == 10
    assert not any("one sequence at a time" in note for note in e.notes)


def test_memory_that_is_short_for_one_sequence_is_the_callers_to_know():
    def between(model, h):
        raise RuntimeError("out of memory")

    model = Net(between).train()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RuntimeError, match="out of memory"):
            plrp(model, one_hot())
    assert model.training


@pytest.mark.parametrize("length", [3, 20])
def test_a_batch_moved_off_its_first_axis_is_explained_one_by_one(length):
    """Also where the axis that takes its place has the same length, which no shape shows."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(6, 2, 8).eval()
    first = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True).eval()
    first.load_state_dict(layer.state_dict())
    turned = Net(lambda model, h: layer(h.permute(2, 0, 1)).permute(1, 2, 0))
    plain = Net(lambda model, h: first(h.mT).mT)
    X = one_hot(3, length)
    e, expected = (Explainer(m, pruning=Pruning(0.1))(X) for m in (turned, plain))
    torch.testing.assert_close(e.relevance, expected.relevance, rtol=1e-3, atol=1e-4)
    assert any("one sequence at a time" in note for note in e.notes)
    assert not any("one sequence at a time" in note for note in expected.notes)
    assert e.check().holds


def test_another_device_gets_a_copy_of_the_model():
    model = Net()
    elsewhere = Explainer(model, device="meta")
    assert elsewhere._runner is not model
    assert {p.device.type for p in elsewhere._runner.parameters()} == {"meta"}
    assert {p.device.type for p in model.parameters()} == {"cpu"}
    assert Explainer(model, device="cpu")._runner is model


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("on", ["model", "copy"])
def test_a_gpu_gives_the_same_map(on):
    model, X = Net().double(), one_hot().double()
    expected = Explainer(model, pruning=Pruning(0.1))(X)
    model = Net().double()
    e = Explainer(
        model.cuda() if on == "model" else model,
        pruning=Pruning(0.1),
        device=None if on == "model" else "cuda",
    )(X)
    assert e.relevance.device.type == "cpu"
    torch.testing.assert_close(e.relevance, expected.relevance, rtol=1e-9, atol=1e-11)
    assert e.check(1e-10).holds


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_other_explanations_filters_and_the_faithful_p_are_the_same_on_a_gpu():
    model, X = Net().double(), one_hot().double()
    pruning, faithful = Pruning(0.1), Pruning("faithful")
    shuffled = X.flip(2)[:, None]

    def everything(device):
        yield GradientTimesInput(model, pruning, device=device)(X).relevance
        yield DeepLift(model, pruning, references=lambda _: shuffled, device=device)(X).relevance
        yield Explainer(model, pruning=faithful, device=device)(X).relevance
        yield filter_windows(Explainer(model, pruning=pruning, device=device), X, "conv").contributions

    for here, there in zip(everything("cpu"), everything("cuda"), strict=True):
        torch.testing.assert_close(there, here, rtol=1e-9, atol=1e-11)


def test_the_result_is_joined_over_batches():
    model, X = Net(), one_hot(7)
    whole = Explainer(model, pruning=Pruning(0.1), keep_intermediate=True, keep_multiplier=True)(X)
    parts = Explainer(
        model, pruning=Pruning(0.1), keep_intermediate=True, keep_multiplier=True, batch_size=3
    )(X)
    for a, b in (
        (whole.relevance, parts.relevance), (whole.prediction, parts.prediction), (whole.multiplier, parts.multiplier),
        *((whole.intermediate[k], parts.intermediate[k]) for k in whole.intermediate),
    ):  # fmt: skip
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    assert whole.layers["sequence"].tolist() == parts.layers["sequence"].tolist()
    assert isinstance(parts, Explanation)
    assert "7 sequences" in repr(parts)
    torch.testing.assert_close(whole.multiplier * X, whole.relevance)
    torch.testing.assert_close(whole.per_nucleotide, whole.relevance.sum(dim=1))
    with pytest.raises(InputError, match="no relevance was kept"):
        whole.filters("missing")
    filters = whole.filters("inner.2")
    assert len(filters) == 7 * 6
    np.testing.assert_allclose(
        filters.groupby("sequence")["relevance"].sum(),
        whole.intermediate["inner.2"].flatten(1).sum(dim=1), rtol=1e-4, atol=1e-5,
    )  # fmt: skip
    windows = whole.windows("inner.2", 5, filters=2)
    assert len(windows) == 14
    assert ((windows["end"] - windows["start"]) == 5).all()


def test_a_lean_explainer_keeps_no_ledger_and_gives_the_same_map():
    model, X = Net(), one_hot()
    lean = Explainer(model, pruning=Pruning(0.1), diagnostics=False)(X)
    assert torch.equal(lean.relevance, Explainer(model, pruning=Pruning(0.1))(X).relevance)
    with pytest.raises(InputError, match="diagnostics"):
        lean.check()


@pytest.mark.parametrize("n", [2, 3, 4])
def test_a_stack_of_two_outputs_keeps_the_batch_together_and_the_ledger_by_sequence(n):
    """As where two models' counts join by log-sum-exp; with two sequences no shape tells which axis is which."""

    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = Net(), Net()
            self.b.head.weight.data *= -0.5

        def forward(self, x):
            return torch.logsumexp(torch.stack([self.a(x), self.b(x)]), dim=0)

    model, X = Joined().double(), one_hot(n)
    e = Explainer(model)(X)
    assert e.check(1e-10).holds, str(e.check(1e-10))
    assert not any("one sequence at a time" in note for note in e.notes)
    alone = torch.cat([Explainer(model)(x[None]).relevance for x in X])
    torch.testing.assert_close(e.relevance, alone, rtol=1e-9, atol=1e-11)


def test_a_result_and_what_a_hook_kept_stay_as_they_are_while_others_are_computed():
    """Large tensors may come from memory that is used again: never from memory that somebody holds."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(4, 16, 9, padding=4), nn.ReLU(), nn.Conv1d(16, 16, 9), nn.ReLU(), nn.Conv1d(16, 1, 9)
    )
    explain = Explainer(model, pruning=Pruning(0.1), keep_intermediate=True, keep_multiplier=True)
    X = [one_hot(8, 600, seed=i) for i in range(3)]
    held = []
    handle = model[2].register_forward_hook(
        lambda module, inputs, output: held.append(
            (inputs[0], output, inputs[0].detach().clone(), output.detach().clone())
        )
    )

    def target(y):
        return y[:, 0, 100:200].sum(dim=1)

    first = explain(X[0], target)
    tensors = [first.relevance, first.multiplier, first.prediction, *first.intermediate.values()]
    copies = [t.clone() for t in tensors]
    expected = [explain(x, target).relevance for x in X]
    errors = []

    def work(i):
        errors.extend(i for _ in range(3) if not torch.equal(explain(X[i], target).relevance, expected[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    handle.remove()
    assert not errors
    assert all(torch.equal(a, b) for a, b in zip(tensors, copies, strict=True))
    assert all(torch.equal(a, c) and torch.equal(b, d) for a, b, c, d in held)


@pytest.mark.parametrize("name", ["gpu7", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(name):
    with pytest.raises(InputError, match=f"device='{name}' cannot be used here"):
        Explainer(Net(), device=name)
