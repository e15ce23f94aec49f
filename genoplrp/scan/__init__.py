"""Explaining many regions of a genome into a store on disk: streaming, resumable, in shards; and reading it back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genoplrp.relevance.inputs import automatic_batch
from genoplrp.relevance.targets import output_target
from genoplrp.scan.genome import scan_genome
from genoplrp.scan.keras_files import load_keras
from genoplrp.scan.merge import merge
from genoplrp.scan.models import LoadedModel, describe_output, load_any_model
from genoplrp.scan.places import shard_path
from genoplrp.scan.run import scan
from genoplrp.scan.sources import Sequences
from genoplrp.scan.store import ScanStore
from genoplrp.scan.variants import relevance_difference, variant_effects

if TYPE_CHECKING:
    from genoplrp.formats import Explained

__all__ = [
    "LoadedModel",
    "ScanStore",
    "Sequences",
    "automatic_batch",
    "describe_output",
    "load_any_model",
    "load_keras",
    "merge",
    "open_explained",
    "open_store",
    "output_target",
    "relevance_difference",
    "scan",
    "scan_genome",
    "shard_path",
    "variant_effects",
]


def open_store(path: str | Path) -> ScanStore:
    """Open a store of scanned regions: what ``genoplrp explain --fasta ...`` and `scan_genome` write.

    Parameters
    ----------
    path : str or Path
        Its folder.

    Returns
    -------
    ScanStore
        ``regions`` (a table), ``prediction``, and by number, name or place ``relevance(rows)``,
        ``per_nucleotide(rows)``, ``one_hot(rows)`` and ``explanation(rows)``.

    Raises
    ------
    InputError
        If it is not a finished scan.

    Examples
    --------
    >>> store = open_store("scan/")                                             # doctest: +SKIP
    >>> gp.plot_logo(store.relevance("chr1:100-300")[0])                        # doctest: +SKIP
    """
    return ScanStore(path)


def open_explained(source: str | Path, dataset: str | Path | None = None) -> Explained:
    """Open what was explained: a store, or a relevance file together with its data set.

    Parameters
    ----------
    source : path
        Folder of a scan, or a relevance file (.npz).
    dataset : path, optional
        Folder of the data set that a relevance file explains.

    Raises
    ------
    InputError
        If it is neither, or the data set is missing or another one.
    """
    from genoplrp.errors import InputError

    source = Path(source)
    if source.is_dir():
        if dataset is not None:
            raise InputError(f"{source} is a store and contains its own sequences: omit --dataset")
        return ScanStore(source)
    from genoplrp.formats import AttributionFile, explained_dataset

    file = AttributionFile.load(source)
    if dataset is None:
        raise InputError(f"{source} holds no sequences: name its data set with --dataset")
    from genoplrp.synthetic import Dataset

    return explained_dataset(file, Dataset.load(dataset))
