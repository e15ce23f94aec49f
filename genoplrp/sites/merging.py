"""Motifs that are one, joined; which are is asked of `genoplrp.sites.overlays`, and nothing is clustered here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float

from genoplrp.sites.instances import counted_anew, named_in_order, sign_of
from genoplrp.sites.motifs import FoundMotif
from genoplrp.sites.overlays import (
    ALIKE,
    MORE_LOSS,
    Overlay,
    direction,
    one_matrix,
    overlay,
    same_sites,
    used_alike,
)


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
    Motifs are joined where their matrices are alike, where one matrix describes both (`one_matrix`; one that loses a
    little more will do if the network uses both alike, see `used_alike`), or where the larger one explains half of the
    smaller one's instances in one place: as well as it does all but a twentieth of its own, and half as well as it does
    on average. Where every motif stands in one direction the sequences have one, and only alike matrices are joined
    that would stand in opposite ones.
    """
    left = sorted(motifs, key=lambda one: (sign_of(one) != "positive", -len(one.instances)))
    directed = all(direction(one) for one in motifs)
    kept: list[FoundMotif] = []
    for motif in left:
        for k, there in enumerate(kept):
            if sign_of(there) != sign_of(motif):
                continue
            how = overlay(there.pwm, motif.pwm)
            if how.similarity < alike:
                how = _one(there, motif, X, scores, directed=directed) or how
            if how.similarity >= alike:
                kept[k] = _joined(there, motif, how, X, scores)
                break
        else:
            kept.append(motif)
    return named_in_order(kept)


def _one(
    one: FoundMotif, other: FoundMotif, X: np.ndarray, scores: np.ndarray, *, directed: bool
) -> Overlay | None:
    """How two motifs whose matrices are not alike lie over one another, if they are one."""
    how = same_sites(one, other, X) or one_matrix(one, other, X)
    if how is None:
        how = one_matrix(one, other, X, loss=MORE_LOSS)
        if how is None or not used_alike(one, other, how, scores):
            return None
    ways = direction(one), direction(other)
    opposed = all(ways) and (ways[0] == ways[1]) != (how.strand == "+")
    return None if directed and opposed else how


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
