"""What the instances of found motifs hold: bases along their strands, frequencies, log-odds; nothing is joined here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float

from genoplrp.sites.motifs import FoundMotif

FLANK = 8
"""Bases around an instance that help to name its motif."""


def sign_of(motif: FoundMotif) -> str:
    """Return "positive" or "negative": the sign of the relevance at the instances."""
    return motif.name.partition("_")[0]


def named_in_order(motifs: Sequence[FoundMotif]) -> list[FoundMotif]:
    """Name motifs anew: positive ones first, the most frequent first."""
    named: list[FoundMotif] = []
    count = {"positive": 0, "negative": 0}
    for motif in sorted(motifs, key=lambda one: (sign_of(one) != "positive", -len(one.instances))):
        name = f"{sign_of(motif)}_{count[sign_of(motif)]}"
        count[sign_of(motif)] += 1
        named.append(FoundMotif(name, motif.pwm, motif.contribution, motif.instances.assign(motif=name)))
    return named


def cut_out(values: np.ndarray, table: pd.DataFrame) -> Float[np.ndarray, "k 4 width"]:
    """Return what stands at instances, each along its own strand."""
    width = int(table["end"].iloc[0] - table["start"].iloc[0])
    columns = table["start"].to_numpy()[:, None] + np.arange(width)
    pieces = np.asarray(values)[table["sequence"].to_numpy()[:, None], :, columns].transpose(0, 2, 1)
    minus = (table["strand"] == "-").to_numpy()
    pieces = pieces.astype(np.float64)
    pieces[minus] = pieces[minus][:, ::-1, ::-1]
    return pieces


def widened(X: Float[np.ndarray, "n 4 length"], flank: int) -> Float[np.ndarray, "n 4 wide"]:
    """Return the sequences with unknown bases, a quarter of each, on either side."""
    around = ((0, 0), (0, 0), (flank, flank))
    return np.pad(np.asarray(X, dtype=np.float32), around, constant_values=0.25)


def composition(X: Float[np.ndarray, "n 4 length"]) -> Float[np.ndarray, " 4"]:
    """Return the share of each base in all sequences."""
    counts = np.asarray(X, dtype=np.float64).sum(axis=(0, 2)) + 1.0
    return np.asarray(counts / counts.sum())


def counted_anew(
    motif: FoundMotif, X: Float[np.ndarray, "n 4 length"], scores: Float[np.ndarray, "n 4 length"]
) -> FoundMotif:
    """Return a motif with frequencies and contributions counted over its instances."""
    cut = [cut_out(np.asarray(values), motif.instances).mean(axis=0) for values in (X, scores)]
    pwm = cut[0] + 1e-6
    return replace(motif, pwm=pwm / pwm.sum(axis=0), contribution=cut[1])


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
    cut = cut_out(widened(X, flank), table.assign(end=table["end"] + 2 * flank)).mean(axis=0) + 1e-6
    return replace(motif, flanked=cut / cut.sum(axis=0))


def as_most_lie(motif: FoundMotif) -> FoundMotif:
    """Return a motif, turned round if most of its instances lie on the minus strand.

    Which way round a motif is clustered is arbitrary; in sequences that have a direction, as transcripts, it is not.
    """
    table = motif.instances
    minus = (table["strand"] == "-").to_numpy()
    if minus.mean() <= 0.5:
        return motif
    return replace(
        motif,
        pwm=motif.pwm[::-1, ::-1],
        contribution=motif.contribution[::-1, ::-1],
        instances=table.assign(strand=np.where(minus, "+", "-")),
        flanked=None if motif.flanked is None else motif.flanked[::-1, ::-1],
    )


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
    return np.asarray(np.einsum("kcw,cw->k", cut_out(np.asarray(X), motif.instances), log_odds(motif)))
