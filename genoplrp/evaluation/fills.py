"""What stands where bases are taken away: substitutes that keep a sequence a sequence; it scores nothing.

Setting a column to zero leaves the set of sequences that the network was trained on, and the network's answer
there means little. The default replaces bases by those of a dinucleotide shuffle of the same sequence.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from genoplrp.errors import check_choice
from genoplrp.sequence import shuffle_codes

Fill = Literal["dinucleotide", "random", "mean", "zero"]
FILLS: tuple[Fill, ...] = ("dinucleotide", "random", "mean", "zero")
_UNKNOWN = 4  # the code of a column that is no base


def draw_fill(
    X: Float[np.ndarray, "n 4 length"], fill: Fill, rng: np.random.Generator
) -> Float[np.ndarray, "n 4 length"]:
    """Draw, for every position, what replaces the base if it is taken away.

    Parameters
    ----------
    X : numpy.ndarray, shape (N, 4, L)
        One-hot sequences.
    fill : {"dinucleotide", "random", "mean", "zero"}
        ``dinucleotide``: a shuffle of each sequence that keeps its dinucleotide counts; ``random``: one of
        the three other bases, each as likely; ``mean``: a column of 0.25; ``zero``: a column of zeros. The
        last two are not sequences and are there for comparison only. Columns that are no base (N) stay zero,
        but under ``mean``.
    rng : numpy.random.Generator
        Where the randomness comes from.

    Returns
    -------
    numpy.ndarray, shape (N, 4, L), float32

    Raises
    ------
    InputError
        If the fill is unknown.

    Examples
    --------
    >>> X = np.eye(4, dtype=np.float32)[[[0, 1, 2, 3]]].transpose(0, 2, 1)
    >>> draw_fill(X, "random", np.random.default_rng(0))[X == 1].tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    check_choice("fill", fill, FILLS)
    if fill == "mean":
        return np.full(X.shape, 0.25, dtype=np.float32)
    if fill == "zero":
        return np.zeros(X.shape, dtype=np.float32)
    codes = np.where(X.any(axis=1), X.argmax(axis=1), _UNKNOWN)
    if fill == "dinucleotide":
        return _encode(shuffle_codes(codes.astype(np.uint8), rng))
    other = (codes + rng.integers(1, 4, size=codes.shape)) % 4
    return _encode(np.where(codes == _UNKNOWN, codes, other))


def replace(
    X: Float[np.ndarray, "n 4 length"], where: np.ndarray, filled: Float[np.ndarray, "n 4 length"]
) -> Float[np.ndarray, "n 4 length"]:
    """Take the bases of `filled` where asked for, and those of `X` elsewhere.

    Parameters
    ----------
    X, filled : numpy.ndarray, shape (N, 4, L)
        The sequences and their substitutes.
    where : numpy.ndarray, shape (N, L), bool
        True where the base is taken away.

    Returns
    -------
    numpy.ndarray, shape (N, 4, L), float32

    Examples
    --------
    >>> replace(np.ones((1, 4, 2)), np.array([[True, False]]), np.zeros((1, 4, 2)))[0, 0].tolist()
    [0.0, 1.0]
    """
    replaced: np.ndarray = np.where(where[:, None, :], filled, X).astype(np.float32, copy=False)
    return replaced


def _encode(codes: Int[np.ndarray, "n length"]) -> Float[np.ndarray, "n 4 length"]:
    encoded: np.ndarray = (codes[:, None, :] == np.arange(4)[:, None]).astype(np.float32)
    return encoded
