"""Sites clustered into motifs by TF-MoDISco-lite, and motifs named by Tomtom; sites are called elsewhere.

References
----------
Shrikumar et al., TF-MoDISco, arXiv 1811.00416; the engine is https://github.com/jmschrei/tfmodisco-lite.
Gupta et al., *Quantifying similarity between motifs*, Genome Biology 8, R24, 2007 (Tomtom; here that of memelite).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from genoplrp.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from genoplrp.synthetic import Motif

MINIMUM = 100
"""Fewest sites of one sign that are worth clustering: with fewer, MoDISco finds nothing and does not say so."""
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
    """

    name: str
    pwm: Float[np.ndarray, "4 width"]
    contribution: Float[np.ndarray, "4 width"]
    instances: pd.DataFrame

    @property
    def width(self) -> int:
        """Number of positions in bp."""
        return int(self.pwm.shape[1])

    def motif(self) -> Motif:
        """The frequencies as a `genoplrp.synthetic.Motif`."""
        from genoplrp.synthetic import Motif

        return Motif(self.name, self.pwm / self.pwm.sum(axis=0), sites=float(len(self.instances)))


def cluster_sites(
    X: Float[np.ndarray, "n 4 length"],
    scores: Float[np.ndarray, "n 4 length"],
    sites: pd.DataFrame,
    *,
    minimum: int = MINIMUM,
    leiden_runs: int = 16,
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
        from modiscolite import core, tfmodisco
    except ImportError as error:
        raise MissingDependencyError("Motifs need modisco-lite: pip install 'genoplrp[modisco]'") from error
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
            f"no motif was found among {' and '.join(said)} sites; at least {minimum} of one sign are needed. Try more "
            "sequences, a larger --fdr, or less pruning"
        )
    return found


def match_motifs(
    motifs: Sequence[FoundMotif], database: Sequence[Motif], *, nearest: int = 5
) -> pd.DataFrame:
    """Match motifs to known ones by Tomtom.

    Parameters
    ----------
    motifs : sequence of FoundMotif
        What was found.
    database : sequence of Motif
        Known motifs. Tomtom's background comes from them: with fewer than about 50, p-values are rough.
    nearest : int
        Matches of each motif to return.

    Returns
    -------
    DataFrame
        ``motif, match, matrix_id, p_value, e_value`` (p-value times the number of known motifs), ``strand, offset,
        overlap``; best first.

    Raises
    ------
    MissingDependencyError
        If memelite is not installed.
    InputError
        If the database is empty.
    """
    try:
        from memelite import tomtom
    except ImportError as error:
        raise MissingDependencyError(
            "Matching motifs needs memelite: pip install 'genoplrp[modisco]'"
        ) from error
    if not database:
        raise InputError("there are no known motifs to match to")
    queries = [np.ascontiguousarray(one.pwm, dtype=np.float64) for one in motifs]
    targets = [np.ascontiguousarray(one.pwm, dtype=np.float64) for one in database]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few targets: said in the docstring
        p, _, offset, overlap, strand = tomtom(queries, targets, n_jobs=1)[:5]
    rows = []
    for i, one in enumerate(motifs):
        for j in np.argsort(p[i], kind="stable")[:nearest]:
            known = database[int(j)]
            rows.append(
                {
                    "motif": one.name,
                    "match": known.name,
                    "matrix_id": known.matrix_id,
                    "p_value": float(p[i, j]),
                    "e_value": float(p[i, j]) * len(targets),
                    "strand": "-" if strand[i, j] else "+",
                    "offset": int(offset[i, j]),
                    "overlap": int(overlap[i, j]),
                }
            )
    return pd.DataFrame(rows)


def jaspar_vertebrates(release: str = "JASPAR2024") -> list[Motif]:
    """All vertebrate motifs of JASPAR CORE, from the copy that pyjaspar brings along.

    Raises
    ------
    MissingDependencyError
        If pyjaspar is not installed.
    """
    try:
        from pyjaspar import jaspardb
    except ImportError as error:
        raise MissingDependencyError("JASPAR needs pyjaspar: pip install 'genoplrp[jaspar]'") from error
    from genoplrp.synthetic import Motif

    found = []
    for one in jaspardb(release=release).fetch_motifs(collection="CORE", tax_group=["vertebrates"]):
        counts = np.array([one.counts[base] for base in "ACGT"], dtype=np.float64)
        name = "_".join(str(one.name).replace(",", ".").split())
        found.append(Motif(name, counts / counts.sum(axis=0), matrix_id=str(one.matrix_id)))
    return found


def motif_table(motifs: Sequence[FoundMotif], matches: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row a motif: name, consensus, width, sites, sequences with it, mean relevance, best match."""
    rows = []
    for one in motifs:
        row: dict[str, Any] = {
            "motif": one.name,
            "consensus": one.motif().consensus(),
            "width": one.width,
            "sites": len(one.instances),
            "sequences": int(one.instances["sequence"].nunique()),
            "relevance": float(one.contribution.sum()),
        }
        if matches is not None:
            best = matches[matches["motif"] == one.name].iloc[0]
            row |= {key: best[key] for key in ("match", "matrix_id", "p_value", "e_value")}
        rows.append(row)
    return pd.DataFrame(rows)


def _padded(values: Float[np.ndarray, "n 4 length"], filler: float) -> Float[np.ndarray, "n wide 4"]:
    around = ((0, 0), (0, 0), (_PAD, _PAD))
    wide = np.pad(np.asarray(values, dtype=np.float32), around, constant_values=filler)
    return np.ascontiguousarray(wide.transpose(0, 2, 1))


def _patterns(tfmodisco: Any, seqlets: list[Any], tracks: Any, factor: int, runs: int) -> list[Any]:
    """Run the engine with the settings of its own command."""
    made = tfmodisco.seqlets_to_patterns(
        seqlets=seqlets,
        track_set=tracks,
        track_signs=factor,
        trim_to_window_size=30,
        initial_flank_to_add=_FLANK,
        n_leiden_runs=runs,
    )
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
