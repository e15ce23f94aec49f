"""Interactions of sites by second derivatives: rivals of knock-outs in `benchmarks.grammar`.

A network of ReLUs has no second derivative to speak of, so softplus stands for ReLU in a copy of it. With d the
sequence less 1/4 of each base, at a site and 0 elsewhere, the interaction of two sites is d_a' H d_b: what the
quadratic term says of taking both out. It costs one product of the Hessian with a vector for each site (two backward
passes); integrated Hessians cost `STEPS` of them.

References
----------
Janizek, Sturmfels, Lee, *Explaining explanations: axiomatic feature interactions for deep networks*, Journal of Machine
Learning Research 22, 2021 (integrated Hessians).
"""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

SHARPNESS = 10.0
"""Of the softplus: log(1 + exp(b z)) / b differs from ReLU by at most log(2) / b."""
STEPS = 10


def smoothed(model: nn.Module) -> nn.Module:
    """Return a copy of a network, in evaluation mode, with softplus in place of ReLU."""
    smooth = copy.deepcopy(model).eval()
    for module in list(smooth.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, nn.Softplus(beta=SHARPNESS))
    return smooth.requires_grad_(False)


def hessian_effects(
    model: nn.Module, X: Tensor, pairs: pd.DataFrame, *, steps: int = 0, batch: int = 256
) -> np.ndarray:
    """Return the interaction of each pair of sites by second derivatives of the first output.

    Parameters
    ----------
    model : torch.nn.Module
        The network, as it is.
    X : Tensor, (N, 4, L)
        Sequences.
    pairs : DataFrame
        ``sequence, start_a, end_a, start_b, end_b``.
    steps : int
        0: at the sequences. Else integrated Hessians, from 1/4 of each base everywhere: for two sites the double
        integral is that of -t log(t) H(t) along the straight line, here by the midpoint rule.
    """
    smooth = smoothed(model)
    first = pairs[["sequence", "start_a", "end_a"]].drop_duplicates()
    number = {row: k for k, row in enumerate(first.itertuples(index=False, name=None))}
    rows = torch.tensor(first["sequence"].tolist())
    delta = X - 0.25
    at = torch.arange(X.shape[2])
    inside = (at >= torch.tensor(first["start_a"].tolist())[:, None]) & (
        at < torch.tensor(first["end_a"].tolist())[:, None]
    )
    times = (
        [(1.0, 1.0)]
        if steps == 0
        else [(t, -t * np.log(t) / steps) for t in (np.arange(steps) + 0.5) / steps]
    )
    parts = []
    for some in torch.arange(len(rows)).split(batch):
        d = delta[rows[some]]
        v = d * inside[some, None]
        total = torch.zeros_like(d)
        for t, weight in times:
            x = (X[rows[some]] - (1 - t) * d).requires_grad_()
            (g,) = torch.autograd.grad(smooth(x)[:, 0].sum(), x, create_graph=True)
            (product,) = torch.autograd.grad((g * v).sum(), x)
            total += weight * product
        parts.append((total * d).sum(dim=1))
    carried = torch.cat(parts).double().numpy()
    keys = pairs[["sequence", "start_a", "end_a"]].itertuples(index=False, name=None)
    ends = pairs[["start_b", "end_b"]].to_numpy()
    return np.array(
        [carried[number[key], low:high].sum() for key, (low, high) in zip(keys, ends, strict=True)]
    )
