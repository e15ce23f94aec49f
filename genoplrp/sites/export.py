"""Called sites as one BED file, motifs as one MEME file, without the folder of pages; nothing new is called here."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from genoplrp.errors import InputError
from genoplrp.formats.tracks import write_bed
from genoplrp.formats.writing import written
from genoplrp.sites.found import CalledSites, found_motifs
from genoplrp.sites.placing import located_once

if TYPE_CHECKING:
    from genoplrp.sites.motifs import FoundMotif

_OF_A_RUN = {"bed": "sites.bed", "meme": "motifs.meme"}


def write_sites_bed(called: CalledSites, path: str | Path, *, overwrite: bool = False) -> pd.DataFrame:
    """Write called sites as BED6 in genome coordinates, sorted by chromosome (in the windows' order) and start.

    Parameters
    ----------
    called : CalledSites
        The sites; where the sequences have no coordinates, each is a chromosome of its own.
    path : str or Path
        File to write.
    overwrite : bool
        Replace a file that exists.

    Returns
    -------
    DataFrame
        What was written, see `located_once`.

    Raises
    ------
    OutputExistsError
        If the file exists.
    """
    placed = located_once(called.sites, called.regions)
    write_bed(placed, path, overwrite=overwrite)
    return placed


def write_motifs_meme(
    called: CalledSites, path: str | Path, *, leiden_runs: int = 16, overwrite: bool = False
) -> list[FoundMotif]:
    """Cluster called sites into motifs and write these in the minimal MEME format.

    Returns
    -------
    list of FoundMotif
        What was written.

    Raises
    ------
    InputError
        If no motif is found; nothing is written then.
    OutputExistsError
        If the file exists.
    """
    from genoplrp.synthetic import write_meme

    with written(path, overwrite=overwrite) as part:
        motifs = found_motifs(called, leiden_runs=leiden_runs)
        write_meme(part, [one.motif() for one in motifs])
    return motifs


def is_motifs_run(folder: str | Path) -> bool:
    """Whether a folder was made by `discover_motifs`."""
    folder = Path(folder)
    return all((folder / name).is_file() for name in ("manifest.json", *_OF_A_RUN.values()))


def copy_of_run(folder: str | Path, form: str, path: str | Path, *, overwrite: bool = False) -> Path:
    """Copy the sites (``bed``) or the motifs (``meme``) out of a folder of `discover_motifs`.

    Raises
    ------
    InputError
        If `form` is neither.
    OutputExistsError
        If the file exists.
    """
    if form not in _OF_A_RUN:
        raise InputError(
            f"{folder} is a folder of genoplrp motifs: it gives bed and meme; for {form}, name the relevance file or "
            "the store that it was made from"
        )
    with written(path, overwrite=overwrite) as part:
        shutil.copyfile(Path(folder) / _OF_A_RUN[form], part)
    return Path(path)
