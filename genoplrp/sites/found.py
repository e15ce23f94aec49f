"""Motifs of sequences in one call, for one output or several: sites called, clustered and named; no files but MEME."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import numpy as np
import pandas as pd
from jaxtyping import Float

from genoplrp.errors import InputError
from genoplrp.relevance import Explainer, Explanation
from genoplrp.sequence import codes_to_one_hot
from genoplrp.sites.bounds import LEAST_TOTAL, bounded, is_motif
from genoplrp.sites.calling import Encoded, Explain, Maps, Null, Sign, as_codes, as_function, find_sites
from genoplrp.sites.composites import taken_apart
from genoplrp.sites.crediting import credited, left_over
from genoplrp.sites.instances import as_most_lie, named_in_order, with_flanks
from genoplrp.sites.matching import match_motifs, motif_table
from genoplrp.sites.merging import merge_alike
from genoplrp.sites.motifs import LEIDEN_RUNS, MINIMUM, FoundMotif, cluster_sites
from genoplrp.wording import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from genoplrp.plotting.options import MotifOptions
    from genoplrp.synthetic import Motif


class CalledSites(NamedTuple):
    """Sites, and the sequences that they were called in.

    Attributes
    ----------
    X, scores : array, (N, 4, L)
        One-hot sequences and projected scores.
    sites : DataFrame
        As `find_sites` or `recursive_seqlets` returns them; at least one row.
    regions : DataFrame
        Where the N sequences lie.
    """

    X: Float[np.ndarray, "n 4 length"]
    scores: Float[np.ndarray, "n 4 length"]
    sites: pd.DataFrame
    regions: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Motifs:
    """Motifs that a network uses.

    Attributes
    ----------
    motifs : list of FoundMotif
        Positive ones first, the most frequent first.
    sites : DataFrame
        As `find_sites` returns them; with ``target`` where several were asked for.
    table : DataFrame
        One row a motif, see `motif_table`.
    matches : DataFrame or None
        As `match_motifs` returns them.
    """

    motifs: list[FoundMotif]
    sites: pd.DataFrame
    table: pd.DataFrame
    matches: pd.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.motifs)

    def __getitem__(self, key: int | str) -> FoundMotif:
        if isinstance(key, str):
            named = {one.name: one for one in self.motifs}
            if key not in named:
                raise KeyError(f"{key!r}: there are {', '.join(named)}")
            return named[key]
        return self.motifs[key]

    @property
    def instances(self) -> pd.DataFrame:
        """Where the motifs lie: ``motif, sequence, start, end, strand, sign, relevance``; of several, ``target``."""
        return pd.concat([one.instances for one in self.motifs], ignore_index=True)

    @property
    def by_target(self) -> pd.DataFrame:
        """Number of instances of each motif (row) for each target (column).

        Raises
        ------
        InputError
            If one target was asked for.
        """
        instances = self.instances
        if "target" not in instances:
            raise InputError("the motifs are of one target: find_motifs(..., target=[0, 1]) compares several")
        counts = pd.crosstab(instances["motif"], instances["target"])
        return counts.reindex([one.name for one in self.motifs])

    def plot(self, **options: Unpack[MotifOptions]) -> Figure:
        """Draw all motifs, one below the other; options go to `genoplrp.plot_motif`."""
        from matplotlib.figure import Figure

        from genoplrp.plotting import plot_motif

        widest = max(one.width for one in self.motifs)
        figure = Figure(figsize=(max(4.0, 0.4 * widest + 1.2), 1.5 * len(self)), layout="constrained")
        for ax, one in zip(np.atleast_1d(figure.subplots(len(self))), self.motifs, strict=True):
            named = self.table.set_index("motif").loc[one.name]
            match = f", {named['match']}" if named.get("match") else ""
            plot_motif(one.pwm, ax, title=f"{one.name}: {len(one.instances):,} instances{match}", **options)
            ax.set_xlim(0.5, widest + 0.5)
        return figure

    def to_meme(self, path: str | Path) -> Path:
        """Write all motifs as a MEME file."""
        from genoplrp.synthetic import write_meme

        write_meme(path, [one.motif() for one in self.motifs])
        return Path(path)


def find_motifs(
    explain: Explainer | Explain | Mapping[int, Explain],
    X: Encoded,
    relevance: Explanation | Maps | None = None,
    *,
    target: int | str | Sequence[int] = 0,
    fdr: float = 0.05,
    null: Null = "background",
    sign: Sign = "both",
    database: Sequence[Motif] | None = None,
    leiden_runs: int = LEIDEN_RUNS,
    seed: int = 0,
) -> Motifs:
    """Find the motifs that a network uses in some sequences.

    Parameters
    ----------
    explain : Explainer or callable
        What explains; see `find_sites`.
    X : array or tensor, (N, 4, L) or (N, L)
        The sequences, one-hot or as base numbers (uint8).
    relevance : Explanation or array, optional
        What is already explained, of one target; by default it is computed.
    target : int or sequence of int
        The output; of several, sites are called for each, and clustered together: see `Motifs.by_target`.
    fdr, null, sign, seed
        As in `find_sites`.
    database : sequence of Motif, optional
        Known motifs to match to, e.g. `genoplrp.sites.jaspar_vertebrates`.
    leiden_runs : int
        As in `cluster_sites`.

    Raises
    ------
    InputError
        If there are no sites or no motifs.
    MissingDependencyError
        If modisco-lite, or memelite with a database, is not installed.
    """
    targets = list(target) if isinstance(target, Sequence) and not isinstance(target, str) else [target]
    if not targets:
        raise InputError("target=[]: name at least one output")
    if len(targets) > 1 and relevance is not None:
        raise InputError("relevance is of one output: leave it out where several targets are asked for")
    codes = as_codes(X)
    calls = {}
    for one in targets:
        function = as_function(explain, one)  # type: ignore[arg-type]
        values = _projected(function, codes, relevance)
        sites = find_sites(function, codes, values.sum(axis=1), fdr=fdr, null=null, sign=sign, seed=seed)
        regions = pd.DataFrame({"name": [f"seq{i}" for i in range(len(codes))]})
        calls[one] = CalledSites(codes_to_one_hot(codes), values, sites, regions)
    called = stacked(calls)
    if len(called.sites) == 0:
        raise InputError(nothing_stands_out(len(codes), fdr))
    motifs = found_motifs(called, leiden_runs=leiden_runs)
    matches = match_motifs(motifs, database) if database else None
    return Motifs(motifs, by_rows(called.sites, called), motif_table(motifs, matches), matches)


def nothing_stands_out(n: int, fdr: float) -> str:
    """Say that there is no site, and what to try."""
    return (
        f"no site stands out from shuffled sequences at a false-discovery rate of {fdr:g} in "
        f"{counted(n, 'sequence')}: take only sequences that the model scores high (in others chance matches weigh as "
        "much), more of them, a larger rate, or less pruning; or the model may not use motifs here"
    )


def stacked(calls: Mapping[Any, CalledSites]) -> CalledSites:
    """Lay the sites of several targets over one another: sequence i of the k-th target becomes i + k N."""
    parts = list(calls.items())
    if len(parts) == 1:
        return parts[0][1]
    n = len(parts[0][1].X)
    return CalledSites(
        np.concatenate([one.X for _, one in parts]),
        np.concatenate([one.scores for _, one in parts]),
        pd.concat(
            [one.sites.assign(sequence=one.sites["sequence"] + k * n) for k, (_, one) in enumerate(parts)],
            ignore_index=True,
        ),
        pd.concat([one.regions.assign(target=str(name)) for name, one in parts], ignore_index=True),
    )


def by_rows(table: pd.DataFrame, called: CalledSites) -> pd.DataFrame:
    """Return a table with the target of each row, and the sequence's number within it, where there are several."""
    if "target" not in called.regions:
        return table
    rows = table["sequence"].to_numpy()
    n = int((called.regions["target"] == called.regions["target"].iloc[0]).sum())
    return table.assign(sequence=rows % n, target=called.regions["target"].to_numpy()[rows])


