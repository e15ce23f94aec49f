"""Writes a data set's folder piece by piece, so that its size does not matter; ``tables`` says what is in the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from genoplrp.errors import MissingDependencyError
from genoplrp.synthetic.folder import write_manifest
from genoplrp.synthetic.profiles import PROFILES, ProfileWriter
from genoplrp.synthetic.tables import SOURCES, Piece, bed_header, labels_header, sources_header
from genoplrp.synthetic.truth_tables import BASES, HEADERS, Truth

if TYPE_CHECKING:
    from genoplrp.synthetic.motifs import Motif
    from genoplrp.synthetic.spec import Spec


class DatasetWriter:
    """The open files of a data set's folder; a context manager.

    Parameters
    ----------
    folder : Path
        An empty folder.
    tasks, kinds : list of str
        Names and kinds of the tasks.
    planted : bool
        Whether there is a table of instances.
    noisy : sequence of bool, optional
        Which tasks have labels before noise.
    compress, parquet : bool
        Sequences with bgzip; tables as Parquet, too.
    """

    def __init__(
        self,
        folder: Path,
        tasks: Sequence[str],
        kinds: Sequence[str],
        *,
        planted: bool,
        noisy: Sequence[bool] | None = None,
        compress: bool = False,
        parquet: bool = False,
    ) -> None:
        self.folder = folder
        self.tasks, self.kinds = list(tasks), list(kinds)
        self.noisy = [False] * len(self.tasks) if noisy is None else list(noisy)
        self.planted, self.compress, self.parquet = planted, compress, parquet
        self.n = 0
        self._stack = ExitStack()
        self._parquet: dict[str, Any] = {}
        self._profiles: ProfileWriter | None = None
        self._bases: ProfileWriter | None = None
        self._texts: dict[str, IO[str]] = {}
        self._sources: IO[str] | None = None
        if parquet:
            _pyarrow()

    def __enter__(self) -> DatasetWriter:
        self._sequences = self._open_sequences()
        self._labels = self._open("labels.tsv")
        self._labels.write(labels_header(self.tasks, self.noisy))
        self._instances = self._open("instances.bed") if self.planted else None
        if self._instances is not None:
            self._instances.write(bed_header())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def add(self, piece: Piece) -> None:
        """Append some sequences."""
        self._sequences(piece.sequences)
        self._labels.write(piece.labels)
        if self._instances is not None:
            self._instances.write(piece.instances)
        if piece.sources:
            if self._sources is None:
                self._sources = self._open(SOURCES)
                self._sources.write(sources_header())
            self._sources.write(piece.sources)
        if piece.frames is not None:
            self._add_parquet("labels", piece.frames[0])
            if self.planted:
                self._add_parquet("instances", piece.frames[1])
        if piece.profiles is not None:
            if self._profiles is None:
                self._profiles = self._stack.enter_context(ProfileWriter(self.folder / PROFILES))
            self._profiles.add(piece.profiles)
        if piece.truth is not None:
            self._add_truth(piece.truth)
        self.n += piece.n

    def finish(
        self, spec: Spec | None, motifs: Mapping[str, Motif], seed: int | None, report: Mapping[str, Any]
    ) -> None:
        """Close the files and write recipe and manifest."""
        self._stack.close()
        if motifs:
            from genoplrp.synthetic.motifs import write_meme

            write_meme(self.folder / "motifs.meme", list(motifs.values()))
        if spec is not None:
            from genoplrp.synthetic.spec_toml import write_saved_spec

            write_saved_spec(self.folder / "spec.toml", spec, seed=seed, n=self.n, report=report)
        write_manifest(self.folder, self.tasks, self.kinds, self.n)

    def _open(self, name: str) -> IO[str]:
        return self._stack.enter_context((self.folder / name).open("w", encoding="utf-8", newline="\n"))

    def _open_sequences(self) -> Any:
        """Return the function that appends text to the FASTA file."""
        if not self.compress:
            return self._open("sequences.fa").write
        from genoplrp.sequence.fasta import open_for_writing

        handle = self._stack.enter_context(open_for_writing(self.folder / "sequences.fa.gz", compressed=True))
        return lambda text: handle.write(text.encode("ascii"))

    def _add_truth(self, truth: Truth) -> None:
        if self._bases is None:
            self._bases = self._stack.enter_context(ProfileWriter(self.folder / BASES, "<f4"))
            for name, header in HEADERS.items():
                self._texts[name] = self._open(name)
                self._texts[name].write(header)
        self._bases.add(truth.bases)
        for name, rows in truth.texts.items():
            self._texts[name].write(rows)

    def _add_parquet(self, name: str, frame: Any) -> None:
        pa, pq = _pyarrow()
        table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
        if name not in self._parquet:
            writer = pq.ParquetWriter(self.folder / f"{name}.parquet", table.schema)
            self._parquet[name] = self._stack.enter_context(writer)
        self._parquet[name].write_table(table)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingDependencyError("Parquet needs pyarrow: pip install 'genoplrp[parquet]'.") from error
    return pa, pq
