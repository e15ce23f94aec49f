"""Motifs that are one: found ones laid over one another, and joined where they are alike; nothing is clustered here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from genoplrp.sites.motifs import FoundMotif

ALIKE = 0.85
"""Similarity from which two motifs are one: eight clear bases of which one differs have 0.83."""
FLANK = 8
"""Bases around an instance that help to name its motif."""
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
    """
    left = sorted(motifs, key=lambda one: (_sign(one) != "positive", -len(one.instances)))
    kept: list[FoundMotif] = []
    for motif in left:
        for k, there in enumerate(kept):
            if _sign(there) != _sign(motif):
                continue
            how = overlay(there.pwm, motif.pwm)
            if how.similarity >= alike:
                kept[k] = _joined(there, motif, how, X, scores)
                break
        else:
            kept.append(motif)
    kept.sort(key=lambda one: (_sign(one) != "positive", -len(one.instances)))
    named, count = [], {"positive": 0, "negative": 0}
    for motif in kept:
        name = f"{_sign(motif)}_{count[_sign(motif)]}"
        count[_sign(motif)] += 1
        named.append(FoundMotif(name, motif.pwm, motif.contribution, motif.instances.assign(motif=name)))
    return named


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
    around = ((0, 0), (0, 0), (flank, flank))
    wide = np.pad(np.asarray(X, dtype=np.float32), around, constant_values=0.25)
    cut = _cut(wide, table.assign(end=table["end"] + 2 * flank)).mean(axis=0) + 1e-6
    return replace(motif, flanked=cut / cut.sum(axis=0))


def _sign(motif: FoundMotif) -> str:
    return motif.name.partition("_")[0]


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
    cut = [_cut(values, both) for values in (X, scores)]
    pwm = cut[0].mean(axis=0) + 1e-6
    return FoundMotif(one.name, pwm / pwm.sum(axis=0), cut[1].mean(axis=0), both.assign(motif=one.name))


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
