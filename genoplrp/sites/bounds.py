"""From where to where a found motif reaches, by what its instances share; nothing is joined here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from genoplrp.sites.instances import composition, counted_anew, cut_out, widened
from genoplrp.sites.motifs import FoundMotif

LEAST_BITS = 0.1
"""A column at the end of a motif says at least so much about the base there."""
REACH = 20
"""Bases on either side of what relevance shows within which a motif may go on."""
LEAST_TOTAL = 5.0
"""Bits of a whole motif: one of less stands in every thirtieth place by chance."""


def bounded(
    motif: FoundMotif, X: Float[np.ndarray, "n 4 length"], scores: Float[np.ndarray, "n 4 length"]
) -> FoundMotif:
    """Return a motif from the first to the last column that its instances share.

    What relevance shows of a motif is what the network looks at; the instances may agree beyond that, and at an end
    that one strong base has carried along they may not agree at all.

    Parameters
    ----------
    motif : FoundMotif
        As found.
    X, scores : array, (N, 4, L)
        The sequences and scores that it was found in.

    Returns
    -------
    FoundMotif
        Its ends moved, by at most `REACH`, to the outermost columns of at least `LEAST_BITS` bits and, alone or with
        their neighbour, five standard deviations of what counting alone gives, with at most one weaker column in a row
        between (Kullback-Leibler divergence from the composition of all sequences, less the bias of counting;
        Schneider et al., Journal of Molecular Biology 188, 1986). Instances that would leave their sequence are left
        out.
    """
    is_clear = clear_columns(motif, X, flank=REACH)
    first, last = _ends(is_clear, REACH, REACH + motif.width)
    shift, width = first - REACH, last - first
    table = motif.instances
    minus = (table["strand"] == "-").to_numpy()
    start = np.where(minus, table["end"] - shift - width, table["start"] + shift)
    moved = table.assign(start=start, end=start + width)
    inside = ((moved["start"] >= 0) & (moved["end"] <= X.shape[-1])).to_numpy()
    if not inside.any():
        return motif
    moved = moved[inside].sort_values(["sequence", "start"], kind="stable", ignore_index=True)
    return counted_anew(replace(motif, instances=moved), X, scores)


def clear_columns(
    motif: FoundMotif, X: Float[np.ndarray, "n 4 length"], *, flank: int = 0
) -> Bool[np.ndarray, " wide"]:
    """Return which columns of a motif, with some bases on either side, its instances share; see `bounded`."""
    pieces = cut_out(widened(X, flank), motif.instances.assign(end=motif.instances["end"] + 2 * flank))
    n = len(pieces)
    base = composition(X)[:, None]
    frequency = (pieces.sum(axis=0) + base) / (n + 1)
    bits = (frequency * np.log2(frequency / base)).sum(axis=0) - 3 / (2 * np.log(2) * n)
    # Of unrelated bases the divergence has a standard deviation of sqrt(6) / (2 ln 2 n): chi-square, three degrees.
    noise = np.sqrt(6) / (2 * np.log(2) * n)
    is_clear = bits >= max(LEAST_BITS, 5 * noise)
    are_clear = (bits[:-1] + bits[1:] >= 5 * np.sqrt(2) * noise) & (
        np.minimum(bits[:-1], bits[1:]) >= LEAST_BITS
    )
    is_clear[:-1] |= are_clear
    is_clear[1:] |= are_clear
    return np.asarray(is_clear)


def _ends(is_clear: np.ndarray, first: int, last: int) -> tuple[int, int]:
    """Move the ends of a stretch to clear columns: in where they are not, out over at most one that is not."""
    inner = np.flatnonzero(is_clear[first:last])
    if len(inner):
        first, last = first + int(inner[0]), first + int(inner[-1]) + 1
    while first > 0 and is_clear[max(0, first - 2) : first].any():
        first -= 1 if is_clear[first - 1] else 2
    while last < len(is_clear) and is_clear[last : last + 2].any():
        last += 1 if is_clear[last] else 2
    return first, last


def is_motif(motif: FoundMotif) -> bool:
    """Return whether the columns together say enough to tell the motif from chance, see `LEAST_TOTAL`."""
    return bool(motif.motif().information().sum() >= LEAST_TOTAL)
