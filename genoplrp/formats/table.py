"""Tables on disk: a data frame as CSV, written completely or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genoplrp.formats.writing import written

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
    with written(path, overwrite=overwrite) as part:
        table.to_csv(part, index=table.index.name is not None, compression=None)
    return Path(path)
