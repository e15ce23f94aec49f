"""Profiles: data sets of measured ones, and reads at each base on disk, as one array that grows while it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING

import numpy as np
from jaxtyping import Num
from numpy.typing import ArrayLike

from genoplrp.errors import InputError

if TYPE_CHECKING:
    from genoplrp.synthetic.dataset import Dataset

#: Name of the file in a data set's folder.
PROFILES = "profiles.npy"


def dataset_of_profiles(
    sequences: Sequence[str],
    profiles: ArrayLike,
    tasks: Sequence[str] | None = None,
    split: Sequence[str] | Mapping[str, float] | np.ndarray | None = None,
    names: Sequence[str] | None = None,
    *,
    seed: int = 0,
) -> Dataset:
    """Make a data set of sequences and the reads that were measured at each of their bases.

    Parameters
    ----------
    sequences : sequence of str
        N sequences.
    profiles : array-like, (N, L) or (N, P, L)
        Whole numbers of reads, 0 or above, for each of P tasks; L is the length of the longest sequence, in bp.
    tasks, split, names, seed
        As in :meth:`genoplrp.Dataset.from_sequences`.

    Returns
    -------
    Dataset
        Of tasks of the kind "profile", whose labels are the sums of the reads.

    Raises
    ------
    InputError
        If the shape does not fit the sequences, a number of reads is none, or as in ``from_sequences``.

    Examples
    --------
    >>> data = dataset_of_profiles(["ACGT", "GGGG", "TTTT"], [[0, 2, 1, 0], [0, 0, 0, 1], [3, 0, 0, 0]])
    >>> data.kinds, data.labels[:, 0].tolist(), data.profile(0)[0].tolist()
    (['profile'], [3.0, 1.0, 3.0], [0, 2, 1, 0])
    """
    from genoplrp.synthetic.dataset import Dataset

    reads = np.asarray(profiles)
    reads = reads[:, None] if reads.ndim == 2 else reads
    longest = max(map(len, sequences), default=0)
    if reads.ndim != 3 or (len(reads), reads.shape[2]) != (len(sequences), longest):
        raise InputError(
            f"profiles have the shape {np.shape(profiles)}; {len(sequences)} sequences of up to {longest} bp need "
            f"({len(sequences)}, {longest}), or ({len(sequences)}, tasks, {longest})."
        )
    if (
        reads.dtype.kind not in "iuf"
        or not (np.isfinite(reads) & (reads >= 0) & (reads == np.round(reads))).all()
    ):
        raise InputError("profiles hold values that are no numbers of reads; give whole numbers, 0 or above.")
    data = Dataset.from_sequences(sequences, reads.sum(axis=2), tasks, split, names, seed=seed)
    return replace(data, kinds=["profile"] * reads.shape[1], profiles=reads.astype(np.int32))


class ProfileWriter:
    """An .npy file of (N, P, L) to which sequences are appended; a context manager, whose end says how many.

    Parameters
    ----------
    path : Path
        The file to make.
    dtype : str, default "<i4"
        Type of its numbers.
    """

    def __init__(self, path: Path, dtype: str = "<i4") -> None:
        self.path, self.dtype, self.n = path, dtype, 0
        self.shape: tuple[int, ...] = ()

    def __enter__(self) -> ProfileWriter:
        self._handle: IO[bytes] = self.path.open("wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.seek(0)
        self._write_header()
        self._handle.close()

    def add(self, profiles: Num[np.ndarray, "n profiles length"]) -> None:
        """Append the profiles of some sequences."""
        if not self.shape:
            self.shape = profiles.shape[1:]
            self._write_header()
        self._handle.write(np.ascontiguousarray(profiles, dtype=self.dtype).tobytes())
        self.n += len(profiles)

    def _write_header(self) -> None:
        """Numpy leaves room for the first number to grow, so that the header written last has the same size."""
        header = {"descr": self.dtype, "fortran_order": False, "shape": (self.n, *self.shape)}
        np.lib.format.write_array_header_1_0(self._handle, header)


def read_profiles(
    folder: Path, kinds: Sequence[str], n: int, length: int
) -> Num[np.ndarray, "n profiles length"] | None:
    """Read the profiles of a data set's folder; None where no task has one.

    Raises
    ------
    InputError
        If the file is missing, is none, or does not fit the tasks and sequences.
    """
    tasks, path = list(kinds).count("profile"), folder / PROFILES
    if tasks == 0:
        return None
    try:
        profiles = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{folder} has profile tasks but no {PROFILES}; generate it again.") from None
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}; generate it again.") from error
    if profiles.ndim != 3 or profiles.shape[:2] != (n, tasks) or profiles.shape[2] < length:
        raise InputError(
            f"{path} has the shape {profiles.shape}; {n} sequences, {tasks} profile tasks and {length} bases need "
            f"({n}, {tasks}, {length})."
        )
    return np.asarray(profiles)
