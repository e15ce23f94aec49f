"""Explained sequences as the arrays that motif discovery reads: MoDISco, chrombpnet HDF5, finemo; no tracks."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from genoplrp.errors import InputError, MissingDependencyError
from genoplrp.formats.explained import Block, Explained, Scores, check_scores
from genoplrp.formats.registry import built_in
from genoplrp.formats.writing import written, written_folder
from genoplrp.version import __version__

_HALF_MAX = 65504.0
_DATE = (1980, 1, 1, 0, 0, 0)  # same data, same bytes


@built_in("modisco", "scores")
def write_modisco(
    explained: Explained, folder: str | Path, *, scores: str = "projected", overwrite: bool = False
) -> Path:
    """Write the folder that TF-MoDISco-lite reads: ``ohe.npz``, ``attr.npz`` (``arr_0``), regions and a manifest.

    Parameters
    ----------
    explained : Explained
        What to write.
    folder : str or Path
        Folder to make.
    scores : {"projected", "hypothetical"}
        Which scores go into ``attr.npz``. MoDISco multiplies them by the sequence, so both give the same
        contribution scores; where sequences are compared it also looks at the other three bases, which projected
        scores leave at 0. The manifest says which they are.
    overwrite : bool
        Replace a folder that this function made.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    InputError
        If there is nothing to write, or the scores were not kept.
    OutputExistsError
        If the folder exists.

    References
    ----------
    TF-MoDISco-lite, https://github.com/jmschrei/tfmodisco-lite: arrays (N, 4, L), read positionally from an npz.

    Examples
    --------
    >>> import tempfile
    >>> from genoplrp.formats import ExplainedArrays
    >>> X = np.eye(4, dtype=np.float32)[[[0, 1, 2]]].transpose(0, 2, 1)
    >>> out = write_modisco(ExplainedArrays(X, X), Path(tempfile.mkdtemp()) / "modisco")
    >>> sorted(path.name for path in out.iterdir())
    ['attr.npz', 'manifest.json', 'ohe.npz', 'regions.narrowPeak']
    """
    kind = check_scores(explained, scores)
    with written_folder(folder, overwrite=overwrite, holds=("manifest.json", "ohe.npz")) as part:
        shape = (len(explained), 4, explained.length)
        _stream_npz(part / "ohe.npz", shape, (b.X for b in explained.blocks("projected")))
        _stream_npz(part / "attr.npz", shape, (b.scores for b in explained.blocks(kind)))
        write_narrowpeak(explained, part / "regions.narrowPeak")
        manifest = _manifest(explained, kind)
        # MoDISco's default window is 400 bp and fails on shorter sequences.
        manifest["command"] = (
            f"modisco motifs -s ohe.npz -a attr.npz -n 20000 -w {min(400, explained.length)} -o modisco.h5"
        )
        (part / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    return Path(folder)


@built_in("chrombpnet", "scores")
def write_chrombpnet(
    explained: Explained, path: str | Path, *, scores: str = "projected", overwrite: bool = False
) -> Path:
    """Write an HDF5 file as chrombpnet does, and ``<name>.interpreted_regions.bed`` beside it.

    ``raw/seq`` int8, ``shap/seq`` and ``projected_shap/seq`` float16, all (N, 4, L). Where hypothetical scores are
    not asked for, ``shap/seq`` holds the projected ones too, and the attribute ``scores`` says so.

    Parameters
    ----------
    explained, scores, overwrite
        As in `write_modisco`.
    path : str or Path
        File to write (``.h5``).

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    MissingDependencyError
        If h5py is not installed.
    InputError
        If there is nothing to write, or a score does not fit into float16.

    References
    ----------
    chrombpnet, https://github.com/kundajelab/chrombpnet, ``interpret.py``.
    """
    kind = check_scores(explained, scores)
    try:
        import h5py
    except ImportError as error:
        raise MissingDependencyError("HDF5 needs h5py: pip install 'genoplrp[genome]'") from error
    path = Path(path)
    bed = path.with_name(path.stem + ".interpreted_regions.bed")
    with written(path, overwrite=overwrite) as part, written(bed, overwrite=overwrite) as bed_part:
        with h5py.File(part, "w") as file:
            shape = (len(explained), 4, explained.length)
            chunks = (min(len(explained), 64), 4, explained.length)
            made: dict[str, Any] = {}
            for name, dtype in (
                ("raw/seq", np.int8),
                ("shap/seq", np.float16),
                ("projected_shap/seq", np.float16),
            ):
                made[name] = file.create_dataset(name, shape, dtype, chunks=chunks, compression="gzip")
            for block in explained.blocks(kind):
                rows = slice(block.start, block.start + len(block.X))
                made["raw/seq"][rows] = block.X.astype(np.int8)
                made["shap/seq"][rows] = _half(block.scores)
                if kind == "hypothetical":
                    made["projected_shap/seq"][rows] = _half(block.scores * block.X)
                else:
                    made["projected_shap/seq"][rows] = _half(block.scores)
            file.attrs["scores"] = kind
            file.attrs["manifest"] = json.dumps(_manifest(explained, kind), sort_keys=True)
        write_narrowpeak(explained, bed_part)
    return path


@built_in("finemo", "scores")
def write_finemo(
    explained: Explained, path: str | Path, *, scores: str = "projected", overwrite: bool = False
) -> Path:
    """Write the regions file that finemo reads: ``sequences`` int8, ``contributions`` float16, peaks.

    Parameters
    ----------
    explained, scores, overwrite
        As in `write_modisco`. Projected contributions are (N, L), hypothetical ones (N, 4, L): finemo takes both.
    path : str or Path
        File to write (``.npz``).

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    InputError
        If there is nothing to write, or a score does not fit into float16.

    References
    ----------
    finemo, https://github.com/kundajelab/Fi-NeMo, ``data_io.load_regions_npz``.
    """
    kind = check_scores(explained, scores)
    regions = explained.regions
    chrom, chrom_id = _chromosome_ids(explained)
    n, length = len(explained), explained.length
    arrays: dict[str, tuple[tuple[int, ...], Any, Callable[[], Iterator[np.ndarray]]]] = {
        "sequences": ((n, 4, length), np.int8, lambda: (b.X.astype(np.int8) for b in explained.blocks())),
        "contributions": (
            (n, length) if kind == "projected" else (n, 4, length),
            np.float16,
            lambda: (_contributions(b, kind) for b in explained.blocks(kind)),
        ),
    }
    small = {
        "chr": np.array(chrom, dtype="U"),
        "chr_id": np.array(chrom_id, dtype=np.uint32),
        "start": regions["start"].to_numpy(np.int32),
        "peak_id": np.arange(n, dtype=np.uint32),
        "peak_name": np.array(regions["name"].astype(str).tolist(), dtype="U"),
    }
    with (
        written(path, overwrite=overwrite) as part,
        zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, (shape, dtype, blocks) in arrays.items():
            _stream_member(archive, name, shape, np.dtype(dtype), blocks())
        for name, values in small.items():
            _stream_member(archive, name, values.shape, values.dtype, iter([values]))
    return Path(path)


def write_narrowpeak(explained: Explained, path: str | Path) -> Path:
    """Write the windows in the order of the arrays, as narrowPeak (10 columns, the summit in the middle)."""
    regions = explained.regions
    columns = (regions[name].tolist() for name in ("chrom", "start", "end", "name", "strand"))
    lines = [
        f"{chrom}\t{start}\t{end}\t{name}\t0\t{strand}\t0\t-1\t-1\t{(end - start) // 2}\n"
        for chrom, start, end, name, strand in zip(*columns, strict=True)
    ]
    Path(path).write_text("".join(lines), encoding="utf-8", newline="\n")
    return Path(path)


def _stream_npz(path: Path, shape: tuple[int, ...], blocks: Iterator[np.ndarray]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        _stream_member(archive, "arr_0", shape, np.dtype(np.float32), blocks)


def _stream_member(
    archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: Any, blocks: Iterator[np.ndarray]
) -> None:
    """Write one array of an npz block by block: memory stays flat whatever the number of sequences."""
    info = zipfile.ZipInfo(f"{name}.npy", _DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with archive.open(info, "w", force_zip64=True) as stream:
        npy.write_array_header_2_0(stream, header)
        for block in blocks:
            stream.write(np.ascontiguousarray(block, dtype=dtype).tobytes())


def _contributions(block: Block, kind: Scores) -> np.ndarray:
    return _half(block.scores.sum(axis=1) if kind == "projected" else block.scores)


def _half(values: np.ndarray) -> np.ndarray:
    largest = float(np.abs(values).max(initial=0.0))
    if largest > _HALF_MAX:
        raise InputError(
            f"a score of {largest:g} does not fit into this format's float16 (largest {_HALF_MAX:g}): divide the "
            "relevance by a constant first"
        )
    return values.astype(np.float16)


def _chromosome_ids(explained: Explained) -> tuple[list[str], list[int]]:
    order = {name: i for i, name in enumerate(explained.chrom_sizes)}
    names = explained.regions["chrom"].astype(str).tolist()
    return names, [order.setdefault(name, len(order)) for name in names]


def _manifest(explained: Explained, kind: Scores) -> dict[str, Any]:
    meaning = {
        "projected": "projected (contribution): relevance of the bases that are there, 0 for the others",
        "hypothetical": "hypothetical: relevance per unit of input, for all four bases",
    }
    return {
        "genoplrp": __version__,
        "scores": kind,
        "meaning": meaning[kind],
        "sequences": len(explained),
        "length": explained.length,
        "explained": explained.meta,
    }
