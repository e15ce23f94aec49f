"""Explaining many windows into a store: streaming, resumable, in shards; not where windows come from."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8

import genoplrp
from genoplrp.errors import GenoplrpError, InputError, NonFiniteError, OutputExistsError
from genoplrp.relevance import Explainer, Pruning
from genoplrp.scan.models import LoadedModel, fingerprint, output_target
from genoplrp.scan.store import (
    DROPPED,
    FORMAT,
    FORMAT_VERSION,
    JOURNAL,
    MANIFEST,
    REGIONS,
    VALUES,
    ScanWriter,
    read_manifest,
    zarr_module,
)
from genoplrp.sequence import codes_to_one_hot

BASES_A_BATCH = 1 << 17
"""Bases explained at once when the batch size is left open: a batch of 128 windows of 1 kb, 62 of 2,114 bp."""
ROWS_A_BLOCK = 1024
# What lies in an unfinished scan before its manifest is written.
_ARRAYS = {"sequence", "relevance", "prediction", "hypothetical"}
_BEGUN = {REGIONS, DROPPED, JOURNAL, "zarr.json", f"{MANIFEST}.partial", *_ARRAYS}


class Source(Protocol):
    """Windows to explain: `genoplrp.sequence.Windows`, `VariantWindows`, or `Sequences`."""

    @property
    def length(self) -> int:
        """Length L of every window, in bp."""
        ...

    @property
    def notes(self) -> list[str]:
        """What a reader should know."""
        ...

    @property
    def table(self) -> pd.DataFrame:
        """One row a window."""
        ...

    @property
    def dropped(self) -> pd.DataFrame:
        """What gave no window, with the reason."""
        ...

    @property
    def chrom_sizes(self) -> dict[str, int]:
        """Length of every chromosome in bp."""
        ...

    def codes(self, start: int, stop: int) -> UInt8[np.ndarray, "n length"]:
        """Base numbers of the windows start to stop."""
        ...


def scan(
    model: torch.nn.Module | LoadedModel,
    source: Source,
    out: str | Path,
    *,
    target: int | str = 0,
    rules: Any = "gamma",
    pruning: Pruning | None = None,
    values: str = "per_nucleotide",
    hypothetical: bool = False,
    dtype: str = "float32",
    batch_size: int | None = None,
    shard: tuple[int, int] | None = None,
    device: str | None = None,
    inputs: dict[str, Any] | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Path:
    """Explain all windows of a source and write a store; an interrupted scan goes on where it was.

    Memory does not grow with the number of windows. The unfinished scan lies in ``<out>.partial``; called again with
    the same arguments the work continues, after whatever interruption, and ends with the same bytes. Bytes are the
    same for the same manifest on the same machine; other hardware or thread counts may differ in the last bits.

    Parameters
    ----------
    model : torch.nn.Module or LoadedModel
        The model.
    source : Source
        The windows.
    out : path
        Folder to make. A shard makes ``<out>.shard-<i>-of-<n>``.
    target : int or str
        Index or name of the output, or ``"sum"``.
    rules, pruning
        As in `genoplrp.Explainer`.
    values : {"per_nucleotide", "full"}
        Keep relevance (N, L), which with the sequence gives back all of it for one-hot input, or (N, 4, L).
    hypothetical : bool
        Keep relevance per unit of input for all four bases, (N, 4, L), too.
    dtype : {"float32", "float16"}
        Precision on disk.
    batch_size : int, optional
        Windows explained at once; by default so many that a batch has about 131,072 bases. It is halved where memory
        runs out.
    shard : (int, int), optional
        (i, n), i from 1 to n: only every n-th block, for work on n machines; see `merge`.
    device : str, optional
        Where to compute; by default where the model is.
    inputs : dict, optional
        For the manifest: what the windows were made from (paths are not needed, checksums are).
    overwrite : bool
        Replace a store that exists.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Path
        The folder that was made.

    Raises
    ------
    OutputExistsError
        If the folder exists, or an unfinished scan with other settings is in the way.
    InputError
        If an argument makes no sense.
    NonFiniteError
        If the model returns NaN or infinity; the message names the windows.
    """
    loaded = model if isinstance(model, LoadedModel) else LoadedModel(model, "a module", fingerprint(model))
    wanted, name = output_target(target, loaded.tasks)
    manifest = _manifest(loaded, source, name, rules, pruning, batch_size, device)
    manifest |= {"values": values, "hypothetical": bool(hypothetical), "dtype": dtype, "inputs": inputs or {}}
    _check(manifest, source, shard)
    out = Path(out)
    if shard is not None:
        manifest["shard"] = list(shard)
        out = shard_path(out, *shard)
    if _already_there(out, manifest, overwrite):
        return out
    folder = out.with_name(out.name + ".partial")
    _check_partial(folder, manifest)
    explainer = Explainer(
        loaded.model,
        rules,
        pruning,
        batch_size=manifest["batch_size"],
        device=device,
        diagnostics=False,
        keep_multiplier=hypothetical,
    )
    with _disk_errors(folder):
        writer = ScanWriter(folder, manifest, source.table, source.dropped)
        _fill(writer, explainer, source, wanted, manifest, progress)
        if overwrite and out.exists():
            _remove_store(out)
        writer.finish(out)
    return out


def shard_path(out: Path, i: int, n: int) -> Path:
    """Folder of shard i of n."""
    return out.with_name(f"{out.name}.shard-{i:04d}-of-{n:04d}")


class Sequences:
    """Sequences without coordinates as a source; each is a chromosome of its own.

    Parameters
    ----------
    codes : array, (N, L), uint8
        Base numbers.
    names : list of str, optional
        One a sequence.
    """

    def __init__(self, codes: UInt8[np.ndarray, "n length"], names: list[str] | None = None) -> None:
        self._codes = np.asarray(codes, dtype=np.uint8)
        n, self.length = self._codes.shape
        names = [f"seq{i}" for i in range(n)] if names is None else list(names)
        self.notes: list[str] = []
        self.table = pd.DataFrame(
            {"chrom": names, "start": 0, "end": self.length, "name": names, "score": 0.0, "strand": "+"}
        ).assign(region=range(n))
        self.dropped = pd.DataFrame(columns=["region", "chrom", "start", "end", "name", "reason"])
        self.chrom_sizes = dict.fromkeys(names, self.length)

    def codes(self, start: int, stop: int) -> UInt8[np.ndarray, "n length"]:
        """Base numbers of the sequences start to stop."""
        return self._codes[start:stop]


def _fill(
    writer: ScanWriter,
    explainer: Explainer,
    source: Source,
    target: int | Callable[[Any], torch.Tensor],
    manifest: dict[str, Any],
    progress: bool,
) -> None:
    from tqdm import tqdm

    n, rows, batch = manifest["windows"], manifest["rows_per_block"], manifest["batch_size"]
    i, shards = manifest.get("shard") or (1, 1)
    mine = [block for block in range(-(-n // rows)) if block % shards == i - 1]
    done = writer.done()
    sizes = {block: min(rows, n - block * rows) for block in mine}
    finished = sum(size for block, size in sizes.items() if block in done)
    with tqdm(
        total=sum(sizes.values()), initial=finished, desc="explain", unit="window", disable=not progress
    ) as bar:
        for block in mine:
            if block in done:
                continue
            parts: list[dict[str, np.ndarray]] = []
            for start in range(block * rows, block * rows + sizes[block], batch):
                stop = min(start + batch, block * rows + sizes[block])
                parts.append(_explain(explainer, source, target, start, stop, manifest))
                bar.update(stop - start)
            writer.write(block, {key: np.concatenate([part[key] for part in parts]) for key in parts[0]})


def _explain(
    explainer: Explainer,
    source: Source,
    target: int | Callable[[Any], torch.Tensor],
    start: int,
    stop: int,
    manifest: dict[str, Any],
) -> dict[str, np.ndarray]:
    codes = source.codes(start, stop)
    try:
        e = explainer(torch.from_numpy(codes_to_one_hot(codes)), target)
    except NonFiniteError as error:
        rows = source.table.iloc[start:stop]
        raise NonFiniteError(
            f"windows {start} to {stop - 1} ({rows['name'].iloc[0]} ... {rows['name'].iloc[-1]}): {error}. What was "
            "explained before them is kept: mend the model or leave these windows out"
        ) from error
    relevance = e.relevance if manifest["values"] == "full" else e.per_nucleotide
    arrays = {"sequence": codes, "relevance": relevance, "prediction": e.prediction}
    if manifest["hypothetical"]:
        if e.multiplier is None:
            raise InputError(
                f"the rules {manifest['rules']!r} have no multiplier at the input: hypothetical scores cannot be kept"
            )
        arrays["hypothetical"] = e.multiplier
    kinds = {"sequence": "uint8", "prediction": "float32"}
    return {
        key: _as(np.asarray(value), np.dtype(kinds.get(key, manifest["dtype"])), key)
        for key, value in arrays.items()
    }


def _as(values: np.ndarray, dtype: np.dtype[Any], name: str) -> np.ndarray:
    if dtype == np.float16 and np.abs(values).max(initial=0) > 65504:
        raise InputError(
            f"{name} of {np.abs(values).max():g} does not fit into float16 (largest 65504): keep float32"
        )
    return values.astype(dtype)


def _manifest(
    loaded: LoadedModel,
    source: Source,
    target: str,
    rules: Any,
    pruning: Pruning | None,
    batch_size: int | None,
    device: str | None,
) -> dict[str, Any]:
    from genoplrp.pipeline.explain import describe

    batch = automatic_batch(source.length) if batch_size is None else batch_size
    table = source.table
    digest = hashlib.sha256(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes()).hexdigest()
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "versions": {
            "genoplrp": genoplrp.__version__,
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "zarr": str(zarr_module().__version__),
        },
        "model": {"source": loaded.source, "fingerprint": loaded.fingerprint},
        "target": target,
        "method": describe(rules, pruning),
        "rules": rules if isinstance(rules, str) else repr(rules),
        "pruning": None if pruning is None else {key: repr(value) for key, value in vars(pruning).items()},
        "length": int(source.length),
        "windows": len(table),
        "regions_checksum": digest,
        "batch_size": int(batch),
        "rows_per_block": int(batch) * max(1, ROWS_A_BLOCK // max(1, int(batch))),
        "device": device or "as the model",
        "chrom_sizes": {str(key): int(value) for key, value in source.chrom_sizes.items()},
        "notes": list(source.notes),
    }


def automatic_batch(length: int) -> int:
    """Batch size for windows of this length: the power of two nearest below 131,072 bases, 1 to 1,024."""
    return int(min(1024, max(1, 1 << ((BASES_A_BATCH // max(1, length)) or 1).bit_length() - 1)))


def _check(manifest: dict[str, Any], source: Source, shard: tuple[int, int] | None) -> None:
    if manifest["values"] not in VALUES:
        raise InputError(f"values={manifest['values']!r}: choose one of {', '.join(VALUES)}")
    if manifest["dtype"] not in ("float32", "float16"):
        raise InputError(f"dtype={manifest['dtype']!r}: choose float32 or float16")
    if manifest["batch_size"] < 1:
        raise InputError(f"batch_size={manifest['batch_size']}: must be at least 1")
    if len(source.table) == 0:
        raise InputError("there are no windows to explain")
    if shard is not None and not 1 <= shard[0] <= shard[1]:
        raise InputError(f"shard {shard[0]}/{shard[1]}: give i/n with 1 <= i <= n")


def _already_there(out: Path, manifest: dict[str, Any], overwrite: bool) -> bool:
    """Whether a scan that was killed in its very last step only needs its journal removed."""
    if not out.exists():
        if not out.absolute().parent.is_dir():
            raise InputError(f"the folder {out.parent} does not exist; create it first")
        return False
    if (out / JOURNAL).is_file() and (out / MANIFEST).is_file() and read_manifest(out) == manifest:
        (out / JOURNAL).unlink()
        return True
    if overwrite and (out / MANIFEST).is_file():
        read_manifest(out)
        return False
    raise OutputExistsError(
        f"{out} exists already; nothing was written. Choose another name, or pass --force"
    )


def _check_partial(folder: Path, manifest: dict[str, Any]) -> None:
    if not folder.exists():
        return
    if not (folder / MANIFEST).is_file():  # killed before the first block: nothing to lose
        strange = sorted({path.name for path in folder.iterdir()} - _BEGUN)
        if strange:
            raise OutputExistsError(f"{folder} is in the way and holds {', '.join(strange[:3])}: move it")
        _remove_store(folder)
        return
    found = read_manifest(folder)
    differs = sorted(key for key in found.keys() | manifest.keys() if found.get(key) != manifest.get(key))
    if differs:
        raise OutputExistsError(
            f"{folder} holds an interrupted scan with another {', '.join(differs)}; run with the same settings to go "
            "on where it was, or remove it"
        )


def _remove_store(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder)


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise GenoplrpError(
            f"the disk is full ({os.strerror(error.errno)}) while writing {folder}; nothing that was finished is lost: "
            "make room and run the same command again"
        ) from error
