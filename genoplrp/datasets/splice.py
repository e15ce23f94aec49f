"""Primate splice junctions as a data set with the tasks donor and acceptor; nothing is trained or planted here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Final

import numpy as np

from genoplrp.errors import InputError
from genoplrp.sequence import read_fasta

if TYPE_CHECKING:
    from genoplrp.synthetic import Dataset


_TASK_OF_CLASS: Final = {"EI": "donor", "IE": "acceptor", "N": None}


def load_splice_junctions(
    path: str | os.PathLike[str] | None = None,
    *,
    split: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Dataset:
    """Load 3,190 primate sequences of 60 bp: donor junctions, acceptor junctions, neither.

    The junction lies before position 30 (0-based). A donor's intron begins there, nearly always with GT
    (positions 30 and 31); an acceptor's intron ends there, nearly always with AG (positions 28 and 29). About
    180 sequences stand more than once, some under two classes: the split is drawn over distinct sequences.

    Parameters
    ----------
    path : path, optional
        FASTA file with headers ``>id class`` (EI, IE or N); by default the one inside the package.
    split : mapping of part to fraction, optional
        ``{"train": .7, "valid": .1, "test": .2}`` by default, of the distinct sequences.
    seed : int, default 0
        Seed of the split.

    Returns
    -------
    Dataset
        Tasks ``donor`` and ``acceptor``; a sequence that is neither has the label 0 in both. No instances.

    Raises
    ------
    InputError
        If the file is not such a FASTA file, or the fractions do not sum to 1.

    References
    ----------
    Noordewier, Towell, Shavlik, *Training Knowledge-Based Neural Networks to Recognize Genes in DNA
    Sequences*, NeurIPS 3, 1991. UCI Machine Learning Repository, CC BY 4.0.

    Examples
    --------
    >>> data = load_splice_junctions()
    >>> len(data), data.length, data.tasks
    (3190, 60, ['donor', 'acceptor'])
    """
    from genoplrp.synthetic import Dataset

    if path is None:
        with as_file(files("genoplrp.datasets") / "splice_junctions.fa.gz") as packaged:
            records = read_fasta(packaged)
    else:
        records = read_fasta(path)
    unknown = [(name, kind) for name, kind in zip(*records[:2], strict=True) if kind not in _TASK_OF_CLASS]
    if unknown:
        name, kind = unknown[0]
        raise InputError(
            f"{path}: record {name!r} has the class {kind!r}; expected headers '>id class' with EI, IE or N."
        )
    tasks = ["donor", "acceptor"]
    labels = np.array([[_TASK_OF_CLASS[kind] == task for task in tasks] for kind in records.descriptions])
    return Dataset.from_sequences(
        records.sequences,
        labels,
        tasks,
        split or {"train": 0.7, "valid": 0.1, "test": 0.2},
        records.names,
        seed=seed,
    )
