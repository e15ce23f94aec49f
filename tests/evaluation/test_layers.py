from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from genoplrp.errors import InputError
from genoplrp.evaluation import gini, layer_sparsity


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv1d(4, 8, 5), nn.ReLU(), nn.Conv1d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 14, 1)
    ).eval()


@pytest.fixture(scope="module")
def X() -> np.ndarray:  # noqa: N802
    codes = np.random.default_rng(0).integers(0, 4, size=(6, 20))
    return np.eye(4, dtype=np.float32)[codes].transpose(0, 2, 1).copy()


def test_the_last_layer_s_gini_is_that_of_its_relevance_by_hand(network, X):
    """With epsilon 0 the relevance at the input of the last layer is weight times activation."""
    from genoplrp.relevance import Epsilon

    with torch.no_grad():
        activation = network[:5](torch.as_tensor(X))
    by_hand = (activation * network[5].weight.detach()).double().numpy()
    table = layer_sparsity(network, X, p=[0], rules=Epsilon(0.0)).set_index("layer")
    assert table.loc["5", "gini"] == pytest.approx(gini(by_hand).mean(), abs=1e-5)
    assert table.loc["5", "zero_fraction"] == pytest.approx((by_hand == 0).mean())
    assert table.loc["5", "entries"] == 8 * 14


def test_pruning_makes_every_pruned_layer_sparser(network, X):
    table = layer_sparsity(network, X, p=[0, 0.1, 0.3]).pivot_table(index="layer", columns="p", values="gini")
    assert (table.loc[["2", "5"]].diff(axis=1).iloc[:, 1:] > 0).all(axis=None)


def test_sequences_of_different_lengths_count_as_each_alone(X):
    torch.manual_seed(1)
    any_length = nn.Sequential(
        nn.Conv1d(4, 8, 5),
        nn.ReLU(),
        nn.Conv1d(8, 6, 3),
        nn.ReLU(),
        nn.AdaptiveMaxPool1d(1),
        nn.Flatten(),
        nn.Linear(6, 1),
    ).eval()
    lengths = np.array([20, 12, 20, 15, 12, 9])
    padded = X * (np.arange(20) < lengths[:, None])[:, None]
    table = layer_sparsity(any_length, padded, p=[0, 0.2], lengths=lengths)
    alone = [layer_sparsity(any_length, X[i : i + 1, :, :size], p=[0, 0.2]) for i, size in enumerate(lengths)]
    assert table[["p", "layer"]].equals(alone[0][["p", "layer"]])
    assert table["entries"].tolist() == alone[0]["entries"].tolist()
    for score in ("gini", "zero_fraction"):
        np.testing.assert_allclose(table[score], np.mean([one[score] for one in alone], axis=0), rtol=1e-6)
    with pytest.raises(InputError, match="lengths must lie between"):
        layer_sparsity(any_length, padded, lengths=lengths + 1)


def test_no_p_is_refused(network, X):
    with pytest.raises(InputError, match="at least one"):
        layer_sparsity(network, X, p=[])
