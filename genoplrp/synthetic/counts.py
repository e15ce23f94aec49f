"""Counts drawn around a mean: Poisson, and negative binomial where they vary more; means come from the labels."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

#: Largest mean that is drawn in one piece: the probability of 0 must be a number.
_LARGEST = 256.0


def poisson_numbers(rng: np.random.Generator, mean: Float[np.ndarray, ...]) -> Int[np.ndarray, ...]:
    """Draw a Poisson number around each mean, by inverting the cumulated probabilities of one uniform number.

    A mean above 256 is divided into equal parts below it, whose numbers are added.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    mean : array
        Means, 0 or above.

    Returns
    -------
    array, int64
        Of the shape of ``mean``.

    References
    ----------
    Devroye, *Non-Uniform Random Variate Generation*, 1986, section X.3 (inversion by sequential search).
    """
    flat = np.asarray(mean, dtype=np.float64).reshape(-1)
    parts = np.maximum(np.ceil(flat / _LARGEST), 1).astype(np.int64)
    piece = np.repeat(flat / parts, parts)
    drawn = _search(piece, rng.random(len(piece)))
    ends = np.cumsum(parts)
    total = np.concatenate([[0], np.cumsum(drawn)])
    return np.asarray((total[ends] - total[ends - parts]).reshape(np.shape(mean)))


def gamma_factors(rng: np.random.Generator, n: int, dispersion: float) -> Float[np.ndarray, " n"]:
    """Draw factors of mean 1 and variance ``dispersion`` (gamma), from one uniform number each; 1 without dispersion.

    A Poisson number around m times such a factor is negative binomial, of variance m + dispersion * m**2.
    """
    if dispersion == 0:
        return np.ones(n)
    from scipy.special import gammaincinv

    return np.asarray(gammaincinv(1 / dispersion, rng.random(n)) * dispersion)


def _search(mean: Float[np.ndarray, " n"], u: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Smallest k whose cumulated probability exceeds u."""
    k = np.zeros(len(mean), dtype=np.int64)
    p = np.exp(-mean)
    left = np.flatnonzero(u >= p)
    mean, p, rest = mean[left], p[left], u[left] - p[left]
    step = 0
    while len(left):
        step += 1
        k[left] = step
        p = p * mean / step
        # Beyond the mean a probability that no longer counts ends the search: u lies within rounding of 1.
        going = (rest >= p) & ((step < mean) | (p > 1e-300))
        left, mean, p, rest = left[going], mean[going], p[going], (rest - p)[going]
    return k
