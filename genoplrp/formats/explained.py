"""What every export starts from: sequences, their relevance and where they lie, in blocks; it computes no relevance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
import pandas as pd
from jaxtyping import Float

from genoplrp.errors import InputError, check_choice, check_columns
from genoplrp.sequence import check_one_hot

if TYPE_CHECKING:
    from genoplrp.formats.attribution import AttributionFile
    from genoplrp.synthetic import Dataset

Scores = Literal["projected", "hypothetical"]
BLOCK = 1024
"""Sequences held in memory at once while exporting."""


class Block(NamedTuple):
    """Some consecutive sequences of an explained set.

    Attributes
    ----------
    start : int
        Row of the first one.
    X : array, (n, 4, L), float32
        One-hot sequences, as the model read them.
    scores : array, (n, 4, L), float32
        Projected or hypothetical scores, as asked for.
    """

    start: int
    X: Float[np.ndarray, "n 4 length"]
    scores: Float[np.ndarray, "n 4 length"]


class Explained(Protocol):
    """Explained sequences that can be read in blocks: an `ExplainedArrays`, or a store on disk."""

    @property
    def length(self) -> int:
        """Length L of every sequence, in bp."""
        ...

    @property
    def regions(self) -> pd.DataFrame:
        """(N) rows: chrom, start, end, name, strand; 0-based, half-open; the window that the model read."""
        ...

    @property
    def chrom_sizes(self) -> dict[str, int]:
        """Length of every chromosome, in bp, in the genome's order."""
        ...

    @property
    def meta(self) -> dict[str, Any]:
        """What was explained, and how; JSON can hold it."""
        ...

    @property
    def has_hypothetical(self) -> bool:
        """Whether hypothetical scores were kept."""
        ...

    def __len__(self) -> int: ...

    def blocks(self, scores: Scores = "projected") -> Iterator[Block]:
        """All sequences, block by block, in order."""
        ...

    def per_nucleotide(self, rows: np.ndarray) -> Float[np.ndarray, "n length"]:
        """Relevance per position of some rows, in the orientation in which the model read them."""
        ...


@dataclass(frozen=True, eq=False)
class ExplainedArrays:
    """Explained sequences that lie in memory.

    Parameters
    ----------
    X : array, (N, 4, L)
        One-hot sequences.
    relevance : array, (N, 4, L)
        Relevance (projected scores).
    hypothetical : array, (N, 4, L), optional
        Relevance per unit of input, for all four bases.
    regions : DataFrame, optional
        ``chrom, start, end`` and, if there are any, ``name, strand``. By default each sequence is a chromosome
        of its own, called ``seq0``, ``seq1``, ...
    chrom_sizes : dict, optional
        Length of the chromosomes; by default as far as the regions reach.
    meta : dict, optional
        What was explained.

    Raises
    ------
    InputError
        If the arrays do not fit together.

    Examples
    --------
    >>> X = np.eye(4, dtype=np.float32)[[[0, 1, 2]]].transpose(0, 2, 1)
    >>> ExplainedArrays(X, X * 2.0).per_nucleotide(np.array([0])).tolist()
    [[2.0, 2.0, 2.0]]
    """

    X: Float[np.ndarray, "n 4 length"]
    relevance: Float[np.ndarray, "n 4 length"]
    hypothetical: Float[np.ndarray, "n 4 length"] | None = None
    regions: pd.DataFrame = None  # type: ignore[assignment]  # filled in below
    chrom_sizes: dict[str, int] = None  # type: ignore[assignment]  # filled in below
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_one_hot(self.X)
        for name in ("X", "relevance", "hypothetical"):
            values = getattr(self, name)
            if values is None:
                continue
            array = np.asarray(values, dtype=np.float32)
            if array.shape != np.asarray(self.X).shape:
                raise InputError(
                    f"{name} has the shape {array.shape}, X {np.asarray(self.X).shape}: they must agree"
                )
            if not np.isfinite(array).all():
                raise InputError(
                    f"{name} holds NaN or infinity, first in sequence {_first_bad(array)}: remove it"
                )
            object.__setattr__(self, name, array)
        regions = own_chromosomes(len(self), self.length) if self.regions is None else self.regions
        object.__setattr__(self, "regions", check_regions(regions, len(self), self.length))
        if self.chrom_sizes is None:
            ends = self.regions.groupby("chrom", sort=False)["end"].max()
            object.__setattr__(self, "chrom_sizes", {str(k): int(v) for k, v in ends.items()})

    def __len__(self) -> int:
        return len(self.X)

    @property
    def length(self) -> int:
        """Length L of every sequence, in bp."""
        return int(self.X.shape[2])

    @property
    def has_hypothetical(self) -> bool:
        """Whether hypothetical scores are there."""
        return self.hypothetical is not None

    def blocks(self, scores: Scores = "projected") -> Iterator[Block]:
        """All sequences, block by block, in order."""
        values = self.relevance if scores == "projected" else self.hypothetical
        if values is None:
            raise no_hypothetical()
        for start in range(0, len(self), BLOCK):
            yield Block(start, self.X[start : start + BLOCK], values[start : start + BLOCK])

    def per_nucleotide(self, rows: np.ndarray) -> Float[np.ndarray, "n length"]:
        """Relevance per position of some rows."""
        return np.asarray(self.relevance[rows].sum(axis=1))


