"""The folder of a data set as such: it appears when it is complete, and a manifest says whether it is whole."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genoplrp import partial
from genoplrp.errors import InputError, OutputExistsError
from genoplrp.version import __version__

FORMAT_VERSION = 1


def check_target(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Raise unless a data set may be written to ``path``: before the work, not after it.

    Raises
    ------
    OutputExistsError
        If the path exists and may not be replaced: only a folder that holds a data set, or nothing, ever is.
    InputError
        If the folder around it does not exist.
    """
    target = Path(path)
    partial.clear_abandoned(target)
    replaceable = target.is_dir() and ((target / "manifest.json").exists() or not any(target.iterdir()))
    if target.exists() and not (replaceable and (overwrite or not any(target.iterdir()))):
        way = "choose another name" if overwrite else "choose another name or pass --force (overwrite=True)"
        what = "and holds no data set" if overwrite else "already"
        raise OutputExistsError(f"{target} exists {what}; {way}.")
    if not target.absolute().parent.is_dir():
        raise InputError(f"The folder {target.absolute().parent} does not exist; make it first.")
    return target


@contextmanager
def new_folder(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Make a folder under a temporary name beside ``path`` and give it its name when the block ends well."""
    target = check_target(path, overwrite=overwrite)
    with partial.new_folder(target) as made:
        yield made


def write_manifest(folder: Path, tasks: list[str], kinds: list[Any], n: int) -> None:
    """Write ``manifest.json`` over the files of a finished folder."""
    entries = {
        file.name: {"bytes": file.stat().st_size, "sha256": _sha256(file)}
        for file in sorted(folder.iterdir())
    }
    manifest = {
        "format": FORMAT_VERSION,
        "genoplrp": __version__,
        "sequences": n,
        "tasks": tasks,
        "kinds": kinds,
        "files": entries,
    }
    (folder / "manifest.json").write_text(
        json.dumps(manifest, indent=2) + "\n", encoding="utf-8", newline="\n"
    )


def check_manifest(folder: Path) -> dict[str, Any]:
    """Read ``manifest.json`` and compare every file with it."""
    if not folder.exists():
        raise InputError(f"There is no folder {folder}; check the path.")
    if not (folder / "manifest.json").is_file():
        raise InputError(f"{folder} is not a data set of genoplrp: it has no manifest.json.")
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(
            f"{folder / 'manifest.json'} is damaged ({error}); generate the data set again."
        ) from error
    _check_entries(folder / "manifest.json", manifest)
    version, files = manifest["format"], manifest["files"]
    if version != FORMAT_VERSION:
        raise InputError(
            f"{folder} has the format {version}, this version of genoplrp reads {FORMAT_VERSION}: update."
        )
    for name, entry in files.items():
        file = folder / name
        if not file.is_file():
            raise InputError(f"{folder} is incomplete: {name} is missing; generate it again.")
        if file.stat().st_size != entry["bytes"] or _sha256(file) != entry["sha256"]:
            raise InputError(
                f"{file} was changed after it was written (its checksum differs from manifest.json); generate the data "
                "set again, or build one from your own files with Dataset.from_sequences."
            )
    return dict(manifest)


def _check_entries(path: Path, manifest: Any) -> None:
    """Raise InputError unless a manifest has all of its keys, each of its own kind."""
    wrong = next(_damages(manifest), None)
    if wrong is not None:
        raise InputError(f"{path} is damaged: {wrong[:200]}; generate the data set again.")


def _damages(manifest: Any) -> Iterator[str]:
    """Yield what is wrong with a manifest; what comes later takes what came before for right."""
    if not isinstance(manifest, dict):
        yield "it is not a table"
    for key, kind in (("format", int), ("tasks", list), ("kinds", list), ("files", dict)):
        if not isinstance(manifest.get(key), kind):
            yield f"its {key!r} is {manifest.get(key, 'missing')!r}"
    tasks, kinds, entries = manifest["tasks"], manifest["kinds"], manifest["files"].values()
    if not all(isinstance(one, dict) and {"bytes", "sha256"} <= one.keys() for one in entries):
        yield "a file has no size or no checksum"
    if not all(isinstance(name, str) for name in [*tasks, *kinds]) or len(set(tasks)) != len(tasks):
        yield "its tasks are no names, or repeat"
    if len(tasks) != len(kinds) or not tasks:
        yield f"it has {len(tasks)} tasks and {len(kinds)} kinds"


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
