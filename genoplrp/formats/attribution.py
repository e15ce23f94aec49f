"""The relevance file: explanations of some sequences of a data set, in one compressed archive.

An ``.npz`` without pickle, written by ``genoplrp explain`` and read by the other commands: ``relevance`` (N,
4, L) float32, ``per_nucleotide`` (N, L), ``prediction`` (N,), ``target`` (N,), ``sequence`` (N,) and
``meta``, a JSON string. It is not a data set and holds no sequences.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from genoplrp import partial
from genoplrp.errors import InputError

_ARRAYS = ("relevance", "per_nucleotide", "prediction", "target", "sequence")


@dataclass(frozen=True, eq=False)
class AttributionFile:
    """Relevance of N sequences of a data set, with what is needed to know what it explains.

    Parameters
    ----------
    relevance : array or tensor, shape (N, 4, L)
        Relevance of every base at every position; kept as float32.
    prediction : array or tensor, shape (N,)
        The model's output for the target (a logit), kept as float32.
    target : array, shape (N,)
        Index of the output that was explained, one per sequence; -1 where it was a function of the outputs.
    sequence : array, shape (N,)
        Row of each sequence in the data set that was explained.
    per_nucleotide : array or tensor, shape (N, L), optional
        Relevance per position; by default the sum of `relevance` over the four bases.
    meta : dict
        Anything JSON can hold: method, its parameters, the model, the package's version.

    Raises
    ------
    InputError
        If the arrays do not fit together, hold NaN or infinity, or `meta` cannot be written as JSON.

    Examples
    --------
    >>> import numpy as np
    >>> r = AttributionFile(np.ones((2, 4, 5)), prediction=[1.5, -0.2], target=[0, 0], sequence=[7, 9])
    >>> r.per_nucleotide.shape, len(r)
    ((2, 5), 2)
    """

    relevance: Float[np.ndarray, "n 4 length"]
    prediction: Float[np.ndarray, " n"]
    target: Int[np.ndarray, " n"]
    sequence: Int[np.ndarray, " n"]
    per_nucleotide: Float[np.ndarray, "n length"] = None  # type: ignore[assignment]  # filled in below
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        relevance = _float32(self.relevance, "relevance")
        if relevance.ndim != 3 or relevance.shape[1] != 4:
            raise InputError(f"relevance must have shape (N, 4, L); got {relevance.shape}")
        n, _, length = relevance.shape
        summed = relevance.sum(axis=1)
        given = summed if self.per_nucleotide is None else self.per_nucleotide
        arrays = {
            "relevance": (relevance, (n, 4, length)),
            "per_nucleotide": (_float32(given, "per_nucleotide"), (n, length)),
            "prediction": (_float32(self.prediction, "prediction"), (n,)),
            "target": (_integers(self.target, "target"), (n,)),
            "sequence": (_integers(self.sequence, "sequence"), (n,)),
        }
        for name, (values, shape) in arrays.items():
            if values.shape != shape:
                raise InputError(
                    f"{name} must have shape {shape} to fit relevance {relevance.shape}; got {values.shape}"
                )
            object.__setattr__(self, name, values)
        most = np.abs(relevance).sum(axis=1).max(initial=0.0)
        if given is not summed and not np.allclose(summed, self.per_nucleotide, rtol=1e-4, atol=1e-4 * most):
            raise InputError(
                "per_nucleotide is not the sum of relevance over the four bases: one of them is of another map"
            )
        if n and self.sequence.min() < 0:
            raise InputError(f"sequence holds row indices of the data set; got {self.sequence.min()}")
        if not isinstance(self.meta, dict):
            raise InputError(f"meta must be a dictionary; got {type(self.meta).__name__}")
        _to_json(self.meta)

    def __len__(self) -> int:
        return len(self.relevance)

    @property
    def length(self) -> int:
        """Length L of the sequences, in bases."""
        return int(self.relevance.shape[2])

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the file, completely or not at all.

        Parameters
        ----------
        path : str or Path
            Where to write, as it stands (no suffix is added); the folder must exist.
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
        """
        path = Path(path)
        partial.check_file(path, overwrite=overwrite)
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        with partial.new_file(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, **arrays, meta=np.array(_to_json(self.meta)))
        return path

    @classmethod
    def load(cls, path: str | Path) -> AttributionFile:
        """Read a relevance file and check it; nothing in it is ever executed.

        Parameters
        ----------
        path : str or Path
            A file written by `save`.

        Returns
        -------
        AttributionFile

        Raises
        ------
        InputError
            If there is no such file, it is not a relevance file, or its arrays do not fit together.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"there is no file {path}; `genoplrp explain` writes relevance files")
        with path.open("rb") as handle:
            start = handle.read(6)
        if start[:2] != b"PK" and start != b"\x93NUMPY":
            raise InputError(
                f"{path} cannot be read as a relevance file: it is no NumPy archive (.npz). `genoplrp explain` "
                "writes relevance files"
            )
        try:
            loaded = np.load(path, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                raise InputError(
                    f"{path} holds a single array; `genoplrp explain` writes relevance files (.npz)"
                )
            with loaded as archive:
                missing = [name for name in (*_ARRAYS, "meta") if name not in archive.files]
                if missing:
                    raise InputError(
                        f"{path} is not a relevance file: it lacks {', '.join(missing)} (it holds"
                        f" {', '.join(archive.files) or 'nothing'}); `genoplrp explain` writes them"
                    )
                arrays = {name: archive[name] for name in _ARRAYS}
                meta = json.loads(str(archive["meta"]))
        except InputError:
            raise
        except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, KeyError) as error:
            raise InputError(
                f"{path} cannot be read as a relevance file (.npz of `genoplrp explain`): {error}"
            ) from error
        try:
            return cls(**arrays, meta=meta)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def _float32(values: object, name: str) -> np.ndarray:
    if hasattr(values, "detach"):
        values = values.detach().cpu().float()
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name} must be numeric; got dtype {array.dtype}")
    array = array.astype(np.float32, copy=False)
    # A thousand sequences at a time: all at once take half as much room again.
    pieces = np.array_split(array, 1 + len(array) // 1024) if array.ndim else [array]
    if not all(np.isfinite(piece).all() for piece in pieces):
        bad = np.argwhere(~np.isfinite(array))
        raise InputError(
            f"{name} holds {len(bad)} entries that are NaN or infinite, the first at {bad[0].tolist()}"
        )
    return array


def _integers(values: object, name: str) -> np.ndarray:
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    array = np.asarray(values)
    if array.dtype.kind not in "iu" and array.size:
        raise InputError(f"{name} must hold whole numbers; got dtype {array.dtype}")
    return array.astype(np.int64, copy=False)


def _to_json(meta: dict[str, Any]) -> str:
    try:
        return json.dumps(meta, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"meta must be something JSON can hold: {error}") from error
