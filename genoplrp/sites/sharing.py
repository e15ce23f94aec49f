"""How much of what one motif says another one says too, and whether a motif is a tract; no names here."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

_LEAST_OVERLAP = 5


class Shared(NamedTuple):
    """What two motifs have in common, as a share of the information of each.

    Attributes
    ----------
    first, second : float
        1 where every column lies over one that favours the same bases alike; 0 or less where they do not agree.
    """

    first: float
    second: float

    @property
    def both(self) -> float:
        """Geometric mean of the two shares; 0 where they do not agree."""
        return float(np.sqrt(max(self.first, 0.0) * max(self.second, 0.0)))


def shared_information(one: Float[np.ndarray, "4 w"], other: Float[np.ndarray, "4 v"]) -> Shared:
    """Return the share of the information of each of two motifs that the other one agrees with.

    Of each column its information (2 bits less the entropy) counts, times the cosine between its frequencies and those
    of the column over which it lies, each less 1/4; a column over none counts 0. The motifs lie, on either strand,
    where the sum of these cosines times the geometric mean of the two informations is largest. The shares do not
    depend on how sharp the motifs are, so that a blurred copy is a copy.

    A p-value of Tomtom does not ask for this: columns that say next to nothing are rare in a database, so that two
    stretches of them, one over the other, are no chance either.

    Parameters
    ----------
    one, other : array, (4, w) and (4, v)
        Frequencies; columns sum to 1.

    Examples
    --------
    >>> gata = np.eye(4)[[2, 0, 3, 0, 0, 2]].T
    >>> shared_information(gata, np.hstack([gata, np.full((4, 3), 0.25), gata])[::-1, ::-1])
    Shared(first=1.0, second=0.5)
    """
    f, g = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    w, v = f.shape[1], g.shape[1]
    least = min(_LEAST_OVERLAP, w, v)
    said, best, found = _information(f), -np.inf, Shared(0.0, 0.0)
    for turned in (g, g[::-1, ::-1]):
        theirs = _information(turned)
        cosine = _direction(f).T @ _direction(turned)
        weighed = np.sqrt(np.outer(said, theirs)) * cosine
        for offset in range(least - w, v - least + 1):
            value = np.trace(weighed, offset)
            if value > best + 1e-12:
                best = value
                agreed = (np.trace(bits * cosine, offset) for bits in (said[:, None], theirs[None]))
                found = Shared(
                    *(
                        round(float(a / total), 9) if total > 0 else 0.0
                        for a, total in zip(agreed, (said.sum(), theirs.sum()), strict=True)
                    )
                )
    return found


def order_share(pwm: Float[np.ndarray, "4 w"]) -> float:
    """Return the share of a motif's information that lies in the order of its bases.

    The sum over columns of the Kullback-Leibler divergence from their mean, as a share of that from uniform bases. A
    tract (AAAAAAAA, or pyrimidines in no order) has hardly any: another one with the same bases says as much. 0 for a
    motif that says nothing.

    Parameters
    ----------
    pwm : array, (4, w)
        Frequencies; columns sum to 1.

    Examples
    --------
    >>> order_share(np.eye(4)[[0, 0, 0, 0, 0, 0]].T)
    0.0
    >>> order_share(np.eye(4)[[0, 1, 0, 1, 0, 1]].T)
    0.5
    """
    f = np.asarray(pwm, dtype=np.float64)
    total = float(_information(f).sum())
    of_bases = f.shape[1] * float(_information(f.mean(axis=1, keepdims=True))[0])
    return 1 - of_bases / total if total > 0 else 0.0


def _information(pwm: Float[np.ndarray, "4 w"]) -> Float[np.ndarray, " w"]:
    bits = 2 + (pwm * np.log2(np.where(pwm > 0, pwm, 1.0))).sum(axis=0)
    return np.asarray(np.where(bits > 1e-9, bits, 0.0))


def _direction(pwm: Float[np.ndarray, "4 w"]) -> Float[np.ndarray, "4 w"]:
    """Columns less 1/4, of length 1; 0 where no base is favoured."""
    away = pwm - 0.25
    length = np.linalg.norm(away, axis=0)
    return np.asarray(np.divide(away, length, out=np.zeros_like(away), where=length > 1e-9))
