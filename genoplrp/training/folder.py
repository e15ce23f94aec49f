"""Training from files to files: labelled FASTA in, a checkpoint folder out, taken up again after an interruption."""

from __future__ import annotations

import copy
import csv
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import numpy as np
import pandas as pd
from torch import nn

from genoplrp.errors import CheckpointError, InputError, OutputExistsError
from genoplrp.sequence import read_fasta
from genoplrp.training.checkpoint import check_place, load_model
from genoplrp.training.data import DataLike, TrainingData, read_training_data
from genoplrp.training.model import TrainedModel
from genoplrp.training.options import FolderOptions
from genoplrp.training.trainer import Architecture, train


def read_labelled_fasta(
    fasta: str | Path, labels: str | Path, *, tasks: Sequence[str] | None = None, seed: int = 0
) -> TrainingData:
    """Read a FASTA file and the table of its labels.

    Parameters
    ----------
    fasta
        Sequences of equal length (plain, gzip or bgzip).
    labels
        Table (tab- or comma-separated, with a header): a column ``name`` with the first words of the FASTA headers,
        optionally ``split`` (train, valid, test), and one column of numbers per task; an empty cell is a missing
        label. Rows may stand in any order; other columns that hold no numbers are left out.
    tasks
        Columns to learn; default: every column of numbers.
    seed
        Seed of the split, where the table has none; see :func:`read_training_data`.

    Returns
    -------
    TrainingData

    Raises
    ------
    InputError
        If names do not match, a column is missing, or a label is no number.

    Examples
    --------
    >>> from genoplrp.training import read_labelled_fasta
    >>> data = read_labelled_fasta("peaks.fa", "peaks.tsv")  # doctest: +SKIP
    """
    records = read_fasta(fasta)
    repeated = _first_repeated(records.names)
    if repeated is not None:
        raise InputError(f"{fasta} has the name {repeated!r} more than once; name each sequence differently.")
    table = _read_table(Path(labels))
    unknown = [name for name in records.names if name not in table.index]
    if unknown:
        raise InputError(
            f"{labels} has no row for {len(unknown)} of {len(records.names)} sequences of {fasta}, "
            f"first {unknown[0]!r}."
        )
    table = table.loc[records.names]
    chosen = list(tasks) if tasks is not None else _number_columns(table)
    missing = [task for task in chosen if task not in table.columns]
    if missing or not chosen:
        what = f"has no column {missing[0]!r}" if missing else "has no column of numbers to learn"
        raise InputError(f"{labels} {what}; its columns are {', '.join(map(str, table.columns))}.")
    y = table[chosen].apply(pd.to_numeric, errors="coerce")
    bad = y.isna() & table[chosen].notna()
    if bad.to_numpy().any():
        row, column = np.argwhere(bad.to_numpy())[0]
        raise InputError(
            f"{labels}: {table[chosen].iloc[row, column]!r} ({table.index[row]}, {chosen[column]}) is no number."
        )
    split = table["split"].to_numpy(dtype=str) if "split" in table else None
    return read_training_data(
        (records.sequences, y.to_numpy(np.float32)), tasks=chosen, split=split, seed=seed
    )


def train_to_folder(
    data: DataLike,
    out: str | Path,
    architecture: Architecture = "koo",
    seed: int = 0,
    *,
    resume: bool = False,
    overwrite: bool = False,
    **options: Unpack[FolderOptions],
) -> TrainedModel:
    """Train and save; an interrupted training can be taken up again.

    Parameters
    ----------
    data, architecture, seed, options
        As for :func:`genoplrp.train`.
    out
        Checkpoint folder to make. While training, its state is kept beside it (:func:`state_path`).
    resume
        Take up the interrupted training; a finished one is loaded and not repeated, if it is the one asked for.
    overwrite
        Replace the checkpoint that is there, and start an interrupted training anew.

    Returns
    -------
    TrainedModel

    Raises
    ------
    OutputExistsError
        If there is a checkpoint or an interrupted training, and neither ``resume`` nor ``overwrite``.
    CheckpointError
        If what is to be resumed is another training: other data, architecture, seed or settings.
    """
    out, state = Path(out), state_path(out)
    if resume and (out / "model.json").is_file() and not state.exists():
        fit = load_model(out, model=_own_module(architecture, seed))
        _check_same_training(out, fit, data, architecture, seed, options)
        return fit
    check_place(out, overwrite=overwrite)
    if resume and not state.exists():
        warnings.warn(f"nothing to resume for {out}: the training starts from the beginning", stacklevel=2)
    if state.exists() and not resume:
        if not overwrite:
            raise OutputExistsError(
                f"{state} holds an interrupted training of {out}: pass --resume (resume=True) to continue it, or "
                "--force (overwrite=True) to start again."
            )
        state.unlink()
    fit = train(data, architecture, seed, state=state, **options)
    fit.save(out, overwrite=overwrite)
    return fit


