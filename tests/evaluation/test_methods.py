from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from genoplrp.errors import InputError
from genoplrp.evaluation.methods import (
    Job,
    default_methods,
    explain_with,
    full_name,
    get_method,
    output_function,
    register_method,
)
from genoplrp.evaluation.oracle import scan
from genoplrp.evaluation.sparsity import gini
from genoplrp.relevance import lrp, plrp
from genoplrp.sequence import one_hot_encode, reverse_complement
from genoplrp.synthetic.motifs import Motif

pytest.importorskip("captum")
pytest.importorskip("tangermeme")
LENGTH = 40


@pytest.fixture(scope="module", name="X")
def random_sequences() -> np.ndarray:
    rng = np.random.default_rng(0)
    return one_hot_encode(["".join(rng.choice(list("ACGT"), LENGTH)) for _ in range(3)])


@pytest.fixture(scope="module")
def linear() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(4 * LENGTH, 2)).eval()


@pytest.fixture(scope="module")
def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        head = (nn.Flatten(), nn.Linear(80, 8), nn.ReLU(), nn.Linear(8, 2))
        return nn.Sequential(nn.Conv1d(4, 8, 7, padding=3), nn.ReLU(), nn.MaxPool1d(4), *head).eval()


def weights(linear: nn.Module, target: int) -> np.ndarray:
    return linear[1].weight[target].detach().numpy().reshape(4, LENGTH).astype(np.float64)


@pytest.mark.parametrize("target", [0, 1])
def test_every_rival_gives_the_known_map_of_a_linear_model(X, linear, target):
    w = weights(linear, target)
    centred = w - w.mean(axis=0)
    expected = {
        "gradient": np.broadcast_to(np.abs(w).max(axis=0), (3, LENGTH)),
        "gradient-x-input": (X * w).sum(axis=1),
        "gradient-x-input-corrected": (X * centred).sum(axis=1),
        "smoothgrad": (X * centred).sum(axis=1),
        "integrated-gradients": ((X - 0.25) * w).sum(axis=1),
        "ism": (X * centred).sum(axis=1),
        "lrp@epsilon": (X * w).sum(axis=1),
    }
    for name, maps in expected.items():
        np.testing.assert_allclose(explain_with(name, Job(linear, X, target)), maps, atol=2e-4, err_msg=name)


def test_deeplift_shap_of_a_linear_model_sums_to_the_difference_from_its_shuffles(X, linear):
    first = explain_with("deeplift-shap", Job(linear, X, 0, seed=3))
    w = weights(linear, 0)
    ranges = (X * w).sum(axis=1) - w.max(axis=0), (X * w).sum(axis=1) - w.min(axis=0)
    assert (first >= ranges[0] - 1e-5).all()
    assert (first <= ranges[1] + 1e-5).all()
    np.testing.assert_allclose(first, explain_with("deeplift-shap", Job(linear, X, 0, seed=3)))


def test_lrp_and_plrp_come_from_the_engine(X, network):
    tensor = torch.as_tensor(X)
    plain = lrp(network, tensor, 1, rules="zplus").sum(dim=1).numpy()
    np.testing.assert_allclose(explain_with("lrp@zplus", Job(network, X, 1)), plain, rtol=1e-6)
    pruned = plrp(network, tensor, 1, p=0.15).sum(dim=1).numpy()
    np.testing.assert_allclose(explain_with("plrp-lambda-0.15", Job(network, X, 1)), pruned, rtol=1e-6)
    other = plrp(network, tensor, 1, p=0.15, method="M").sum(dim=1).numpy()
    np.testing.assert_allclose(explain_with("plrp-M-.15@gamma", Job(network, X, 1)), other, rtol=1e-6)


KINDS = ["plrp-auto", "plrp-effective", "plrp-average", "plrp-total-0.25", "plrp-lambda-0.2-input"]


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_pruning_changes_the_map(X, network, name):
    job = Job(network, X)
    assert not np.allclose(explain_with(name, job), explain_with("lrp", job))


def test_p_zero_is_lrp(X, network):
    job = Job(network, X)
    np.testing.assert_array_equal(explain_with("plrp-lambda-0", job), explain_with("lrp", job))


