"""Sites as a table, given or found: checked once for what reads them; whether chance makes them is not asked here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from genoplrp.errors import InputError
from genoplrp.sites.candidates import WIDTH, candidate_sites

GivenSites = pd.DataFrame | Iterable[tuple[int, int]]
"""What functions take for sites: a table, or pairs (start, end) of one sequence."""
_NEEDED = ("sequence", "start", "end")


def check_sites(sites: GivenSites, n: int, length: int) -> pd.DataFrame:
    """Check a table of sites.

    Parameters
    ----------
    sites : DataFrame, or sequence of (start, end)
        ``sequence`` (row of X; may lack where there is one sequence), ``start, end`` (0-based, half-open); further
        columns are kept. Pairs of numbers serve for one sequence.
    n, length : int
        Number of sequences, and their length.

    Returns
    -------
    DataFrame
        Sorted by sequence and start, index from 0; without sites of no use twice: a repeated interval stands once.

    Raises
    ------
    InputError
        If a column lacks, or a site does not lie in its sequence.

    Examples
    --------
    >>> check_sites([(8, 12), (2, 5)], 1, 20)[["sequence", "start", "end"]].values.tolist()
    [[0, 2, 5], [0, 8, 12]]
    """
    table = sites.copy() if isinstance(sites, pd.DataFrame) else _table(sites)
    if n == 1 and "sequence" not in table:
        table.insert(0, "sequence", 0)
    missing = [name for name in _NEEDED if name not in table]
    if missing:
        raise InputError(
            f"the table of sites has no column {missing[0]!r}; expected are sequence (row of X), start and end "
            "(of one sequence alone also a list of (start, end))"
        )
    for name in _NEEDED:
        column = pd.to_numeric(table[name], errors="coerce")
        wrong = column.isna() | (column != column.round())
        if wrong.any():
            raise InputError(
                f"the sites' column {name!r} holds {table[name][wrong].tolist()[0]!r}: expected whole numbers"
            )
        table[name] = column.astype(np.int64)
    wrong = (table["start"] < 0) | (table["end"] > length) | (table["start"] >= table["end"])
    wrong |= (table["sequence"] < 0) | (table["sequence"] >= n)
    if wrong.any():
        row = table[wrong].iloc[0]
        raise InputError(
            f"a site at {row['start']} to {row['end']} of sequence {row['sequence']} does not lie in the {n} sequences "
            f"of {length} bp (0-based, half-open, at least 1 bp)"
        )
    table = table.drop_duplicates(list(_NEEDED))
    return table.sort_values(["sequence", "start", "end"], ignore_index=True)


def strongest_sites(
    relevance: Float[np.ndarray, "n length"], *, share: float = 0.9, most: int = 8, width: int = WIDTH
) -> pd.DataFrame:
    """Return the windows of each sequence that hold most relevance, of either sign.

    Parameters
    ----------
    relevance : array, (N, L)
        Relevance per position.
    share : float
        Windows are taken, the strongest first, until they hold this share of what all windows hold.
    most : int
        So many of a sequence at most.
    width : int
        Width of a window in bp, before it is trimmed; of shorter sequences all of it.

    Returns
    -------
    DataFrame
        ``sequence, start, end, relevance``; no test against chance: `genoplrp.sites.find_sites` makes that.

    Examples
    --------
    >>> r = np.zeros((1, 60)); r[0, 10:14] = 1.0; r[0, 40:44] = -2.0
    >>> strongest_sites(r).values.tolist()
    [[0.0, 10.0, 14.0, 4.0], [0.0, 40.0, 44.0, -8.0]]
    """
    parts = []
    for sign in (1.0, -1.0):
        found = candidate_sites(sign * relevance, min(width, relevance.shape[1]))
        columns = dict(zip(_NEEDED, found[:3], strict=True))
        parts.append(pd.DataFrame(columns | {"relevance": sign * found.score}))
    table = pd.concat(parts, ignore_index=True)
    table["size"] = table["relevance"].abs()
    table = table.sort_values(["sequence", "size"], ascending=[True, False], kind="stable")
    by_sequence = table.groupby("sequence")["size"]
    before = by_sequence.cumsum() - table["size"]
    kept = (before < share * by_sequence.transform("sum")) & (by_sequence.cumcount() < most)
    # A positive and a negative window may overlap: the stronger one stands.
    table = table[kept]
    alone = pd.DataFrame(table[~_shadowed(table)][[*_NEEDED, "relevance"]])
    return alone.sort_values(["sequence", "start"], ignore_index=True)


def owners(
    sites: pd.DataFrame, numbers: Sequence[int] | Int[np.ndarray, " sites"], n: int, length: int, rest: int
) -> Int[np.ndarray, "n length"]:
    """Return to which site each base belongs: the number of the first one that covers it, or `rest`.

    Examples
    --------
    >>> owners(check_sites([(1, 4), (3, 5)], 1, 6), [0, 1], 1, 6, rest=2).tolist()
    [[2, 0, 0, 0, 1, 2]]
    """
    owner = np.full((n, length), rest, dtype=np.int64)
    for row, start, end, number in zip(sites["sequence"], sites["start"], sites["end"], numbers, strict=True):
        free = owner[row, start:end] == rest
        owner[row, start:end][free] = number
    return owner


def overlapping(sites: pd.DataFrame) -> int:
    """Return how many sites overlap the one before them in their sequence."""
    reach = sites.groupby("sequence")["end"].cummax().groupby(sites["sequence"]).shift()
    return int((sites["start"] < reach).sum())


def _table(sites: Iterable[tuple[int, int]]) -> pd.DataFrame:
    try:
        pairs = [(start, end) for start, end in sites]
    except (TypeError, ValueError):
        raise InputError(
            f"sites is a {type(sites).__name__}: a table with sequence, start and end, or pairs (start, end)"
        ) from None
    return pd.DataFrame(pairs, columns=["start", "end"])


def _shadowed(table: pd.DataFrame) -> Any:
    """Return which rows, the strongest first in each sequence, overlap one before them."""
    out = np.zeros(len(table), dtype=bool)
    taken: dict[int, list[tuple[int, int]]] = {}
    for k, (row, start, end) in enumerate(zip(table["sequence"], table["start"], table["end"], strict=True)):
        others = taken.setdefault(row, [])
        out[k] = any(start < e and s < end for s, e in others)
        if not out[k]:
            others.append((start, end))
    return out
