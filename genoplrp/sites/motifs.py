"""Sites clustered into motifs by TF-MoDISco-lite; sites are called, and motifs named, elsewhere.

References
----------
Shrikumar et al., TF-MoDISco, arXiv 1811.00416; the engine is https://github.com/jmschrei/tfmodisco-lite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from genoplrp.errors import InputError, MissingDependencyError
from genoplrp.sites.compiled import keep_compiled
from genoplrp.threads import threads_kept

if TYPE_CHECKING:
    from genoplrp.synthetic import Motif

MINIMUM = 100
"""Fewest sites of one sign that are worth clustering: with fewer, MoDISco finds nothing and does not say so."""
LEIDEN_RUNS = 2
"""Random starts of each clustering, as in modisco's own command; parts of one motif are joined afterwards."""
_CORE, _FLANK = 21, 10
_TRIM = 0.2
# The engine drops sites whose widened window leaves the sequence: room for them.
_PAD = 50
_INSTANCES = ["motif", "sequence", "start", "end", "strand"]


@dataclass(frozen=True, eq=False)
class FoundMotif:
    """A motif made of sites that look alike.

    Attributes
    ----------
    name : str
        ``positive_0``, ``positive_1``, ..., ``negative_0``, ...; in the order of the number of sites.
    pwm : array, (4, w)
        Frequency of A, C, G, T at each position of the sites.
    contribution : array, (4, w)
        Mean relevance at each position of the sites (contribution-weight matrix).
    instances : DataFrame
        ``motif, sequence, start, end, strand``: where the motif lies.
    flanked : array, (4, w + 2 f), optional
        Frequencies with f bases on either side, which relevance or conservation cut off; see `with_flanks`.
    """

    name: str
    pwm: Float[np.ndarray, "4 width"]
    contribution: Float[np.ndarray, "4 width"]
    instances: pd.DataFrame
    flanked: Float[np.ndarray, "4 wide"] | None = None

    @property
    def width(self) -> int:
        """Number of positions in bp."""
        return int(self.pwm.shape[1])

    def motif(self) -> Motif:
        """The frequencies as a `genoplrp.synthetic.Motif`."""
        from genoplrp.synthetic import Motif

        return Motif(self.name, self.pwm / self.pwm.sum(axis=0), sites=float(len(self.instances)))


@threads_kept()
def cluster_sites(
    X: Float[np.ndarray, "n 4 length"],
    scores: Float[np.ndarray, "n 4 length"],
    sites: pd.DataFrame,
    *,
    minimum: int = MINIMUM,
    leiden_runs: int = LEIDEN_RUNS,
) -> list[FoundMotif]:
    """Cluster sites into motifs, each sign on its own.

    Parameters
    ----------
    X : array, (N, 4, L)
        One-hot sequences.
    scores : array, (N, 4, L)
        Projected or hypothetical scores.
    sites : DataFrame
        As `find_sites` returns them. Each is looked at in a window of 41 bp around its middle; beyond the ends of a
        sequence there are unknown bases without relevance.
    minimum : int
        Fewest sites of one sign.
    leiden_runs : int
        Random starts of each clustering; the best one is taken.

    Returns
    -------
    list of FoundMotif
        Positive ones first, the most frequent first; trimmed to the positions whose relevance times information
        content is at least a fifth of the largest one's: what a neighbouring motif leaves around is neither conserved
        nor part of the motif. Instances that would reach beyond the ends of their sequence are left out.

    Raises
    ------
    MissingDependencyError
        If modisco-lite is not installed.
    InputError
        If there are too few sites, or no cluster is found; the message says what to try.
    """
    try:
        from modiscolite import affinitymat, aggregator, core, gapped_kmer, tfmodisco, util
    except ImportError as error:
        raise MissingDependencyError("Motifs need modisco-lite: pip install 'genoplrp[modisco]'") from error
    keep_compiled(affinitymat, aggregator, gapped_kmer, util)
    half = _CORE // 2 + _FLANK
    # Not quite zero: the engine divides by the norm of what it compares.
    one_hot, hypothetical = _padded(X, 0.25), _padded(scores, 1e-5 * float(np.abs(scores).max()))
    tracks = core.TrackSet(one_hot, one_hot * hypothetical, hypothetical)
    found: list[FoundMotif] = []
    said: list[str] = []
    for sign, label, factor in (("+", "positive", 1), ("-", "negative", -1)):
        rows = sites[sites["sign"] == sign]
        middle = ((rows["start"] + rows["end"]) // 2).to_numpy() + _PAD
        said.append(f"{len(rows)} {label}")
        if len(rows) < minimum:
            continue
        places = zip(rows["sequence"].to_numpy(), middle, strict=True)
        seqlets = tracks.create_seqlets(
            [core.Seqlet(int(i), int(m) - half, int(m) + half + 1, False) for i, m in places]
        )
        found += _motifs(
            _patterns(tfmodisco, seqlets, tracks, factor, leiden_runs), label, factor, X.shape[-1]
        )
    if not found:
        raise InputError(
            f"no motif was found among {' and '.join(said)} sites; at least {minimum} of one sign are needed, and they "
            "must not all be equal. Try more sequences, a larger --fdr, or less pruning"
        )
    return found


def _padded(values: Float[np.ndarray, "n 4 length"], filler: float) -> Float[np.ndarray, "n wide 4"]:
    around = ((0, 0), (0, 0), (_PAD, _PAD))
    wide = np.pad(np.asarray(values, dtype=np.float32), around, constant_values=filler)
    return np.ascontiguousarray(wide.transpose(0, 2, 1))


def _patterns(tfmodisco: Any, seqlets: list[Any], tracks: Any, factor: int, runs: int) -> list[Any]:
    """Run the engine with the settings of its own command."""
    try:
        made = tfmodisco.seqlets_to_patterns(
            seqlets=seqlets,
            track_set=tracks,
            track_signs=factor,
            trim_to_window_size=30,
            initial_flank_to_add=_FLANK,
            n_leiden_runs=runs,
        )
    except ValueError as error:
        if "empty" not in str(error):
            raise
        return []  # its filter by rank correlation has left no site: all have the same flanks, or none
    return list(made or [])


def _motifs(patterns: list[Any], label: str, factor: int, length: int) -> list[FoundMotif]:
    from genoplrp.synthetic import Motif

    found = []
    for k, pattern in enumerate(sorted(patterns, key=lambda one: -len(one.seqlets))):
        contribution = np.asarray(pattern.contrib_scores, dtype=np.float64).T
        pwm = np.asarray(pattern.sequence, dtype=np.float64).T
        name = f"{label}_{k}"
        conserved = Motif(name, pwm / pwm.sum(axis=0)).information()
        carried = factor * contribution.sum(axis=0) * conserved
        strong = np.flatnonzero(carried >= _TRIM * carried.max())
        first, last = int(strong[0]), int(strong[-1]) + 1
        pwm = pwm[:, first:last]
        width = contribution.shape[1]
        rows = []
        for one in pattern.seqlets:
            shift = width - last if one.is_revcomp else first
            start = int(one.start) + shift - _PAD
            if start < 0 or start + last - first > length:
                continue
            strand = "-" if one.is_revcomp else "+"
            rows.append((name, int(one.example_idx), start, start + last - first, strand))
        instances = pd.DataFrame(rows, columns=_INSTANCES).sort_values(
            ["sequence", "start"], ignore_index=True
        )
        found.append(FoundMotif(name, pwm / pwm.sum(axis=0), contribution[:, first:last].copy(), instances))
    return found
