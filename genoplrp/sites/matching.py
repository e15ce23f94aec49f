"""Motifs named: matched to known ones by Tomtom, and what those matches have in common; nothing is found here.

References
----------
Gupta et al., *Quantifying similarity between motifs*, Genome Biology 8, R24, 2007 (Tomtom; here that of memelite).
Benjamini and Hochberg, Journal of the Royal Statistical Society B 57, 289, 1995 (the q-values).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from genoplrp.errors import InputError, MissingDependencyError
from genoplrp.sites.motifs import FoundMotif
from genoplrp.sites.overlays import ALIKE, overlay
from genoplrp.sites.sharing import Shared, order_share, shared_information
from genoplrp.synthetic.motifs import SCORE_FLOOR
from genoplrp.threads import threads_kept

if TYPE_CHECKING:
    from genoplrp.synthetic import Motif

RELEASE = "JASPAR2024"
CERTAIN = 0.05
"""Largest q-value of a match that gives a motif its name."""
LEAST_SHARED = 0.7
"""Share of their information that a motif and its match have in common at least (geometric mean) for a name."""
LEAST_ORDER = 0.2
"""Share of its information that lies in the order of a motif's bases at least for a name: with less it is a tract."""
COUNTS = "sites of "
"""Start of the names of the columns that count the sites of each target."""
_LEAST_OVERLAP = 5


@threads_kept()
def match_motifs(
    motifs: Sequence[FoundMotif], database: Sequence[Motif] | None = None, *, nearest: int = 10
) -> pd.DataFrame:
    """Match motifs to known ones by Tomtom.

    Factors of a family have matrices that are near copies of one another, and Tomtom asks whether a match is chance,
    not which of such copies is the better one. Nor does it ask how much of what either motif says the other one says
    too: two stretches of columns that say little are alike, and rare. Matches with a q-value of at most 0.05 and 70 %
    of their information in common (see `shared_information`) therefore come first. Those that cannot be told from
    Tomtom's first among them (a matrix as like that one's as two found motifs that are joined, see `merge_alike`)
    are ``tied``, and stand in the order of ``bits``: how much better each explains the instances than uniform bases
    do, flanks included. The name at the top can still be a relative's: docs/genome.md has figures.

    Parameters
    ----------
    motifs : sequence of FoundMotif
        What was found.
    database : sequence of Motif, optional
        Known motifs; by default those of `jaspar_vertebrates`, as on the command line. Tomtom's background comes from
        them: with fewer than about 50, p-values are rough.
    nearest : int
        Matches of each motif to return.

    Returns
    -------
    DataFrame
        ``motif, match, matrix_id, family`` (of the factor, where the database says it), ``p_value, q_value``
        (Benjamini and Hochberg, over the known motifs), ``e_value`` (p-value times their number), ``of_motif,
        of_match`` (share of the information of either in which the other agrees), ``bits`` (an instance, at the best
        placement), ``tied``, ``similar`` (-1 to 1: its matrix to that of the first match, see `overlay`),
        ``strand, offset, overlap``; best first.

    Raises
    ------
    MissingDependencyError
        If memelite is not installed.
    InputError
        If the database is empty.
    """
    database = jaspar_vertebrates() if database is None else database
    try:
        from memelite import tomtom
    except ImportError as error:
        raise MissingDependencyError(
            "Matching motifs needs memelite: pip install 'genoplrp[modisco]'"
        ) from error
    from scipy.stats import false_discovery_control

    if not database:
        raise InputError("there are no known motifs to match to: give one at least")
    queries = [np.ascontiguousarray(one.pwm, dtype=np.float64) for one in motifs]
    targets = [np.ascontiguousarray(one.pwm, dtype=np.float64) for one in database]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few targets: said in the docstring
        p, _, offset, overlap, strand = tomtom(queries, targets, n_jobs=1)[:5]
    rows = []
    for i, one in enumerate(motifs):
        p_values = np.clip(np.asarray(p[i], dtype=np.float64), 0.0, 1.0)
        q = false_discovery_control(p_values)
        order, tied = _ordered(one, targets, p_values, q)
        for j in order[:nearest]:
            known = database[j]
            shared = shared_information(one.pwm, known.pwm)
            rows.append(
                {
                    "motif": one.name,
                    "match": known.name,
                    "matrix_id": known.matrix_id,
                    "family": known.family,
                    "p_value": float(p[i, j]),
                    "q_value": float(q[j]),
                    "e_value": float(p[i, j]) * len(targets),
                    "of_motif": shared.first,
                    "of_match": shared.second,
                    "bits": explained_bits(one, known.pwm),
                    "tied": j in tied,
                    "similar": overlay(targets[order[0]], targets[j]).similarity,
                    "strand": "-" if strand[i, j] else "+",
                    "offset": int(offset[i, j]),
                    "overlap": int(overlap[i, j]),
                }
            )
    return pd.DataFrame(rows)


