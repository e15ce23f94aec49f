"""Motifs that are one: found ones laid over one another, and joined where they are alike; nothing is clustered here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from genoplrp.sites.motifs import FoundMotif

ALIKE = 0.85
"""Similarity from which two motifs are one: eight clear bases of which one differs have 0.83."""
FLANK = 8
"""Bases around an instance that help to name its motif."""
LEAST_BITS = 0.1
"""A column at the end of a motif says at least so much about the base there."""
REACH = 20
"""Bases on either side of what relevance shows within which a motif may go on."""
LEAST_TOTAL = 5.0
"""Bits of a whole motif: one of less stands in every thirtieth place by chance."""
SHARED = 0.5
"""Share of a motif's instances that another one must explain, all in one place, for the two to be one."""
PART = 0.95
"""Similarity of a motif to some columns of another from which it is a part of it."""
_LEAST_OVERLAP = 5


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


def merge_alike(
    motifs: Sequence[FoundMotif],
    X: Float[np.ndarray, "n 4 length"],
    scores: Float[np.ndarray, "n 4 length"],
    *,
    alike: float = ALIKE,
) -> list[FoundMotif]:
    """Join motifs of one sign that are alike: clustering often splits one by what happens to lie around it.

    Parameters
    ----------
    motifs : sequence of FoundMotif
        As `cluster_sites` returns them.
    X, scores : array, (N, 4, L)
        The sequences and scores that they were found in.
    alike : float
        Smallest similarity, see `overlay`.

    Returns
    -------
    list of FoundMotif
        Named anew, positive ones first, the most frequent first. A joined motif has the columns of its largest part,
        the instances of all parts (each place once), and frequencies and contributions counted over them.

    Notes
    -----
    Motifs are joined where their matrices are alike, where the smaller one is a part of the larger one (`part_of`), or
    where the larger one explains half of the smaller one's instances in one place: as well as it does all but a
    twentieth of its own, and half as well as it does on average.
    """
    left = sorted(motifs, key=lambda one: (sign_of(one) != "positive", -len(one.instances)))
    kept: list[FoundMotif] = []
    for motif in left:
        for k, there in enumerate(kept):
            if sign_of(there) != sign_of(motif):
                continue
            how = overlay(there.pwm, motif.pwm)
            if how.similarity < alike:
                how = same_sites(there, motif, X) or part_of(there, motif) or how
            if how.similarity >= alike:
                kept[k] = _joined(there, motif, how, X, scores)
                break
        else:
            kept.append(motif)
    return named_in_order(kept)


def named_in_order(motifs: Sequence[FoundMotif]) -> list[FoundMotif]:
    """Name motifs anew: positive ones first, the most frequent first."""
    named: list[FoundMotif] = []
    count = {"positive": 0, "negative": 0}
    for motif in sorted(motifs, key=lambda one: (sign_of(one) != "positive", -len(one.instances))):
        name = f"{sign_of(motif)}_{count[sign_of(motif)]}"
        count[sign_of(motif)] += 1
        named.append(FoundMotif(name, motif.pwm, motif.contribution, motif.instances.assign(motif=name)))
    return named


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
    pieces = _cut(_widened(X, w), other.instances.assign(end=other.instances["end"] + 2 * w))
    best = Overlay(-1.0, 0, "+")
    for strand, turned in (("+", weights), ("-", weights[::-1, ::-1])):
        for at in range(pieces.shape[2] - w + 1):
            share = float((np.einsum("kcw,cw->k", pieces[:, :, at : at + w], turned) >= enough).mean())
            if share > best.similarity:
                # Of the second one's first column in the columns of the first, which may be turned round.
                offset = w - at if strand == "+" else at - other.width
                best = Overlay(share, offset, strand)
    return best._replace(similarity=1.0) if best.similarity >= SHARED else None


def part_of(one: FoundMotif, other: FoundMotif) -> Overlay | None:
    """Return where a motif lies in a wider one of which it shows a part, more than half; None if it does not.

    Parameters
    ----------
    one, other : FoundMotif
        The wider one, and what may be its part.
    """
    first = np.asarray(one.pwm, dtype=np.float64) - 0.25
    w, v = one.width, other.width
    best = Overlay(-1.0, 0, "+")
    for strand in "+-":
        second = np.asarray(other.pwm, dtype=np.float64) - 0.25
        second = second if strand == "+" else second[::-1, ::-1]
        for offset in range(w - v + 1 if 2 * v > w else 0):
            there = first[:, offset : offset + v]
            norm = np.sqrt((there**2).sum() * (second**2).sum()) or 1.0
            value = float((there * second).sum() / norm)
            if value > best.similarity:
                best = Overlay(value, offset, strand)
    return best._replace(similarity=1.0) if best.similarity >= PART else None


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
        Its ends moved, by at most `REACH`, to the outermost columns of at least `LEAST_BITS` bits and five standard
        deviations of what counting alone gives, with at most one weaker column in a row between (Kullback-Leibler
        divergence from the composition of all sequences, less the bias of counting; Schneider et al., Journal of
        Molecular Biology 188, 1986). Instances that would leave their sequence are left out.
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
    pieces = _cut(_widened(X, flank), motif.instances.assign(end=motif.instances["end"] + 2 * flank))
    n = len(pieces)
    composition = np.asarray(X, dtype=np.float64).sum(axis=(0, 2)) + 1.0
    composition /= composition.sum()
    frequency = (pieces.sum(axis=0) + composition[:, None]) / (n + 1)
    bits = (frequency * np.log2(frequency / composition[:, None])).sum(axis=0) - 3 / (2 * np.log(2) * n)
    # Of unrelated bases the divergence has a standard deviation of sqrt(6) / (2 ln 2 n): chi-square, three degrees.
    return np.asarray(bits >= max(LEAST_BITS, 5 * np.sqrt(6) / (2 * np.log(2) * n)))


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


