"""The store of scanned regions: a Zarr v3 group, a manifest and tables in one folder; nothing is explained here.

Block k holds the rows k * rows_per_block and on, in one chunk of each array. While the work goes on, the folder has
another name and a journal of the blocks that are done; a block's bytes depend on the manifest alone.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int

from genoplrp.errors import InputError, MissingDependencyError
from genoplrp.formats.explained import Block, Scores, no_hypothetical
from genoplrp.relevance import Explanation
from genoplrp.relevance.tracing.tracer import LOGIT
from genoplrp.sequence import codes_to_one_hot
from genoplrp.sequence.intervals import match_names
from genoplrp.wording import counted

if TYPE_CHECKING:
    import zarr

MANIFEST, REGIONS, DROPPED, JOURNAL = "manifest.json", "regions.tsv", "dropped.tsv", ".journal"
FORMAT, FORMAT_VERSION = "genoplrp-scan", 1
Values = Literal["per_nucleotide", "full"]
VALUES = get_args(Values)
Rows = int | str | slice | Sequence[int] | np.ndarray
"""Which windows of a store: numbers, a name, or chrom:start-end."""
_PLACE = re.compile(r"(?P<chrom>.+):(?P<start>\d+)-(?P<end>\d+)")


class ScanStore:
    """Relevance of scanned regions, read from disk block by block.

    Parameters
    ----------
    path : str or Path
        Folder of a finished scan.

    Attributes
    ----------
    manifest : dict
        What was explained and how.
    regions : DataFrame
        One row a window: ``chrom, start, end, name, score, strand, region``; for variants also ``allele, position,
        ref, alt``.

    Raises
    ------
    InputError
        If it is not a finished scan.
    MissingDependencyError
        If zarr is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.manifest = read_manifest(self.path)
        if self.manifest.get("shard") is not None:
            i, n = self.manifest["shard"]
            raise InputError(
                f"{self.path} is shard {i} of {n}: put the shards together with `genoplrp merge` first"
            )
        if (self.path / JOURNAL).exists():
            raise InputError(f"{self.path} is not finished: run the same command again to continue")
        self.regions = pd.read_csv(
            self.path / REGIONS, sep="\t", keep_default_na=False, dtype={"chrom": str, "name": str}
        )
        self._group = zarr_module().open_group(str(self.path), mode="r")

    def __len__(self) -> int:
        return len(self.regions)

    def __repr__(self) -> str:
        windows = counted(len(self), "window")
        return f"ScanStore({str(self.path)!r}: {windows} of {self.length} bp, {self.manifest['method']})"

    @property
    def length(self) -> int:
        """Length of a window in bp."""
        return int(self.manifest["length"])

    @property
    def meta(self) -> dict[str, Any]:
        """The manifest without the chromosomes' sizes."""
        return {key: value for key, value in self.manifest.items() if key != "chrom_sizes"}

    @property
    def chrom_sizes(self) -> dict[str, int]:
        """Length of every chromosome in bp, in the genome's order."""
        return dict(self.manifest["chrom_sizes"])

    @property
    def has_hypothetical(self) -> bool:
        """Whether hypothetical scores were kept."""
        return bool(self.manifest["hypothetical"])

    @property
    def prediction(self) -> Float[np.ndarray, " n"]:
        """(N,) explained output of every window, in `units`."""
        return self._read("prediction", slice(None))

    @property
    def units(self) -> str:
        """What `prediction` and relevance count in: ``"output"``, or ``"logit"`` before a final sigmoid or softmax."""
        return str(self.manifest.get("units", "output"))

    @property
    def output(self) -> Float[np.ndarray, " n"]:
        """(N,) what the model itself returned for the target: of `units` ``"logit"`` the probability."""
        return self._read("output", slice(None)) if self.units == "logit" else self.prediction

    @property
    def dropped(self) -> pd.DataFrame:
        """Regions that were not explained, with the reason."""
        return pd.read_csv(self.path / DROPPED, sep="\t", keep_default_na=False, dtype={"chrom": str})

    @overload
    def rows(self, which: slice = ...) -> slice: ...

    @overload
    def rows(self, which: int | Sequence[int] | np.ndarray | str) -> Int[np.ndarray, " n"]: ...

    @overload
    def rows(self, which: Rows) -> slice | Int[np.ndarray, " n"]: ...

    def rows(self, which: Rows = slice(None)) -> slice | Int[np.ndarray, " n"]:
        """Find windows.

        Parameters
        ----------
        which : int, slice, array of int, or str
            Numbers of the windows; or a name of ``regions``; or ``"chr1:100-300"``, for the windows that overlap it
            (0-based, half-open), the one that covers most of it, most centrally, first.

        Returns
        -------
        slice or array, (n,)
            Numbers of the windows.

        Raises
        ------
        InputError
            If there is no such window.
        """
        if isinstance(which, slice):
            return which
        if isinstance(which, str):
            return self._named(which)
        numbers = np.atleast_1d(np.asarray(which))
        if numbers.dtype.kind not in "iu":
            raise InputError(f"rows are numbers, a slice, a name or chrom:start-end; got {which!r}")
        beyond = numbers[(numbers < -len(self)) | (numbers >= len(self))]
        if len(beyond):
            raise InputError(
                f"window {beyond[0]} is out of range: {self.path} holds {len(self):,}, 0 to {len(self) - 1:,}"
            )
        return np.asarray(numbers % len(self))

    def one_hot(self, rows: Rows = slice(None)) -> Float[np.ndarray, "n 4 length"]:
        """One-hot sequences of some windows (see `rows`; by default all), as the model read them."""
        return codes_to_one_hot(self._read("sequence", rows))

    def per_nucleotide(self, rows: Rows = slice(None)) -> Float[np.ndarray, "n length"]:
        """Relevance per position of some windows, in the orientation in which the model read them."""
        values = self._read("relevance", rows).astype(np.float32)
        return values if values.ndim == 2 else values.sum(axis=1)

    def relevance(self, rows: Rows = slice(None)) -> Float[np.ndarray, "n 4 length"]:
        """Relevance of some windows; where it was kept per position, it stands at the base that is there."""
        values = self._read("relevance", rows).astype(np.float32)
        return values if values.ndim == 3 else np.asarray(values[:, None] * self.one_hot(rows))

    def explanation(self, rows: Rows = slice(None)) -> Explanation:
        """Some windows as an `Explanation`, as `genoplrp.Explainer` would return it, without ledger.

        Its ``settings["regions"]`` is their part of ``regions``.

        Parameters
        ----------
        rows
            See `rows`; by default all, which are then held in memory.
        """
        notes = list(self.manifest["notes"])
        if self.units == "logit":
            notes.append(LOGIT)
        settings = {key: self.manifest[key] for key in ("method", "rules", "pruning")}
        found = self.rows(rows)
        return Explanation(
            torch.from_numpy(self.relevance(found)),
            torch.from_numpy(self._read("prediction", found)),
            self.manifest["target"],
            multiplier=torch.from_numpy(self._read("hypothetical", found).astype(np.float32))
            if self.has_hypothetical
            else None,
            notes=notes,
            settings=settings | {"regions": self.regions.iloc[found].reset_index(drop=True)},
        )

    def blocks(self, scores: Scores = "projected") -> Iterator[Block]:
        """All windows, block by block, in order."""
        if scores == "hypothetical" and not self.has_hypothetical:
            raise no_hypothetical()
        step = int(self.manifest["rows_per_block"])
        for start in range(0, len(self), step):
            rows = slice(start, start + step)
            if scores == "projected":
                yield Block(start, self.one_hot(rows), self.relevance(rows))
            else:
                yield Block(start, self.one_hot(rows), self._read("hypothetical", rows).astype(np.float32))

    def _read(self, name: str, which: Rows) -> np.ndarray:
        array: Any = self._group[name]
        rows = self.rows(which)
        return np.asarray(array[rows] if isinstance(rows, slice) else array.oindex[rows])

    def _named(self, text: str) -> Int[np.ndarray, " n"]:
        named = np.flatnonzero((self.regions["name"] == text).to_numpy())
        place = _PLACE.fullmatch(text.replace(",", ""))
        if len(named) or place is None:
            if not len(named):
                some = ", ".join(dict.fromkeys(self.regions["name"].head(3)))
                raise InputError(
                    f"{self.path} has no window named {text!r} (names begin {some}, ...); a place is chrom:start-end"
                )
            return named
        chrom, start, end = place["chrom"], int(place["start"]), int(place["end"])
        if start >= end:
            raise InputError(f"{text}: start must be before end (0-based, half-open)")
        table = self.regions
        matched, _ = match_names([chrom], list(dict.fromkeys(table["chrom"])))
        here = table[table["chrom"] == matched.get(chrom, chrom)]
        covered = np.minimum(here["end"], end) - np.maximum(here["start"], start)
        off_centre = (here["start"] + here["end"] - start - end).abs()
        here = here.assign(covered=covered, off_centre=off_centre)[covered > 0]
        if not len(here):
            raise InputError(
                f"no window of {self.path} lies on {text}: {_reach(table, matched.get(chrom, chrom))}"
            )
        order = here.sort_values(["covered", "off_centre"], ascending=[False, True], kind="stable")
        return np.asarray(order.index.to_numpy())