def explained_bits(motif: FoundMotif, known: Float[np.ndarray, "4 v"]) -> float:
    """How much better a known motif explains the instances of a found one than uniform bases do.

    The mean over the instances of log2(probability under the known motif / probability under uniform bases), at the
    placement and strand where it is largest. Every column of the known motif is mixed with 1 % of a uniform base; a
    column beyond the known flanks of the instances counts nothing.

    Parameters
    ----------
    motif : FoundMotif
        Its frequencies with flanks, if it has them.
    known : array, (4, v)
        Frequencies; columns sum to 1.

    Examples
    --------
    >>> gata = np.eye(4)[[2, 0, 3, 0, 0, 2]].T
    >>> round(explained_bits(FoundMotif("a", gata, gata, pd.DataFrame()), gata[::-1, ::-1]), 1)
    11.9
    """
    seen = motif.pwm if motif.flanked is None else motif.flanked
    least = min(_LEAST_OVERLAP, seen.shape[1], known.shape[1])
    mixed = np.log2(((1 - SCORE_FLOOR) * np.asarray(known, dtype=np.float64) + SCORE_FLOOR / 4) * 4)
    best = -np.inf
    for turned in (mixed, mixed[::-1, ::-1]):
        # By what each column of the known motif gains at each position, added up along the diagonals.
        gains = turned.T @ seen
        v, w = gains.shape
        best = max(best, *(float(np.trace(gains, offset)) for offset in range(least - v, w - least + 1)))
    return best


def jaspar_vertebrates(release: str = RELEASE) -> list[Motif]:
    """All vertebrate motifs of JASPAR CORE, from the copy that pyjaspar brings along.

    Raises
    ------
    MissingDependencyError
        If pyjaspar is not installed.
    InputError
        If it does not hold the release.
    """
    try:
        from pyjaspar import jaspardb
    except ImportError as error:
        raise MissingDependencyError("JASPAR needs pyjaspar: pip install 'genoplrp[jaspar]'") from error
    from genoplrp.synthetic import Motif

    releases = jaspardb().get_releases()
    if release not in releases:
        raise InputError(f"there is no JASPAR release {release!r} here; there are {', '.join(releases)}")
    found = []
    for one in jaspardb(release=release).fetch_motifs(collection="CORE", tax_group=["vertebrates"]):
        counts = np.array([one.counts[base] for base in "ACGT"], dtype=np.float64)
        name = "_".join(str(one.name).replace(",", ".").split())
        # A dimer has the family of both its halves.
        family = " / ".join(dict.fromkeys(map(str, one.tf_family or ())))
        found.append(Motif(name, counts / counts.sum(axis=0), matrix_id=str(one.matrix_id), family=family))
    return found


def motif_table(
    motifs: Sequence[FoundMotif], matches: pd.DataFrame | None = None, *, named: float = CERTAIN
) -> pd.DataFrame:
    """One row a motif: name, consensus, width, sites, sequences with it, mean relevance, best match.

    ``family`` is that of the best match; ``also`` lists the further matches that are tied with it, see `match_motifs`.
    ``no_name`` says why a motif has none: its best match has a q-value above ``named``, or the two have less than 70 %
    of their information in common (geometric mean of ``of_motif`` and ``of_match``), or the motif is a tract, whose
    bases say nearly as much in any order (see `order_share`). ``match, matrix_id, family, also`` are empty then. With
    instances of several targets there is a column of counts for each, ``sites of <target>``.
    """
    targets = list(dict.fromkeys(t for one in motifs for t in one.instances.get("target", ())))
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
        for target in targets:
            row[f"{COUNTS}{target}"] = int((one.instances["target"] == target).sum())
        if matches is not None:
            own = matches[matches["motif"] == one.name]
            best = own.iloc[0]
            reason = _no_name(one, best, named)
            row |= {key: "" if reason else best[key] for key in ("match", "matrix_id", "family")}
            row |= {key: best[key] for key in ("p_value", "q_value", "e_value", "of_motif", "of_match")}
            also = own["match"].iloc[1:][own["tied"].iloc[1:]]
            others = dict.fromkeys(name for name in also if name != best["match"])
            row |= {"also": "" if reason else ", ".join(others), "no_name": reason}
        rows.append(row)
    return pd.DataFrame(rows)


def _no_name(motif: FoundMotif, best: Any, named: float) -> str:
    """Why the best match gives a motif no name; empty if it does."""
    if best["q_value"] > named:
        return f"no match at q <= {named:g}"
    if order_share(motif.pwm) < LEAST_ORDER:
        return "a tract: its bases say nearly as much in any order"
    if Shared(best["of_motif"], best["of_match"]).both < LEAST_SHARED:
        return (
            f"{best['match']} {best['matrix_id']}".rstrip()
            + f" is the nearest: it has {best['of_motif']:.0%} of the information of the motif, which has "
            f"{best['of_match']:.0%} of its"
        )
    return ""


def _ordered(
    one: FoundMotif, targets: list[np.ndarray], p: np.ndarray, q: np.ndarray
) -> tuple[list[int], set[int]]:
    """Known motifs from the best on, and those that are tied with the first."""
    order = [int(j) for j in np.argsort(p, kind="stable")]
    able = [
        j for j in order if q[j] <= CERTAIN and shared_information(one.pwm, targets[j]).both >= LEAST_SHARED
    ]
    first = targets[(able or order)[0]]
    tied = [j for j in able if overlay(first, targets[j]).similarity >= ALIKE] or order[:1]
    bits = {j: explained_bits(one, targets[j]) for j in tied}
    tied = sorted(tied, key=lambda j: -bits[j])
    return tied + [j for j in order if j not in bits], set(tied)
