"""How one found motif lies over another, and whether the two are one; nothing is joined here."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from genoplrp.sites.instances import composition, cut_out, fits, log_odds, widened
from genoplrp.sites.motifs import FoundMotif

ALIKE = 0.85
"""Similarity from which two motifs are one: eight clear bases of which one differs have 0.83."""
SHARED = 0.5
"""Share of a motif's instances that another one must explain, all in one place, for the two to be one."""
COMMON = 4.0
"""Bits that two forms of a motif have in common at least: a whole motif has one more (`genoplrp.sites.bounds`)."""
LOSS = 0.25
"""Share of what two forms of a motif have in common that one matrix for both may lose, see `one_matrix`."""
MORE_LOSS = 0.28
"""The same, of forms that the network uses alike."""
SAME_USE = 0.8
"""Cosine from which two motifs have their relevance on the same bases, see `used_alike`."""
ONE_WAY = 0.9
"""Share of a motif's instances on one strand from which it stands in one direction, see `direction`."""
_LEAST_OVERLAP, _LEAST_COMMON = 5, 3


class Overlay(NamedTuple):
    """How one motif lies over another.

    Attributes
    ----------
    similarity : float
        -1 to 1.
    offset : int
        Position of the second one's first column in the first one's columns (after turning it round).
    strand : str
        "-" if the second one has to be turned round.
    """

    similarity: float
    offset: int
    strand: str


def overlay(one: Float[np.ndarray, "4 w"], other: Float[np.ndarray, "4 v"]) -> Overlay:
    """Find the best way to lay a motif over another.

    The similarity is the cosine between frequencies minus 1/4, where a column without partner counts 0 on one side: it
    is 1 for equal motifs only, and what one has beyond the other lowers it.

    Parameters
    ----------
    one, other : array, (4, w) and (4, v)
        Frequencies; columns sum to 1.

    Examples
    --------
    >>> gata = np.eye(4)[[2, 0, 3, 0, 0, 2]].T
    >>> overlay(gata, gata[::-1, ::-1])
    Overlay(similarity=1.0, offset=0, strand='-')
    """
    first = np.asarray(one, dtype=np.float64) - 0.25
    norm = np.sqrt((first**2).sum() * ((np.asarray(other, dtype=np.float64) - 0.25) ** 2).sum()) or 1.0
    least = min(_LEAST_OVERLAP, first.shape[1], np.asarray(other).shape[1])
    best = Overlay(-1.0, 0, "+")
    for strand in "+-":
        second = np.asarray(other, dtype=np.float64) - 0.25
        second = second if strand == "+" else second[::-1, ::-1]
        w, v = first.shape[1], second.shape[1]
        for offset in range(least - v, w - least + 1):
            low, high = max(0, offset), min(w, offset + v)
            value = (first[:, low:high] * second[:, low - offset : high - offset]).sum() / norm
            if value > best.similarity + 1e-12:
                best = Overlay(round(float(value), 12), offset, strand)
    return best


def same_sites(one: FoundMotif, other: FoundMotif, X: Float[np.ndarray, "n 4 length"]) -> Overlay | None:
    """Return where a motif lies in the instances of another, if it explains them; None if it does not.

    Parameters
    ----------
    one, other : FoundMotif
        The larger and the smaller one.
    X : array, (N, 4, L)
        The sequences that they were found in.
    """
    weights, enough, w = log_odds(one), fits(one, X), one.width
    pieces = cut_out(widened(X, w), other.instances.assign(end=other.instances["end"] + 2 * w))
    best = Overlay(-1.0, 0, "+")
    for strand, turned in (("+", weights), ("-", weights[::-1, ::-1])):
        for at in range(pieces.shape[2] - w + 1):
            share = float((np.einsum("kcw,cw->k", pieces[:, :, at : at + w], turned) >= enough).mean())
            if share > best.similarity:
                # Of the second one's first column in the columns of the first, which may be turned round.
                offset = w - at if strand == "+" else at - other.width
                best = Overlay(share, offset, strand)
    return best._replace(similarity=1.0) if best.similarity >= SHARED else None


