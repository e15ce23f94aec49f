"""An explanation averaged over partial sequences: parts knocked out, or all of it faded in; any base method will do.

A site that the network needs only when a stronger one is missing gets nothing in the full sequence. Asked in many
partial sequences, it is paid there. The average over random halves is the sampled Banzhaf value of game theory, with
the base method standing for the marginal contribution.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from genoplrp.errors import InputError
from genoplrp.evaluation.knockouts import knockout_contexts
from genoplrp.evaluation.maps import Maps

PASSES = 8
WIDTH = 10


def average_over_knockouts(
    explain: Callable[[np.ndarray], Maps],
    X: Float[np.ndarray, "n 4 length"],
    *,
    passes: int = PASSES,
    width: int = WIDTH,
    seed: int = 0,
) -> Maps:
    """Explain a sequence with random halves of it knocked out, and average each base over the passes that keep it.

    Parameters
    ----------
    explain : callable
        From (n, 4, L) to maps (n, L). It is handed columns of 0.25 where a base is knocked out;
        columns without a base (padding) stay as they are.
    X : array, shape (N, 4, L)
        One-hot sequences.
    passes : int
        How often to explain, an even number: contexts come in pairs, each the complement of the other, so that every
        base is kept in exactly half of them.
    width : int
        Length of the blocks that are kept or knocked out as one, in bases: about that of a motif.
    seed : int
        Seed of the contexts, which are the same for every sequence, so that a map does not depend on its batch.

    Returns
    -------
    numpy.ndarray, shape (N, L)

    Raises
    ------
    InputError
        If the passes are not a positive even number or the width is not positive.

    References
    ----------
    Banzhaf, *Weighted voting doesn't work*, Rutgers Law Review 19 (1965); Castro, Gomez and Tejada, *Polynomial
    calculation of the Shapley value based on sampling*, Computers and Operations Research 36 (2009), for the sampling.

    Examples
    --------
    >>> X = np.eye(4, dtype=np.float32)[[[0, 1, 2, 3]]].transpose(0, 2, 1)
    >>> average_over_knockouts(lambda x: x.max(axis=1), X, passes=2, width=2)
    array([[1., 1., 1., 1.]])
    """
    if passes < 2 or passes % 2:
        raise InputError(f"passes must be a positive even number; got {passes}")
    if width < 1:
        raise InputError(f"width must be at least 1; got {width}")
    neutral = _neutral(X)
    total = np.zeros((X.shape[0], X.shape[2]))
    for kept in knockout_contexts(X.shape[2], passes // 2, width, seed):
        for keep in (kept, ~kept):
            partial = np.where(keep, X, neutral).astype(np.float32, copy=False)
            total += np.where(keep, explain(partial), 0.0)
    return total / (passes / 2)


def average_over_path(
    explain: Callable[[np.ndarray], Maps], X: Float[np.ndarray, "n 4 length"], *, steps: int = 4
) -> Maps:
    """Explain a sequence as it fades in from the uniform column, and average the maps as they are.

    Where the network saturates, the whole sequence tells little about any one base; half of it tells more. This is to
    relevance what integrated gradients are to the gradient, with few steps.

    Parameters
    ----------
    explain : callable
        From (n, 4, L) to maps (n, L). It is handed mixtures of the sequence and columns of 0.25;
        columns without a base (padding) stay as they are.
    X : array, shape (N, 4, L)
        One-hot sequences.
    steps : int
        How many points of the path: the shares 1 / steps, 2 / steps, ... 1 of the sequence.

    Returns
    -------
    numpy.ndarray, shape (N, L)

    Raises
    ------
    InputError
        If there is no step.

    References
    ----------
    Sundararajan, Taly and Yan, *Axiomatic attribution for deep networks*, ICML 2017, for the path.

    Examples
    --------
    >>> X = np.eye(4, dtype=np.float32)[[[0, 1]]].transpose(0, 2, 1)
    >>> average_over_path(lambda x: x.max(axis=1), X, steps=2)
    array([[0.8125, 0.8125]])
    """
    if steps < 1:
        raise InputError(f"steps must be at least 1; got {steps}")
    neutral = _neutral(X)
    total = np.zeros((X.shape[0], X.shape[2]))
    for step in range(1, steps + 1):
        share = np.float32(step / steps)
        total += explain((neutral + share * (X - neutral)).astype(np.float32, copy=False))
    return total / steps


def _neutral(X: Float[np.ndarray, "n 4 length"]) -> Float[np.ndarray, "n 1 length"]:
    """What stands for each base that is taken away; where there is none (padding) there is nothing to take away."""
    neutral: np.ndarray = np.where(X.any(axis=1, keepdims=True), np.float32(0.25), np.float32(0.0))
    return neutral
