"""Splits: which sequence belongs to training, validation and test; no sequence data of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from genoplrp.errors import InputError

#: Names of the parts of a data set.
SPLITS = ("train", "valid", "test")


def split_by_sequence(sequences: Sequence[str], fractions: Mapping[str, float], seed: int = 0) -> np.ndarray:
    """Draw a split over distinct sequences (in either case), so that no sequence stands in two parts.

    Parameters
    ----------
    sequences : sequence of str
        N sequences; equal ones go to the same part.
    fractions : mapping of part to fraction
        Fractions of the distinct sequences, summing to 1.
    seed : int, default 0
        Seed of the draw.

    Returns
    -------
    array, (N,), str
        The part of each sequence.

    Examples
    --------
    >>> parts = split_by_sequence(["AC", "GT", "ac", "TT"], {"train": 0.5, "test": 0.5})
    >>> bool(parts[0] == parts[2])
    True
    """
    check_fractions(fractions, "split")
    first: dict[str, int] = {}
    group = np.array([first.setdefault(sequence.upper(), len(first)) for sequence in sequences])
    # A permutation by sorting random numbers: the same on every platform and numpy version.
    rank = np.argsort(np.argsort(np.random.Generator(np.random.PCG64(seed)).random(len(first))))
    edges = np.round(np.cumsum(list(fractions.values())) * len(first))
    parts: np.ndarray = np.array(list(fractions))[np.searchsorted(edges, rank[group], side="right")]
    return parts


def check_fractions(fractions: Mapping[str, float], key: str) -> None:
    """Raise unless parts are named train, valid, test and their fractions sum to 1."""
    unknown = set(fractions) - set(SPLITS)
    if unknown or not fractions:
        raise InputError(
            f"{key}: unknown part {', '.join(sorted(unknown))!r}; parts are {', '.join(SPLITS)}."
        )
    for part, value in fractions.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise InputError(f"{key}.{part} is {value!r}; expected a fraction between 0 and 1.")
    total = sum(fractions.values())
    if abs(total - 1) > 1e-6:
        raise InputError(f"{key}: the fractions sum to {total:g}; they must sum to 1.")


def check_split(split: Sequence[str] | np.ndarray, n: int) -> np.ndarray:
    """Raise unless each of ``n`` sequences has a known part; return the parts as an array."""
    parts = np.asarray(split, dtype=str)
    if parts.shape != (n,):
        raise InputError(
            f"The split has the shape {parts.shape}; expected one part for each of {n} sequences."
        )
    unknown = sorted(set(parts.tolist()) - set(SPLITS))
    if unknown:
        raise InputError(f"Unknown part {unknown[0]!r} in the split; parts are {', '.join(SPLITS)}.")
    return parts
