"""Profiles on disk: reads at each base as one array that grows while it is written; what they mean, the tasks say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from jaxtyping import Num

from genoplrp.errors import InputError

#: Name of the file in a data set's folder.
PROFILES = "profiles.npy"


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
        raise InputError(f"{path} cannot be read: {error}.") from error
    if profiles.ndim != 3 or profiles.shape[:2] != (n, tasks) or profiles.shape[2] < length:
        raise InputError(
            f"{path} has the shape {profiles.shape}; {n} sequences, {tasks} profile tasks and {length} bases need "
            f"({n}, {tasks}, {length})."
        )
    return np.asarray(profiles)
