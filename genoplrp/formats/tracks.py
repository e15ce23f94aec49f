"""Relevance as tracks for genome browsers, bigWig and bedGraph, and sites as BED; no arrays for other programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from genoplrp.errors import InputError, MissingDependencyError, check_choice, check_columns
from genoplrp.formats.explained import BLOCK, Explained, check_one_genome
from genoplrp.formats.registry import built_in
from genoplrp.formats.writing import written

Overlap = Literal["mean", "max", "first"]
OVERLAPS: tuple[Overlap, ...] = ("mean", "max", "first")


class Runs(NamedTuple):
    """Runs of equal relevance on one chromosome, sorted, not overlapping.

    Attributes
    ----------
    chrom : str
        Chromosome.
    start, end : array, (K,), int64
        0-based, half-open.
    value : array, (K,), float32
        Relevance; never 0.
    """

    chrom: str
    start: Int[np.ndarray, " k"]
    end: Int[np.ndarray, " k"]
    value: Float[np.ndarray, " k"]


def runs(explained: Explained, *, overlap: str = "mean") -> Iterator[Runs]:
    """Relevance per base in genome coordinates, as sorted runs of equal non-zero values.

    Windows of the minus strand are turned round. Where windows overlap, a base has several values; parts of a window
    beyond the chromosome's ends are left out, and so is relevance of exactly 0.

    Parameters
    ----------
    explained : Explained
        What to draw.
    overlap : {"mean", "max", "first"}
        Where windows overlap: the mean over the windows that cover the base; the value that is largest in
        magnitude; or the value of the window that comes first in the table.

    Yields
    ------
    Runs
        Chromosomes in the genome's order.

    Raises
    ------
    InputError
        If the rule is unknown, nothing was explained, a window lies on a chromosome without a size, or the windows
        are those of alleles.
    """
    check_choice("overlap", overlap, OVERLAPS)
    if len(explained) == 0:
        raise InputError("nothing was explained: there are no windows to write")
    regions, sizes = explained.regions, explained.chrom_sizes
    check_one_genome(regions)
    unknown = sorted(set(regions["chrom"].astype(str)) - set(sizes))
    if unknown:
        raise InputError(f"no size is known for {', '.join(unknown[:3])}: give the chromosomes' sizes")
    by_chrom = regions.groupby(regions["chrom"].astype(str), sort=False).indices
    for chrom, size in sizes.items():
        if chrom in by_chrom:
            rows = np.asarray(by_chrom[chrom])
            rows = rows[np.argsort(regions["start"].to_numpy()[rows], kind="stable")]
            yield from _chromosome(explained, chrom, size, rows, overlap)


@built_in("bigwig", "overlap")
def write_bigwig(
    explained: Explained, path: str | Path, *, overlap: str = "mean", overwrite: bool = False
) -> Path:
    """Write relevance per base as bigWig.

    Parameters
    ----------
    explained, overlap
        As in `runs`.
    path : str or Path
        File to write (``.bw``).
    overwrite : bool
        Replace a file that exists.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    MissingDependencyError
        If pyBigWig is not installed.
    InputError
        As in `runs`, or if all relevance is 0.
    """
    try:
        import pyBigWig
    except ImportError as error:
        raise MissingDependencyError("bigWig needs pyBigWig: pip install 'genoplrp[genome]'") from error
    with written(path, overwrite=overwrite) as part:
        track = pyBigWig.open(str(part), "w")
        track.addHeader(list(explained.chrom_sizes.items()))
        some = False
        for run in runs(explained, overlap=overlap):
            some = True
            track.addEntries(
                [run.chrom] * len(run.start),
                run.start.tolist(),
                ends=run.end.tolist(),
                values=run.value.tolist(),
            )
        track.close()
        if not some:
            raise _all_zero()
    return Path(path)


@built_in("bedgraph", "overlap")
def write_bedgraph(
    explained: Explained, path: str | Path, *, overlap: str = "mean", overwrite: bool = False
) -> Path:
    """Write relevance per base as bedGraph: chrom, start, end, value; parameters as in `write_bigwig`.

    Raises
    ------
    InputError
        As in `runs`, or if all relevance is 0.
    """
    with written(path, overwrite=overwrite) as part:
        with part.open("w", encoding="utf-8", newline="\n") as stream:
            for run in runs(explained, overlap=overlap):
                rows = zip(run.start.tolist(), run.end.tolist(), run.value, strict=True)
                stream.writelines(f"{run.chrom}\t{s}\t{e}\t{v}\n" for s, e, v in rows)
        if part.stat().st_size == 0:
            raise _all_zero()
    return Path(path)


def write_bed(sites: pd.DataFrame, path: str | Path, *, overwrite: bool = False) -> Path:
    r"""Write sites as BED6, in the table's order; nothing is written for a table without rows.

    Parameters
    ----------
    sites : DataFrame
        ``chrom, start, end``, and if there are any ``name``, ``score`` (any number; it is mapped to 0 to 1000 by its
        share of the largest magnitude) and ``strand``.
    path : str or Path
        File to write.
    overwrite : bool
        Replace a file that exists.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    InputError
        If columns are missing or there are no sites.

    Examples
    --------
    >>> import tempfile
    >>> sites = pd.DataFrame({"chrom": ["chr1"], "start": [5], "end": [9], "score": [-2.0]})
    >>> write_bed(sites, Path(tempfile.mkdtemp()) / "sites.bed").read_text()
    'chr1\t5\t9\tsite1\t1000\t.\n'
    """
    needed = ("chrom", "start", "end")
    check_columns("the table of sites", sites.columns, needed, "pass the table of what was found")
    if len(sites) == 0:
        raise InputError("there are no sites to write")
    n = len(sites)
    name = sites["name"] if "name" in sites else pd.Series([f"site{i + 1}" for i in range(n)])
    score = np.abs(sites["score"].to_numpy(float)) if "score" in sites else np.zeros(n)
    scaled = np.rint(1000 * score / max(float(score.max()), np.finfo(float).tiny)).astype(int)
    strand = sites["strand"] if "strand" in sites else pd.Series(["."] * n)
    with written(path, overwrite=overwrite) as part, part.open("w", encoding="utf-8", newline="\n") as stream:
        for row in zip(sites["chrom"], sites["start"], sites["end"], name, scaled, strand, strict=True):
            stream.write("\t".join(str(cell) for cell in row) + "\n")
    return Path(path)


def _chromosome(
    explained: Explained, chrom: str, size: int, rows: Int[np.ndarray, " n"], overlap: str
) -> Iterator[Runs]:
    """Sweep along one chromosome: what no later window can reach is final and handed on, the rest is carried."""
    regions = explained.regions
    starts = regions["start"].to_numpy()[rows].astype(np.int64)
    minus = (regions["strand"] == "-").to_numpy()[rows]
    carried = _Covered.empty()
    for low in range(0, len(rows), BLOCK):
        part = slice(low, low + BLOCK)
        values = explained.per_nucleotide(rows[part]).astype(np.float64)
        values[minus[part]] = values[minus[part], ::-1]
        position = starts[part, None] + np.arange(explained.length)
        rank = np.broadcast_to(rows[part, None], position.shape)
        inside = (position >= 0) & (position < size)
        new = _Covered(position[inside], values[inside], np.ones(int(inside.sum())), rank[inside])
        covered = _combined(carried, new, overlap)
        after = starts[low + BLOCK] if low + BLOCK < len(rows) else np.iinfo(np.int64).max
        final = covered.position < after
        carried = _Covered(*(column[~final] for column in covered))
        run = _equal_runs(chrom, covered.position[final], (covered.value / covered.windows)[final])
        if len(run.start):
            yield run


class _Covered(NamedTuple):
    """Bases that windows cover: sum (or chosen value), how many windows, and the first of them in the table."""

    position: np.ndarray
    value: np.ndarray
    windows: np.ndarray
    rank: np.ndarray

    @classmethod
    def empty(cls) -> _Covered:
        return cls(np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0, np.int64))


def _combined(one: _Covered, other: _Covered, overlap: str) -> _Covered:
    position, value, count, rank = (np.concatenate(pair) for pair in zip(one, other, strict=True))
    # Ties in magnitude go to the earlier window; sums are added in the table's order: same windows, same bytes.
    keys = (rank, -np.abs(value), position) if overlap == "max" else (rank, position)
    order = np.lexsort(keys)
    position, value, count, rank = position[order], value[order], count[order], rank[order]
    if len(position) == 0:
        return _Covered.empty()
    first = np.flatnonzero(np.r_[True, position[1:] != position[:-1]])
    if overlap == "mean":
        return _Covered(
            position[first], np.add.reduceat(value, first), np.add.reduceat(count, first), rank[first]
        )
    return _Covered(position[first], value[first], np.ones(len(first)), rank[first])


def _equal_runs(chrom: str, position: np.ndarray, value: np.ndarray) -> Runs:
    value = value.astype(np.float32)
    position, value = position[value != 0], value[value != 0]
    if len(position) == 0:
        return Runs(chrom, position, position, value)
    new = np.r_[True, (position[1:] != position[:-1] + 1) | (value[1:] != value[:-1])]
    first = np.flatnonzero(new)
    last = np.r_[first[1:], len(position)] - 1
    return Runs(chrom, position[first], position[last] + 1, value[first])


def _all_zero() -> InputError:
    return InputError(
        "all relevance is 0: nothing was written. Prune less (a smaller p), or check that the model's output depends "
        "on its input"
    )
