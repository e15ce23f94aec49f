"""LRP and PLRP as dense propagation matrices in float64: from the formulas, entry by entry, slow; nothing is shared.

A linear operation is read off its values on the unit vectors. Its rule is a matrix M, R_in = M R_out, made from the
contributions ``c_ji = w_ji x_i``; pruning is a loop over the sorted entries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

Array = np.ndarray


class Affine(NamedTuple):
    """``z = W x + b`` for flattened x and z of one sequence."""

    W: Array
    b: Array
    x: Array
    shape: tuple[int, ...]

    @property
    def z(self) -> Array:
        return self.W @ self.x + self.b


class Propagation(NamedTuple):
    """``R_in = M R_out + extra``; ``bias`` and ``leak`` are what bias and stabilizer take of each output."""

    M: Array
    bias: Array
    leak: Array


def affine_of(operation: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> Affine:
    """Return the Jacobian and offset of an affine operation on one sequence ``x`` (without the batch axis)."""
    with torch.no_grad():
        basis = torch.eye(x.numel(), dtype=torch.float64).reshape(-1, *x.shape)
        b = operation(torch.zeros_like(basis[:1], dtype=torch.float64))[0].flatten()
        columns = (operation(basis).flatten(1) - b).T.contiguous()
    return Affine(columns.numpy(), b.numpy(), x.detach().double().flatten().numpy(), tuple(x.shape))


def padding_of(layer: nn.Module) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """Return what a convolution with a padding mode does first."""
    if getattr(layer, "padding_mode", "zeros") == "zeros":
        return None
    return lambda x: F.pad(x, layer._reversed_padding_repeated_twice, mode=layer.padding_mode)


def unpadded(layer: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what a convolution does after its padding."""
    if padding_of(layer) is None:
        return layer
    call = {nn.Conv1d: F.conv1d, nn.Conv2d: F.conv2d}[type(layer)]
    return lambda x: call(x, layer.weight, layer.bias, layer.stride, 0, layer.dilation, layer.groups)


def stab(z: Array, epsilon: float) -> Array:
    return z + epsilon * np.where(z < 0, -1.0, 1.0)


def over(numerator: Array, denominator: Array) -> Array:
    """Return the quotient, 0 where the denominator is 0."""
    return np.divide(
        numerator, denominator, out=np.zeros(np.broadcast_shapes(numerator.shape, denominator.shape)),
        where=denominator != 0,
    )  # fmt: skip


def gauge_fixed(a: Affine, bases_axis: int = 0) -> Affine:
    """Move the mean weight over the four bases of each position into the bias, for columns that are there."""
    W = a.W.reshape(len(a.W), *a.shape)
    x = a.x.reshape(a.shape)
    mean = W.mean(axis=bases_axis + 1, keepdims=True)
    present = x.sum(axis=bases_axis, keepdims=True)
    moved = (mean * present).reshape(len(W), -1).sum(axis=1)
    return Affine((W - mean).reshape(a.W.shape), a.b + moved, a.x, a.shape)


def propagation(
    a: Affine,
    rule: str,
    *,
    epsilon: float = 1e-6,
    gamma: float = 0.25,
    alpha: float = 2.0,
    beta: float = 1.0,
    low: float = 0.0,
    high: float = 1.0,
    bias: str = "follow",
) -> Propagation:
    """Return the propagation matrix of one rule; ``bias`` is the convention."""
    c, b, z = a.W * a.x, a.b, a.z
    if rule == "epsilon":
        return _by_parts(a, [(c, b, 1.0)], epsilon, bias)
    if rule == "gamma":
        up = (z >= 0)[:, None]
        numerator = np.where(up, c + gamma * np.maximum(c, 0), c + gamma * np.minimum(c, 0))
        shifted = np.where(z >= 0, b + gamma * np.maximum(b, 0), b + gamma * np.minimum(b, 0))
        return _by_parts(a, [(numerator, shifted, 1.0)], epsilon, bias)
    if rule == "zplus":
        return _by_parts(a, [(np.maximum(c, 0), np.maximum(b, 0), 1.0)], epsilon, bias)
    if rule == "alphabeta":
        parts = [
            (np.maximum(c, 0), np.maximum(b, 0), alpha),
            (np.minimum(c, 0), np.minimum(b, 0), -beta),
        ]
        return _by_parts(a, parts, epsilon, bias)
    if rule == "wsquare":
        return _by_parts(a, [(a.W**2, b**2, 1.0)], epsilon, "follow")
    if rule == "flat":
        return _by_parts(a, [((a.W != 0).astype(float), np.zeros_like(b), 1.0)], epsilon, "follow")
    if rule == "zbox":
        box = c - low * np.maximum(a.W, 0) - high * np.minimum(a.W, 0)
        return _by_parts(a, [(box, np.zeros_like(b), 1.0)], epsilon, "follow")
    raise ValueError(rule)


