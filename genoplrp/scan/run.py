"""Explaining many windows into a store: streaming, resumable, in shards.

Not here: where windows come from (`sources`), and what may be in a store's way (`places`).
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
import torch

from genoplrp.errors import InputError, check_choice
from genoplrp.relevance import Explainer, Pruning, Rules
from genoplrp.relevance.inputs import automatic_batch
from genoplrp.relevance.naming import CONSENSUS_RULES, describe
from genoplrp.relevance.targets import output_target
from genoplrp.scan.blocks import Task, explained_units
from genoplrp.scan.cluster import Block, explain_on_ray
from genoplrp.scan.devices import Usage, explain_here
from genoplrp.scan.models import LoadedModel, fingerprint
from genoplrp.scan.places import (
    already_there,
    check_partial,
    check_place,
    disk_errors,
    shard_path,
)
from genoplrp.scan.sources import Source
from genoplrp.scan.store import (
    FORMAT,
    FORMAT_VERSION,
    VALUES,
    ScanWriter,
    Values,
    blocks_of,
    zarr_module,
)
from genoplrp.version import __version__

ROWS_A_BLOCK = 1024
ASKED = 32
"""Windows on which a model is asked what a consensus may do to them."""
EngineName = Literal["local", "ray"]
ENGINES = get_args(EngineName)
Precision = Literal["float32", "float16"]


class Engine(NamedTuple):
    """How blocks are computed; nothing that a result depends on."""

    name: str
    workers: int | None
    address: str | None
    progress: bool


def scan(
    model: torch.nn.Module | LoadedModel,
    source: Source,
    out: str | Path,
    *,
    target: int | str = 0,
    rules: Rules | None = None,
    pruning: Pruning | None = None,
    consensus: bool = False,
    max_shift: int = 3,
    both_strands: bool = True,
    values: Values = "per_nucleotide",
    hypothetical: bool = False,
    dtype: Precision = "float32",
    batch_size: int | None = None,
    shard: tuple[int, int] | None = None,
    device: str | None = None,
    devices: Sequence[str] | None = None,
    inputs: Mapping[str, object] | None = None,
    engine: EngineName = "local",
    workers: int | None = None,
    address: str | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Path:
    """Explain all windows of a source and write a store; an interrupted scan continues.

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
        As in `genoplrp.Explainer`; ``rules=None`` for ``"gamma"``, or a consensus's own.
    consensus : bool
        Explain by `genoplrp.consensus`. The model is asked once, on windows spread over all, what may be moved and
        which map describes it; the manifest says the answer, all windows are explained alike.
    max_shift, both_strands
        The most that a consensus tries, see there.
    values : {"per_nucleotide", "full"}
        Keep relevance (N, L), which with the sequence gives back all of it for one-hot input, or (N, 4, L).
    hypothetical : bool
        Keep relevance per unit of input for all four bases, (N, 4, L), too.
    dtype : {"float32", "float16"}
        Precision on disk.
    batch_size : int, optional
        Windows explained at once; by default as many as make about 131,072 bases. It is halved until it fits
        where memory runs out, once for the whole scan; the manifest keeps the size asked for. Values stay the same up
        to the last bits, which may differ where a machine's kernels depend on the size.
    shard : (int, int), optional
        (i, n), i from 1 to n: only every n-th block, for work on n machines; see `merge`.
    device : str, optional
        Where to compute; by default where the model is.
    devices : sequence of str, optional
        Instead: several devices of this machine, e.g. ``["cuda:0", "cuda:1"]``, that share the blocks.
    inputs : dict, optional
        For the manifest: what the windows were made from (paths are not needed, checksums are).
    engine : {"local", "ray"}
        In this process, or on a Ray cluster: the same store, the same bytes (for the same number of threads).
    workers, address
        Of the Ray engine, see `genoplrp.scan.cluster.explain_on_ray`.
    overwrite : bool
        Replace a store that exists, and an unfinished scan with other settings.
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
    wanted, name = output_target(target, loaded.tasks, loaded.outputs)
    manifest = _manifest(
        loaded,
        source,
        name,
        rules or (CONSENSUS_RULES if consensus else "gamma"),
        pruning,
        batch_size,
        _kind(device, devices),
    )
    if consensus:
        manifest["method"] = f"consensus, {manifest['method']}"
    manifest |= {
        "values": values,
        "hypothetical": bool(hypothetical),
        "dtype": dtype,
        "inputs": dict(inputs or {}),
    }
    _check(manifest, source, shard)
    _check_engine(engine, workers, address)
    places = _places(device, devices, engine)
    out = Path(out)
    if shard is not None:
        manifest["shard"] = list(shard)
        out = shard_path(out, *shard)
    check_place(out, overwrite)
    folder = out.with_name(out.name + ".partial")
    task = Task(
        loaded.model,
        wanted,
        rules,
        pruning,
        batch_size=manifest["batch_size"],
        device=places[0],
        values=values,
        hypothetical=bool(hypothetical),
        dtype=dtype,
    )
    # What cannot be explained is refused before anything is written; a cluster's devices need not be here.
    explainer = (replace(task, device="cpu") if engine == "ray" else task).explainer()
    if consensus:
        tried = {"max_shift": max_shift, "both_strands": both_strands}
        manifest["consensus"] = _form(source, replace(task, consensus=tried), explainer)
        task = replace(task, consensus=manifest["consensus"] | {"ask": False})
    units, returned = explained_units(task, explainer, source.codes(0, 2), source.table["name"].tolist()[:2])
    manifest |= {"units": units, "returned": returned}
    task = replace(task, units=units)
    explainers = [explainer, *(replace(task, device=place).explainer() for place in places[1:])]
    if already_there(out, manifest, overwrite):
        return out
    check_partial(folder, manifest, overwrite)
    with disk_errors(folder):
        writer = ScanWriter(folder, manifest, source.table, source.dropped)
        try:
            _fill(writer, task, explainers, source, manifest, Engine(engine, workers, address, progress))
        except BaseException:
            if not writer.done():  # nothing that could be gone on with
                shutil.rmtree(folder)
            raise
        if overwrite and out.exists():
            shutil.rmtree(out)
        writer.finish(out)
    return out