def explained_dataset(file: AttributionFile, data: Dataset) -> ExplainedArrays:
    """Join a relevance file with the sequences of its data set; each sequence is a chromosome of its own.

    Raises
    ------
    InputError
        If the file explains another data set.
    """
    known = file.meta.get("data_checksum")
    if len(file) and int(file.sequence.max()) >= len(data):
        raise InputError(
            f"the relevance file explains sequence {int(file.sequence.max())}, the data set has {len(data)}: "
            "name the data set that was explained"
        )
    if known is not None and known != data.checksum():
        raise InputError(
            "the relevance file explains another data set (checksums differ): name the one explained"
        )
    part = data.subset(file.sequence)
    regions = own_chromosomes(len(file), file.length, list(part.names))
    return ExplainedArrays(part.one_hot(), file.relevance, regions=regions, meta=dict(file.meta))


def own_chromosomes(n: int, length: int, names: list[str] | None = None) -> pd.DataFrame:
    """Regions of sequences without coordinates: each is a chromosome of its own."""
    names = [f"seq{i}" for i in range(n)] if names is None else names
    return pd.DataFrame({"chrom": names, "start": 0, "end": length, "name": names, "strand": "+"})


def check_regions(regions: pd.DataFrame, n: int, length: int) -> pd.DataFrame:
    """Return the regions with name and strand filled in.

    Raises
    ------
    InputError
        If there is not one region of the right length a sequence.
    """
    check_columns("the table of regions", regions.columns, ("chrom", "start", "end"))
    if len(regions) != n:
        raise InputError(
            f"{len(regions)} regions for {n} sequences: give one per sequence, in the same order"
        )
    regions = regions.reset_index(drop=True)
    wrong = np.flatnonzero((regions["end"] - regions["start"]).to_numpy() != length)
    if len(wrong):
        i = int(wrong[0])
        raise InputError(
            f"region {i} has {int(regions['end'][i] - regions['start'][i])} bp, its sequence {length}: regions are "
            "the windows that the model read"
        )
    if "name" not in regions:
        regions = regions.assign(name=[f"region{i}" for i in range(n)])
    if "strand" not in regions:
        regions = regions.assign(strand="+")
    return regions


def check_one_genome(regions: pd.DataFrame) -> None:
    """Refuse a store of variants: its windows lie in pairs on one place, and only one of them on the genome.

    Raises
    ------
    InputError
        If the windows are those of alleles.
    """
    if "allele" in regions:
        raise InputError(
            "the store holds both alleles of variants: a track or sites would mix what is on the genome with what is "
            "not. Explain the regions without the variants (--bed without --vcf) for these; what each variant does is "
            "in effects.tsv"
        )


def check_scores(explained: Explained, scores: str) -> Scores:
    """Return the kind of scores if it is known and there.

    Raises
    ------
    InputError
        If not, or if nothing was explained.
    """
    if len(explained) == 0:
        raise InputError("nothing was explained: there are no sequences to export")
    check_choice("scores", scores, ("projected", "hypothetical"))
    if scores == "projected":
        return "projected"
    if not explained.has_hypothetical:
        raise no_hypothetical()
    return "hypothetical"


def no_hypothetical() -> InputError:
    """Return the error for scores that were not kept."""
    return InputError(
        "no hypothetical scores were kept: export the projected ones, or explain the regions again with "
        "--hypothetical (in Python keep_multiplier=True)"
    )


def _first_bad(array: np.ndarray) -> int:
    return int(np.argwhere(~np.isfinite(array))[0][0])