def _reach(table: pd.DataFrame, chrom: str) -> str:
    here = table[table["chrom"] == chrom]
    if len(here):
        return f"those on {chrom} reach from {here['start'].min():,} to {here['end'].max():,}"
    return f"they lie on {', '.join(list(dict.fromkeys(table['chrom']))[:5])}"


class ScanWriter:
    """An unfinished scan: arrays to fill, and the journal of the blocks that are done.

    Parameters
    ----------
    folder : Path
        Where the unfinished scan lies; made if it is not there.
    manifest : dict
        What is explained and how.
    regions, dropped : DataFrame
        Tables to lay beside the arrays; a shard keeps the rows of its own blocks.
    """

    def __init__(
        self, folder: Path, manifest: dict[str, Any], regions: pd.DataFrame, dropped: pd.DataFrame
    ) -> None:
        self.folder, self.manifest = folder, manifest
        if not (folder / MANIFEST).is_file():
            folder.mkdir(parents=True, exist_ok=True)
            own = regions.iloc[own_rows(manifest)] if manifest.get("shard") else regions
            own.to_csv(folder / REGIONS, sep="\t", index=False, lineterminator="\n")
            dropped.to_csv(folder / DROPPED, sep="\t", index=False, lineterminator="\n")
            create_arrays(folder, manifest)
            (folder / JOURNAL).touch()
            # The manifest comes last: a folder that has one has all the rest.
            part = folder / f"{MANIFEST}.partial"
            part.write_text(manifest_text(manifest), encoding="utf-8")
            part.replace(folder / MANIFEST)
        for left in folder.rglob("*.partial"):  # what a killed process was writing
            left.unlink(missing_ok=True)
        self._group = zarr_module().open_group(str(folder), mode="r+")

    def done(self) -> set[int]:
        """Blocks that are complete."""
        lines = (self.folder / JOURNAL).read_text().split("\n")[:-1]  # a torn last line does not count
        return {int(line) for line in lines if line.isdigit()}

    def write(self, block: int, arrays: dict[str, np.ndarray]) -> None:
        """Write one block, then note that it is done."""
        start = block * int(self.manifest["rows_per_block"])
        for name, values in arrays.items():
            array: Any = self._group[name]
            array[start : start + len(values)] = values
        journal = self.folder / JOURNAL
        torn = not journal.read_bytes().endswith(b"\n") and journal.stat().st_size > 0
        with journal.open("a", encoding="ascii", newline="\n") as handle:
            handle.write(("\n" if torn else "") + f"{block}\n")

    def finish(self, out: Path) -> None:
        """Give the folder its name; the journal goes last."""
        self.folder.rename(out)
        (out / JOURNAL).unlink()


