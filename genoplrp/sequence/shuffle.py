"""Shuffles of DNA that keep its composition: of single bases, or of dinucleotides, exactly; no models, no scores."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from genoplrp.errors import InputError
from genoplrp.sequence.alphabet import UNKNOWN
from genoplrp.sequence.onehot import decode_codes, encode_codes


def shuffle_bases(sequence: str, rng: np.random.Generator) -> str:
    """Permute the bases of a sequence; every permutation is equally likely.

    Parameters
    ----------
    sequence : str
        DNA.
    rng : Generator
        Source of chance.

    Returns
    -------
    str
        As many of each base as before, upper case.

    Examples
    --------
    >>> sorted(shuffle_bases("AACG", np.random.default_rng(0)))
    ['A', 'A', 'C', 'G']
    """
    codes = encode_codes(sequence)[0]
    return decode_codes(codes[np.argsort(rng.random(len(codes)), kind="stable")][None])[0]


def shuffle_dinucleotides(sequence: str, rng: np.random.Generator, n: int = 1) -> list[str]:
    """Shuffle a sequence so that the number of each dinucleotide is exactly kept.

    Each result is a uniformly drawn Euler path through the graph of the sequence's dinucleotides, so first and last
    base stay. N and other ambiguity codes count as a fifth letter.

    Parameters
    ----------
    sequence : str
        DNA.
    rng : Generator
        Source of chance.
    n : int, default 1
        How many shuffles.

    Returns
    -------
    list of str
        ``n`` sequences, upper case.

    Raises
    ------
    InputError
        If ``n`` is less than 1 or a letter is not a nucleotide code.

    References
    ----------
    Altschul, Erickson, *Mol. Biol. Evol.* 2, 1985; Kandel, Matias, Unger, Winkler, *Discrete Appl. Math.* 71, 1996 (a
    random spanning tree towards the last letter makes the draw uniform).

    Examples
    --------
    >>> shuffle_dinucleotides("ACACGT", np.random.default_rng(0))
    ['ACACGT']
    """
    if n < 1:
        raise InputError(f"n is {n}; expected at least one shuffle.")
    codes = np.repeat(encode_codes(sequence), n, axis=0)
    return decode_codes(shuffle_codes(codes, rng))


def shuffle_codes(
    codes: UInt8[np.ndarray, "n length"], rng: np.random.Generator
) -> UInt8[np.ndarray, "n length"]:
    """Shuffle each row of base numbers, keeping its dinucleotides; see :func:`shuffle_dinucleotides`.

    Examples
    --------
    >>> shuffle_codes(np.array([[0, 1, 0, 1, 2]], dtype=np.uint8), np.random.default_rng(0)).tolist()
    [[0, 1, 0, 1, 2]]
    """
    from genoplrp.sequence.shuffle_kernel import euler_paths

    n, length = codes.shape
    if length < 3:
        return codes.copy()
    # The walk that draws the tree may be long: it goes through a stretch of numbers of its own, again and again
    # shifted.
    tree = rng.random((n, 4 * (UNKNOWN + 1) ** 2 + 64))
    order = rng.random((n, length))
    return np.asarray(euler_paths(np.minimum(codes, UNKNOWN), tree, order))
