"""DeepLIFT with pruning by explicit matrices and loops, for plain sequential networks; slow."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import nn

from tests.oracles.oracle_pruning import kept_indices


def pruned_deeplift(model, x, reference, target, p_pos, p_neg):
    """Return the contributions of one sequence's entries to the difference of one output.

    Every layer becomes a matrix of multipliers: the Jacobian of an affine layer, secants on a diagonal, for a maximum
    the winner's share. The last linear layer but the first prunes the contributions at its input.
    """
    states = [(x[None], reference[None])]
    for layer in model:
        a, b = states[-1]
        with torch.no_grad():
            states.append((layer(a), layer(b)))
    multipliers = torch.zeros_like(states[-1][0])
    multipliers[0, target] = 1
    linear = [i for i, layer in enumerate(model) if isinstance(layer, nn.Conv1d | nn.Linear)]
    for i in reversed(range(len(model))):
        a, b = states[i]
        step = (a - b).flatten()
        matrix = _matrix(model[i], a, b)
        m = multipliers.flatten() @ matrix
        if i in linear[1:]:
            m = _prune(m, step, p_pos, p_neg)
        multipliers = m.reshape(a.shape)
    return (multipliers * (states[0][0] - states[0][1]))[0]


def _matrix(layer, a, b):
    if isinstance(layer, nn.ReLU):
        ya, yb = layer(a).flatten(), layer(b).flatten()
        za, zb = a.flatten(), b.flatten()
        slope = [
            float((ya[k] - yb[k]) / (za[k] - zb[k])) if za[k] != zb[k] else float(za[k] > 0)
            for k in range(len(za))
        ]
        return torch.diag(torch.tensor(slope, dtype=a.dtype))
    if isinstance(layer, nn.MaxPool1d):
        _, channels, length = a.shape
        out = length // 2
        matrix = torch.zeros(channels * out, channels * length, dtype=a.dtype)
        for c in range(channels):
            for o in range(out):
                window = range(2 * o, 2 * o + 2)
                best_a, best_b = (max(window, key=lambda j, t=t: float(t[0, c, j])) for t in (a, b))
                rise = a[0, c, best_a] - b[0, c, best_b]
                j = best_a if rise >= 0 else best_b
                step = a[0, c, j] - b[0, c, j]
                matrix[c * out + o, c * length + j] = rise / step if step != 0 else 0
        return matrix
    jacobian = torch.autograd.functional.jacobian(layer, a)
    return jacobian.reshape(layer(a).numel(), a.numel())


def _prune(m, step, p_pos, p_neg):
    relevance = m * step
    kept = kept_indices(relevance.tolist(), Fraction(p_pos), Fraction(p_neg))
    out = m.clone()
    for sign in (1, -1):
        members = [i for i in range(len(m)) if float(relevance[i]) * sign > 0]
        survivors = [i for i in members if i in kept]
        if not members:
            continue
        factor = float(relevance[members].sum() / relevance[survivors].sum())
        for i in members:
            out[i] = m[i] * factor if i in kept else 0
    return out