def test_a_large_p_does_not_warn_in_a_sweep(X, network, recwarn):
    explain_with("plrp-lambda-0.9", Job(network, X))
    assert not [w for w in recwarn if "vanish" in str(w.message)]


def test_controls_have_the_sparsity_of_the_map_they_are_for(X, network):
    job, known = Job(network, X), {}
    pruned = explain_with("plrp-lambda-0.25", job, known=known)
    sharp = explain_with("sharpen:plrp-lambda-0.25", job, known=known)
    cut = explain_with("threshold:plrp-lambda-0.25", job, known=known)
    wanted = gini(np.maximum(pruned, 0))
    np.testing.assert_allclose(gini(np.maximum(sharp, 0)), wanted, atol=1e-6)
    np.testing.assert_allclose(gini(np.maximum(cut, 0)), wanted, atol=0.05)
    assert set(known) == {"lrp@gamma", "plrp-lambda-0.25@gamma"}


def test_random_maps_follow_the_seed(X, network):
    maps = [explain_with("random", Job(network, X, seed=seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(maps[0], maps[1])
    assert not np.allclose(maps[0], maps[2])


def test_no_method_changes_the_model_or_the_global_random_state(X, network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    threads = torch.get_num_threads()
    for name in ("smoothgrad", "integrated-gradients", "ism", "deeplift-shap", "plrp-auto"):
        explain_with(name, Job(network, X))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002
    assert torch.get_num_threads() == threads


def test_the_scan_finds_its_motif_on_both_strands_and_nothing_else():
    motif = Motif.from_consensus("GATAAGCA")
    plain = "T" * 12 + "GATAAGCA" + "T" * 12
    other = reverse_complement(plain)
    maps = scan(one_hot_encode([plain, other, "T" * 32]), [motif])
    inside = np.zeros(32, dtype=bool)
    inside[12:20] = True
    assert maps[0][inside].min() > 1
    assert np.abs(maps[0][~inside]).max() < 0.1
    np.testing.assert_allclose(maps[1], maps[0][::-1], atol=1e-9)
    assert np.abs(maps[2]).max() < 0.1


def test_the_scan_needs_motifs(X):
    with pytest.raises(InputError, match="no oracle"):
        scan(X, [])


def test_a_method_of_ones_own_stands_beside_the_others(X, network):
    register_method("first-base-test", lambda job: torch.as_tensor(job.X) * 2)
    np.testing.assert_allclose(explain_with("first-base-test", Job(network, X)), 2)
    for name in ("ism", "lrp-mine", "threshold:x"):
        with pytest.raises(InputError, match="taken or reserved"):
            register_method(name, lambda job: job.X)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("saliency", "unknown method 'saliency'; choose from random"),
        ("plrp-lambda@gamma", "without p"),
        ("plrp-auto-0.2@gamma", "without p"),
        ("plrp-lambda-1.5", r"p must lie in \[0, 1\)"),
        ("threshold:ism", "only maps made with LRP rules"),
        ("blur:ism", "unknown method"),
    ],
)
def test_unknown_names_are_refused_with_the_choices(name, message):
    with pytest.raises(InputError, match=message):
        get_method(name)


def test_an_unknown_preset_is_refused_by_the_engine(X, network):
    with pytest.raises(InputError, match="nonsense"):
        explain_with("lrp@nonsense", Job(network, X))


@pytest.mark.parametrize("quick", [True, False])
def test_every_default_name_is_a_method_and_stands_once(quick):
    names = default_methods(quick=quick)
    assert [get_method(name).name for name in names] == [full_name(name) for name in names]
    assert len({full_name(name) for name in names}) == len(names)


def test_the_output_function_leaves_a_frozen_layer_frozen():
    norm = nn.BatchNorm1d(4).eval()
    model = nn.Sequential(norm, nn.Dropout(), nn.Flatten(), nn.Linear(16, 2))
    output_function(model)(np.zeros((3, 4, 4), dtype=np.float32))
    assert model[1].training and not norm.training


def test_the_output_function_selects_the_target_and_keeps_the_mode(X, network):
    network.train()
    expected = network(torch.as_tensor(X))[:, 1].detach().numpy()
    np.testing.assert_allclose(output_function(network, 1, batch_size=2)(X), expected, rtol=1e-5)
    assert network.training
    network.eval()
