"""Output under a temporary name beside its own until it is complete; what killed processes left is taken away."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from genoplrp.errors import InputError, OutputExistsError

_PARTIAL, _OLD = "partial", "old"
#: Of another machine's processes only the age of what they left can be seen.
_ABANDONED_AFTER = 24 * 3600.0
_STARTED = time.time()
_HOST = f"{zlib.crc32(socket.gethostname().encode()):08x}"


def exists_already(path: Path, *, overwrite: bool) -> OutputExistsError:
    """Return the error for a file or folder that exists and is not to be, or must not be, replaced.

    Examples
    --------
    >>> print(exists_already(Path("notes"), overwrite=True))
    notes exists already: it was not made by this command; nothing was written
    """
    why = (
        "it was not made by this command"
        if overwrite
        else "choose another name or pass --force (overwrite=True)"
    )
    return OutputExistsError(f"{path} exists already: {why}; nothing was written")


def check_file(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that exists and is not to be replaced, or whose folder does not exist.

    Parameters
    ----------
    path : Path
        The file to make.
    overwrite : bool
        Whether a file that exists is to be replaced.

    Raises
    ------
    OutputExistsError
        If the file exists and `overwrite` is False, or `path` is a folder.
    InputError
        If its folder does not exist.
    """
    if path.is_dir():
        raise OutputExistsError(f"{path} is a folder; name a file in it")
    if path.exists() and not overwrite:
        raise exists_already(path, overwrite=False)
    if not path.parent.is_dir():
        raise InputError(f"the folder {path.parent} does not exist; create it first")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a temporary path to write a file to, which takes the place of ``path`` when the block ends well.

    Parameters
    ----------
    path : Path
        The file to make or replace; its folder must exist.

    Yields
    ------
    Path
        Where to write, with the same name in a folder of its own, so that the suffix says what it is.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with new_file(path) as partial:
    ...     _ = partial.write_text("done")
    >>> [file.name for file in path.parent.iterdir()]
    ['a.txt']
    """
    clear_abandoned(path)
    folder = _beside(path, _PARTIAL)
    folder.mkdir()
    try:
        yield folder / path.name
        (folder / path.name).replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder to fill, which takes the place of ``path`` when the block ends well.

    A folder that stands at ``path`` is moved aside for the moment of the change: killed in that moment, it comes back
    with the next :func:`clear_abandoned`.

    Parameters
    ----------
    path : Path
        The folder to make or replace.

    Yields
    ------
    Path
        Where to write.
    """
    clear_abandoned(path)
    partial, old = _beside(path, _PARTIAL), _beside(path, _OLD)
    partial.mkdir()
    try:
        yield partial
        if path.exists():
            path.rename(old)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if old.exists() and not path.exists():  # interrupted between the two renames
            old.rename(path)
        shutil.rmtree(old, ignore_errors=True)


def clear_abandoned(path: Path) -> None:
    """Take away what killed processes left beside ``path``; what one of them had moved aside is put back.

    A process on this machine is dead when its number is free; what comes from another machine is abandoned when it has
    not been touched for a day. What cannot be removed stays, without a word.

    Parameters
    ----------
    path : Path
        The output that the temporary names belong to.
    """
    pattern = re.compile(
        rf"\.{re.escape(path.name)}\.(?:([0-9a-f]{{8}})-)?(\d+)(?:-[0-9a-f]+)?\.({_PARTIAL}|{_OLD})"
    )
    with suppress(OSError):
        for left in path.absolute().parent.iterdir():
            match = pattern.fullmatch(left.name)
            if match is None or not _is_abandoned(left, match[1] or _HOST, int(match[2])):
                continue
            if match[3] == _OLD and not path.exists():
                left.rename(path)
            elif left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f".{path.name}.{_HOST}-{os.getpid()}-{secrets.token_hex(3)}.{ending}")


def _is_abandoned(left: Path, host: str, process: int) -> bool:
    touched = left.stat().st_mtime
    if time.time() - touched > _ABANDONED_AFTER:
        return True
    if host != _HOST:
        return False
    if process == os.getpid():  # the number of a dead process can come again, in a container above all
        return touched < _STARTED
    return not _is_alive(process)


def _is_alive(process: int) -> bool:
    if os.name == "nt":  # there, asking by a signal would stop it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
