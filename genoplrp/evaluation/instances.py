"""Whether every planted site is found, and not only the strongest: one score per site, not per position.

Relevance mass accuracy flatters a map that names one site of five with all its mass. These scores do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from genoplrp.errors import InputError, check_columns
from genoplrp.evaluation.blocks import blocks, check_lengths
from genoplrp.evaluation.maps import Arrays, Maps, Scores, check_finite, read_maps

if TYPE_CHECKING:
    import pandas as pd

RECOVERED_AT = 0.95


def score_instances(
    per_nucleotide: Arrays, instances: pd.DataFrame, *, lengths: Arrays | None = None
) -> pd.DataFrame:
    """Score every planted site against the background of its own sequence.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position.
    instances : pandas.DataFrame
        One row per site, with the columns ``sequence`` (row of `per_nucleotide`), ``start`` and ``end``
        (0-based, half-open); other columns are carried along. Pass only the sites that matter for the target.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

    Returns
    -------
    pandas.DataFrame
        The sites, in order, with these columns added:

        - ``mass``: positive relevance in the site, in units of the map;
        - ``share``: its part of the positive mass in all sites of the sequence (NaN where there is no such
        mass);
        - ``background``: mean positive relevance of the windows of the same width that touch no site, what a site gets
        that the map says nothing about; NaN where no window fits between the sites;
        - ``percentile``: share of the background windows of the same width (windows of the sequence that
        touch no
          site) whose signed relevance is lower, ties counting half: 0 to 1, chance, and a constant map, is
          0.5; NaN where no window fits between the sites;
        - ``recovered``: whether the percentile is at least 0.95, which 5 to 8 % of sites reach by
          chance (windows overlap, so they are few in effect); NaN where the percentile is.

    Raises
    ------
    InputError, NonFiniteError
        If a column is missing, a site lies outside its sequence, or the map is not finite.

    Examples
    --------
    >>> import pandas as pd
    >>> sites = pd.DataFrame({"sequence": [0, 0], "start": [0, 6], "end": [2, 8]})
    >>> score_instances([[3.0, 3.0, 0, 1, 0, 0, 1.0, 1.0]], sites)["share"].tolist()
    [0.75, 0.25]
    """
    return measure_sites(per_nucleotide, instances, lengths).drop(columns="net")


def score_recovery(
    per_nucleotide: Arrays, instances: pd.DataFrame, *, lengths: Arrays | None = None
) -> pd.DataFrame:
    """Summarise, per sequence, how many of its planted sites are found and what the weakest one gets.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position.
    instances : pandas.DataFrame
        The sites that matter for the target, as in `score_instances`.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

    Returns
    -------
    pandas.DataFrame
        One row per sequence (index ``sequence``): ``instances`` (their number), ``instance_recall`` (share of
        them recovered; chance .05 to .08), ``instance_percentile`` (mean percentile; chance .5),
        ``weakest_share`` (the smallest share of the in-site mass, times the number of sites: 1 if all get the
        same, 0 if one gets nothing or none gets anything) and ``weakest_chance`` (what that would be if the weakest
        site held only the map's background: a noisy map gives every window something, so a share is to be read
        against this). The last two are NaN with fewer than two sites, the others with none; ``weakest_chance`` also
        where no window fits between the sites.

    Raises
    ------
    InputError, NonFiniteError
        If a column is missing, a site lies outside its sequence, or the map is not finite.

    Examples
    --------
    >>> import pandas as pd
    >>> sites = pd.DataFrame({"sequence": [0, 0], "start": [0, 6], "end": [2, 8]})
    >>> score_recovery([[3.0, 3.0, 0, 1, 0, 0, 1.0, 1.0]], sites)["weakest_share"].tolist()
    [0.5]
    """
    import pandas as pd

    maps = read_maps(per_nucleotide)
    table = score_instances(maps, instances, lengths=lengths)
    groups = table.groupby("sequence")
    index = pd.RangeIndex(len(maps), name="sequence")
    count = groups.size().reindex(index, fill_value=0)
    weakest = groups["share"].min().fillna(0.0) * groups.size()
    least = table.loc[groups["mass"].idxmin()].set_index("sequence")
    others = groups["mass"].sum() - least["mass"]
    with_background = others + least["background"]
    chance = (least["background"] / with_background.where(with_background > 0)).where(
        with_background != 0, 0.0
    )
    chance *= groups.size()
    return pd.DataFrame(
        {
            "instances": count,
            "instance_recall": groups["recovered"].mean(),
            "instance_percentile": groups["percentile"].mean(),
            "weakest_share": weakest.where(groups.size() > 1),
            "weakest_chance": chance.where(groups.size() > 1),
        },
        index=index,
    )


def measure_sites(
    per_nucleotide: Arrays, instances: pd.DataFrame, lengths: Arrays | None = None
) -> pd.DataFrame:
    """Score every site, with its sign: the table of `score_instances` and one column more.

    Parameters
    ----------
    per_nucleotide, instances, lengths
        As in `score_instances`.

    Returns
    -------
    pandas.DataFrame
        The table of `score_instances` with ``net``: signed relevance of the site divided by the absolute relevance of
        the sequence, 0 where there is none.

    Raises
    ------
    InputError, NonFiniteError
        As in `score_instances`.

    Examples
    --------
    >>> import pandas as pd
    >>> sites = pd.DataFrame({"sequence": [0], "start": [0], "end": [2]})
    >>> measure_sites([[3.0, -1.0, 0, 1]], sites)["net"].tolist()
    [0.4]
    """
    maps = read_maps(per_nucleotide)
    sizes = check_lengths(lengths, maps.shape)
    check_finite(maps, sizes)
    table = _check_instances(instances, np.full(len(maps), maps.shape[1]) if sizes is None else sizes)
    rows, starts, ends = (table[name].to_numpy() for name in ("sequence", "start", "end"))
    found = _Measured(*np.full((4, len(rows)), np.nan))
    for here, place, block in sites_by_block(maps, rows, sizes):
        for values, column in zip(_measure(block, place, starts[here], ends[here]), found, strict=True):
            column[here] = values
    total = np.bincount(rows, weights=found.mass, minlength=len(maps))[rows]
    table["mass"] = found.mass
    table["share"] = np.divide(found.mass, total, out=np.full(len(rows), np.nan), where=total > 0)
    table["percentile"], table["background"] = found.percentile, found.background
    recovered = (table["percentile"] >= RECOVERED_AT).astype(float)
    table["recovered"] = recovered.where(table["percentile"].notna())
    table["net"] = found.net
    return table


def sites_by_block(
    maps: np.ndarray, rows: np.ndarray, lengths: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray, Maps]]:
    """Hand out maps a block at a time, with the sites that lie in them.

    Parameters
    ----------
    maps : numpy.ndarray, shape (N, L)
        The maps, checked.
    rows : numpy.ndarray, shape (K,)
        The sequence of each site.
    lengths : numpy.ndarray, shape (N,), optional
        Real positions of each sequence; by default all L.

    Yields
    ------
    tuple of numpy.ndarray
        Which sites, the row of each of them in the block, and the block (n, l), float64.

    Examples
    --------
    >>> [place.tolist() for _, place, _ in sites_by_block(np.ones((3, 4)), np.array([2, 0, 2]))]
    [[0, 2, 2]]
    """
    order = np.argsort(rows, kind="stable")
    first = np.searchsorted(rows[order], np.arange(len(maps) + 1))
    for chosen, length in blocks(maps.shape, lengths):
        members = np.arange(len(maps))[chosen]
        here = np.concatenate([order[first[i] : first[i + 1]] for i in members])
        yield here, np.searchsorted(members, rows[here]), maps[chosen, :length].astype(np.float64, copy=False)


class _Measured(NamedTuple):
    """What a map says at each of K sites."""

    mass: Scores
    net: Scores
    percentile: Scores
    background: Scores


def _measure(maps: Maps, rows: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> _Measured:
    mass = _window_sums(np.maximum(maps, 0.0), rows, starts, ends).clip(min=0.0)
    size, signed = np.abs(maps).sum(axis=1)[rows], _window_sums(maps, rows, starts, ends)
    net = np.divide(signed, size, out=np.zeros(len(rows)), where=size > 0)
    return _Measured(mass, net, *_against_windows(maps, rows, starts, ends))


def _check_instances(instances: pd.DataFrame, lengths: np.ndarray) -> pd.DataFrame:
    needed = ("sequence", "start", "end")
    check_columns("the table of instances", instances.columns, needed, "pass a data set's instances")
    table = instances.reset_index(drop=True).copy()
    n = len(lengths)
    for name in ("sequence", "start", "end"):
        table[name] = table[name].astype(np.int64)
    known = (table["sequence"] >= 0) & (table["sequence"] < n)
    ends = np.append(lengths, 0)[table["sequence"].where(known, n)]
    wrong = ~known | (table["start"] < 0) | (table["end"] > ends) | (table["start"] >= table["end"])
    if wrong.any():
        bad, length = table[wrong].iloc[0], ends[wrong][0] or lengths.max(initial=0)
        raise InputError(
            f"instance {int(np.flatnonzero(wrong)[0])} (sequence {bad['sequence']}, {bad['start']} to"
            f" {bad['end']}) does not lie in the relevance of {n} sequences of {length} bp"
        )
    return table


def _window_sums(values: Maps, rows: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    window: np.ndarray = sums[rows, ends] - sums[rows, starts]
    return window


def _against_windows(
    maps: Maps, rows: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rank each site among the windows of its width that touch no site, and give their mean positive mass."""
    n, length = maps.shape
    inside = np.zeros((n, length + 1), dtype=np.int64)
    np.add.at(inside, (rows, starts), 1)
    np.add.at(inside, (rows, ends), -1)
    is_site = (np.cumsum(inside, axis=1)[:, :length] > 0).astype(float)
    percentiles, means = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    widths = ends - starts
    for width in np.unique(widths):
        chosen = np.flatnonzero(widths == width)
        # Every window is summed in the same order, so that equal windows tie exactly.
        sums, touched, masses = (
            np.lib.stride_tricks.sliding_window_view(values, width, axis=1).sum(axis=-1)
            for values in (maps, is_site, np.maximum(maps, 0.0))
        )
        free = (touched == 0)[rows[chosen]]
        background, own = sums[rows[chosen]], sums[rows[chosen], starts[chosen]][:, None]
        lower = ((background < own) & free).sum(axis=1) + ((background == own) & free).sum(axis=1) / 2
        count = free.sum(axis=1)
        percentiles[chosen] = np.divide(lower, count, out=np.full(len(chosen), np.nan), where=count > 0)
        mass = np.where(free, masses[rows[chosen]], 0.0).sum(axis=1)
        means[chosen] = np.divide(mass, count, out=np.full(len(chosen), np.nan), where=count > 0)
    return percentiles, means
