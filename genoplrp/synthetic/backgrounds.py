"""What motifs are planted into: random or real DNA of several kinds, as base numbers; nothing is planted here."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8

from genoplrp.errors import SpecError
from genoplrp.sequence.shuffle import shuffle_codes
from genoplrp.synthetic.markov import check_transitions, fit_markov, walk
from genoplrp.synthetic.windows import Windows, gc_bell, gc_histogram, iterate_codes

_KINDS_FROM_FILE = ("markov", "shuffle", "genome")
_MAX_ORDER = 7
_LOADED = ("windows", "chain", "gc_weights")


@dataclass(frozen=True)
class Background:
    """The background of the sequences.

    Attributes
    ----------
    kind : {"uniform", "gc", "markov", "shuffle", "genome"}
        All bases equally likely; a given GC content; a Markov chain; windows of real sequences with their dinucleotides
        shuffled; or windows of real sequences as they are.
    gc : float, optional
        GC content, 0 to 1, of "gc"; of "genome": mean GC content that windows are matched to.
    order : int
        Order of the Markov chain: how many bases the next one depends on.
    file : str
        FASTA file (plain, gzip, bgzip) that the chain is fitted to, or windows are taken from; relative to the
        specification's own folder.
    regions : str
        BED file of the regions that windows may lie in; everywhere by default. Regions that overlap count once.
    match : str
        Of "genome": FASTA file (peaks, say) whose sequences' GC content the windows are matched to, instead of ``gc``.
    transitions : sequence of float
        The fitted chain, 4 probabilities for each of 4**order contexts; written with a data set instead of ``file``.
    gc_sd : float
        Spread of the GC content that windows are matched to.
    split_by : {"interval", "chromosome", "none"}
        Of "genome": what training, validation and test part do not share. Pieces of the regions (or of the records, a
        hundredth of all bases each), so that no two windows of different parts overlap; whole records; or nothing.
    """

    kind: Literal["uniform", "gc", "markov", "shuffle", "genome"] = "uniform"
    gc: float | None = None
    order: int = 1
    file: str = ""
    regions: str = ""
    match: str = ""
    transitions: tuple[float, ...] = field(default=(), repr=False)
    gc_sd: float = 0.05
    split_by: Literal["interval", "chromosome", "none"] = "interval"

    def __post_init__(self) -> None:
        if self.gc is not None and not 0 <= self.gc <= 1:
            raise SpecError(f"gc is {self.gc:g}; expected a fraction between 0 and 1.")
        if self.kind == "gc" and self.gc is None:
            raise SpecError("gc is missing; a background of this kind needs a GC content between 0 and 1.")
        if self.gc is not None and self.kind not in ("gc", "genome"):
            raise SpecError(f"gc is {self.gc:g}, which a {self.kind} background does not have; leave it out.")
        if self.match and (self.kind != "genome" or self.gc is not None):
            raise SpecError("match is for a genome background without gc; leave one of them out.")
        if not 0 <= self.order <= _MAX_ORDER:
            raise SpecError(f"order is {self.order}; expected 0 to {_MAX_ORDER}.")
        if self.gc_sd <= 0:
            raise SpecError(f"gc_sd is {self.gc_sd:g}; expected a number above 0.")
        if self.kind == "markov" and self.transitions:
            check_transitions(self.transitions, self.order)
        elif self.kind in _KINDS_FROM_FILE and not self.file:
            raise SpecError(f"file is missing; a {self.kind} background needs a FASTA file.")
        if self.kind not in _KINDS_FROM_FILE and (self.file or self.regions):
            raise SpecError(f"file and regions are not used by a {self.kind} background; leave them out.")

    def __getstate__(self) -> dict[str, object]:
        """Leave the loaded file out of what is sent to worker processes; each reads it once."""
        return {key: value for key, value in self.__dict__.items() if key not in _LOADED}

    def draw(self, rng: np.random.Generator, n: int, length: int) -> UInt8[np.ndarray, "n length"]:
        """Draw ``n`` sequences of ``length`` bases, as base numbers.

        Raises
        ------
        SpecError
            If the file cannot be read, or has no window of this length.
        """
        if self.kind == "gc":
            gc = self.gc or 0.0
            return _independent(rng, n, length, np.array([1 - gc, gc, gc, 1 - gc]) / 2)
        if self.kind == "markov":
            return walk(rng, n, length, self.chain, self.order)
        if self.kind == "shuffle":
            return shuffle_codes(self.windows.draw(rng, n, length), rng)
        if self.kind == "genome":
            return self.windows.draw(rng, n, length, self.gc_weights)
        return uniform_bases(rng, n, length)

    @cached_property
    def chain(self) -> Float[np.ndarray, "contexts 4"]:
        """Transition probabilities of the Markov chain."""
        if self.transitions:
            return np.array(self.transitions).reshape(-1, 4)
        return fit_markov((codes for _, codes in iterate_codes(self.file)), self.order)

    @cached_property
    def gc_weights(self) -> Float[np.ndarray, " bins"] | None:
        """How often windows of each GC content are wanted; None where every window is as good."""
        if self.match:
            return gc_histogram(self.match)
        return None if self.gc is None else gc_bell(self.gc, self.gc_sd)

    @cached_property
    def windows(self) -> Windows:
        """The sequences that windows are taken from."""
        return Windows(self.file, self.regions)


def uniform_bases(rng: np.random.Generator, n: int, length: int) -> UInt8[np.ndarray, "n length"]:
    """Draw bases with equal probability: two random bits each."""
    from genoplrp.synthetic.kernels import spread_bases

    words = np.atleast_1d(rng.bit_generator.random_raw(-(-n * length // 32)))
    octets = spread_bases(words).astype("<u8", copy=False).view(np.uint8)
    return octets[: n * length].reshape(n, length)


def _independent(
    rng: np.random.Generator, n: int, length: int, p: np.ndarray
) -> UInt8[np.ndarray, "n length"]:
    u = rng.random((n, length))
    codes = np.zeros((n, length), dtype=np.uint8)
    for edge in np.cumsum(p)[:-1]:
        codes += u >= edge
    return codes
