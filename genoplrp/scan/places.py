"""Where a scan's store is made: what may lie there, what an interrupted scan left, and a disk that is full."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genoplrp import partial
from genoplrp.errors import GenoplrpError, InputError, OutputExistsError
from genoplrp.scan.store import DROPPED, JOURNAL, MANIFEST, REGIONS, read_manifest

# What lies in an unfinished scan before its manifest is written.
_ARRAYS = {"sequence", "relevance", "prediction", "output", "hypothetical"}

_ZARR_PART = re.compile(r"zarr\.[0-9a-f]{32}\.partial")  # what zarr's "zarr.json" is until it is whole
_BEGUN = {REGIONS, DROPPED, JOURNAL, "zarr.json", f"{MANIFEST}.partial", *_ARRAYS}


def shard_path(out: Path, i: int, n: int) -> Path:
    """Folder of shard i of n."""
    return out.with_name(f"{out.name}.shard-{i:04d}-of-{n:04d}")


def check_place(out: Path, overwrite: bool) -> None:
    """Refuse, before anything is computed, a place where no store can be made."""
    if not out.exists():
        if not out.absolute().parent.is_dir():
            raise InputError(f"the folder {out.parent} does not exist; create it first")
    elif not (out / MANIFEST).is_file():
        raise partial.exists_already(out, overwrite=overwrite)
    elif not (out / JOURNAL).is_file():
        read_manifest(out)
        if not overwrite:
            raise partial.exists_already(out, overwrite=overwrite)


def already_there(out: Path, manifest: dict[str, Any], overwrite: bool) -> bool:
    """Whether a scan that was killed in its very last step only needs its journal removed."""
    if not (out / JOURNAL).is_file():
        return False
    if read_manifest(out) == manifest:
        (out / JOURNAL).unlink()
        return True
    if overwrite:
        return False
    raise partial.exists_already(out, overwrite=overwrite)


def check_partial(folder: Path, manifest: dict[str, Any], overwrite: bool) -> None:
    """Make room for a scan, or leave what an interrupted one of the same settings finished."""
    if not folder.exists():
        return
    if not (folder / MANIFEST).is_file():  # killed before the first block: nothing to lose
        names = {path.name for path in folder.iterdir()} - _BEGUN
        strange = sorted(name for name in names if not _ZARR_PART.fullmatch(name))
        if strange:
            raise OutputExistsError(f"{folder} exists already and holds {', '.join(strange[:3])}: move it")
        shutil.rmtree(folder)
        return
    found = read_manifest(folder)
    differs = sorted(key for key in found.keys() | manifest.keys() if found.get(key) != manifest.get(key))
    if differs and overwrite:
        shutil.rmtree(folder)
    elif differs:
        raise OutputExistsError(
            f"{folder} holds an interrupted scan with another {', '.join(differs)}: run with the same settings to go "
            "on where it was, or pass --force (overwrite=True) to start over"
        )


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Say of a full disk that nothing finished is lost."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise GenoplrpError(
            f"the disk is full ({os.strerror(error.errno)}) while writing {folder}; nothing that was finished is lost: "
            "free some space and run the same command again"
        ) from error
