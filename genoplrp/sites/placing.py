"""Where sites lie, in the genome and in the instances of motifs; they are called elsewhere."""

from __future__ import annotations

import numpy as np
import pandas as pd


def locate_sites(sites: pd.DataFrame, regions: pd.DataFrame) -> pd.DataFrame:
    """Put sites where they lie in the genome: ``chrom, start, end, name, score, strand`` and the sites' own columns.

    Parameters
    ----------
    sites : DataFrame
        As `find_sites` returns them.
    regions : DataFrame
        The windows that were explained: ``chrom, start, end, name, strand``.

    Returns
    -------
    DataFrame
        Sites of minus-strand windows are turned round. Strand is that of the window; the sign of the relevance stays
        in ``sign``, and names of negative sites end in ``:negative``, for files without such a column.
    """
    window = regions.iloc[sites["sequence"].to_numpy()].reset_index(drop=True)
    minus = (window["strand"] == "-").to_numpy()
    start, end = sites["start"].to_numpy(), sites["end"].to_numpy()
    first = np.where(minus, window["end"].to_numpy() - end, window["start"].to_numpy() + start)
    located = pd.DataFrame({"chrom": window["chrom"], "start": first, "end": first + (end - start)})
    ending = np.where(sites["sign"] == "-", ":negative", "") if "sign" in sites else [""] * len(sites)
    located["name"] = [
        f"{name}:{s}-{e}{sign}" for name, s, e, sign in zip(window["name"], start, end, ending, strict=True)
    ]
    located["score"] = sites["score"].to_numpy()
    located["strand"] = window["strand"]
    rest = sites.drop(columns=["start", "end", "score"]).reset_index(drop=True)
    return pd.concat([located, rest], axis=1)


def located_once(sites: pd.DataFrame, regions: pd.DataFrame) -> pd.DataFrame:
    """Put sites into the genome, and keep each once where windows overlap.

    Of sites of one sign that share at least half of the shorter one, and come from different windows, the one of the
    largest relevance stays.

    Parameters
    ----------
    sites, regions
        As of `locate_sites`.

    Returns
    -------
    DataFrame
        As of `locate_sites`, sorted by chromosome, in the order of the windows, and start.
    """
    placed = locate_sites(sites, regions)
    order = {chrom: k for k, chrom in enumerate(dict.fromkeys(regions["chrom"]))}
    placed = placed.assign(_rank=placed["chrom"].map(order))
    placed = placed.sort_values(["_rank", "start", "end", "sign"], kind="stable", ignore_index=True)
    keep = np.ones(len(placed), dtype=bool)
    for _, rows in placed.groupby(["_rank", "sign"], sort=False):
        keep[rows.index[~_strongest(rows)]] = False
    return placed[keep].drop(columns="_rank").reset_index(drop=True)


def with_motifs(sites: pd.DataFrame, instances: pd.DataFrame) -> pd.DataFrame:
    """Say of each site which motif it is an instance of, and on which strand.

    Parameters
    ----------
    sites : DataFrame
        As `find_sites` returns them, with ``target`` where there are several.
    instances : DataFrame
        Of all motifs: ``motif, sequence, start, end, strand, sign``, with ``target`` where the sites have it.

    Returns
    -------
    DataFrame
        The sites, with ``motif`` and ``strand`` of the instance of the same sign that covers most of each; an empty
        name and "." where there is none.
    """
    keys = [name for name in ("target", "sequence", "sign") if name in sites]
    left = sites.reset_index(drop=True)
    pairs = left[[*keys, "start", "end"]].reset_index().merge(instances, on=keys, suffixes=("", "_of"))
    shared = np.minimum(pairs["end"], pairs["end_of"]) - np.maximum(pairs["start"], pairs["start_of"])
    pairs = pairs.assign(shared=shared)[shared > 0]
    best = pairs.sort_values(["shared", "start_of"], ascending=[False, True], kind="stable")
    best = best.drop_duplicates("index").set_index("index")
    motif, strand = (best[name].reindex(left.index) for name in ("motif", "strand"))
    return left.assign(motif=motif.fillna(""), strand=strand.fillna("."))


def _strongest(sites: pd.DataFrame) -> np.ndarray:
    """Which of the sites of one chromosome and sign, sorted by start, stay: the strongest first."""
    start, end, window = (sites[name].to_numpy() for name in ("start", "end", "sequence"))
    score = np.abs(sites["score"].to_numpy(float))
    longest = int((end - start).max(initial=0))
    stays = np.ones(len(sites), dtype=bool)
    for k in np.lexsort((np.arange(len(sites)), -score)):
        if not stays[k]:
            continue
        first = int(np.searchsorted(start, start[k] - longest, side="left"))
        last = int(np.searchsorted(start, end[k], side="left"))
        shared = np.minimum(end[first:last], end[k]) - np.maximum(start[first:last], start[k])
        shorter = np.minimum(end[first:last] - start[first:last], end[k] - start[k])
        other = window[first:last] != window[k]
        stays[first:last] &= ~(other & (2 * shared >= shorter))
    return stays
