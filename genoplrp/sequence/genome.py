"""Random access to a genome file: FASTA (plain, bgzip, gzip) or 2bit; not which parts of it are wanted."""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from genoplrp import partial
from genoplrp.errors import InputError, MissingDependencyError
from genoplrp.sequence.alphabet import BYTE_TO_CODE, INVALID, UNKNOWN
from genoplrp.sequence.fasta import check_not_a_pipe, read_fasta
from genoplrp.wording import some

_TWO_BIT = (b"\x1a\x41\x27\x43", b"\x43\x27\x41\x1a")


class Genome:
    r"""A genome file, opened for reading pieces of it as base numbers.

    Plain and bgzipped FASTA are read through an index (``.fai``), which is made beside the file, or in a temporary
    folder where that cannot be written. FASTA compressed with plain gzip is read into memory whole. 2bit needs py2bit.

    Parameters
    ----------
    path : path
        The file.

    Attributes
    ----------
    sizes : dict of str to int
        Length of each chromosome in bp, in the file's order.

    Raises
    ------
    InputError
        If the file is missing, empty, damaged or of another kind.
    MissingDependencyError
        If it is 2bit and py2bit is not installed.

    Examples
    --------
    >>> fasta = Path(tempfile.mkdtemp()) / "genome.fa"
    >>> _ = fasta.write_text(">chr1\nACGTN\n")
    >>> Genome(fasta).codes("chr1", 2, 7).tolist()
    [2, 3, 4, 4, 4]
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        kind = _kind(self.path)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._fetch: Callable[[str, int, int], str]
        if kind == "2bit":
            self._open_two_bit()
        elif kind == "gzip":
            records = read_fasta(self.path)
            held = dict(zip(records.names, records.sequences, strict=True))
            self.sizes = {name: len(sequence) for name, sequence in held.items()}
            self._fetch = lambda chrom, start, end: held[chrom][start:end]
        else:
            self._open_indexed()

    def codes(self, chrom: str, start: int, end: int) -> UInt8[np.ndarray, " length"]:
        """Base numbers of a piece (A 0, C 1, G 2, T 3, other 4); parts beyond the chromosome's ends are unknown.

        Raises
        ------
        InputError
            If there is no such chromosome, or the file holds something else than DNA, or less than its index says.
        """
        size = self.sizes.get(chrom)
        if size is None:
            raise InputError(f"{self.path} has no chromosome {chrom!r}; it has {some(list(self.sizes), 5)}")
        piece = np.full(end - start, UNKNOWN, dtype=np.uint8)
        first, last = max(start, 0), min(end, size)
        if first >= last:
            return piece
        letters = self._fetch(chrom, first, last)
        if len(letters) != last - first:
            raise InputError(
                f"{self.path}: {chrom}:{first}-{last} gave {len(letters)} bases: the file is cut off, or changed since "
                f"it was indexed; copy it again and remove {self.path.name}.fai"
            )
        codes = BYTE_TO_CODE[np.frombuffer(letters.encode("latin-1", "replace"), dtype=np.uint8)]
        if (codes == INVALID).any():
            at = int((codes == INVALID).argmax())
            raise InputError(
                f"{self.path}: {chrom}:{first + at} is {letters[at]!r}, which is not a nucleotide; expected DNA"
            )
        piece[first - start : last - start] = codes
        return piece

    def checksum(self) -> str:
        """SHA-256 of the file."""
        digest = hashlib.sha256()
        with self.path.open("rb") as handle:
            while piece := handle.read(1 << 22):
                digest.update(piece)
        return digest.hexdigest()

    def _open_indexed(self) -> None:
        import pyfaidx

        index = self._index()
        try:
            faidx: Any = pyfaidx.Faidx(str(self.path), indexname=str(index), as_raw=True, rebuild=False)
        except Exception as error:  # pyfaidx raises its own, ValueError, OSError and bare Exception
            raise InputError(f"{self.path} cannot be read as FASTA: {error}") from error
        self.sizes = {str(name): int(entry.rlen) for name, entry in faidx.index.items()}
        if not self.sizes:
            raise InputError(f"{self.path} holds no sequence; expected FASTA")

        def fetch(chrom: str, start: int, end: int) -> str:
            try:
                return str(faidx.fetch(chrom, start + 1, end))
            except Exception as error:
                raise InputError(f"{self.path}: {chrom}:{start}-{end} cannot be read ({error})") from error

        self._fetch = fetch

    def _index(self) -> Path:
        """Path of an index that is newer than the file; several processes may make it at once."""
        beside = self.path.with_name(self.path.name + ".fai")
        if beside.is_file() and beside.stat().st_mtime >= self.path.stat().st_mtime:
            return beside
        if not os.access(self.path.parent, os.W_OK):
            self._folder = tempfile.TemporaryDirectory(prefix="genoplrp-")
            beside = Path(self._folder.name) / beside.name
        with partial.new_file(beside) as made:
            self._make_index(made)
        return beside

    def _make_index(self, made: Path) -> None:
        import pyfaidx

        try:
            pyfaidx.Faidx(str(self.path), indexname=str(made), rebuild=True).close()
        except Exception as error:
            # What readers of bgzip raise where the file ends in the middle of a block.
            cut = isinstance(error, EOFError | struct.error | zlib.error) or "unpack" in str(error)
            why = "the compressed file is damaged or cut off; copy it again" if cut else str(error)
            raise InputError(f"{self.path} cannot be indexed as FASTA: {why}") from error

    def _open_two_bit(self) -> None:
        try:
            import py2bit
        except ImportError as error:
            raise MissingDependencyError(
                "2bit genomes need py2bit: pip install 'genoplrp[genome]'"
            ) from error
        try:
            file = py2bit.open(str(self.path))
        except RuntimeError as error:
            raise InputError(f"{self.path} cannot be read as 2bit ({error})") from error
        self.sizes = {str(name): int(size) for name, size in file.chroms().items()}
        self._fetch = lambda chrom, start, end: str(file.sequence(chrom, start, end))


def _kind(path: Path) -> str:
    if not path.exists():
        raise InputError(f"There is no file {path}; check the path.")
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a genome file; name the FASTA or 2bit file in it.")
    check_not_a_pipe(path)
    with path.open("rb") as handle:
        head = handle.read(18)
    if not head:
        raise InputError(f"{path} is empty; was it written to its end?")
    if head[:4] in _TWO_BIT:
        return "2bit"
    if head[:2] == b"\x1f\x8b":
        # bgzip: gzip with an extra field "BC"
        return "bgzip" if head[3] & 4 and head[12:14] == b"BC" else "gzip"
    if not head.lstrip().startswith((b">", b";")):
        raise InputError(f"{path} starts with {head[:10]!r}: expected FASTA (plain, gzip, bgzip) or 2bit.")
    return "fasta"
