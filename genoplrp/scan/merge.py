"""Putting the shards of a scan together: the result has the same bytes as a scan in one piece; nothing is explained."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genoplrp.errors import InputError, OutputExistsError
from genoplrp.scan.store import JOURNAL, MANIFEST, manifest_text, read_manifest


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
        raise InputError("no shards were named")
    common = _common_manifest(paths)
    out = Path(out)
    if out.exists() and not (overwrite and (out / MANIFEST).is_file()):
        raise OutputExistsError(
            f"{out} exists already; nothing was written. Choose another name, or pass --force"
        )
    folder = out.with_name(out.name + ".merging")
    if folder.exists():
        shutil.rmtree(folder)  # an interrupted merge: its shards are all still there
    try:
        for path in paths:
            shutil.copytree(path, folder, dirs_exist_ok=True)
        (folder / MANIFEST).write_text(manifest_text(common), encoding="utf-8")
        if out.exists():
            shutil.rmtree(out)
        folder.rename(out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return out


def _common_manifest(paths: list[Path]) -> dict[str, Any]:
    seen: dict[int, Path] = {}
    first: dict[str, Any] = {}
    n = 0
    for path in paths:
        manifest = read_manifest(path)
        shard = manifest.pop("shard", None)
        if shard is None:
            raise InputError(f"{path} is a whole store, not a shard: there is nothing to merge")
        if (path / JOURNAL).exists():
            raise InputError(f"{path} is not finished: run its command again to go on where it was")
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
    return first
