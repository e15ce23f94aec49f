"""Windows of real sequences, to plant into: N-free, inside allowed regions, matched in GC content; no planting.

The file is read record by record and held at one byte a base; with regions, only these are held.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from genoplrp.errors import InputError, SpecError
from genoplrp.sequence.alphabet import BYTE_TO_CODE, INVALID
from genoplrp.sequence.fasta import iterate_fasta
from genoplrp.synthetic.splits import SPLITS

_GC_BINS = 40
_CANDIDATES = 20


class Windows:
    """Stretches of real sequences without unknown bases, from which windows are drawn.

    Parameters
    ----------
    file : str
        FASTA file.
    regions : str
        BED file of allowed regions, or ""; those that overlap or touch are one.

    Raises
    ------
    SpecError
        If a file cannot be read, or the regions name a sequence that is not there.
    """

    def __init__(self, file: str, regions: str = "") -> None:
        self.file = file
        wanted = read_regions(regions) if regions else None
        stretches: list[np.ndarray] = []
        self.names: list[str] = []
        record: list[int] = []
        offset: list[int] = []
        for name, codes in iterate_codes(file):
            for begin, end in [(0, len(codes))] if wanted is None else _merged(wanted.pop(name, [])):
                for first, stretch in _known_stretches(codes[begin:end]):
                    stretches.append(stretch)
                    record.append(len(self.names))
                    offset.append(begin + first)
            self.names.append(name)
        if wanted:
            raise SpecError(
                f"regions: {regions} names {next(iter(wanted))!r}, which is no sequence of {file}."
            )
        self.codes = np.concatenate([*stretches, np.zeros(0, dtype=np.uint8)])
        self.size = np.array([len(stretch) for stretch in stretches], dtype=np.int64)
        self.begin = np.cumsum(self.size) - self.size
        self.record = np.array(record, dtype=np.int64)
        self.offset = np.array(offset, dtype=np.int64)

    def draw(
        self,
        rng: np.random.Generator,
        n: int,
        length: int,
        wanted: Float[np.ndarray, " bins"] | None = None,
    ) -> UInt8[np.ndarray, "n length"]:
        """Draw windows: each start equally likely, or so that their GC content is distributed as wanted.

        Parameters
        ----------
        rng : Generator
            Source of chance.
        n, length : int
            Number and length of the windows.
        wanted : array, (bins,), optional
            Weight of each bin of GC content (:func:`gc_bell`, :func:`gc_histogram`), as far as there are such windows.

        Returns
        -------
        array, (n, length), uint8
            Base numbers.

        Raises
        ------
        SpecError
            If no stretch is long enough, or none has such a GC content.
        """
        return self.take(self.choose(rng, n, length, wanted), length)

    def take(self, start: Int[np.ndarray, " n"], length: int) -> UInt8[np.ndarray, "n length"]:
        """Return windows that begin at places of :meth:`choose`, as base numbers."""
        return np.asarray(self.codes[start[:, None] + np.arange(length)])

    def locate(self, start: Int[np.ndarray, " n"]) -> tuple[np.ndarray, Int[np.ndarray, " n"]]:
        """Return the record's name and the 0-based start in it of places of :meth:`choose`."""
        stretch = np.searchsorted(self.begin, start, side="right") - 1
        names = np.array(self.names, dtype=object)[self.record[stretch]]
        return names, self.offset[stretch] + start - self.begin[stretch]

    def divided(self, shares: Sequence[float], by: str, length: int) -> list[Windows]:
        """Divide the stretches between parts, so that no window of one part shares a base with one of another.

        Parameters
        ----------
        shares : sequence of float
            Share of the windows that each part should have; met as nearly as whole groups allow.
        by : {"interval", "chromosome"}
            Groups that stay together: pieces of stretches (of at most four windows or a hundredth of all bases), or
            records of the file.
        length : int
            Length of the windows, in bp.

        Returns
        -------
        list of Windows
            One for each part, which share their bases.

        Raises
        ------
        SpecError
            If a part gets no window.
        """
        pieces = self if by == "chromosome" else self._cut(max(4 * length, int(self.size.sum()) // 100))
        group = pieces.record if by == "chromosome" else np.arange(len(pieces.size))
        room = np.maximum(pieces.size - length + 1, 0)
        rooms = np.bincount(group, weights=room, minlength=int(group.max(initial=-1)) + 1)
        if rooms.sum() == 0:
            raise self._too_short(length)
        # The largest groups first, those of one size in an order that has nothing to do with where they lie.
        mixed = np.random.Generator(np.random.PCG64(0)).random(len(rooms))
        owner = np.zeros(len(rooms), dtype=np.int64)
        given = np.zeros(len(shares))
        for one in np.lexsort((mixed, -rooms)):
            owner[one] = int(np.argmax(np.array(shares) * (given.sum() + rooms[one]) - given))
            given[owner[one]] += rooms[one]
        for part, share, has in zip(SPLITS, shares, given, strict=True):
            if share > 0 and has == 0:
                raise SpecError(
                    f"split_by: {self.file} has {int((rooms > 0).sum())} {by}s with windows of {length} bp, and none "
                    f"is left for the {part} part of the split; give more, or set split_by = 'none' (windows of "
                    "different parts may then overlap)."
                )
        return [pieces._only(owner[group] == number) for number in range(len(shares))]

    def choose(
        self, rng: np.random.Generator, n: int, length: int, wanted: Float[np.ndarray, " bins"] | None = None
    ) -> Int[np.ndarray, " n"]:
        """Draw the places of windows, as :meth:`draw` takes them."""
        if wanted is None:
            return self._starts(rng.random(n), length)
        start = self._starts(rng.random(_CANDIDATES * max(n, 100)), length)
        content = self._gc_content(start, length)
        place = _gc_bins(content)
        # Candidates of a bin share what the bin should have; bins without any have nothing to give.
        weight = wanted[place] / np.bincount(place, minlength=_GC_BINS)[place]
        if weight.sum() <= 1e-12:
            near = np.average((np.arange(_GC_BINS) + 0.5) / _GC_BINS, weights=wanted)
            raise SpecError(
                f"gc: {self.file} has no window of {length} bp with a GC content near {near:.2g}."
            )
        chosen = np.searchsorted(np.cumsum(weight / weight.sum()), rng.random(n), side="right")
        return start[np.minimum(chosen, len(start) - 1)]

    def _cut(self, width: int) -> Windows:
        """Cut stretches into equal pieces of about a width."""
        number = np.maximum(1, np.round(self.size / width).astype(np.int64))
        of = np.repeat(np.arange(len(self.size)), number)
        rank = np.arange(len(of)) - np.repeat(np.cumsum(number) - number, number)
        first = rank * self.size[of] // number[of]
        last = (rank + 1) * self.size[of] // number[of]
        cut = copy.copy(self)
        cut.begin, cut.size = self.begin[of] + first, last - first
        cut.record, cut.offset = self.record[of], self.offset[of] + first
        return cut

    def _only(self, chosen: Bool[np.ndarray, " stretches"]) -> Windows:
        some = copy.copy(self)
        some.begin, some.size = self.begin[chosen], self.size[chosen]
        some.record, some.offset = self.record[chosen], self.offset[chosen]
        return some

    def _starts(self, u: np.ndarray, length: int) -> Int[np.ndarray, " n"]:
        room = np.maximum(self.size - length + 1, 0)
        total = np.cumsum(room)
        if room.sum() == 0:
            raise self._too_short(length)
        at = np.floor(u * total[-1]).astype(np.int64)
        stretch = np.searchsorted(total, at, side="right")
        return np.asarray(self.begin[stretch] + at - (total[stretch] - room[stretch]))

    def _too_short(self, length: int) -> SpecError:
        return SpecError(f"file: {self.file} has no stretch of {length} bp without unknown bases.")

    def _gc_content(self, start: np.ndarray, length: int) -> np.ndarray:
        content = np.empty(len(start))
        rows = max(1, (1 << 22) // length)
        for first in range(0, len(start), rows):
            piece = self.codes[start[first : first + rows, None] + np.arange(length)]
            content[first : first + rows] = ((piece == 1) | (piece == 2)).mean(axis=1)
        return content


def gc_bell(mean: float, sd: float) -> Float[np.ndarray, " bins"]:
    """Weights of the bins of GC content that are normal around a mean.

    Examples
    --------
    >>> int(gc_bell(0.5, 0.01).argmax()) in (19, 20)
    True
    """
    middle = (np.arange(_GC_BINS) + 0.5) / _GC_BINS
    return np.asarray(np.exp(-0.5 * ((middle - mean) / sd) ** 2))


def gc_histogram(file: str) -> Float[np.ndarray, " bins"]:
    """Share of the sequences of a FASTA file in each bin of GC content; unknown bases do not count.

    Raises
    ------
    SpecError
        If it cannot be read, or holds no known base.
    """
    content = [
        float(((codes == 1) | (codes == 2)).sum() / (codes < 4).sum())
        for _, codes in iterate_codes(file)
        if (codes < 4).any()
    ]
    if not content:
        raise SpecError(f"match: {file} holds no sequence with known bases.")
    return np.bincount(_gc_bins(np.array(content)), minlength=_GC_BINS) / len(content)


def iterate_codes(file: str) -> Iterator[tuple[str, UInt8[np.ndarray, " length"]]]:
    """Go through the records of a FASTA file as base numbers.

    Raises
    ------
    SpecError
        If it cannot be read or holds letters that are no nucleotides.
    """
    try:
        for name, _, letters in iterate_fasta(file):
            codes = BYTE_TO_CODE[np.frombuffer(letters.encode("latin-1", "replace"), dtype=np.uint8)]
            if codes.max() == INVALID:
                raise SpecError(f"file: {file}: record {name!r} holds letters that are no nucleotides.")
            yield name, codes
    except SpecError:
        raise
    except InputError as error:
        raise SpecError(f"file: {error}") from error


def read_regions(path: str) -> dict[str, list[tuple[int, int]]]:
    """Read a BED file: for each chromosome its regions, 0-based and half-open.

    Raises
    ------
    SpecError
        If it cannot be read or a line is not BED.
    """
    regions: dict[str, list[tuple[int, int]]] = defaultdict(list)
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"regions: {path} cannot be read ({error}).") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith(("#", "track", "browser")):
            continue
        words = line.split("\t")
        if (
            len(words) < 3
            or not (words[1].isdigit() and words[2].isdigit())
            or int(words[1]) >= int(words[2])
        ):
            raise SpecError(
                f"regions: {path}, line {number}: expected chrom, start, end (tabs, start < end)."
            )
        regions[words[0]].append((int(words[1]), int(words[2])))
    return dict(regions)


def _gc_bins(content: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    edges = np.linspace(0, 1, _GC_BINS + 1)
    return np.clip(np.searchsorted(edges, content, side="right") - 1, 0, _GC_BINS - 1)


def _merged(regions: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Regions in order, those that overlap or touch joined: no base is offered twice."""
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(regions):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def _known_stretches(codes: UInt8[np.ndarray, " length"]) -> list[tuple[int, np.ndarray]]:
    """Longest stretches without unknown bases, each with its start."""
    known = np.concatenate([[False], codes < 4, [False]])
    edges = np.flatnonzero(known[1:] != known[:-1])
    return [(int(begin), codes[begin:end]) for begin, end in zip(edges[::2], edges[1::2], strict=True)]
