"""Whether relevance adds up to what the model loses: random sets of bases are removed, whatever the map says.

The removals do not depend on the map, so one set of answers of the model serves every method that is compared.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, UInt8

from genoplrp.errors import InputError
from genoplrp.evaluation.blocks import by_blocks, check_lengths, real_positions
from genoplrp.evaluation.faithfulness import Predict, ask, check_pair, some_sequences
from genoplrp.evaluation.fills import Fill, draw_fill, replace
from genoplrp.evaluation.maps import Arrays, Scores, check_finite, read_maps


class Removals:
    """Random sets of bases and what the model loses without them; unpacks as the pair (subsets, drop).

    Parameters
    ----------
    subsets : numpy.ndarray, shape (N, S, L), bool
        The bases taken away together.
    drop : numpy.ndarray, shape (N, S)
        f(x) - f(x without them), mean over fills.

    Attributes
    ----------
    drop : numpy.ndarray, shape (N, S)
        As given.
    bits : numpy.ndarray, shape (N, S, ceil(L / 8)), uint8
        The subsets as `numpy.packbits` packs them, which is how they are kept.
    length : int
        L.
    """

    def __init__(self, subsets: Bool[np.ndarray, "n subsets length"], drop: np.ndarray) -> None:
        self.bits: UInt8[np.ndarray, "n subsets octets"] = np.packbits(subsets, axis=2)
        self.drop, self.length = drop, subsets.shape[2]

    def __iter__(self) -> Iterator[np.ndarray]:
        yield self.subsets
        yield self.drop

    @property
    def subsets(self) -> Bool[np.ndarray, "n subsets length"]:
        """The bases taken away together, (N, S, L), bool: made anew each time, of eight times the size of `bits`."""
        return self.subsets_of(slice(None))

    def subsets_of(self, rows: slice) -> Bool[np.ndarray, "m subsets length"]:
        """The same of some sequences."""
        return np.unpackbits(self.bits[rows], axis=2, count=self.length).view(np.bool_)


def random_removals(
    predict: Predict,
    X: Float[np.ndarray, "n 4 length"],
    *,
    size: int = 10,
    n_subsets: int = 32,
    fill: Fill = "dinucleotide",
    n_fills: int = 2,
    seed: int = 0,
    lengths: Arrays | None = None,
) -> Removals:
    """Take random sets of bases away and note what the model loses; the ground for `sensitivity_n` and `infidelity`.

    Parameters
    ----------
    predict, X, fill, seed, lengths
        As in `genoplrp.evaluation.deletion_insertion`.
    size : int
        Bases per set, 1 to L, and no more than the shortest sequence has.
    n_subsets : int
        Sets per sequence, at least 2.
    n_fills : int
        Fills averaged per set.

    Returns
    -------
    Removals

    Raises
    ------
    InputError, NonFiniteError
        If an argument is out of range or the model's output is not one finite number per sequence.

    Examples
    --------
    >>> X = np.eye(4, dtype=np.float32)[[[0, 0, 1, 2, 3, 3]]].transpose(0, 2, 1)
    >>> random_removals(lambda x: x[:, 0, :].sum(axis=1), X, size=2, n_subsets=3).drop.shape
    (1, 3)
    """
    one_hot, _ = check_pair(X, None)
    n, _, length = one_hot.shape
    sizes = check_lengths(lengths, (n, length))
    shortest = length if sizes is None else int(sizes.min(initial=length))
    if not 1 <= size <= shortest:
        raise InputError(
            f"size must lie between 1 and the length {shortest} of the shortest sequence; got {size}"
        )
    if n_subsets < 2:
        raise InputError(f"n_subsets must be at least 2 to correlate anything; got {n_subsets}")
    rng = np.random.default_rng(seed)
    removals = Removals(np.zeros((0, n_subsets, length), dtype=bool), np.zeros((n, n_subsets)))
    removals.bits = np.zeros((n, *removals.bits.shape[1:]), dtype=np.uint8)
    for rows in some_sequences(n, length):
        some = one_hot[rows]
        real = real_positions(None if sizes is None else sizes[rows], (len(some), length))
        full = ask(predict, some)
        for s in range(n_subsets):
            drawn = np.where(real, rng.random(real.shape), 1.0)
            subset = drawn.argsort(axis=1).argsort(axis=1) < size
            removals.bits[rows, s] = np.packbits(subset, axis=1)
            for _ in range(n_fills):
                filled = draw_fill(some, fill, rng)
                left = ask(predict, replace(some, subset, filled))
                removals.drop[rows, s] += (full - left) / n_fills
    return removals


def sensitivity_n(per_nucleotide: Arrays, removals: Removals) -> Scores:
    """Correlate the relevance of random sets of bases with what the model loses without them.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        The map.
    removals : Removals
        Of the same sequences.

    Returns
    -------
    numpy.ndarray, shape (N,)
        Pearson's correlation over the sets, -1 to 1. 0 for a map whose sets all carry the same relevance (all
        zero, constant: it says nothing); NaN where the model loses the same whatever is removed.

    Raises
    ------
    InputError, NonFiniteError
        If the map does not fit the removals.

    References
    ----------
    Ancona et al., *Towards better understanding of gradient-based attribution methods*, ICLR 2018, section 4.

    Examples
    --------
    >>> removals = Removals(np.eye(3, dtype=bool)[None], np.array([[1.0, 2.0, 3.0]]))
    >>> sensitivity_n([[10.0, 20.0, 30.0]], removals).round(6)
    array([1.])
    """
    claimed = _claimed(per_nucleotide, removals)
    claimed = claimed - claimed.mean(axis=1, keepdims=True)
    lost = removals.drop - removals.drop.mean(axis=1, keepdims=True)
    # Rounding leaves a constant map's sums not quite equal.
    total = by_blocks(lambda maps: np.abs(maps).sum(axis=1), per_nucleotide)
    size = np.abs(claimed).max(axis=1) > 1e-9 * total
    norms = np.sqrt(np.square(claimed).sum(axis=1) * np.square(lost).sum(axis=1))
    correlation: Scores = np.zeros(len(claimed))
    np.divide((claimed * lost).sum(axis=1), norms, out=correlation, where=size & (norms > 0))
    correlation[~lost.any(axis=1)] = np.nan
    return correlation


def infidelity(per_nucleotide: Arrays, removals: Removals, *, rescale: bool = True) -> Scores:
    """Mean squared gap between the relevance of random sets of bases and what the model loses without them.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        The map.
    removals : Removals
        Of the same sequences.
    rescale : bool
        Multiply each map by the factor that suits it best first, and divide the gap by the mean squared loss:
        then the score does not depend on the unit of the map, 0 is exact and 1 no better than an all-zero
        map. Otherwise the formula as published, in squared units of the output.

    Returns
    -------
    numpy.ndarray, shape (N,)
        0 or more, lower is better; at most 1 if rescaled. NaN, if rescaled, where the model never loses
        anything.

    Raises
    ------
    InputError, NonFiniteError
        If the map does not fit the removals.

    References
    ----------
    Yeh et al., *On the (in)fidelity and sensitivity of explanations*, NeurIPS 2019, definition 2.1, and
    proposition 2.1 for the best factor.

    Examples
    --------
    >>> removals = Removals(np.eye(3, dtype=bool)[None], np.array([[1.0, 2.0, 3.0]]))
    >>> infidelity([[10.0, 20.0, 30.0]], removals), infidelity([[2.0, 2.0, 3.0]], removals, rescale=False)
    (array([0.]), array([0.33333333]))
    """
    claimed = _claimed(per_nucleotide, removals)
    if not rescale:
        gap: Scores = np.square(claimed - removals.drop).mean(axis=1)
        return gap
    power = np.square(claimed).sum(axis=1)
    factor = np.divide(
        (claimed * removals.drop).sum(axis=1), power, out=np.zeros_like(power), where=power > 0
    )
    left = np.square(factor[:, None] * claimed - removals.drop).sum(axis=1)
    lost = np.square(removals.drop).sum(axis=1)
    scores: Scores = np.full(len(claimed), np.nan)
    np.divide(left, lost, out=scores, where=lost > 0)
    return scores


def _claimed(per_nucleotide: Arrays, removals: Removals) -> Float[np.ndarray, "n subsets"]:
    maps = read_maps(per_nucleotide)
    check_finite(maps)
    n, length = len(removals.bits), removals.length
    if maps.shape != (n, length):
        raise InputError(f"the map has shape {maps.shape}, the removals are of {n} sequences of {length} bp")
    claimed = np.zeros(removals.drop.shape)
    for rows in some_sequences(n, length):
        subsets = removals.subsets_of(rows)
        claimed[rows] = np.einsum("nsl,nl->ns", subsets, maps[rows].astype(np.float64, copy=False))
    return claimed
