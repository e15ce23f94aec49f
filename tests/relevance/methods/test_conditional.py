"""Conditional relevance: parts add up to the whole at every cut, and equal what each gives on its own."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from genoplrp.errors import InputError
from genoplrp.relevance import DeepLift, Epsilon, Explainer, GradientTimesInput, Pruning, filter_windows
from genoplrp.relevance.methods.conditional import (
    ConditionalRelevance,
    channel_relevance,
    conditional_relevance,
)
from genoplrp.relevance.methods.passes import OUTPUT
from genoplrp.sites.fields import activations, receptive_fields
from genoplrp.sites.thinning import thinning
from genoplrp.training import build_architecture

PRUNINGS = [
    None,
    Pruning(p=0.2),
    Pruning(p=0.2, scope="position"),
    Pruning(p=0.2, method="M"),
    Pruning(p=0.2, method="M-literal"),
    Pruning(p="auto"),
]
DIRECT = ["wsquare", "epsilon-plus-flat", "epsilon-gamma-box"]
"""Presets with a rule of their own for the bases."""


def sequences(n: int, length: int = 60, seed: int = 0) -> Tensor:
    bases = torch.randint(4, (n, length), generator=torch.Generator().manual_seed(seed))
    return torch.eye(4, dtype=torch.float64)[bases].mT


def network(name: str) -> nn.Module:
    return build_architecture(name, length=60, n_tasks=2).double().eval()


def grouped(found: Tensor, count: int) -> Tensor:
    return torch.arange(found.shape[1]) % count


@pytest.mark.parametrize("pruning", PRUNINGS, ids=str)
@pytest.mark.parametrize("name", ["koo", "bpnet", "residualbind"])
def test_every_cut_passes_on_the_whole(name: str, pruning: Pruning | None) -> None:
    explain, X = Explainer(network(name), pruning=pruning), sequences(3)
    whole = channel_relevance(explain, X, 1)
    groups = {layer: grouped(value, 5) for layer, value in whole.channels.items()}
    parts = conditional_relevance(explain, X, groups, 1)
    torch.testing.assert_close(whole.per_nucleotide, explain(X, 1).per_nucleotide, rtol=1e-9, atol=1e-12)
    for layer, value in whole.channels.items():
        arrived = sum_of(parts, layer)
        expected = torch.stack(
            [value[:, groups[layer] == k].sum(dim=1) for k in range(arrived.shape[1])], dim=1
        )
        torch.testing.assert_close(arrived, expected, rtol=1e-9, atol=1e-12)
    at_bases = torch.stack([value.sum(dim=1) for value in parts.skipped.values()]).sum(dim=0)
    torch.testing.assert_close(at_bases, whole.per_nucleotide, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("rules", DIRECT)
def test_of_one_layer_the_maps_add_up_to_the_explanation(rules: str) -> None:
    explain, X = Explainer(network("koo"), rules=rules, pruning=Pruning(p=0.2)), sequences(2)
    expected = explain(X).per_nucleotide
    for layer, value in channel_relevance(explain, X).channels.items():
        groups = {layer: torch.arange(value.shape[1])}
        maps = conditional_relevance(explain, X, groups).maps[layer]
        torch.testing.assert_close(maps.sum(dim=1), expected, rtol=1e-9, atol=1e-12)


def test_a_channel_carries_what_the_lower_half_gives_when_it_is_explained_alone() -> None:
    torch.manual_seed(3)
    lower = nn.Sequential(nn.Conv1d(4, 6, 5), nn.ReLU(), nn.Conv1d(6, 5, 3)).double()
    upper = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(5 * 14, 1)).double()
    X = sequences(4, 20)
    z = lower(X).detach()
    # The ReLU passes relevance on, so that the upper half's input has the relevance of the lower one's output.
    carried = Explainer(upper)(z).relevance
    explain = Explainer(nn.Sequential(lower, upper))
    whole = channel_relevance(explain, X, layers=["0.2"])
    torch.testing.assert_close(whole.channels["0.2"], carried.sum(dim=2))
    parts = conditional_relevance(explain, X, {"0.2": torch.arange(5)})
    for channel in range(5):
        sent = (carried / z)[:, channel]
        alone = Explainer(lower)(X, target=lambda y, c=channel, g=sent: (y[:, c] * g).sum(dim=1))
        torch.testing.assert_close(parts.maps["0.2"][:, channel], alone.per_nucleotide)


@pytest.mark.parametrize("pruning", PRUNINGS, ids=str)
def test_what_an_explanation_kept_behind_a_convolution_is_the_relevance_of_its_channels(
    pruning: Pruning | None,
) -> None:
    torch.manual_seed(2)
    model = nn.Sequential(
        nn.Conv1d(4, 6, 5),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Conv1d(6, 5, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(60, 2),
    ).double()
    X = sequences(3, 32)
    table = Explainer(model, pruning=pruning, keep_intermediate="3")(X, 1).filters("3")
    kept = table.pivot(index="sequence", columns="filter", values="relevance").to_numpy()
    expected = channel_relevance(Explainer(model, pruning=pruning), X, 1).channels["0"]
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(torch.from_numpy(kept), expected, rtol=1e-9, atol=1e-12)


def test_batches_and_repeats_change_nothing() -> None:
    model, X = network("koo"), sequences(5)
    target = torch.tensor([0, 1, 1, 0, 1])
    groups = {"conv1": torch.arange(32), "conv2": torch.arange(64) % 7}
    results = [
        conditional_relevance(Explainer(model, pruning=Pruning(p=0.15), batch_size=size), X, groups, target)
        for size in (1, 2, 64, 500)
    ]
    for other in results[1:]:
        for pairs in ("edges", "maps", "skipped"):
            for key, value in getattr(results[0], pairs).items():
                torch.testing.assert_close(getattr(other, pairs)[key], value)


def test_pruned_parts_are_pruned_as_the_whole() -> None:
    explain, X = Explainer(network("koo"), pruning=Pruning(p=0.25)), sequences(2)
    kept = Explainer(network("koo"), pruning=Pruning(p=0.25), keep_intermediate=["conv2"])(X).intermediate[
        "conv2"
    ]
    # What the whole pass pruned between the two convolutions no part of it brings back.
    parts = conditional_relevance(explain, X, {"conv1": torch.arange(32), "conv2": torch.arange(64)})
    silent = (kept == 0).all(dim=2)
    assert silent.any()
    assert (parts.edges["conv2", "conv1"].mT[silent] == 0).all()


def test_gradient_times_input_is_taken_apart_too() -> None:
    explain, X = GradientTimesInput(network("koo")), sequences(2)
    maps = conditional_relevance(explain, X, {"conv2": torch.arange(64)}).maps["conv2"]
    torch.testing.assert_close(maps.sum(dim=1), explain(X).per_nucleotide)


def small(stride: int = 1) -> nn.Module:
    torch.manual_seed(4)
    positions = (16 - 3) // stride + 1
    layers = [nn.Conv1d(4, 6, 5), nn.ReLU(), nn.Conv1d(6, 5, 3, stride), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(5 * positions, 2)).double()


@pytest.mark.parametrize("method", ["lambda", "M", "M-literal"])
def test_a_pruned_rule_without_columns_is_taken_apart_too(method: str) -> None:
    pruning = Pruning(p=0.2, method=method, input=True)
    explain, X = Explainer(small(), rules="wsquare", pruning=pruning), sequences(3, 20)
    maps = conditional_relevance(explain, X, {"2": torch.arange(5)}).maps["2"]
    expected = explain(X).per_nucleotide
    assert (expected != Explainer(small(), rules="wsquare")(X).per_nucleotide).any()
    torch.testing.assert_close(maps.sum(dim=1), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "pruning", [Pruning(0.0, method="M"), Pruning(1e-12), Pruning(1e-12, method="M")], ids=str
)
def test_where_nothing_is_pruned_parts_are_those_without_pruning(pruning: Pruning) -> None:
    # The second convolution never reads its last inputs: they have no relevance, whatever is sent.
    model, X = small(stride=3), sequences(3, 20)
    groups = {"2": torch.arange(5)}
    expected = conditional_relevance(Explainer(model), X, groups).maps["2"]
    maps = conditional_relevance(Explainer(model, pruning=pruning), X, groups).maps["2"]
    torch.testing.assert_close(maps, expected, rtol=1e-9, atol=1e-12)


def test_parts_go_on_as_they_are_through_an_input_where_they_cancel() -> None:
    model, X = small(), sequences(3, 20)
    model[2].weight.data[1, 0] = -model[2].weight.data[0, 0]  # of channel 0 both filters read the opposite,
    model[2].weight.data[2:, 0] = 0
    model[5].weight.data.reshape(2, 5, 14)[:, 1] = model[5].weight.data.reshape(2, 5, 14)[
        :, 0
    ]  # and count alike
    model = nn.Sequential(*(layer for layer in model if not isinstance(layer, nn.ReLU)))
    groups = {"1": torch.arange(5)}
    maps = [
        conditional_relevance(Explainer(model, Epsilon(0.0), pruning), X, groups).maps["1"]
        for pruning in (None, Pruning(1e-12))
    ]
    torch.testing.assert_close(maps[1], maps[0], rtol=1e-9, atol=1e-12)


LONG = 53  # a length that tensors of no other test have


@pytest.mark.parametrize(
    "call",
    [
        lambda explain, X: channel_relevance(explain, X),
        lambda explain, X: conditional_relevance(explain, X, {"0": torch.arange(3)}),
        lambda explain, X: filter_windows(explain, X, "0"),
        lambda explain, X: receptive_fields(explain, LONG, ["0"]),
        lambda explain, X: activations(explain, "0", X),
        lambda explain, X: thinning(explain, X, p=(0.0, 0.2)),
    ],
    ids=["channels", "groups", "windows", "fields", "activations", "thinning"],
)
def test_no_batch_stays_in_memory(call: Callable[[GradientTimesInput, Tensor], object]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(4, 3, 5, padding=2), nn.ReLU(), nn.Conv1d(3, 2, 5, padding=2), nn.ReLU(), nn.Flatten()
    ).append(nn.Linear(2 * LONG, 1))
    X = torch.eye(4)[torch.randint(4, (6, LONG))].mT.contiguous()

    def tensors() -> int:
        gc.collect()
        return sum(type(o) is Tensor and o.shape[-1:] == (LONG,) for o in gc.get_objects())

    explain = GradientTimesInput(model, batch_size=3)
    explain(X)  # what it remembers of the model
    before = tensors()
    found = call(explain, X)
    del found
    assert tensors() == before


def test_unknown_layers_and_searches_are_refused() -> None:
    X = sequences(1)
    with pytest.raises(InputError, match="no layer 'conv9'; it has conv1, conv2, dense, output"):
        channel_relevance(Explainer(network("koo")), X, layers=["conv9"])
    with pytest.raises(InputError, match="searched for each sequence"):
        channel_relevance(Explainer(network("koo"), pruning=Pruning(p="faithful")), X)
    with pytest.raises(InputError, match="DeepLift explains differences"):
        channel_relevance(DeepLift(network("koo")), X)
    with pytest.raises(InputError, match="DeepLift explains differences"):
        filter_windows(DeepLift(network("koo")), X, "conv1")


def sum_of(parts: ConditionalRelevance, layer: str) -> Tensor:
    into = [value for (_, lower), value in parts.edges.items() if lower == layer]
    assert any(upper == OUTPUT for upper, _ in parts.edges)
    return torch.stack([value.sum(dim=1) for value in into]).sum(dim=0)
