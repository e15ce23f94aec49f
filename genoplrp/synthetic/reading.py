"""The tables of a data set's folder, read and checked: what does not fit is named; files and checksums are not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from genoplrp.errors import InputError
from genoplrp.synthetic.checks import check_kinds, check_labels
from genoplrp.synthetic.sources import SOURCE_COLUMNS
from genoplrp.synthetic.splits import check_split
from genoplrp.synthetic.tables import BED_COLUMNS, CLEAN

if TYPE_CHECKING:
    import pandas as pd

    from genoplrp.synthetic.dataset import Kind


def read_labels(path: Path, names: list[str], tasks: list[str], kinds: list[Kind]) -> pd.DataFrame:
    """Read ``labels.tsv``.

    Parameters
    ----------
    path : path
        The file.
    names : list of str
        The sequences, in the order of the FASTA file.
    tasks, kinds : list of str
        The tasks, and what their labels are.

    Returns
    -------
    pandas.DataFrame
        One row per sequence.

    Raises
    ------
    InputError
        If it is not a table, names other sequences, lacks a task, or holds what is no part, label or number.
    """
    table = _read_table(path, dtype={"name": str, "split": str, "class": str})
    missing = [name for name in ("name", "split", "class", *tasks) if name not in table]
    if missing:
        raise InputError(f"{path} has no column {missing[0]!r}; generate the data set again.")
    if table["name"].tolist() != names:
        raise InputError(f"{path} does not name the sequences of the FASTA file in the same order.")
    try:
        check_split(table["split"].to_numpy(dtype=str), len(names))
        labels = check_labels(table[tasks].to_numpy(), len(names), missing=True)
        # The label of a profile is its sum, a count.
        summed: list[Kind] = ["count" if kind == "profile" else kind for kind in kinds]
        check_kinds(summed, labels, tasks)
        clean_labels(table, tasks)
    except (InputError, ValueError) as error:
        raise InputError(f"{path}: {error}") from error
    return table


def clean_labels(table: pd.DataFrame, tasks: list[str]) -> Float[np.ndarray, "n tasks"] | None:
    """Labels before noise; a task without noise has no column of its own for them."""
    if not any(task + CLEAN in table for task in tasks):
        return None
    names = [task + CLEAN if task + CLEAN in table else task for task in tasks]
    return check_labels(table[names].to_numpy(), len(table))


def read_sources(path: Path, names: list[str], sequences: list[str]) -> pd.DataFrame | None:
    """Read ``sequences.tsv``; None where there is none.

    Raises
    ------
    InputError
        If it is not a table, names other sequences, or holds an interval that is not as long as its sequence.
    """
    if not path.exists():
        return None
    table = _read_table(path, dtype=str)
    if list(table) != ["name", *SOURCE_COLUMNS] or table["name"].tolist() != names:
        raise InputError(f"{path} does not name the sequences of the FASTA file in the same order.")
    try:
        places = table[["start", "end"]].astype(np.int64)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{path} holds a start or end that is not a whole number ({error}).") from error
    if (places["end"] - places["start"]).tolist() != [len(sequence) for sequence in sequences]:
        raise InputError(f"{path} holds an interval that is not as long as its sequence.")
    return table[list(SOURCE_COLUMNS)].assign(start=places["start"], end=places["end"])


def read_instances(path: Path, names: list[str], sequences: list[str]) -> pd.DataFrame:
    """Read ``instances.bed``.

    Raises
    ------
    InputError
        If it is not a table, or an instance lies outside its sequence or in an unknown one.
    """
    import pandas as pd

    kinds: dict[str, Any] = dict.fromkeys(("name", "strand", "role", "site", "tasks"), "category")
    table = _read_table(
        path,
        skiprows=1,
        names=list(BED_COLUMNS),
        index_col=False,
        dtype={"chrom": str, "start": np.int64, "end": np.int64, "score": np.float32, **kinds},
        na_values={"score": ["nan"]},
    )
    index = pd.Series(np.arange(len(names)), index=names).reindex(table["chrom"])
    if index.isna().any():
        raise InputError(
            f"{path} names the sequence {table['chrom'][int(index.isna().argmax())]!r}, which is not in the FASTA file."
        )
    table = table.rename(columns={"name": "motif"}).assign(chrom=index.to_numpy(dtype=np.int64))
    table = table.rename(columns={"chrom": "sequence"})
    for name in ("site", "tasks"):
        empty = [label for label in table[name].cat.categories if label in (".", "")]
        if len(empty) > 1:
            raise InputError(f"{path} holds empty fields in its column {name!r}; a dot stands for none.")
        table[name] = table[name].cat.rename_categories(lambda label: "" if label == "." else label)
    strange = set(table["strand"].cat.categories) - {"+", "-"}
    if strange:
        raise InputError(f"{path} holds the strand {min(strange)!r}; expected + or -.")
    lengths = np.fromiter(map(len, sequences), dtype=np.int64)
    start, end = table["start"].to_numpy(), table["end"].to_numpy()
    wrong = (start < 0) | (start >= end) | (end > lengths[table["sequence"]])
    if wrong.any():
        first = int(wrong.argmax())
        raise InputError(
            f"{path} holds an instance that is empty or lies outside its sequence, first in row {first + 1}: "
            f"{start[first]} to {end[first]} of {names[int(table['sequence'].iloc[first])]!r}."
        )
    return table[["sequence", "start", "end", "motif", "strand", "role", "score", "site", "tasks"]]


def _read_table(path: Path, **options: Any) -> pd.DataFrame:
    """Read a tab-separated file; whatever pandas has against it becomes one message."""
    import pandas as pd

    try:
        with path.open(encoding="utf-8", newline="") as handle:
            table: pd.DataFrame = pd.read_csv(handle, sep="\t", keep_default_na=False, **options)
    except (ValueError, OverflowError, OSError) as error:  # of pandas, too: ParserError, EmptyDataError
        said = " ".join(str(error).split())
        raise InputError(f"{path} is damaged ({said}); generate the data set again.") from error
    return table
