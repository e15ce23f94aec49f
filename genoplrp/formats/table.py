"""Tables on disk: a data frame as CSV, written completely or not at all."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from genoplrp import partial
from genoplrp.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


def write_csv(table: pd.DataFrame, path: str | Path, *, overwrite: bool = False) -> Path:
    r"""Write a table as CSV under a temporary name first, then rename it.

    Parameters
    ----------
    table : pandas.DataFrame
        What to write; the index is left out unless it has a name.
    path : str or Path
        Where to write; the folder must exist.
    overwrite : bool
        Replace a file that exists.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    OutputExistsError
        If `path` exists and `overwrite` is False.
    InputError
        If the folder does not exist.

    Examples
    --------
    >>> import pandas as pd, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_csv(pd.DataFrame({"rma": [0.5]}), folder / "scores.csv").read_text()
    'rma\n0.5\n'
    """
    path = Path(path)
    if path.exists() and (path.is_dir() or not overwrite):
        raise partial.exists_already(path, overwrite=False)
    if not path.parent.is_dir():
        raise InputError(f"the folder {path.parent} does not exist; create it first")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        part = Path(folder) / "part"
        table.to_csv(part, index=table.index.name is not None)
        part.replace(path)
    return path
