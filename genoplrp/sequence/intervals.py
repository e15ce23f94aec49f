"""Regions of a genome as tables: BED, narrowPeak, GTF / GFF, bigBed; not the sequences that lie there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from genoplrp.errors import InputError, MissingDependencyError, check_choice
from genoplrp.sequence.fasta import open_text

if TYPE_CHECKING:
    import pandas as pd

RegionFormat = Literal["bed", "narrowpeak", "gtf", "gff", "bigbed"]
COLUMNS = ("chrom", "start", "end", "name", "score", "strand", "summit", "line")
_SUFFIXES: dict[str, RegionFormat] = {
    ".bed": "bed",
    ".narrowpeak": "narrowpeak",
    ".gtf": "gtf",
    ".gff": "gff",
    ".gff3": "gff",
    ".bb": "bigbed",
    ".bigbed": "bigbed",
}
_SKIPPED = ("#", "track", "browser")
_Row = tuple[str, int, int, str, float, str, int]


def read_regions(
    path: str | os.PathLike[str], *, form: RegionFormat | None = None, feature: str | None = None
) -> pd.DataFrame:
    r"""Read regions; coordinates come out 0-based and half-open whatever the format.

    Parameters
    ----------
    path : path
        BED with 3 to 12 columns, narrowPeak, GTF, GFF or bigBed; text may be gzipped.
    form : str, optional
        The format; by default it is read off the file's name, and a name that says nothing is taken as BED. A BED
        file of 10 columns whose last one is a whole number inside the region is taken as narrowPeak.
    feature : str, optional
        Of a GTF / GFF only this feature (``"gene"``, ``"transcript"``, ...).

    Returns
    -------
    DataFrame
        ``chrom, start, end, name, score, strand`` ("+", "-" or "."), ``summit`` (bp from start, -1 where there is
        none) and ``line`` in the file, in the file's order.

    Raises
    ------
    InputError
        If the file is missing, empty, or a line is not a region; the message names file, line and value.
    MissingDependencyError
        If a bigBed file is given and pyBigWig is not installed.

    Examples
    --------
    >>> import tempfile
    >>> bed = Path(tempfile.mkdtemp()) / "peaks.bed"
    >>> _ = bed.write_text("chr1\t10\t20\tpeak1\t0\t-\n")
    >>> read_regions(bed)[["chrom", "start", "end", "strand"]].values.tolist()
    [['chr1', 10, 20, '-']]
    """
    path = Path(path)
    form = _form(path) if form is None else form
    check_choice("form", form, get_args(RegionFormat))
    if feature is not None and form not in ("gtf", "gff"):
        raise InputError(f"feature={feature!r} is for GTF and GFF files; {path} is read as {form}")
    rows = [(*row, 0) for row in _bigbed(path)] if form == "bigbed" else list(_lines(path, form, feature))
    if not rows:
        what = f" with the feature {feature!r}" if feature else ""
        seen = _features(path) if feature else ""
        raise InputError(f"{path} holds no region{what}{seen}")
    return _frame(rows)


def tile_regions(regions: pd.DataFrame, length: int, stride: int | None = None) -> pd.DataFrame:
    """Cut regions into windows of one length, one every ``stride`` bp, the last one flush with the region's end.

    Parameters
    ----------
    regions : DataFrame
        As :func:`read_regions` returns them. Regions shorter than ``length`` become one window around their middle.
    length : int
        Length of a window in bp.
    stride : int, optional
        Distance of neighbouring windows in bp; by default ``length``, so that windows do not overlap.

    Returns
    -------
    DataFrame
        The same columns, a row per window; names get ``:0``, ``:1``, ...

    Raises
    ------
    InputError
        If ``length`` or ``stride`` is not positive.

    Examples
    --------
    >>> import pandas as pd
    >>> whole = pd.DataFrame({"chrom": ["chr1"], "start": [0], "end": [25], "name": ["chr1"]})
    >>> tile_regions(whole, 10)["start"].tolist()
    [0, 10, 15]
    """
    import numpy as np

    stride = length if stride is None else stride
    if length < 1 or stride < 1:
        raise InputError(f"length={length}, stride={stride}: both must be at least 1 bp")
    size = (regions["end"] - regions["start"]).to_numpy()
    count = np.maximum(1, 1 + np.ceil(np.maximum(size - length, 0) / stride)).astype(int)
    index = np.repeat(np.arange(len(regions)), count)
    within = np.arange(len(index)) - np.repeat(np.cumsum(count) - count, count)
    tiled = regions.iloc[index].reset_index(drop=True)
    first, last = regions["start"].to_numpy()[index], regions["end"].to_numpy()[index]
    start = np.minimum(first + within * stride, last - length)
    start = np.where(size[index] < length, (first + last - length) // 2, start)
    tiled["start"], tiled["end"] = start, start + length
    if "name" in tiled:
        tiled["name"] = [f"{name}:{k}" for name, k in zip(tiled["name"], within, strict=True)]
    if "summit" in tiled:
        tiled["summit"] = -1
    return tiled


def match_names(wanted: list[str], known: list[str]) -> tuple[dict[str, str], str]:
    """Match chromosome names of a region file to those of a genome: as they are, or with ``chr`` put on or taken off.

    Parameters
    ----------
    wanted, known : list of str
        Names in the regions and in the genome.

    Returns
    -------
    dict
        Name in the regions -> name in the genome, for those that have one.
    str
        What was renamed, or "".

    Examples
    --------
    >>> match_names(["1", "MT"], ["chr1", "chrM"])[0]
    {'1': 'chr1', 'MT': 'chrM'}
    """
    there = set(known)
    matched, renamed = {}, []
    for name in wanted:
        found = next((other for other in (name, *_other_names(name)) if other in there), None)
        if found is None:
            continue
        matched[name] = found
        if found != name:
            renamed.append(f"{name} -> {found}")
    if not renamed:
        return matched, ""
    shown = ", ".join(renamed[:3]) + (", ..." if len(renamed) > 3 else "")
    return (
        matched,
        f"chromosome names differ between regions and genome; matched: {shown}",
    )


def _other_names(name: str) -> list[str]:
    bare = name[3:] if name.lower().startswith("chr") else name
    bares = [bare, {"M": "MT", "MT": "M"}.get(bare, bare)]
    return [variant for b in bares for variant in (f"chr{b}", b, f"Chr{b}") if variant != name]


def _form(path: Path) -> RegionFormat:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in (".gz", ".bgz")]
    return _SUFFIXES.get(suffixes[-1], "bed") if suffixes else "bed"


def _lines(path: Path, form: str, feature: str | None) -> Iterator[tuple[Any, ...]]:
    parse: Callable[[list[str]], _Row] = {"bed": _bed, "narrowpeak": _narrowpeak}.get(form, _gtf)
    with open_text(path) as handle:
        try:
            for number, line in enumerate(handle, start=1):
                if not line.strip() or line.startswith(_SKIPPED):
                    continue
                cells = line.rstrip("\r\n").split("\t")
                if len(cells) < 3 and form == "bed":
                    cells = line.split()
                if feature is not None and (len(cells) < 3 or cells[2] != feature):
                    continue
                try:
                    row = parse(cells)
                except (ValueError, IndexError) as error:
                    header = "; if it is a header, begin it with #" if number == 1 else ""
                    raise InputError(
                        f"{path}, line {number}: {line.strip()[:60]!r} is no {form} line ({error}){header}"
                    ) from None
                if not 0 <= row[1] < row[2]:
                    raise InputError(
                        f"{path}, line {number}: start {row[1]} and end {row[2]}; needed: 0 <= start < end"
                    )
                yield (*row, number)
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not a text file; expected {form} ({error.reason})") from error
        except EOFError as error:
            raise InputError(f"{path}: the compressed file is cut off; copy it again") from error


def _bed(cells: list[str]) -> _Row:
    if len(cells) < 3:
        raise ValueError(f"{len(cells)} columns; needed: chrom, start, end, divided by tabs")
    if len(cells) == 10 and _is_summit(cells):
        return _narrowpeak(cells)
    chrom, start, end = cells[0], int(cells[1]), int(cells[2])
    name = cells[3] if len(cells) > 3 and cells[3] not in ("", ".") else f"{chrom}:{start}-{end}"
    return chrom, start, end, name, _number(cells, 4), _strand(cells, 5), -1


def _is_summit(cells: list[str]) -> bool:
    try:
        return -1 <= int(cells[9]) < int(cells[2]) - int(cells[1])
    except ValueError:
        return False


def _narrowpeak(cells: list[str]) -> _Row:
    if len(cells) < 10:
        raise ValueError(f"{len(cells)} columns; narrowPeak has 10")
    row = _bed(cells[:6])
    summit = int(cells[9])
    if summit >= row[2] - row[1]:
        raise ValueError(f"the summit {summit} lies beyond the region's {row[2] - row[1]} bp")
    return (*row[:6], max(summit, -1))


def _gtf(cells: list[str]) -> _Row:
    if len(cells) < 8:
        raise ValueError(f"{len(cells)} columns; GTF and GFF have 9, divided by tabs")
    start, end = int(cells[3]) - 1, int(cells[4])
    name = _attribute(cells[8] if len(cells) > 8 else "") or f"{cells[0]}:{start}-{end}"
    return cells[0], start, end, name, _number(cells, 5), _strand(cells, 6), -1


def _attribute(text: str) -> str:
    """Name of a feature: the first of transcript, gene and ID that it has."""
    found = {}
    for part in text.split(";"):
        key, _, value = part.strip().replace("=", " ", 1).partition(" ")
        found[key] = value.strip().strip('"')
    return next((found[key] for key in ("transcript_id", "ID", "gene_id", "Name") if found.get(key)), "")


def _number(cells: list[str], at: int) -> float:
    return float(cells[at]) if len(cells) > at and cells[at] not in ("", ".") else 0.0


def _strand(cells: list[str], at: int) -> str:
    strand = cells[at] if len(cells) > at and cells[at] else "."
    if strand not in ("+", "-", ".", "?"):
        raise ValueError(f"the strand is {strand!r}; needed: +, - or .")
    return "." if strand == "?" else strand


def _bigbed(path: Path) -> Iterator[_Row]:
    try:
        import pyBigWig
    except ImportError as error:
        raise MissingDependencyError("bigBed needs pyBigWig: pip install 'genoplrp[genome]'") from error
    if not path.is_file():
        raise InputError(f"There is no file {path}; check the path.")
    try:
        file = pyBigWig.open(str(path))
    except RuntimeError as error:
        raise InputError(f"{path} cannot be read as bigBed ({error})") from error
    with file:
        if not file.isBigBed():
            raise InputError(f"{path} is a bigWig, not a bigBed: it holds signal, not regions")
        for chrom, size in file.chroms().items():
            for start, end, rest in file.entries(chrom, 0, size) or ():
                yield _bed([chrom, str(start), str(end), *(rest.split("\t") if rest else [])])


def _features(path: Path) -> str:
    with open_text(path) as handle:
        seen = {line.split("\t")[2] for line in handle if not line.startswith("#") and line.count("\t") > 2}
    return f"; it has {', '.join(sorted(seen)[:8])}" if seen else ""


def _frame(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows, columns=list(COLUMNS))
