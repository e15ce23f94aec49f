"""Writing results under a temporary name first, so that a file is there completely or not at all; no formats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from genoplrp import partial
from genoplrp.errors import InputError


@contextmanager
def written(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary path to write to, and rename it to `path` when the block ends without an error.

    Parameters
    ----------
    path : str or Path
        The file to make; its folder must exist.
    overwrite : bool
        Replace a file that exists.

    Yields
    ------
    Path
        Where to write; it has the suffix of `path`.

    Raises
    ------
    OutputExistsError
        If `path` exists and `overwrite` is False, or is a folder.
    InputError
        If the folder does not exist.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with written(target) as part:
    ...     _ = part.write_text("done")
    >>> target.read_text()
    'done'
    """
    path = Path(path)
    partial.check_file(path, overwrite=overwrite)
    with partial.new_file(path) as part:
        yield part


@contextmanager
def written_folder(
    path: str | Path, *, overwrite: bool = False, holds: Sequence[str] = ("manifest.json",)
) -> Iterator[Path]:
    """Give a temporary folder to fill, and rename it to `path` when the block ends without an error.

    Parameters
    ----------
    path : str or Path
        The folder to make.
    overwrite : bool
        Replace a folder of the same kind; nothing else is ever replaced.
    holds : sequence of str
        The files by which a folder of that kind is known.

    Yields
    ------
    Path
        Where to write.

    Raises
    ------
    OutputExistsError
        If `path` exists and is not to be, or must not be, replaced.
    InputError
        If the folder above it does not exist.
    """
    path = Path(path)
    partial.clear_abandoned(path)
    ours = all((path / name).is_file() for name in holds)
    if path.exists() and not (overwrite and ours):
        raise partial.exists_already(path, overwrite=overwrite)
    if not path.parent.is_dir():
        raise InputError(f"the folder {path.parent} does not exist; create it first")
    with partial.new_folder(path) as folder:
        yield folder
