"""Where the windows of a scan come from: what a source has, and sequences without coordinates as one."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pandas as pd
from jaxtyping import UInt8


class Source(Protocol):
    """Windows to explain: `genoplrp.sequence.Windows`, `VariantWindows`, or `Sequences`."""

    @property
    def length(self) -> int:
        """Length L of every window, in bp."""
        ...

    @property
    def notes(self) -> list[str]:
        """What a reader should know."""
        ...

    @property
    def table(self) -> pd.DataFrame:
        """One row a window."""
        ...

    @property
    def dropped(self) -> pd.DataFrame:
        """What gave no window, with the reason."""
        ...

    @property
    def chrom_sizes(self) -> dict[str, int]:
        """Length of every chromosome in bp."""
        ...

    def codes(self, start: int, stop: int) -> UInt8[np.ndarray, "n length"]:
        """Base numbers of the windows start to stop."""
        ...


class Sequences:
    """Sequences without coordinates as a source; each is a chromosome of its own.

    Parameters
    ----------
    codes : array, (N, L), uint8
        Base numbers.
    names : list of str, optional
        One a sequence.
    """

    def __init__(self, codes: UInt8[np.ndarray, "n length"], names: list[str] | None = None) -> None:
        self._codes = np.asarray(codes, dtype=np.uint8)
        n, self.length = self._codes.shape
        names = [f"seq{i}" for i in range(n)] if names is None else list(names)
        self.notes: list[str] = []
        self.table = pd.DataFrame(
            {"chrom": names, "start": 0, "end": self.length, "name": names, "score": 0.0, "strand": "+"}
        ).assign(region=range(n))
        self.dropped = pd.DataFrame(columns=["region", "chrom", "start", "end", "name", "reason"])
        self.chrom_sizes = dict.fromkeys(names, self.length)

    def codes(self, start: int, stop: int) -> UInt8[np.ndarray, "n length"]:
        """Base numbers of the sequences start to stop."""
        return self._codes[start:stop]
