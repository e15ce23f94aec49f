"""Called sites that no found motif covers, credited to the motif that fits; nothing is called or clustered here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from genoplrp.sequence import one_hot_to_codes
from genoplrp.sites.instances import counted_anew, fits, log_odds, sign_of
from genoplrp.sites.motifs import FoundMotif

_OTHER_STRAND = 0.05  # share of a motif's instances from which a strand counts as one that it stands on


def credited(
    motifs: Sequence[FoundMotif],
    X: Float[np.ndarray, "n 4 length"],
    scores: Float[np.ndarray, "n 4 length"],
    sites: pd.DataFrame,
) -> list[FoundMotif]:
    """Give each site that no instance covers to the motif that fits its bases best, if one fits.

    Clustering looks at a site with what lies around it, so that of two motifs side by side both sites may be counted
    for one of the two.

    Parameters
    ----------
    motifs : sequence of FoundMotif
        Found ones.
    X, scores : array, (N, 4, L)
        The sequences and scores that they were found in.
    sites : DataFrame
        As `find_sites` returns them. A site is covered if it shares half of the shorter of the two with an instance of
        its sign.

    Returns
    -------
    list of FoundMotif
        With the new instances; frequencies and contributions are counted over all of them.

    Notes
    -----
    A motif fits where its log-odds are as high as those of all but a twentieth of its own instances, and at least half
    of their mean (as in `merge_alike`). It may be placed where it shares half of the shorter with the site, and less
    than half of itself with any instance of that sign, old or new; on the strands that at least a twentieth of its own
    instances lie on. The highest log-odds go first.
    """
    codes = one_hot_to_codes(np.asarray(X))
    grown = list(motifs)
    for label, sign in (("positive", "+"), ("negative", "-")):
        own = [k for k, one in enumerate(motifs) if sign_of(one) == label]
        free = sites[sites["sign"] == sign].reset_index(drop=True)
        if not own or free.empty:
            continue
        instances = pd.concat([motifs[k].instances for k in own], ignore_index=True)
        free = left_over([motifs[k] for k in own], free)
        taken = np.zeros(codes.shape, dtype=bool)
        for row, start, end in instances[["sequence", "start", "end"]].itertuples(index=False):
            taken[row, start:end] = True
        places = [_placements(motifs[k], X, codes, free, taken).assign(number=k) for k in own]
        table = pd.concat(places, ignore_index=True)
        table = table.sort_values(
            ["score", "sequence", "start"], ascending=[False, True, True], kind="stable"
        )
        new = _chosen(table, taken)
        for k in own:
            added = new.loc[new["number"] == k, ["sequence", "start", "end", "strand"]]
            if added.empty:
                continue
            both = pd.concat([motifs[k].instances, added.assign(motif=motifs[k].name)], ignore_index=True)
            both = both.sort_values(["sequence", "start"], kind="stable", ignore_index=True)
            grown[k] = counted_anew(replace(motifs[k], instances=both), X, scores)
    return grown


def left_over(motifs: Sequence[FoundMotif], sites: pd.DataFrame) -> pd.DataFrame:
    """Return the sites that no instance of a motif of their sign covers, see `credited`."""
    covered = np.zeros(len(sites), dtype=bool)
    for label, sign in (("positive", "+"), ("negative", "-")):
        own = [one.instances for one in motifs if sign_of(one) == label]
        rows = np.flatnonzero(sites["sign"] == sign)
        if own and len(rows):
            free = sites.iloc[rows].reset_index(drop=True)
            covered[rows] = _is_covered(free, pd.concat(own, ignore_index=True))
    return sites[~covered].reset_index(drop=True)


def _is_covered(sites: pd.DataFrame, instances: pd.DataFrame) -> Bool[np.ndarray, " k"]:
    """Return which sites share half of the shorter of the two with an instance."""
    pairs = (
        sites[["sequence", "start", "end"]]
        .reset_index()
        .merge(instances, on="sequence", suffixes=("", "_of"))
    )
    shared = np.minimum(pairs["end"], pairs["end_of"]) - np.maximum(pairs["start"], pairs["start_of"])
    shorter = np.minimum(pairs["end"] - pairs["start"], pairs["end_of"] - pairs["start_of"])
    covered = np.zeros(len(sites), dtype=bool)
    covered[pairs.loc[2 * shared >= shorter, "index"]] = True
    return covered


def _placements(
    motif: FoundMotif,
    X: Float[np.ndarray, "n 4 length"],
    codes: Int[np.ndarray, "n length"],
    sites: pd.DataFrame,
    taken: Bool[np.ndarray, "n length"],
) -> pd.DataFrame:
    """Return all places where a motif fits a site: ``site, score, sequence, start, end, strand``."""
    w, length = motif.width, codes.shape[1]
    weights, enough = log_odds(motif), fits(motif, X)
    row, low, high = (sites[name].to_numpy() for name in ("sequence", "start", "end"))
    start = low[:, None] - w + 1 + np.arange(int((high - low).max(initial=0)) + w - 1)
    shared = np.minimum(start + w, high[:, None]) - np.maximum(start, low[:, None])
    before = np.pad(np.cumsum(taken, axis=1), ((0, 0), (1, 0)))
    first, last = np.clip(start, 0, length), np.clip(start + w, 0, length)
    used = before[row[:, None], last] - before[row[:, None], first]
    may = (2 * shared >= np.minimum(w, high - low)[:, None]) & (2 * used < w)
    may &= (start >= 0) & (start + w <= length)
    site, place = np.nonzero(may)
    at, parts = start[site, place], []
    for strand in "+-":
        if (motif.instances["strand"] == strand).mean() < _OTHER_STRAND:
            continue
        # An unknown base, number 4, says nothing.
        turned = np.vstack([weights if strand == "+" else weights[::-1, ::-1], np.zeros(w)])
        bases = codes[row[site][:, None], at[:, None] + np.arange(w)]
        score = turned[bases, np.arange(w)].sum(axis=1)
        good = score >= enough
        parts.append(
            pd.DataFrame(
                {
                    "site": site[good],
                    "score": score[good],
                    "sequence": row[site][good],
                    "start": at[good],
                    "end": at[good] + w,
                    "strand": strand,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _chosen(places: pd.DataFrame, taken: Bool[np.ndarray, "n length"]) -> pd.DataFrame:
    """Of places in their order, the first of each site whose bases are free; these are taken then."""
    kept, done = [], set()
    rows = places[["site", "sequence", "start", "end"]].itertuples(index=False)
    for k, (site, row, start, end) in enumerate(rows):
        if site in done or 2 * taken[row, start:end].sum() >= end - start:
            continue
        taken[row, start:end] = True
        done.add(site)
        kept.append(k)
    return places.iloc[kept]
