"""From explained sequences to a folder of sites and motifs: tables, MEME, BED, one page to read; no new methods."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd

from genoplrp.errors import InputError
from genoplrp.formats.explained import ExplainedArrays, check_one_genome
from genoplrp.formats.tracks import write_bed
from genoplrp.formats.writing import written_folder
from genoplrp.sequence import one_hot_to_codes
from genoplrp.sites.alike import explained_target, held
from genoplrp.sites.calling import Explain, Null, Sign, find_sites, recursive_seqlets
from genoplrp.sites.filters import FilterView
from genoplrp.sites.found import CalledSites, by_rows, found_motifs, nothing_stands_out, stacked
from genoplrp.sites.matching import match_motifs, motif_table
from genoplrp.sites.motifs import LEIDEN_RUNS, FoundMotif
from genoplrp.sites.pages import write_filters, write_pages
from genoplrp.sites.placing import locate_sites, located_once, with_motifs
from genoplrp.version import __version__
from genoplrp.wording import counted

if TYPE_CHECKING:
    from genoplrp.formats.explained import Explained
    from genoplrp.synthetic import Motif


Caller = Literal["null", "tangermeme"]
CALLERS = get_args(Caller)


def discover_motifs(
    explained: Explained,
    explain: Explain | Mapping[str, Explain] | None,
    out: str | Path,
    *,
    fdr: float = 0.05,
    null: Null = "background",
    sign: Sign = "both",
    database: Sequence[Motif] | None = None,
    limit: int = 5000,
    caller: Caller = "null",
    threshold: float = 0.01,
    filters: FilterView | None = None,
    leiden_runs: int = LEIDEN_RUNS,
    seed: int = 0,
    overwrite: bool = False,
    log: Callable[[str], None] | None = None,
) -> Path:
    """Call sites, cluster them into motifs, match these to known ones, and write it all into a folder.

    Parameters
    ----------
    explained : Explained
        Explained sequences, in memory or in a store.
    explain : callable, or dict of callables
        Base numbers (n, L) -> relevance (n, L), as it was made; see `explain_alike`. A dict holds one for each of
        several targets, by name: the sequences are explained anew for those that ``explained.meta`` does not name,
        sites are called for each and clustered together.
    out : path
        Folder to make: ``sites.tsv``, ``sites.bed``, ``motifs.tsv``, ``motifs.meme``, ``motifs.npz`` (for each motif
        its ``.pwm``, its contribution-weight matrix ``.contribution``, and ``.flanked``, the frequencies with what lies
        around), ``instances.tsv``, ``instances.bed``, ``matches.tsv``, ``index.html`` and a page for each motif,
        ``figures/``.
    fdr, null, sign, seed
        As in `find_sites`.
    database : sequence of Motif, optional
        Known motifs to match to.
    limit : int
        Use at most this many sequences, the first ones: they are held in memory.
    caller : {"null", "tangermeme"}
        `find_sites`, or `recursive_seqlets`, which asks for no false-discovery rate but for p-values of at most
        `threshold`, and needs no null.
    threshold : float
        Largest p-value of tangermeme's seqlets.
    filters : FilterView, optional
        The network's first-layer filters, to write beside the motifs (``filters.tsv``, ``filters.meme``,
        ``filters.html``).
    leiden_runs : int
        As in `cluster_sites`.
    overwrite : bool
        Replace a folder that this function made.
    log : callable, optional
        Told what was found, a line at a time.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    InputError
        If there are no sites or no motifs; nothing is written then.
    """
    say = log or (lambda line: None)
    with written_folder(out, overwrite=overwrite, holds=("manifest.json", "motifs.tsv")) as part:
        calls = _called_each(
            explained,
            explain if isinstance(explain, Mapping) else {explained_target(explained): explain},
            fdr=fdr,
            null=null,
            sign=sign,
            limit=limit,
            caller=caller,
            threshold=threshold,
            seed=seed,
            log=log,
        )
        called = stacked(calls)
        X = next(iter(calls.values())).X
        motifs = found_motifs(called, leiden_runs=leiden_runs)
        matches = match_motifs(motifs, database) if database else None
        table = motif_table(motifs, matches)
        say(table.to_string(index=False))
        _write(part, called, motifs, matches, table)
        write_pages(part, motifs, table, matches, database or (), len(X), explained.length)
        if filters is not None:
            write_filters(part, filters, database or ())
        settings: dict[str, Any] = {"caller": caller, "sign": sign, "seed": seed, "sequences": len(X)}
        settings |= {"targets": list(calls)} if len(calls) > 1 else {}
        settings |= {"fdr": fdr, "null": null} if caller == "null" else {"threshold": threshold}
        manifest = {"genoplrp": __version__, "settings": settings, "explained": explained.meta}
        (part / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    return Path(out)


def called_sites(
    explained: Explained,
    explain: Explain | None,
    *,
    fdr: float = 0.05,
    null: Null = "background",
    sign: Sign = "both",
    limit: int = 5000,
    caller: Caller = "null",
    threshold: float = 0.01,
    seed: int = 0,
    log: Callable[[str], None] | None = None,
) -> CalledSites:
    """Call the sites of explained sequences.

    Parameters
    ----------
    explained, fdr, null, sign, limit, caller, threshold, seed, log
        As in `discover_motifs`.
    explain : callable or None
        As there; tangermeme's caller needs none.

    Raises
    ------
    InputError
        If there are no sites, or an argument makes no sense.
    """
    called, reason = _calls(
        explained,
        explain,
        fdr=fdr,
        null=null,
        sign=sign,
        limit=limit,
        caller=caller,
        threshold=threshold,
        seed=seed,
        say=log or (lambda line: None),
    )
    if reason:
        raise InputError(reason)
    return called


def _calls(
    explained: Explained,
    explain: Explain | None,
    *,
    fdr: float,
    null: Null,
    sign: Sign,
    limit: int,
    caller: Caller,
    threshold: float,
    seed: int,
    say: Callable[[str], None],
) -> tuple[CalledSites, str]:
    """Call sites, and say why where there are none."""
    if caller not in CALLERS:
        raise InputError(f"caller={caller!r}: choose one of {', '.join(CALLERS)}")
    if caller == "null" and explain is None:
        raise InputError(
            "sites are compared with shuffled sequences, which the model has to explain: name it (--model), or take "
            "tangermeme's seqlets (--caller tangermeme)"
        )
    check_one_genome(explained.regions)
    X, scores = held(explained, limit)
    if len(X) < len(explained):
        say(f"Note: the first {len(X):,} of {len(explained):,} sequences are used; --limit takes more")
    relevance = scores.sum(axis=1)
    silent = int((~relevance.any(axis=1)).sum())
    if silent:
        say(f"Note: {silent:,} of {len(X):,} sequences have no relevance at all, and no sites")
    if caller == "tangermeme" or explain is None:
        sites = _seqlets(relevance, sign, threshold)
    else:
        sites = find_sites(explain, one_hot_to_codes(X), relevance, fdr=fdr, null=null, sign=sign, seed=seed)
    called = CalledSites(X, scores, sites, explained.regions.iloc[: len(X)].reset_index(drop=True))
    if len(sites) == 0:
        return called, _reason(len(X), silent, fdr, threshold, caller)
    counts = ", ".join(f"{count:,} of relevance {key}" for key, count in sites["sign"].value_counts().items())
    say(
        f"{counted(len(sites), 'site')} in {sites['sequence'].nunique():,} of {len(X):,} sequences ({counts})"
    )
    return called, ""


def _reason(n: int, silent: int, fdr: float, threshold: float, caller: Caller) -> str:
    if 2 * silent > n:
        return (
            f"no site is found: {silent:,} of {n:,} sequences have no relevance at all. That is the network (dead "
            "units, random weights, another length than it was trained on), not the calling of sites: look at what "
            "`genoplrp explain` says of the scan"
        )
    if caller == "null":
        return (
            nothing_stands_out(n, fdr)
            + ". On the command line: `genoplrp explain --positives`, `--fdr 0.2`; `--caller "
            "tangermeme` ranks seqlets without a null"
        )
    return f"tangermeme finds no seqlet with p <= {threshold:g} in {n} sequences: try a larger --threshold"


def _called_each(
    explained: Explained,
    explains: Mapping[str, Explain | None],
    *,
    limit: int,
    log: Callable[[str], None] | None,
    **how: Any,
) -> dict[str, CalledSites]:
    """Call the sites of each target; of several, some may have none."""
    say = log or (lambda line: None)
    calls, reasons = {}, []
    for name, explain in explains.items():

        def said(line: str, start: str = f"target {name}: " if len(explains) > 1 else "") -> None:
            say(start + line)

        there = explained
        if explain is not None and name != explained_target(explained):
            there = _anew(explained, explain, limit)
        calls[name], reason = _calls(there, explain, limit=limit, say=said, **how)
        if reason:
            reasons.append(reason)
            if len(explains) > 1:
                said(reason)
    if len(reasons) == len(calls):
        raise InputError(reasons[0])
    return calls


def _anew(explained: Explained, explain: Explain, limit: int) -> ExplainedArrays:
    """Return the same sequences, explained for another output."""
    X, _ = held(explained, limit)
    relevance = np.asarray(explain(one_hot_to_codes(X)), dtype=np.float32)
    regions = explained.regions.iloc[: len(X)].reset_index(drop=True)
    return ExplainedArrays(X, relevance[:, None] * X, regions=regions, meta=dict(explained.meta))


def _write(
    folder: Path,
    called: CalledSites,
    motifs: list[FoundMotif],
    matches: pd.DataFrame | None,
    table: pd.DataFrame,
) -> None:
    from genoplrp.synthetic import write_meme

    instances = pd.concat([one.instances for one in motifs], ignore_index=True)
    sites = with_motifs(by_rows(called.sites, called), instances)
    regions = called.regions
    if "target" in regions:  # laid over one another: the first ones are all there are
        regions = regions[regions["target"] == regions["target"].iloc[0]].drop(columns="target")
    names = regions["name"].to_numpy()
    for name, rows in {"sites": sites, "instances": instances}.items():
        named = rows.assign(name=names[rows["sequence"].to_numpy()])
        named.to_csv(folder / f"{name}.tsv", sep="\t", index=False, lineterminator="\n")
    write_bed(_once_each(sites, regions), folder / "sites.bed")
    placed = locate_sites(instances.assign(score=instances["relevance"]), regions)
    flipped = (regions["strand"].to_numpy() == "-")[instances["sequence"].to_numpy()]
    own = instances["strand"].to_numpy()
    placed = placed.loc[:, ~placed.columns.duplicated()].assign(
        name=instances["motif"] + _of_target(instances), strand=np.where((own == "-") != flipped, "-", "+")
    )
    write_bed(placed, folder / "instances.bed")
    table.to_csv(folder / "motifs.tsv", sep="\t", index=False, lineterminator="\n")
    write_meme(folder / "motifs.meme", [one.motif() for one in motifs])
    arrays = {
        f"{one.name}.{key}": getattr(one, key)
        for one in motifs
        for key in ("pwm", "contribution", "flanked")
        if getattr(one, key) is not None
    }
    np.savez(folder / "motifs.npz", allow_pickle=False, **arrays)
    if matches is not None:
        matches.to_csv(folder / "matches.tsv", sep="\t", index=False, lineterminator="\n")


def _of_target(rows: pd.DataFrame) -> Any:
    """What a BED name says of the target, where there are several."""
    return ":" + rows["target"] if "target" in rows else ""


def _once_each(sites: pd.DataFrame, regions: pd.DataFrame) -> pd.DataFrame:
    """Put the sites of each target into the genome, each once."""
    sites = sites.drop(columns=["motif", "strand"])
    if "target" not in sites:
        return located_once(sites, regions)
    parts = [located_once(own, regions) for _, own in sites.groupby("target", sort=False)]
    placed = pd.concat(parts, ignore_index=True)
    order = {chrom: k for k, chrom in enumerate(dict.fromkeys(regions["chrom"]))}
    rank = placed["chrom"].map(order)
    placed = placed.assign(name=placed["name"] + _of_target(placed))
    return placed.iloc[np.lexsort((placed["start"], rank))].reset_index(drop=True)


def _seqlets(relevance: np.ndarray, sign: str, threshold: float) -> pd.DataFrame:
    """Tangermeme's seqlets of both signs; it knows positive ones only."""
    parts = []
    for label, name, factor in (("+", "positive", 1), ("-", "negative", -1)):
        if sign in ("both", name):
            found = recursive_seqlets(factor * relevance, threshold=threshold)
            parts.append(found.assign(sign=label, score=factor * found["score"]))
    return pd.concat(parts, ignore_index=True)
