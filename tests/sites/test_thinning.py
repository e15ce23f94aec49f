"""What is left of a network when only the units that hold the relevance are kept: against masks set by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import genoplrp as gp
from genoplrp.errors import InputError
from genoplrp.sequence import shuffle_codes
from genoplrp.sites import thinning
from genoplrp.sites.thinning import holding
from genoplrp.training import build_architecture


def sequences(n: int, length: int = 60, seed: int = 0) -> Tensor:
    bases = torch.randint(4, (n, length), generator=torch.Generator().manual_seed(seed))
    return torch.eye(4, dtype=torch.float64)[bases].mT


def test_fidelity_is_that_of_masks_set_by_hand() -> None:
    torch.manual_seed(0)
    first, second, last = nn.Conv1d(4, 6, 5).double(), nn.Conv1d(6, 4, 3).double(), nn.Linear(216, 1).double()
    model = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), last)
    X, share = sequences(4), 0.8
    codes = X.argmax(dim=1).numpy().astype(np.uint8)
    shuffled = shuffle_codes(codes, np.random.default_rng(3)).astype(np.int64)
    S = torch.eye(4, dtype=torch.float64)[torch.from_numpy(shuffled)].mT

    def run(x: Tensor, masks: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor, Tensor]:
        with torch.no_grad():
            z = first(x)
            z = z if masks is None else torch.where(masks[0], z, means[0])
            y = second(torch.relu(z))
            y = y if masks is None else torch.where(masks[1], y, means[1])
            return z, y, last(torch.relu(y).flatten(1))[:, 0]

    means = [part.mean(dim=(0, 2))[:, None] for part in run(S, None)[:2]]
    explain = gp.Explainer(model, pruning=gp.Pruning(p=0.2), keep_intermediate=True)
    # The ReLU passes relevance on: at a convolution's output it is that at the next layer's input.
    e = explain(X)
    relevance = e.intermediate["2"], e.intermediate["5"].reshape(4, 4, 54)
    masks = tuple(holding(r.flatten(1), share).reshape(r.shape) for r in relevance)
    full, none = run(X, None)[2], run(X, tuple(torch.zeros_like(m) for m in masks))[2]  # type: ignore[arg-type]
    expected = (run(X, masks)[2] - none).mean() / (full - none).mean()  # type: ignore[arg-type]
    found = thinning(explain, X, p=[0.2], share=share, seed=3).iloc[0]
    assert found["fidelity"] == pytest.approx(float(expected), rel=1e-9)
    assert found["units"] == pytest.approx(sum(float(m.sum()) for m in masks) / 4)
    carry = torch.cat([(r != 0).flatten(1) for r in relevance], dim=1).double().mean()
    assert found["carry"] == pytest.approx(float(carry))


def test_pruning_thins_what_carries() -> None:
    model = build_architecture("bpnet", length=60, filters=16).double().eval()
    table = thinning(gp.Explainer(model), sequences(3), p=[0.0, 0.1, 0.3])
    assert (table["carry"].diff().dropna() < 0).all()
    assert (table["units"].diff().dropna() < 0).all()


def test_the_fewest_that_hold_a_share() -> None:
    values = torch.tensor([[1.0, -4.0, 3.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    assert holding(values, 0.5).tolist() == [[False, True, True, False, False], [False] * 5]
    assert holding(values, 1.0).sum().item() == 4


def test_what_cannot_be_is_refused() -> None:
    explain = gp.Explainer(build_architecture("koo", length=60).double().eval())
    with pytest.raises(InputError, match="share"):
        thinning(explain, sequences(1), share=0)
    with pytest.raises(InputError, match="no sequences"):
        thinning(explain, sequences(0))
    with pytest.raises(InputError, match="no layer 'conv9'"):
        thinning(explain, sequences(1), layers=["conv9"])
