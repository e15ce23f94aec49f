"""Where the background of each sequence is from: windows drawn part by part, so that no two parts share a base."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from genoplrp.sequence.shuffle import shuffle_codes
from genoplrp.synthetic.splits import SPLITS

if TYPE_CHECKING:
    import pandas as pd

    from genoplrp.synthetic.spec import Spec
    from genoplrp.synthetic.windows import Windows

#: Columns of a table of sources.
SOURCE_COLUMNS = ("chrom", "start", "end", "strand")


class Places(NamedTuple):
    """Where windows of real sequences lie: names of their records, and 0-based starts."""

    chrom: np.ndarray
    start: Int[np.ndarray, " n"]


class BackgroundSource:
    """Draws the background of a specification's sequences, and says where it is from.

    Parameters
    ----------
    spec : Spec
        Its background, length and split.

    Raises
    ------
    SpecError
        If the windows cannot be divided between the parts of the split.
    """

    def __init__(self, spec: Spec) -> None:
        self.background = spec.background
        self.of_classes = {
            number: one.background for number, one in enumerate(spec.classes) if one.background is not None
        }
        self.length = int(spec.length_range[1])
        self.parts: list[Windows] | None = None
        if self.background.kind == "genome" and self.background.split_by != "none":
            shares = [spec.split.get(part, 0.0) for part in SPLITS]
            self.parts = self.background.windows.divided(shares, self.background.split_by, self.length)

    def draw(
        self, rng: np.random.Generator, split: Int[np.ndarray, " n"], classes: Int[np.ndarray, " n"]
    ) -> tuple[UInt8[np.ndarray, "n length"], Places | None]:
        """Draw the background of some sequences.

        Parameters
        ----------
        rng : Generator
            Source of chance.
        split : array, (n,), int
            The part that each belongs to, as a number in ``SPLITS``.
        classes : array, (n,), int
            The class of each, as a number in the order of the specification.

        Returns
        -------
        codes, places
            Base numbers, (n, length); where the windows are from, None for backgrounds that are no windows.
        """
        codes, places = self._common(rng, split)
        for number, background in self.of_classes.items():
            chosen = classes == number
            codes[chosen] = background.draw(rng, int(chosen.sum()), self.length)
        return codes, places

    def _common(
        self, rng: np.random.Generator, split: Int[np.ndarray, " n"]
    ) -> tuple[UInt8[np.ndarray, "n length"], Places | None]:
        background, n = self.background, len(split)
        if background.kind not in ("genome", "shuffle"):
            return background.draw(rng, n, self.length), None
        windows, wanted = background.windows, background.gc_weights if background.kind == "genome" else None
        if self.parts is None:
            start = windows.choose(rng, n, self.length, wanted)
        else:
            start = np.zeros(n, dtype=np.int64)
            for number in np.unique(split):
                chosen = split == number
                start[chosen] = self.parts[number].choose(rng, int(chosen.sum()), self.length, wanted)
        codes = windows.take(start, self.length)
        places = Places(*windows.locate(start))
        return (shuffle_codes(codes, rng) if background.kind == "shuffle" else codes), places


def source_frame(places: list[Places], lengths: Int[np.ndarray, " n"]) -> pd.DataFrame:
    """Put the places of windows into a table, one row per sequence: ``chrom``, ``start``, ``end``, ``strand``."""
    import pandas as pd

    start = np.concatenate([some.start for some in places])
    chrom = np.concatenate([some.chrom for some in places])
    return pd.DataFrame({"chrom": chrom, "start": start, "end": start + lengths, "strand": "+"})