def state_path(out: str | Path) -> Path:
    """Where the state of an unfinished training of ``out`` is kept: beside it.

    Examples
    --------
    >>> from genoplrp.training.folder import state_path
    >>> state_path("models/koo").as_posix()
    'models/koo.unfinished.safetensors'
    """
    out = Path(out)
    return out.with_name(f"{out.name}.unfinished.safetensors")


def _check_same_training(
    out: Path,
    fit: TrainedModel,
    data: DataLike,
    architecture: Architecture,
    seed: int,
    options: FolderOptions,
) -> None:
    """Refuse to hand back a finished training for one that was asked for with other settings or data."""
    # A module of the user's own has no settings to compare; weights of another shape were refused on loading.
    name = architecture if isinstance(architecture, str) else fit.architecture
    found = fit.provenance["options"] | fit.parameters
    asked = {key: value for key, value in options.items() if key in found} | dict(
        options.get("parameters") or {}
    )
    pairs = [("architecture", fit.architecture, name), ("seed", fit.seed, seed)]
    pairs += [(key, found.get(key), value) for key, value in asked.items()]
    for key, was, now in pairs:
        if _plain(was) != _plain(now):
            raise CheckpointError(
                f"{out} holds a finished training with another setting: {key} was {was!r}, now {now!r}. "
                "Choose another folder, or pass --force (overwrite=True) to train again."
            )
    read = read_training_data(data, tasks=options.get("tasks"), split=options.get("split"), seed=seed)
    if read.checksum != fit.provenance["data_sha256"]:
        raise CheckpointError(
            f"{out} holds a finished training on other data: sequences, labels or their split have changed. "
            "Choose another folder, or pass --force (overwrite=True) to train again."
        )


def _plain(value: object) -> object:
    """Lists for tuples, as JSON gives them back."""
    return list(value) if isinstance(value, tuple) else value


def _own_module(architecture: Architecture, seed: int) -> nn.Module | None:
    """An instance for the weights of a checkpoint of the user's own module; None for a reference architecture."""
    if isinstance(architecture, str):
        return None
    return copy.deepcopy(architecture) if isinstance(architecture, nn.Module) else architecture(seed)


def _read_table(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, sep=None, engine="python", dtype={"name": str})
        header = pd.read_csv(path, sep=None, engine="python", header=None, nrows=1)
    except (OSError, ValueError, csv.Error) as error:  # pandas' ParserError is a ValueError
        raise InputError(f"The table of labels {path} cannot be read: {error}") from error
    # pandas would go on with y and y.1.
    repeated = _first_repeated(header.iloc[0].dropna().astype(str).tolist())
    if repeated is not None:
        raise InputError(f"{path} has the column {repeated!r} more than once; name each differently.")
    if "name" not in table.columns:
        raise InputError(
            f"{path} has no column 'name'; its columns are {', '.join(map(str, table.columns))}."
        )
    if table["name"].duplicated().any():
        raise InputError(
            f"{path} has {table.loc[table['name'].duplicated(), 'name'].iloc[0]!r} more than once; "
            "keep one row a sequence."
        )
    return table.set_index("name")


def _first_repeated(names: Sequence[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)


def _number_columns(table: pd.DataFrame) -> list[str]:
    return [str(c) for c in table.columns if c != "split" and pd.api.types.is_numeric_dtype(table[c])]