def blocks_of(manifest: dict[str, Any]) -> range:
    """Numbers of the blocks of a scan, or of a shard of it: every n-th."""
    i, shards = manifest.get("shard") or (1, 1)
    return range(i - 1, -(-manifest["windows"] // manifest["rows_per_block"]), shards)


def own_rows(manifest: dict[str, Any]) -> Int[np.ndarray, " n"]:
    """Row numbers of the windows in these blocks."""
    rows, n = manifest["rows_per_block"], manifest["windows"]
    parts = [np.arange(block * rows, min(n, (block + 1) * rows)) for block in blocks_of(manifest)]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def zarr_module() -> Any:
    """Return the zarr module.

    Raises
    ------
    MissingDependencyError
        If it is not installed, or older than version 3.
    """
    try:
        import zarr
    except ImportError as error:
        raise MissingDependencyError("Scanning regions needs zarr: pip install 'genoplrp[genome]'") from error
    if int(zarr.__version__.split(".")[0]) < 3:
        raise MissingDependencyError(
            f"Scanning regions needs zarr 3 or later, found {zarr.__version__}: pip install 'genoplrp[genome]'"
        )
    return zarr


def create_arrays(folder: Path, manifest: dict[str, Any]) -> None:
    """Create the group's empty arrays: one chunk a block, zeros not stored."""
    from zarr.codecs import BloscCodec

    n, length, rows = manifest["windows"], manifest["length"], manifest["rows_per_block"]
    full, kind = (n, 4, length), manifest["dtype"]
    arrays: dict[str, tuple[tuple[int, ...], str]] = {
        "sequence": ((n, length), "uint8"),
        "relevance": (full if manifest["values"] == "full" else (n, length), kind),
        "prediction": ((n,), "float32"),
    }
    if manifest.get("units") == "logit":
        arrays["output"] = ((n,), "float32")
    if manifest["hypothetical"]:
        arrays["hypothetical"] = (full, kind)
    group: zarr.Group = zarr_module().create_group(store=str(folder), overwrite=False, zarr_format=3)
    for name, (shape, dtype) in arrays.items():
        # Bit shuffling puts the zeros of sparse floats, and the two bits of a base, next to each other.
        codec = BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle", typesize=np.dtype(dtype).itemsize)
        group.create_array(
            name, shape=shape, dtype=dtype, chunks=(rows, *shape[1:]), compressors=codec, fill_value=0
        )


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a scan.

    Raises
    ------
    InputError
        If the folder is no scan, or its layout is of another version.
    """
    path = folder / MANIFEST
    remedy = "a store is a folder that `genoplrp explain --fasta ...` wrote"
    if not path.is_file():
        if folder.suffix == ".partial" and folder.is_dir():
            raise InputError(f"{folder} is an unfinished scan: run the same command again to finish it")
        raise InputError(f"{folder} is not a store of scanned regions: {remedy}")
    manifest: Any = None
    with contextlib.suppress(json.JSONDecodeError, UnicodeDecodeError):
        manifest = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{path} is not the manifest of a store: {remedy}")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{folder} has the layout {manifest.get('format_version')}, this version reads {FORMAT_VERSION}: use the "
            "version of genoplrp that wrote it"
        )
    return manifest


def manifest_text(manifest: dict[str, Any]) -> str:
    """The manifest as it stands on disk; no time and no machine: same work, same bytes."""
    return json.dumps(manifest, indent=1, sort_keys=True) + "\n"