def _by_parts(a: Affine, parts: list[tuple[Array, Array, float]], epsilon: float, bias: str) -> Propagation:
    n_out, n_in = a.W.shape
    M, bias_share, leak = np.zeros((n_in, n_out)), np.zeros(n_out), np.zeros(n_out)
    for numerator, shifted, coefficient in parts:
        b = {"follow": shifted, "raw": a.b, "ignore": np.zeros(n_out), "share": shifted}[bias]
        total = numerator.sum(axis=1) + b
        denominator = np.where(total == 0, 0.0, stab(total, epsilon))
        M += coefficient * over(numerator, denominator[:, None]).T
        share = coefficient * over(b, denominator)
        if bias == "share":
            reached = (a.W != 0) & (a.x != 0)
            count = reached.sum(axis=1)
            M += (reached * over(share, count.astype(float))[:, None]).T
            share = np.where(count > 0, 0.0, share)
        bias_share += share
        leak += coefficient * (1.0 - over(total, denominator))
    return Propagation(M, bias_share, leak)


def kept(r: Array, p_pos: float, p_neg: float) -> Array:
    """Return which entries pruning keeps: for each sign, raise the threshold from entry to entry."""
    keep = np.ones(len(r), dtype=bool)
    for sign, p in ((1, p_pos), (-1, p_neg)):
        sizes = np.where(sign * r > 0, sign * r, 0.0)
        mass = float(sizes.sum())
        if mass == 0:
            continue
        threshold = 0.0
        for candidate in sorted(set(sizes[sizes > 0].tolist())):
            if sizes[sizes <= candidate].sum() <= p * mass and candidate < sizes.max():
                threshold = candidate
        keep &= ~((sizes > 0) & (sizes <= threshold))
    return keep


def pruned_lambda(r: Array, p_pos: float, p_neg: float) -> Array:
    """Return PLRP-lambda: pruned entries 0, each sign of the kept scaled to its mass."""
    keep = kept(r, p_pos, p_neg)
    out = np.where(keep, r, 0.0)
    for chosen in (r > 0, r < 0):
        left = out[chosen].sum()
        if left != 0:
            out[chosen] *= r[chosen].sum() / left
    return out


def pruned_m(
    a: Affine,
    rule: str,
    R_out: Array,
    p_pos: float,
    p_neg: float,
    *,
    literal: bool,
    cap: float = 10.0,
    **parameters,
) -> Array:
    """Return PLRP-M of a rule with one part: strike out rows, give every column (or each sign of it) its sum back."""
    step = propagation(a, rule, **parameters)
    keep = kept(step.M @ R_out, p_pos, p_neg)
    out = np.zeros(len(a.x))
    for j, R_j in enumerate(R_out):
        column = step.M[:, j]
        if literal:
            left = column[keep].sum()
            for i in np.flatnonzero(keep):
                out[i] += column[i] * over(column.sum(), left) * R_j
            continue
        # The signs are those of the contributions, not of M (whose denominator may be negative).
        c = a.W[j] * a.x
        for side in (c > 0, c < 0):
            left = column[keep & side].sum()
            ratio = min(float(over(column[side].sum(), left)), cap)
            for i in np.flatnonzero(keep & side):
                out[i] += column[i] * ratio * R_j
    return out
