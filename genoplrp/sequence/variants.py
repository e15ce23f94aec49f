"""Variants of a VCF file as pairs of windows, reference and alternative; what a model makes of them is not here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from genoplrp.errors import InputError
from genoplrp.sequence.fasta import open_text
from genoplrp.sequence.genome import Genome
from genoplrp.sequence.intervals import match_names
from genoplrp.sequence.onehot import decode_codes, encode_codes
from genoplrp.sequence.windows import Windows, check_max_unknown, reverse_complement_codes, unknown_share
from genoplrp.wording import counted

if TYPE_CHECKING:
    import pandas as pd

ALLELES = ("ref", "alt")
_LETTERS = frozenset("ACGTN")


@dataclass(frozen=True, eq=False)
class VariantWindows(Windows):
    """Two windows a variant, the reference and then the alternative allele, read when they are asked for.

    The variant's first base lies at position ``length // 2`` of both, or wherever it falls in the window of a region.
    Behind an insertion the alternative window loses
    bases at its right end, behind a deletion it takes more of the genome there, so that both are of one length.

    Attributes
    ----------
    table : DataFrame
        Rows 2k and 2k + 1 belong to variant k: ``chrom, start, end`` (of the reference window), ``name, score,
        strand, region`` (row in the variants that were handed in), ``allele`` ("ref" or "alt"), ``position``
        (0-based), ``ref, alt``; for variants in regions also ``peak``, the region's name.
    dropped : DataFrame
        Variants that gave no windows: ``region, chrom, start, end, name, reason``.
    notes : list of str
        What a reader should know.
    genome : Genome
        Where the bases come from.
    length : int
        Length of a window in bp.
    """

    def codes(self, start: int, stop: int) -> UInt8[np.ndarray, "n length"]:
        """Base numbers of the windows start to stop as the model is to read them: minus strand reverse complemented."""
        rows = self.table.iloc[start:stop]
        codes = np.empty((len(rows), self.length), dtype=np.uint8)
        columns = (
            rows[name].tolist() for name in ("chrom", "start", "position", "ref", "alt", "allele", "strand")
        )
        for i, (chrom, first, position, ref, alt, allele, strand) in enumerate(zip(*columns, strict=True)):
            if allele == "ref":
                piece = self.genome.codes(chrom, first, first + self.length)
            else:
                before = self.genome.codes(chrom, first, position)
                after = position + len(ref)
                whole = [before, encode_codes(alt)[0], self.genome.codes(chrom, after, after + self.length)]
                piece = np.concatenate(whole)[: self.length]
            codes[i] = reverse_complement_codes(piece) if strand == "-" else piece
        return codes


def read_vcf(path: str | os.PathLike[str]) -> pd.DataFrame:
    r"""Read a VCF file, plain or gzip; each alternative allele becomes a row.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    DataFrame
        ``chrom, position`` (0-based), ``name`` (the id, or ``chrom:pos:ref>alt`` with the file's 1-based position),
        ``ref, alt, line``.

    Raises
    ------
    InputError
        If the file is missing, empty, or a line is no variant.

    References
    ----------
    The Variant Call Format Specification, VCFv4.3.

    Examples
    --------
    >>> import tempfile
    >>> vcf = Path(tempfile.mkdtemp()) / "v.vcf"
    >>> _ = vcf.write_text("chr1\t5\t.\tA\tG,T\n")
    >>> read_vcf(vcf)["name"].tolist()
    ['chr1:5:A>G', 'chr1:5:A>T']
    """
    import pandas as pd

    rows = list(_rows(Path(path)))
    if not rows:
        raise InputError(
            f"{path} holds no variant: each is a line of at least five columns, with tabs between them"
        )
    return pd.DataFrame(rows, columns=["chrom", "position", "name", "ref", "alt", "line"])


_COLUMNS = (
    "region",
    "chrom",
    "start",
    "end",
    "name",
    "score",
    "strand",
    "position",
    "ref",
    "alt",
    "peak",
    "allele",
)


def place_variants(
    variants: pd.DataFrame,
    genome: Genome,
    length: int,
    *,
    windows: Windows | None = None,
    max_unknown: float = 0.0,
) -> VariantWindows:
    r"""Make the two windows of each variant.

    Parameters
    ----------
    variants : DataFrame
        As `read_vcf` returns them.
    genome : Genome
        The genome. Its bases must be the reference alleles; a variant where they are not is dropped.
    length : int
        Length of a window in bp.
    windows : Windows, optional
        Windows of regions, as `genoplrp.sequence.place_windows` makes them: a variant gets the two windows of every one
        that holds it, on its strand, instead of one in its own middle.
    max_unknown : float
        Largest share of unknown bases (N) in a variant's own window; `windows` are taken as they are.

    Returns
    -------
    VariantWindows
        The windows, and the dropped variants with the reason.

    Raises
    ------
    InputError
        If no variant is left.

    Examples
    --------
    >>> import pandas as pd, tempfile
    >>> fasta = Path(tempfile.mkdtemp()) / "g.fa"
    >>> _ = fasta.write_text(">chr1\nAACCGGTT\n")
    >>> v = pd.DataFrame({"chrom": ["chr1"], "position": [3], "name": ["x"], "ref": ["C"], "alt": ["T"]})
    >>> place_variants(v, Genome(fasta), 4).codes(0, 2).tolist()
    [[0, 1, 1, 2], [0, 1, 3, 2]]
    """
    import pandas as pd

    if length < 1:
        raise InputError(f"length={length}: a window has at least 1 bp")
    names = [str(name) for name in variants["chrom"]]
    matched, note = match_names(list(dict.fromkeys(names)), list(genome.sizes))
    check_max_unknown(max_unknown)
    rows, dropped = _sorted_out(variants, matched, genome, length, windows, max_unknown)
    kept = pd.DataFrame(rows, columns=_COLUMNS)
    left_out = pd.DataFrame(dropped, columns=["region", "chrom", "start", "end", "name", "reason"])
    if not rows:
        reasons_left = left_out["reason"].value_counts().head(4).items()
        raise InputError(
            f"no window of {length} bp comes of {counted(len(variants), 'variant')} on {genome.path.name}: "
            + "; ".join(f"{count}: {reason}" for reason, count in reasons_left)
        )
    notes = ([note] if note else []) + _another_assembly(left_out, len(variants))
    return VariantWindows(
        kept if windows is not None else kept.drop(columns="peak"), left_out, genome, length, notes
    )


def _sorted_out(
    variants: pd.DataFrame,
    matched: Mapping[str, str],
    genome: Genome,
    length: int,
    windows: Windows | None,
    max_unknown: float,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the rows of windows, one an allele, and those of variants that give none."""
    names = [str(name) for name in variants["chrom"]]
    held_by = _Holders(windows)
    rows: list[dict[str, Any]] = []
    dropped: list[dict[str, Any]] = []
    columns = (variants[name].tolist() for name in ("position", "name", "ref", "alt"))
    for k, (name, position, label, ref, alt) in enumerate(zip(names, *columns, strict=True)):
        chrom = matched.get(name)
        spots = [_Spot(position - length // 2)] if windows is None else held_by(chrom, position, len(ref))
        reasons = [_reason(genome, chrom, position, spot.start, ref, alt, length) for spot in spots]
        if windows is None and not reasons[0]:
            unknown = unknown_share(genome, str(chrom), spots[0].start, spots[0].start + length)
            reasons = [f"{unknown:.0%} of the bases are unknown (N)" if unknown > max_unknown else ""]
        if not spots:
            reasons = ["no region's window holds it" if chrom else "chromosome is not in the genome"]
        common = {"region": k, "chrom": chrom, "name": label, "position": position, "ref": ref, "alt": alt}
        for spot in (spot for spot, reason in zip(spots, reasons, strict=False) if not reason):
            here = {"start": spot.start, "end": spot.start + length, "strand": spot.strand, "peak": spot.peak}
            rows += [{**common, **here, "score": 0.0, "allele": allele} for allele in ALLELES]
        if all(reasons):
            at = {"region": k, "chrom": chrom or name, "start": position, "end": position + len(ref)}
            dropped.append({**at, "name": label, "reason": reasons[0]})
    return rows, dropped


def _another_assembly(dropped: pd.DataFrame, n: int) -> list[str]:
    """Say where many of n reference alleles are not the genome's."""
    other = dropped["reason"].str.startswith("reference allele").sum()
    if other <= n / 10:
        return []
    return [f"{other} of {n} reference alleles are not the genome's bases: is it the same assembly?"]


class _Spot(NamedTuple):
    """Where a window begins, on which strand, and of which region it is."""

    start: int
    strand: str = "+"
    peak: str = ""


class _Holders:
    """Which windows hold a stretch of the genome whole."""

    def __init__(self, windows: Windows | None) -> None:
        self._of: dict[str, pd.DataFrame] = {}
        if windows is None:
            return
        self.length = windows.length
        self._of = {
            str(chrom): table.sort_values("start", kind="stable")[["start", "strand", "name"]]
            for chrom, table in windows.table.groupby("chrom", sort=False)
        }

    def __call__(self, chrom: str | None, position: int, size: int) -> list[_Spot]:
        table = self._of.get(chrom or "")
        if table is None:
            return []
        start = table["start"].to_numpy()
        low = np.searchsorted(start, position + size - self.length, side="left")
        high = np.searchsorted(start, position, side="right")
        return [_Spot(int(a), str(b), str(c)) for a, b, c in table.iloc[low:high].itertuples(index=False)]


def _reason(
    genome: Genome, chrom: str | None, position: int, start: int, ref: str, alt: str, length: int
) -> str:
    """Why a variant gives no windows, or ""."""
    if chrom is None:
        return "chromosome is not in the genome"
    if not (set(ref) <= _LETTERS and alt and set(alt) <= _LETTERS):
        return f"symbolic or missing allele {alt}"
    if position + max(len(ref), len(alt)) > start + length:
        return "allele reaches beyond the window"
    if start < 0 or start + length + max(0, len(ref) - len(alt)) > genome.sizes[chrom]:
        return "window reaches beyond the end"
    there = decode_codes(genome.codes(chrom, position, position + len(ref))[None])[0]
    return "" if there == ref else f"reference allele is {ref}, the genome has {there}"


def _rows(path: Path) -> Iterator[tuple[str, int, str, str, str, int]]:
    with open_text(path) as handle:
        try:
            for number, line in enumerate(handle, start=1):
                if line.startswith("#") or not line.strip():
                    continue
                cells = line.rstrip("\r\n").split("\t")
                if len(cells) < 5 or not cells[1].isdigit() or int(cells[1]) < 1:
                    raise InputError(
                        f"{path}, line {number}: {line.strip()[:60]!r} is not a VCF line: expected CHROM, POS "
                        "(from 1), ID, REF, ALT, separated by tabs"
                    )
                chrom, position, name, ref = cells[0], int(cells[1]), cells[2], cells[3].upper()
                alts = cells[4].upper().split(",")
                for alt in alts:
                    label = f"{chrom}:{position}:{ref}>{alt}"
                    if name not in (".", ""):
                        label = name if len(alts) == 1 else f"{name}:{alt}"
                    yield chrom, position - 1, label, ref, alt, number
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not a text file; expected VCF ({error.reason})") from error
        except EOFError as error:
            raise InputError(f"{path}: the compressed file is cut off; copy it again") from error