def one_matrix(
    one: FoundMotif, other: FoundMotif, X: Float[np.ndarray, "n 4 length"], *, loss: float = LOSS
) -> Overlay | None:
    """Return how two motifs lie over one another, if one matrix describes both; None if it does not.

    Forms of one motif compensate: where one is strong the other says little, which for their matrices is a difference.
    What stands in the sequences around tells them from different motifs with a core alike.

    Parameters
    ----------
    one, other : FoundMotif
        In either order.
    X : array, (N, 4, L)
        The sequences that they were found in.
    loss : float
        Share of what the two have in common that one matrix may lose.

    Notes
    -----
    Over all columns of the two, in the sequences of each: I(f) is the Kullback-Leibler divergence of frequencies from
    the composition of all sequences in bits (less the bias of counting), f and g are the frequencies of the two, and
    m = (f + g) / 2 is one matrix for both. It lies where the sum of I(m) is largest. What it loses is the
    Jensen-Shannon divergence, the sum of (I(f) + I(g)) / 2 - I(m); what the two have in common is the sum of
    min(I(f), I(g)) over columns that favour the same bases, and where they favour different ones they contradict. The
    two are one if they have enough in common (`COMMON`), of which what is lost and what contradicts is at most a
    share of ``loss``. Sizes of clusters do not count.
    """
    w, v = one.width, other.width
    offsets = np.arange(_LEAST_COMMON - v, w - _LEAST_COMMON + 1)
    if len(offsets) == 0:
        return None
    base = composition(X)[:, None]
    f = _frequencies(one, X, v, base)
    columns = np.arange(-v, w + v)
    is_used = (columns >= np.minimum(0, offsets)[:, None]) & (columns < np.maximum(w, offsets + v)[:, None])
    biases = [3 / (2 * np.log(2) * len(motif.instances)) for motif in (one, other)]
    best, found = -np.inf, None
    around = _frequencies(other, X, w + v, base)
    for strand, turned in (("+", around), ("-", around[::-1, ::-1])):
        views = np.lib.stride_tricks.sliding_window_view(turned, w + 2 * v, axis=1).transpose(1, 0, 2)
        g = views[w - offsets]  # column c of the first is column c - offset of the second
        bits = [_bits(frequency, base) for frequency in (f[None], g, (f + g) / 2)]
        value = (bits[2] * is_used).sum(axis=1)
        k = int(value.argmax())
        if value[k] <= best:
            continue
        best, used = value[k], is_used[k]
        # The mixture has half the bias of the mean of the two.
        lost = ((bits[0][0] + bits[1][k]) / 2 - bits[2][k] - sum(biases) / 4)[used].sum()
        least = np.minimum(np.maximum(bits[0][0] - biases[0], 0), np.maximum(bits[1][k] - biases[1], 0))[used]
        agrees = (((f - base) * (g[k] - base)).sum(axis=0) > 0)[used]
        common, against = least[agrees].sum(), least[~agrees].sum()
        is_one = common >= COMMON and lost + against <= loss * common
        found = Overlay(1.0, int(offsets[k]), strand) if is_one else None
    return found


def used_alike(
    one: FoundMotif, other: FoundMotif, how: Overlay, scores: Float[np.ndarray, "n 4 length"]
) -> bool:
    """Return whether the relevance of two motifs, laid over one another, is on the same bases.

    What two sites have in common may be a word that both hold by chance, or since both lie at one place (the AG of an
    acceptor and that before a donor). The network tells them apart: the cosine between the mean relevance at the
    instances of each, over all columns of both, is below `SAME_USE` then.

    Parameters
    ----------
    one, other : FoundMotif
        In either order.
    how : Overlay
        How the second one lies over the first.
    scores : array, (N, 4, L)
        The scores that they were found in.
    """
    low, high = min(0, how.offset), max(one.width, how.offset + other.width)
    flank = high - low
    there, here = (_relevance(motif, scores, flank) for motif in (one, other))
    if how.strand == "-":
        here = here[::-1, ::-1]
    first = there[:, flank + low : flank + high]
    second = here[:, flank + low - how.offset : flank + high - how.offset]
    norm = np.sqrt((first**2).sum() * (second**2).sum())
    return bool((first * second).sum() >= SAME_USE * norm)


def direction(motif: FoundMotif) -> str:
    """Return the strand on which at least nine tenths of a motif's instances stand, or "" where neither has so many."""
    plus = float((motif.instances["strand"] == "+").mean())
    return "+" if plus >= ONE_WAY else "-" if 1 - plus >= ONE_WAY else ""


def _relevance(
    motif: FoundMotif, scores: Float[np.ndarray, "n 4 length"], flank: int
) -> Float[np.ndarray, "4 wide"]:
    """Return the mean relevance at the instances and around."""
    padded = np.pad(np.asarray(scores), ((0, 0), (0, 0), (flank, flank)))
    pieces = cut_out(padded, motif.instances.assign(end=motif.instances["end"] + 2 * flank))
    return np.asarray(pieces.mean(axis=0))


def _frequencies(
    motif: FoundMotif, X: Float[np.ndarray, "n 4 length"], flank: int, base: Float[np.ndarray, "4 1"]
) -> Float[np.ndarray, "4 wide"]:
    """Return frequencies at the instances and around, with one pseudocount."""
    pieces = cut_out(widened(X, flank), motif.instances.assign(end=motif.instances["end"] + 2 * flank))
    return np.asarray((pieces.sum(axis=0) + base) / (len(pieces) + 1))


def _bits(frequency: np.ndarray, base: np.ndarray) -> np.ndarray:
    return np.asarray((frequency * np.log2(frequency / base)).sum(axis=-2))
