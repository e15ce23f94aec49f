"""The metrics written a second time, from their definitions, one sequence at a time; slow on purpose."""

from __future__ import annotations

import itertools

import numpy as np


def gini_pairwise(values):
    """Half the relative mean absolute difference: every pair compared."""
    a = np.abs(np.asarray(values, dtype=float))
    if a.sum() == 0:
        return 0.0
    return np.abs(a[:, None] - a[None, :]).sum() / (2 * len(a) ** 2 * a.mean())


def over_all_orders(statistic, values, mask):
    """Mean of `statistic(ranked mask)` over every order of the positions that descends in value."""
    values, mask = np.asarray(values, dtype=float), np.asarray(mask, dtype=bool)
    results = [
        statistic(mask[list(order)])
        for order in itertools.permutations(range(len(values)))
        if all(values[a] >= values[b] for a, b in itertools.pairwise(order))
    ]
    return float(np.mean(results))


def rra_of_order(ranked_mask):
    k = ranked_mask.sum()
    return ranked_mask[:k].sum() / k


def average_precision_of_order(ranked_mask):
    precisions = [ranked_mask[: i + 1].mean() for i in range(len(ranked_mask)) if ranked_mask[i]]
    return np.mean(precisions)


def auroc_of_order(ranked_mask):
    wins = [
        ranked_mask[i] and not ranked_mask[j]
        for i in range(len(ranked_mask))
        for j in range(i + 1, len(ranked_mask))
    ]
    return sum(wins) / (ranked_mask.sum() * (~ranked_mask).sum())
