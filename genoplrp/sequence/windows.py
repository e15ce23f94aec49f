"""From regions to the windows that a model reads: length, strand, edges, unknown bases; nothing is explained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from jaxtyping import UInt8

from genoplrp.errors import InputError, check_choice, check_columns
from genoplrp.sequence.alphabet import UNKNOWN
from genoplrp.sequence.genome import Genome
from genoplrp.sequence.intervals import match_names
from genoplrp.wording import counted

if TYPE_CHECKING:
    import pandas as pd

Edge = Literal["drop", "shift", "pad"]
_MANY = 0.05  # of the regions: so many beyond their chromosome are hardly by accident
_COMPLEMENT = np.array([3, 2, 1, 0, UNKNOWN], dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of one length on a genome, read when they are asked for.

    Attributes
    ----------
    table : DataFrame
        One row a window: ``chrom, start, end, name, score, strand`` ("+" or "-"), ``region`` (row in the regions that
        were handed in). Start and end may lie beyond the chromosome where that was allowed.
    dropped : DataFrame
        Regions that gave no window: ``region, chrom, start, end, name, reason``.
    notes : list of str
        What a reader should know, e.g. names that were matched.
    genome : Genome
        Where the bases come from.
    length : int
        Length of a window in bp.
    """

    table: pd.DataFrame
    dropped: pd.DataFrame
    genome: Genome
    length: int
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def chrom_sizes(self) -> dict[str, int]:
        """Length of every chromosome in bp."""
        return self.genome.sizes

    def codes(self, start: int, stop: int) -> UInt8[np.ndarray, "n length"]:
        """Base numbers of the windows start to stop as the model is to read them: minus strand reverse complemented."""
        rows = self.table.iloc[start:stop]
        codes = np.empty((len(rows), self.length), dtype=np.uint8)
        columns = (rows[name].tolist() for name in ("chrom", "start", "end", "strand"))
        for i, (chrom, first, last, strand) in enumerate(zip(*columns, strict=True)):
            piece = self.genome.codes(chrom, first, last)
            codes[i] = reverse_complement_codes(piece) if strand == "-" else piece
        return codes


def reverse_complement_codes(codes: UInt8[np.ndarray, " length"]) -> UInt8[np.ndarray, " length"]:
    """Base numbers of the other strand, read 5' to 3'."""
    return np.asarray(_COMPLEMENT[codes[::-1]])


