from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from genoplrp.errors import InputError
from genoplrp.evaluation import explain_with, get_method
from genoplrp.evaluation.derived import VIEWS
from genoplrp.evaluation.job import Job
from genoplrp.relevance import Explainer, Pruning, consensus


@pytest.fixture(scope="module")
def job() -> Job:
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv1d(4, 6, 5, padding=2), nn.ReLU(), nn.MaxPool1d(4), nn.Flatten(), nn.Linear(48, 1)
    )
    codes = np.random.default_rng(0).integers(0, 4, size=(5, 32))
    return Job(net.eval(), np.eye(4, dtype=np.float32)[codes].transpose(0, 2, 1).copy())


def test_the_consensus_methods_are_the_consensus_function(job):
    X = torch.as_tensor(job.X)
    pruning = Pruning(p=0.1, total=True)
    wanted = {
        "consensus": consensus(job.model, X),
        "consensus-0.1": consensus(job.model, X, pruning=pruning),
        "consensus-.10@epsilon": consensus(Explainer(job.model, "epsilon", pruning), X),
        "consensus@gamma-all": consensus(Explainer(job.model, "gamma-all"), X),
    }
    for name, expected in wanted.items():
        got = explain_with(name, job)
        np.testing.assert_allclose(got, expected.per_nucleotide.numpy(), atol=1e-6, err_msg=name)
    assert get_method("consensus").name == "consensus"
    assert get_method("consensus-.10").name == "consensus-0.1"


def test_views_of_a_map_are_the_mean_of_four_maps_brought_back_by_hand(job):
    maps = []
    for by, other_strand in VIEWS:
        moved = np.roll(job.X, by, axis=2)
        if other_strand:
            moved = moved[:, ::-1, ::-1].copy()
        r = explain_with("integrated-gradients", Job(job.model, moved))
        r = r[:, ::-1] if other_strand else r
        maps.append(np.roll(r, -by, axis=1))
    mean, variance = np.mean(maps, axis=0), np.var(maps, axis=0)
    np.testing.assert_allclose(explain_with("views:integrated-gradients", job), mean, atol=1e-6)
    kept = mean * np.maximum(1 - variance / 4 / mean**2, 0)
    wanted = kept * (np.maximum(mean, 0).sum(1) / np.maximum(kept, 0).sum(1))[:, None]
    np.testing.assert_allclose(explain_with("agreement:integrated-gradients", job), wanted, atol=1e-6)


@pytest.mark.parametrize("rival", ["gradient-x-input", "deeplift-shap"])
def test_a_rival_pruned_by_nothing_is_the_rival(job, rival):
    """The engine's own against PyTorch's gradient and tangermeme's DeepLIFT/SHAP, from the same shuffles."""
    np.testing.assert_allclose(
        explain_with(f"pruned-0:{rival}", job), explain_with(rival, job), atol=2e-5, err_msg=rival
    )
    assert not np.allclose(explain_with(f"pruned-0.3:{rival}", job), explain_with(rival, job), atol=1e-3)


def test_shuffles_of_a_sequence_do_not_depend_on_its_batch(job):
    whole = explain_with("pruned-0.15:deeplift-shap", job)
    alone = explain_with("pruned-0.15:deeplift-shap", Job(job.model, job.X[3:4]))
    np.testing.assert_allclose(alone[0], whole[3], atol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "consensus-1@gamma",
        "consensus-1",
        "threshold:consensus",
        "pruned-x:ism",
        "pruned-1:gradient-x-input",
        "views:sharpen:plrp-auto",
    ],
)
def test_senseless_names_are_refused(name):
    with pytest.raises(InputError):
        get_method(name)