def with_flanks(motif: FoundMotif, X: Float[np.ndarray, "n 4 length"], *, flank: int = FLANK) -> FoundMotif:
    """Count what lies around the instances of a motif, beyond where it was trimmed.

    Parameters
    ----------
    motif : FoundMotif
        A found motif.
    X : array, (N, 4, L)
        The sequences that it was found in.
    flank : int
        Bases on either side.

    Returns
    -------
    FoundMotif
        The same with ``flanked``; beyond the ends of a sequence the four bases count a quarter each.
    """
    table = motif.instances
    cut = _cut(_widened(X, flank), table.assign(end=table["end"] + 2 * flank)).mean(axis=0) + 1e-6
    return replace(motif, flanked=cut / cut.sum(axis=0))


def _widened(X: Float[np.ndarray, "n 4 length"], flank: int) -> Float[np.ndarray, "n 4 wide"]:
    """Return the sequences with unknown bases, a quarter of each, on either side."""
    around = ((0, 0), (0, 0), (flank, flank))
    return np.pad(np.asarray(X, dtype=np.float32), around, constant_values=0.25)


def sign_of(motif: FoundMotif) -> str:
    """Return "positive" or "negative": the sign of the relevance at the instances."""
    return motif.name.partition("_")[0]


def log_odds(motif: FoundMotif) -> Float[np.ndarray, "4 width"]:
    """Return bits by which each base at each position speaks for the motif, against uniform bases."""
    return np.asarray(np.log2((np.asarray(motif.pwm) + 0.01) / 1.04 * 4))


def fits(motif: FoundMotif, X: Float[np.ndarray, "n 4 length"]) -> float:
    """Return the log-odds from which bases are an instance of a motif.

    That is what all but a twentieth of its own instances have, and at least half of their mean.
    """
    own = fit(motif, X)
    return max(float(np.quantile(own, 0.05)), 0.5 * float(own.mean()))


def fit(motif: FoundMotif, X: Float[np.ndarray, "n 4 length"]) -> Float[np.ndarray, " k"]:
    """Return the log-odds of each instance of a motif."""
    return np.asarray(np.einsum("kcw,cw->k", _cut(np.asarray(X), motif.instances), log_odds(motif)))


def counted_anew(
    motif: FoundMotif, X: Float[np.ndarray, "n 4 length"], scores: Float[np.ndarray, "n 4 length"]
) -> FoundMotif:
    """Return a motif with frequencies and contributions counted over its instances."""
    cut = [_cut(np.asarray(values), motif.instances).mean(axis=0) for values in (X, scores)]
    pwm = cut[0] + 1e-6
    return replace(motif, pwm=pwm / pwm.sum(axis=0), contribution=cut[1])


def _joined(
    one: FoundMotif, other: FoundMotif, how: Overlay, X: np.ndarray, scores: np.ndarray
) -> FoundMotif:
    """The instances of both, in the columns of the first."""
    table = other.instances
    flipped = (table["strand"] == "-").to_numpy()
    minus = flipped != (how.strand == "-")
    # Where the first column of `one` comes to lie, counted along each instance's own strand.
    before = table["start"].to_numpy() - how.offset
    behind = table["end"].to_numpy() + how.offset - one.width
    start = np.where(minus, behind, before)
    moved = table.assign(start=start, end=start + one.width, strand=np.where(minus, "-", "+"))
    inside = (moved["start"] >= 0) & (moved["end"] <= X.shape[-1])
    both = pd.concat([one.instances, moved[inside]], ignore_index=True)
    both = _once(both.sort_values(["sequence", "start"], kind="stable", ignore_index=True))
    return counted_anew(replace(one, instances=both.assign(motif=one.name)), X, scores)


def _once(table: pd.DataFrame) -> pd.DataFrame:
    """Of instances that share half of their positions, the first."""
    keep, last = [], (-1, -1)
    half = int(table["end"].iloc[0] - table["start"].iloc[0]) / 2
    for i, (sequence, start) in enumerate(zip(table["sequence"], table["start"], strict=True)):
        if sequence != last[0] or start - last[1] >= half:
            keep.append(i)
            last = (sequence, start)
    return table.iloc[keep].reset_index(drop=True)


def _cut(values: np.ndarray, table: pd.DataFrame) -> Float[np.ndarray, "k 4 width"]:
    width = int(table["end"].iloc[0] - table["start"].iloc[0])
    columns = table["start"].to_numpy()[:, None] + np.arange(width)
    pieces = np.asarray(values)[table["sequence"].to_numpy()[:, None], :, columns].transpose(0, 2, 1)
    minus = (table["strand"] == "-").to_numpy()
    pieces = pieces.astype(np.float64)
    pieces[minus] = pieces[minus][:, ::-1, ::-1]
    return pieces
