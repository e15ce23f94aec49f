"""Relevance maps made small: 8-bit values with a scale each, compressed per sequence; no page is made here."""

from __future__ import annotations

import base64
import zlib

import numpy as np
from jaxtyping import Float, Int8

from genoplrp.errors import InputError, NonFiniteError

LEVELS = 127


class MapStore:
    """Per-nucleotide relevance of N sequences in M variants (rules, methods, p), one byte a position.

    Parameters
    ----------
    n_sequences, n_maps, length : int
        N, M and L; the store takes N * M * L bytes.

    Attributes
    ----------
    values : array, shape (N, M, L), int8
        Relevance as a multiple of its map's scale / 127.
    scale : array, shape (N, M), float32
        Largest |relevance| of each map, in units of the explained output.

    Examples
    --------
    >>> store = MapStore(1, 1, 3)
    >>> store.put(0, 0, np.array([[0.0, 1.0, -2.0]]))
    >>> [round(float(v), 2) for v in store.get(0, 0)]
    [0.0, 1.01, -2.0]
    """

    def __init__(self, n_sequences: int, n_maps: int, length: int) -> None:
        self.values: Int8[np.ndarray, "n maps length"] = np.zeros(
            (n_sequences, n_maps, length), dtype=np.int8
        )
        self.scale: Float[np.ndarray, "n maps"] = np.zeros((n_sequences, n_maps), dtype=np.float32)

    def put(self, first: int, index: int, maps: Float[np.ndarray, "k length"]) -> None:
        """Keep one variant of the sequences `first`, `first` + 1, ...

        Raises
        ------
        InputError
            If the shape does not fit.
        NonFiniteError
            If the relevance holds NaN or infinity.
        """
        n, _, length = self.values.shape
        if maps.ndim != 2 or maps.shape[1] != length or first + len(maps) > n:
            raise InputError(f"maps must have shape (k, {length}), k at most {n - first}; got {maps.shape}")
        if not np.isfinite(maps).all():
            raise NonFiniteError(
                "the relevance to report holds NaN or infinity: check the model's weights and the input"
            )
        scale = np.abs(maps).max(axis=1)
        rows = slice(first, first + len(maps))
        self.scale[rows, index] = scale
        self.values[rows, index] = np.rint(maps * (LEVELS / np.where(scale > 0, scale, 1))[:, None])

    def get(self, sequence: int, index: int) -> Float[np.ndarray, " length"]:
        """Return one map as the page shows it, in units of the explained output."""
        restored: np.ndarray = self.values[sequence, index] * (self.scale[sequence, index] / LEVELS)
        return restored

    def packed(self, sequence: int) -> str:
        """Return all maps of one sequence, (M, L) bytes, compressed (zlib) and in base64."""
        return base64.b64encode(zlib.compress(self.values[sequence].tobytes(), level=6)).decode("ascii")


def pack_floats(values: Float[np.ndarray, ...]) -> str:
    """Return float32 numbers, little-endian, in base64."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii")
