"""Putting the shards of a scan together: the result has the same bytes as a scan in one piece; nothing is explained."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from genoplrp import partial
from genoplrp.errors import InputError
from genoplrp.scan.store import JOURNAL, MANIFEST, REGIONS, blocks_of, manifest_text, read_manifest


def merge(shards: Sequence[str | Path], out: str | Path, *, overwrite: bool = False) -> Path:
    """Put the shards of one scan together.

    Parameters
    ----------
    shards : sequence of path
        The folders that ``scan(..., shard=(i, n))`` made, all n, in any order. They are left as they are.
    out : path
        Folder to make.
    overwrite : bool
        Replace a store that exists.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    InputError
        If a shard is missing, unfinished, there twice, or of another scan.
    OutputExistsError
        If the folder exists.
    """
    paths = [Path(shard) for shard in shards]
    if not paths:
        raise InputError("no shards were named: give the folder of each")
    common, by_number = _common_manifest(paths)
    out = Path(out)
    if out.exists() and not (overwrite and (out / MANIFEST).is_file()):
        raise partial.exists_already(out, overwrite=overwrite)
    folder = out.with_name(out.name + ".merging")
    if folder.exists():
        shutil.rmtree(folder)  # an interrupted merge: its shards are all still there
    paths = [by_number[i] for i in sorted(by_number)]
    try:
        for path in tqdm(paths, desc="merge", unit="shard", disable=None if len(paths) > 9 else True):
            shutil.copytree(
                path,
                folder,
                dirs_exist_ok=True,
                ignore=shutil.ignore_patterns(REGIONS, MANIFEST),  # written below
                copy_function=_linked,
            )
        _interleave(paths, folder / REGIONS, common)
        (folder / MANIFEST).write_text(manifest_text(common), encoding="utf-8")
        if out.exists():
            shutil.rmtree(out)
        folder.rename(out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return out


def _linked(source: str, target: str) -> None:
    """Give a file that is the same in every shard, or in one shard only, a second name; copy it where that fails."""
    if Path(target).exists():
        return
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without links
        shutil.copy2(source, target)


def _interleave(shards: list[Path], out: Path, manifest: dict[str, Any]) -> None:
    """Write the table of all windows from those of the shards, block by block; few files are open at once."""
    tables, rows = [path / REGIONS for path in shards], manifest["rows_per_block"]
    heads = [_first_line(table) for table in tables]
    places = [len(head) for head in heads]
    with out.open("wb") as whole:
        whole.write(heads[0])
        for block in blocks_of(manifest):
            i = block % len(shards)
            with tables[i].open("rb") as part:
                part.seek(places[i])
                whole.writelines(islice(part, min(rows, manifest["windows"] - block * rows)))
                places[i] = part.tell()
    for table, place in zip(tables, places, strict=True):
        if place != table.stat().st_size:
            raise InputError(
                f"{table} does not hold the windows of this shard alone: explain the shard again with this version "
                "of genoplrp"
            )


def _first_line(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.readline()


def _common_manifest(paths: list[Path]) -> tuple[dict[str, Any], dict[int, Path]]:
    seen: dict[int, Path] = {}
    first: dict[str, Any] = {}
    n = 0
    for path in paths:
        manifest = read_manifest(path)
        shard = manifest.pop("shard", None)
        if shard is None:
            raise InputError(f"{path} is a whole store, not a shard: there is nothing to merge")
        if (path / JOURNAL).exists():
            raise InputError(f"{path} is not finished: run its command again to continue")
        i = int(shard[0])
        if not seen:
            first, n = manifest, int(shard[1])
        differs = sorted(key for key in first.keys() | manifest.keys() if first.get(key) != manifest.get(key))
        if differs or int(shard[1]) != n:
            what = ", ".join(differs) or "number of shards"
            raise InputError(f"{path} and {paths[0]} are of different scans: they differ in {what}")
        if i in seen:
            raise InputError(f"{path} and {seen[i]} are both shard {i} of {n}")
        seen[i] = path
    missing = [str(i) for i in range(1, n + 1) if i not in seen]
    if missing:
        raise InputError(
            f"of {n} shards, {', '.join(missing[:8])} {'is' if len(missing) == 1 else 'are'} missing"
        )
    return first, seen
