"""FASTA files, plain, gzip or bgzip: read whole and written whole; no random access."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from genoplrp import partial
from genoplrp.errors import InputError

_GZIP_MAGIC = b"\x1f\x8b"
_OTHER_COMPRESSION = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK\x03\x04": "zip", b"\x28\xb5\x2f\xfd": "zstd"}


class FastaRecords(NamedTuple):
    """The records of a FASTA file, in the file's order.

    Attributes
    ----------
    names : list of str
        First word of each header.
    descriptions : list of str
        The rest of each header, or "".
    sequences : list of str
        Letters as they stand in the file (case kept), line breaks removed.
    """

    names: list[str]
    descriptions: list[str]
    sequences: list[str]


def read_fasta(path: str | os.PathLike[str]) -> FastaRecords:
    """Read a FASTA file; gzip and bgzip are recognised by their content, not by their name.

    Parameters
    ----------
    path : path
        File to read.

    Returns
    -------
    FastaRecords
        Names, descriptions and sequences.

    Raises
    ------
    InputError
        If the file is missing, empty, not FASTA, cut off, or holds a record without name or bases.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "two.fa"
    >>> write_fasta(path, ["ACGT", "GGCC"], names=["a", "b"])
    >>> read_fasta(path).sequences
    ['ACGT', 'GGCC']
    """
    names: list[str] = []
    descriptions: list[str] = []
    sequences: list[str] = []
    for name, description, sequence in iterate_fasta(path):
        names.append(name)
        descriptions.append(description)
        sequences.append(sequence)
    return FastaRecords(names, descriptions, sequences)


def iterate_fasta(path: str | os.PathLike[str]) -> Iterator[tuple[str, str, str]]:
    """Go through a FASTA file record by record: name, rest of the header, letters.

    Parameters
    ----------
    path : path
        File to read, plain, gzip or bgzip.

    Yields
    ------
    name, description, sequence : str

    Raises
    ------
    InputError
        As :func:`read_fasta`, when the place is reached.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "two.fa"
    >>> write_fasta(path, ["ACGT", "GGCC"])
    >>> [name for name, _, _ in iterate_fasta(path)]
    ['seq0', 'seq1']
    """
    from Bio.SeqIO.FastaIO import SimpleFastaParser

    parse: Callable[[Iterator[str]], Iterator[tuple[str, str]]] = SimpleFastaParser
    path = Path(path)
    with open_text(path) as handle:
        try:
            for number, (title, sequence) in enumerate(parse(_from_first_record(handle, path)), start=1):
                name, _, description = title.partition(" ") if "\t" not in title else title.partition("\t")
                if not name:
                    raise InputError(f"{path}: record {number} has no name after '>'; name every record.")
                if not sequence:
                    raise InputError(
                        f"{path}: record {name!r} holds no bases; remove it or complete the file."
                    )
                yield name, description.strip(), sequence
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(
                f"{path}: the compressed file is damaged or cut off ({error}); copy it again."
            ) from error
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise InputError(f"{path}: not a text file (byte {byte:#x}); expected FASTA.") from error


def write_fasta(
    path: str | os.PathLike[str],
    sequences: Sequence[str],
    names: Sequence[str] | None = None,
    descriptions: Sequence[str] | None = None,
    *,
    overwrite: bool = False,
) -> None:
    r"""Write a FASTA file, one line per sequence; a name that ends in ``.gz`` or ``.bgz`` is written as bgzip.

    Parameters
    ----------
    path : path
        File to write; it appears only when it is complete.
    sequences : sequence of str
        Letters.
    names : sequence of str, optional
        One per sequence; ``seq0``, ``seq1``, ... by default.
    descriptions : sequence of str, optional
        Rest of the header lines.
    overwrite : bool, default False
        Replace a file that exists.

    Raises
    ------
    OutputExistsError
        If the file exists and ``overwrite`` is false.
    InputError
        If there are not as many names as sequences, or a name is empty or holds white space.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "one.fa"
    >>> write_fasta(path, ["ACGT"])
    >>> path.read_text()
    '>seq0\nACGT\n'
    """
    path = Path(path)
    partial.check_file(path, overwrite=overwrite)
    names = [f"seq{i}" for i in range(len(sequences))] if names is None else names
    descriptions = [""] * len(sequences) if descriptions is None else descriptions
    if not len(names) == len(descriptions) == len(sequences):
        raise InputError(
            f"{len(sequences)} sequences, {len(names)} names, {len(descriptions)} descriptions: "
            "give one of each."
        )
    for index, name in enumerate(names):
        if not name or any(letter.isspace() for letter in name):
            raise InputError(f"Name {index} is {name!r}; a FASTA name is one word without white space.")
    with (
        partial.new_file(path) as made,
        open_for_writing(made, compressed=path.suffix in {".gz", ".bgz"}) as handle,
    ):
        for name, description, sequence in zip(names, descriptions, sequences, strict=True):
            header = f"{name} {description}" if description else name
            handle.write(f">{header}\n{sequence}\n".encode())


def check_not_a_pipe(path: Path) -> None:
    """Refuse what can be read only once, such as the shell's ``<(...)``: files are looked at before they are read.

    Raises
    ------
    InputError
        If the path is a pipe or a terminal.
    """
    if not path.is_file():
        raise InputError(f"{path} is a pipe, not a file: write what comes out of it to a file first.")


@contextmanager
def open_text(path: str | os.PathLike[str]) -> Iterator[IO[str]]:
    """Open a text file, plain or gzip / bgzip, for reading; the byte order mark of Windows programs is left out.

    Raises
    ------
    InputError
        If the file is missing, a folder, a pipe, unreadable, empty, or compressed in another way.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"There is no file {path}; check the path.")
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a file; name a file in it.")
    check_not_a_pipe(path)
    try:
        with path.open("rb") as raw:
            magic = raw.read(6)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    if not magic:
        raise InputError(f"{path} is empty; was it written to its end?")
    for start, name in _OTHER_COMPRESSION.items():
        if magic.startswith(start):
            raise InputError(
                f"{path} is compressed with {name}; unpack it, or compress it with gzip or bgzip."
            )
    if magic.startswith(_GZIP_MAGIC):
        with gzip.open(path, "rt", encoding="utf-8-sig") as handle:
            yield handle
        return
    with path.open(encoding="utf-8-sig") as handle:
        yield handle


@contextmanager
def open_for_writing(path: Path, *, compressed: bool) -> Iterator[IO[bytes]]:
    """Open a file for bytes, plain or as bgzip with its end marker."""
    if not compressed:
        with path.open("wb") as handle:
            yield handle
        return
    from Bio import bgzf

    with path.open("wb") as raw:
        make_writer: Any = bgzf.BgzfWriter
        writer = make_writer(fileobj=raw)
        yield writer
        writer.flush()
        raw.write(bgzf._bgzf_eof)


def _from_first_record(handle: IO[str], path: Path) -> Iterator[str]:
    """Lines of the file, refusing text before the first header and files without any record."""
    found = False
    for line in handle:
        if not found and not line.isspace():
            if not line.startswith(">"):
                raise InputError(
                    f"{path} is not FASTA: the first line is {line.strip()[:40]!r}, expected '>' and a name."
                )
            found = True
        yield line
    if not found:
        raise InputError(f"{path} holds no sequences; expected FASTA records ('>' name, then bases).")
