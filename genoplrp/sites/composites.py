"""Found motifs that are two at a distance, taken apart; what joins parts of one motif is `genoplrp.sites.merging`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from genoplrp.sites.bounds import clear_columns, is_motif
from genoplrp.sites.instances import counted_anew, fit, named_in_order, sign_of
from genoplrp.sites.motifs import FoundMotif
from genoplrp.sites.overlays import ALIKE, overlay, same_sites

SPACER = 3
"""Columns in a row that say nothing, from which two halves of a motif may be two motifs."""


def taken_apart(
    motifs: Sequence[FoundMotif],
    X: Float[np.ndarray, "n 4 length"],
    scores: Float[np.ndarray, "n 4 length"],
) -> list[FoundMotif]:
    """Take composites apart: two motifs that stand at one distance often enough are clustered as one.

    Parameters
    ----------
    motifs : sequence of FoundMotif
        As `genoplrp.sites.bounded` returns them.
    X, scores : array, (N, 4, L)
        The sequences and scores that they were found in.

    Returns
    -------
    list of FoundMotif
        Named anew. In place of a composite stand its halves, each with those of the instances that
        fit it; `merge_alike` joins these with what they are alike to.

    Notes
    -----
    A motif is a composite if `SPACER` columns or more say nothing, each half is a motif by itself and unlike the other
    (a dimer with a spacer is one motif), and a half explains the instances of another motif which the whole does not:
    the two occur apart, or at another distance.
    """
    pending, done = list(motifs), list[FoundMotif]()
    while pending:
        one = pending.pop(0)
        halves = _halves(one, X, scores)
        others = [other for other in (*pending, *done) if sign_of(other) == sign_of(one)]
        if halves and any(
            same_sites(one, other, X) is None and any(same_sites(half, other, X) for half in halves)
            for other in others
        ):
            pending += halves
        else:
            done.append(one)
    return named_in_order(done)


def _halves(
    motif: FoundMotif, X: Float[np.ndarray, "n 4 length"], scores: Float[np.ndarray, "n 4 length"]
) -> list[FoundMotif]:
    """Return what stands before and behind the longest stretch that says nothing, if both are motifs."""
    is_clear = clear_columns(motif, X)
    edges = np.flatnonzero(np.diff(np.r_[True, is_clear, True].astype(np.int8)))
    runs = edges.reshape(-1, 2)  # of columns that say nothing: first, and one behind the last
    runs = runs[(runs[:, 0] > 0) & (runs[:, 1] < motif.width)]
    if len(runs) == 0 or (longest := runs[np.argmax(runs[:, 1] - runs[:, 0])])[1] - longest[0] < SPACER:
        return []
    halves = []
    for first, last in ((0, int(longest[0])), (int(longest[1]), motif.width)):
        table = motif.instances
        minus = (table["strand"] == "-").to_numpy()
        start = np.where(minus, table["end"] - last, table["start"] + first)
        half = replace(motif, instances=table.assign(start=start, end=start + last - first))
        half = counted_anew(half, X, scores)
        # Clustering looks at the whole: one half may lack.
        own = fit(half, X)
        table = half.instances[own >= 0.5 * own.mean()].reset_index(drop=True)
        halves.append(counted_anew(replace(half, instances=table), X, scores))
    if not all(is_motif(half) for half in halves):
        return []
    return [] if overlay(halves[0].pwm, halves[1].pwm).similarity >= ALIKE else halves
