from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from genoplrp.errors import InputError
from genoplrp.evaluation.contexts import average_over_knockouts, average_over_path, knockout_contexts
from genoplrp.evaluation.methods import Job, explain_with, get_method
from genoplrp.sequence import one_hot_encode


@pytest.fixture(name="X")
def random_sequences() -> np.ndarray:
    rng = np.random.default_rng(0)
    return one_hot_encode(["".join(rng.choice(list("ACGT"), 40)) for _ in range(4)])


def either_site(X: np.ndarray) -> np.ndarray:
    """Give a map of max(site at 0, site at 30): the weaker one gets nothing while the stronger is there."""
    first, second = X[:, :, :5].max(axis=(1, 2)), X[:, :, 30:35].max(axis=(1, 2)) * 0.9
    maps = np.zeros((len(X), 40))
    maps[:, :5] = np.where(first > second, first, 0)[:, None] / 5
    maps[:, 30:35] = np.where(second >= first, second, 0)[:, None] / 5
    return maps


def test_every_base_is_kept_in_exactly_half_of_the_passes(X):
    seen = []
    average_over_knockouts(lambda x: seen.append((x == 0.25).all(axis=1)) or np.zeros((4, 40)), X, passes=6)
    assert (np.sum(seen, axis=0) == 3).all()


def test_the_average_of_a_map_that_does_not_look_around_is_that_map(X):
    values = np.random.default_rng(1).normal(size=(4, 40))
    np.testing.assert_allclose(average_over_knockouts(lambda x: values, X), values)


def test_a_site_that_only_stands_in_for_a_stronger_one_is_paid_in_the_contexts_without_it(X):
    alone = either_site(X)
    averaged = average_over_knockouts(either_site, X, passes=64)
    assert (alone[:, 30:35] == 0).all()
    assert (averaged[:, 30:35].sum(axis=1) > 0.2).all()
    assert (averaged[:, :5] > averaged[:, 30:35]).all()


def test_blocks_are_kept_or_knocked_out_as_one():
    contexts = knockout_contexts(60, 30, 10, seed=0)
    changes = np.diff(contexts.astype(int), axis=1) != 0
    for row in changes:
        places = np.flatnonzero(row) % 10
        assert len(set(places)) <= 1
    assert contexts.mean() == pytest.approx(0.5, abs=0.08)


def test_a_map_depends_neither_on_its_batch_nor_on_the_call(X):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv1d(4, 6, 5), nn.ReLU(), nn.Flatten(), nn.Linear(216, 1)).eval()
    together = explain_with("knockout:plrp-auto", Job(net, X))
    alone = explain_with("knockout:plrp-auto", Job(net, X[2:3]))
    np.testing.assert_allclose(together[2:3], alone, rtol=1e-4, atol=1e-6)
    other = explain_with("knockout:plrp-auto", Job(net, X, seed=1))
    assert not np.allclose(together, other)


@pytest.mark.parametrize("name", ["knockout:ism", "knockout:deeplift-shap", "knockout:threshold:plrp-auto"])
def test_methods_that_need_real_sequences_are_refused(name):
    with pytest.raises(InputError, match="neutral columns"):
        get_method(name)


def test_odd_passes_and_empty_blocks_are_refused(X):
    with pytest.raises(InputError, match="even"):
        average_over_knockouts(either_site, X, passes=3)
    with pytest.raises(InputError, match="width"):
        average_over_knockouts(either_site, X, width=0)


def test_the_path_of_a_square_is_its_riemann_sum(X):
    # sum over steps of (share * own base + (1 - share) / 4)^2, the same at every position.
    expected = np.mean([(0.25 + share * 0.75) ** 2 for share in (0.25, 0.5, 0.75, 1.0)])
    np.testing.assert_allclose(average_over_path(lambda x: x.max(axis=1) ** 2, X), expected, rtol=1e-6)


def test_the_mean_of_maps_counts_each_by_its_share(X):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv1d(4, 6, 5), nn.ReLU(), nn.Flatten(), nn.Linear(216, 1)).eval()
    job, known = Job(net, X), {}
    name = "mean:path:lrp+knockout:plrp-lambda-0.15"
    mean = explain_with(name, job, known=known)
    assert get_method(name).name == "mean:path:lrp@gamma+knockout:plrp-lambda-0.15@gamma"
    shares = [m / np.maximum(m, 0).sum(axis=1, keepdims=True) for m in known.values()]
    assert len(shares) == 2
    np.testing.assert_allclose(mean, np.mean(shares, axis=0))


def test_a_path_without_steps_is_refused(X):
    with pytest.raises(InputError, match="steps"):
        average_over_path(either_site, X, steps=0)