def place_windows(
    regions: pd.DataFrame,
    genome: Genome,
    length: int,
    *,
    edge: Edge = "drop",
    max_unknown: float = 0.0,
    progress: bool = False,
) -> Windows:
    r"""Centre a window of the model's length on each region, at its summit where it has one, else its middle.

    Parameters
    ----------
    regions : DataFrame
        As `read_regions` returns them: at least ``chrom, start, end``. Strand "." reads as "+".
    genome : Genome
        The genome. Chromosome names that differ only by ``chr`` (and M / MT) are matched, and the notes say so.
    length : int
        Length of a window in bp.
    edge : {"drop", "shift", "pad"}
        A window that reaches beyond its chromosome is dropped, moved inside, or filled with unknown bases.
    max_unknown : float
        Largest share of unknown bases (N) in a window, padding not counted; windows with more are dropped.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Windows
        The kept ones, and the dropped regions with the reason.

    Raises
    ------
    InputError
        If no window is left, or an argument makes no sense.

    Examples
    --------
    >>> import pandas as pd, pathlib, tempfile
    >>> fasta = pathlib.Path(tempfile.mkdtemp()) / "genome.fa"
    >>> _ = fasta.write_text(">chr1\nAACCGGTT\n")
    >>> regions = pd.DataFrame({"chrom": ["1"], "start": [2], "end": [4], "strand": ["-"]})
    >>> place_windows(regions, Genome(fasta), 4).codes(0, 1).tolist()
    [[1, 2, 2, 3]]
    """
    from tqdm import tqdm

    _check(length, edge, max_unknown)
    table, known, note = _named(regions, genome)
    centre = np.where(
        table["summit"] >= 0, table["start"] + table["summit"], (table["start"] + table["end"]) // 2
    )
    start = centre - length // 2
    size = np.array([genome.sizes.get(name, 0) for name in table["chrom"]], dtype=np.int64)
    if edge == "shift":
        start = np.clip(start, 0, np.maximum(size - length, 0))
    reasons = np.full(len(table), "", dtype=object)
    reasons[(start < 0) | (start + length > size)] = "" if edge == "pad" else "window reaches beyond the end"
    if edge == "shift":
        reasons[size < length] = "chromosome is shorter than the window"
    # A region that is not on its chromosome at all belongs to another assembly: padding would hide it.
    outside = table["end"].to_numpy() > size
    reasons[outside] = "region ends beyond the chromosome"
    reasons[~known] = "chromosome is not in the genome"
    table["start"], table["end"] = start, start + length
    kept, chroms = np.flatnonzero(reasons == ""), table["chrom"].to_numpy()
    for i in tqdm(kept, desc="read windows", unit="window", disable=not progress):
        unknown = unknown_share(genome, str(chroms[i]), int(start[i]), int(start[i]) + length)
        if unknown > max_unknown:
            reasons[i] = f"{unknown:.0%} of the bases are unknown (N)"
    keep = reasons == ""
    original = regions.reset_index(drop=True)
    dropped = table.loc[~keep, ["region", "name"]].assign(
        chrom=original.loc[~keep, "chrom"],
        start=original.loc[~keep, "start"],
        end=original.loc[~keep, "end"],
        reason=reasons[~keep],
    )[["region", "chrom", "start", "end", "name", "reason"]]
    if not keep.any():
        raise InputError(
            f"no window of {length} bp comes of {counted(len(table), 'region')} on {genome.path.name}: "
            + "; ".join(f"{count}: {reason}" for reason, count in dropped["reason"].value_counts().items())
            + f" (chromosomes there: {', '.join(list(genome.sizes)[:5])})"
        )
    notes = [note] if note else []
    beyond = int((outside & known).sum())
    if beyond >= _MANY * len(table):
        notes.append(
            f"{beyond:,} of {len(table):,} regions end beyond their chromosome: is {genome.path.name} another "
            "assembly, or cut off?"
        )
    columns = ["chrom", "start", "end", "name", "score", "strand", "region"]
    kept_table = table.loc[keep, columns].reset_index(drop=True)
    return Windows(kept_table, dropped.reset_index(drop=True), genome, length, notes)


def _check(length: int, edge: str, max_unknown: float) -> None:
    if length < 1:
        raise InputError(f"length={length}: a window has at least 1 bp")
    check_choice("edge", edge, get_args(Edge))
    check_max_unknown(max_unknown)


def check_max_unknown(share: float) -> None:
    """Refuse what is no share."""
    if not 0 <= share <= 1:
        raise InputError(f"max_unknown={share:g}: a share between 0 and 1")


def _named(regions: pd.DataFrame, genome: Genome) -> tuple[Any, np.ndarray, str]:
    """Return a table with all columns and the genome's chromosome names, and which regions have one."""
    check_columns("the table of regions", regions.columns, ("chrom", "start", "end"))
    if len(regions) == 0:
        raise InputError("there are no regions: the table has no rows")
    table = regions.reset_index(drop=True).copy()
    names = table["chrom"].astype(str)
    matched, note = match_names(list(dict.fromkeys(names)), list(genome.sizes))
    table["region"] = np.arange(len(table))
    if "name" not in table:
        table["name"] = [f"{c}:{s}-{e}" for c, s, e in zip(names, table["start"], table["end"], strict=True)]
    for column, value in (("score", 0.0), ("strand", "+"), ("summit", -1)):
        if column not in table:
            table[column] = value
    table["strand"] = np.where(table["strand"] == "-", "-", "+")
    table["chrom"] = [matched.get(name, name) for name in names]
    return table, names.isin(list(matched)).to_numpy(), note


def unknown_share(genome: Genome, chrom: str, start: int, end: int) -> float:
    """Share of unknown bases in the part of a window that lies on the chromosome."""
    piece = genome.codes(chrom, max(start, 0), min(end, genome.sizes[chrom]))
    return float((piece == UNKNOWN).mean())
