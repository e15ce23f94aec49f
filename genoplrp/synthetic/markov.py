"""Markov chains of DNA: fitted to sequences, and walked; which sequences, is not said here."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, UInt8

from genoplrp.errors import SpecError


def fit_markov(
    sequences: Iterable[UInt8[np.ndarray, " length"]], order: int
) -> Float[np.ndarray, "contexts 4"]:
    """Fit a Markov chain to sequences, both strands together, with one pseudocount a transition.

    Parameters
    ----------
    sequences : iterable of array
        Base numbers; what spans an unknown base is left out.
    order : int
        How many bases the next one depends on.

    Returns
    -------
    array, (4**order, 4)
        Probability of the next base after each context, contexts in the order of their letters (AA, AC, ...).
    """
    counts = np.ones(4 ** (order + 1))
    for codes in sequences:
        if len(codes) <= order:
            continue
        for strand in (codes.astype(np.int64), np.where(codes < 4, 3 - codes.astype(np.int64), 4)[::-1]):
            number, known = (
                np.zeros(len(strand) - order, dtype=np.int64),
                np.ones(len(strand) - order, dtype=bool),
            )
            for k in range(order + 1):
                letters = strand[k : len(strand) - order + k]
                number = number * 4 + letters
                known &= letters < 4
            counts += np.bincount(number[known], minlength=len(counts))
    table = counts.reshape(-1, 4)
    return np.asarray(table / table.sum(axis=1, keepdims=True))


def walk(
    rng: np.random.Generator, n: int, length: int, chain: np.ndarray, order: int
) -> UInt8[np.ndarray, "n length"]:
    """Draw sequences from a chain: all take a step at a time, after a burn-in that forgets the common start."""
    edges = np.cumsum(chain, axis=1)[:, :3]
    burn_in = 8 * (order + 1)
    u = rng.random((burn_in + length, n))
    state = np.zeros(n, dtype=np.int64)
    codes = np.empty((length, n), dtype=np.uint8)
    for step in range(burn_in + length):
        base = (u[step][:, None] >= edges[state]).sum(axis=1)
        state = (state * 4 + base) % 4**order
        if step >= burn_in:
            codes[step - burn_in] = base
    return np.ascontiguousarray(codes.T)


def check_transitions(transitions: tuple[float, ...], order: int) -> None:
    """Raise SpecError unless ``transitions`` is a chain of this order."""
    if len(transitions) != 4 ** (order + 1):
        raise SpecError(
            f"transitions has {len(transitions)} numbers; order {order} needs {4 ** (order + 1)}."
        )
    rows = np.array(transitions).reshape(-1, 4)
    if (rows < 0).any() or np.abs(rows.sum(axis=1) - 1).max() > 1e-6:
        raise SpecError("transitions: each four numbers must be probabilities that sum to 1.")