def found_motifs(called: CalledSites, *, leiden_runs: int = LEIDEN_RUNS) -> list[FoundMotif]:
    """Cluster called sites into motifs, join those that are alike, credit what is left, say what each instance carries.

    Sites that no motif takes are clustered once more, where there are enough of one sign.

    Raises
    ------
    MissingDependencyError, InputError
        As `cluster_sites`.
    """
    parts = _bounded(cluster_sites(called.X, called.scores, called.sites, leiden_runs=leiden_runs), called)
    motifs = _whole(parts, called)
    if not motifs:
        words = ", ".join(
            f"{one.motif().consensus()} ({counted(len(one.instances), 'site')})" for one in parts
        )
        raise InputError(
            f"the sites share no motif: what clusters them, {words}, says less than {LEAST_TOTAL:g} bits. Try more "
            "sequences, a smaller fdr, or less pruning"
        )
    left = left_over(motifs, called.sites)
    if left["sign"].value_counts().max() >= MINIMUM:
        # At times the engine drops all sites of a motif, those beside a more frequent one above all.
        with suppress(InputError):
            more = cluster_sites(called.X, called.scores, left, leiden_runs=leiden_runs)
            motifs = _whole(parts + _bounded(more, called), called)
    return [_carrying(as_most_lie(with_flanks(one, called.X)), called) for one in named_in_order(motifs)]


def _bounded(motifs: Sequence[FoundMotif], called: CalledSites) -> list[FoundMotif]:
    return [bounded(one, called.X, called.scores) for one in motifs]


def _whole(parts: Sequence[FoundMotif], called: CalledSites) -> list[FoundMotif]:
    """Take composites apart, join what is one, leave out what is no motif, and credit sites that are not covered."""
    X, scores, sites, _ = called
    motifs, before = taken_apart(parts, X, scores), 0
    while len(motifs) != before:  # joined and bounded anew, a motif may be alike to another one
        before = len(motifs)
        motifs = _bounded(merge_alike(motifs, X, scores), called)
    return credited([one for one in motifs if is_motif(one)], X, scores, sites)


def _carrying(motif: FoundMotif, called: CalledSites) -> FoundMotif:
    """Add the relevance of each instance, and its target where there are several."""
    table = motif.instances
    total = np.pad(np.cumsum(called.scores.sum(axis=1, dtype=np.float64), axis=1), ((0, 0), (1, 0)))
    rows = table["sequence"].to_numpy()
    carried = total[rows, table["end"].to_numpy()] - total[rows, table["start"].to_numpy()]
    sign = "+" if motif.name.startswith("positive") else "-"
    return replace(motif, instances=by_rows(table.assign(sign=sign, relevance=carried), called))


def _projected(explain: Explain, codes: np.ndarray, relevance: Any) -> np.ndarray:
    """Return relevance (N, 4, L), at the bases that are there."""
    values = relevance.relevance if isinstance(relevance, Explanation) else relevance
    array = np.asarray(explain(codes) if values is None else values)
    return array if array.ndim == 3 else array[:, None] * codes_to_one_hot(codes)