def _form(source: Source, task: Task, explainer: Explainer) -> dict[str, Any]:
    """Ask the model, on windows spread over all, which form of a consensus describes it; as JSON has it."""
    n = len(source.table)
    rows = np.unique(np.linspace(0, n - 1, min(n, ASKED)).round().astype(int))
    codes = np.concatenate([source.codes(i, i + 1) for i in rows.tolist()])
    form = task.explain(explainer, codes).settings["form"]
    return {**form, "mechanisms": list(form["mechanisms"])}


def _fill(
    writer: ScanWriter,
    task: Task,
    explainers: Sequence[Explainer],
    source: Source,
    manifest: dict[str, Any],
    engine: Engine,
) -> None:
    from tqdm import tqdm

    n, rows = manifest["windows"], manifest["rows_per_block"]
    mine = blocks_of(manifest)
    done = writer.done()
    sizes = {block: min(rows, n - block * rows) for block in mine}
    todo = [block for block in mine if block not in done]

    def read(number: int) -> Block:
        first = number * rows
        stop = first + sizes[number]
        names = source.table["name"].iloc[first:stop].tolist()
        return Block(number, source.codes(first, stop), first, names)

    finished = sum(size for block, size in sizes.items() if block in done)
    with tqdm(
        total=sum(sizes.values()),
        initial=finished,
        desc="explain",
        unit="window",
        disable=not engine.progress,
    ) as bar:
        if engine.name == "ray":
            results = explain_on_ray(task, todo, read, workers=engine.workers, address=engine.address)
            # Closed even where writing fails: its workers would live on.
            with contextlib.closing(results):  # type: ignore[type-var]
                for number, arrays in results:
                    writer.write(number, arrays)
                    bar.update(sizes[number])
            return
        usage = Usage(len(explainers))
        with contextlib.closing(explain_here(task, explainers, todo, read, bar.update, usage)) as results:  # type: ignore[type-var]
            for number, arrays in results:
                writer.write(number, arrays)
                bar.set_postfix_str(f"computing {usage.share:.0%} of the time")


def _manifest(
    loaded: LoadedModel,
    source: Source,
    target: str,
    rules: Rules,
    pruning: Pruning | None,
    batch_size: int | None,
    device: str | None,
) -> dict[str, Any]:
    batch = automatic_batch(source.length) if batch_size is None else batch_size
    table = source.table
    digest = hashlib.sha256(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes()).hexdigest()
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "versions": {
            "genoplrp": __version__,
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


def _check(manifest: dict[str, Any], source: Source, shard: tuple[int, int] | None) -> None:
    check_choice("values", manifest["values"], VALUES)
    check_choice("dtype", manifest["dtype"], ("float32", "float16"))
    if manifest["batch_size"] < 1:
        raise InputError(f"batch_size={manifest['batch_size']}: must be at least 1")
    if len(source.table) == 0:
        raise InputError("there are no windows to explain")
    if shard is not None and not 1 <= shard[0] <= shard[1]:
        raise InputError(f"shard {shard[0]}/{shard[1]}: give i/n with 1 <= i <= n")


def _check_engine(engine: str, workers: int | None, address: str | None) -> None:
    check_choice("engine", engine, ENGINES)
    if engine == "local" and not (workers is None and address is None):
        raise InputError("workers and address are for the Ray engine: choose it, or leave them out")


def _kind(device: str | None, devices: Sequence[str] | None) -> str | None:
    """Return the device for the manifest: of several of one kind, on which the bytes are the same, the kind."""
    return device if not devices else "+".join(sorted({name.split(":")[0] for name in devices}))


def _places(device: str | None, devices: Sequence[str] | None, engine: str) -> list[str | None]:
    if devices is None:
        return [device]
    if device is not None or engine != "local" or not devices:
        raise InputError(
            "devices share the blocks of one machine: leave out the single device and the Ray engine, and name one at "
            "least"
        )
    for name in devices:
        try:
            wanted = torch.device(name)
        except RuntimeError:
            raise InputError(f"PyTorch knows no device {name!r}; name cpu, cuda:0, ...") from None
        there = torch.cuda.device_count()
        if wanted.type == "cuda" and (wanted.index or 0) >= there:
            raise InputError(f"device {name}: this machine has {there or 'no'} CUDA devices for PyTorch")
    return list(devices)
