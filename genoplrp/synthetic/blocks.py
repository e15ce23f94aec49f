"""One block of sequences at a time: the unit of reproducibility.

Block k of a benchmark is made from the seed and k alone, whatever else is generated, in which order and by how many
workers. So the same specification, number and seed give the same bytes for every chunk size and number of workers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from genoplrp.sequence.shuffle import shuffle_codes
from genoplrp.synthetic.accidental import AccidentalScan
from genoplrp.synthetic.grammar import CORE, ROLES, Layout, Units, join_units, select_rows
from genoplrp.synthetic.labels import derive_labels, tasks_of_instances
from genoplrp.synthetic.plant import Placed, Sampler, instance_places, place_class, write_units
from genoplrp.synthetic.planted import planted_units
from genoplrp.synthetic.polarity import roles_of_instances
from genoplrp.synthetic.sources import BackgroundSource, Places
from genoplrp.synthetic.splits import SPLITS

if TYPE_CHECKING:
    import pandas as pd

    from genoplrp.synthetic.spec import Spec

_BASES_PER_BLOCK = 1 << 20


class Block(NamedTuple):
    """Some consecutive sequences as arrays.

    Attributes
    ----------
    first : int
        Number of the first sequence in the data set.
    codes : array, (n, Lmax), uint8
        Base numbers; beyond a sequence's length they mean nothing.
    lengths : array, (n,), int
        Length of each sequence, in bp.
    labels, clean : array, (n, T), float32
        Labels with and without noise.
    classes, split : array, (n,), int
        Class number, and number in ``SPLITS``.
    instances : InstanceTable
        Planted instances, by sequence and start.
    report : dict of str to int
        What had to be redrawn, flipped, found.
    places : Places or None
        Where the backgrounds are from, if they are windows of real sequences.
    profiles : array, (n, P, L), int32, or None
        Reads at each base for each of the P profile tasks.
    """

    first: int
    codes: UInt8[np.ndarray, "n length"]
    lengths: Int[np.ndarray, " n"]
    labels: Float[np.ndarray, "n tasks"]
    clean: Float[np.ndarray, "n tasks"]
    classes: Int[np.ndarray, " n"]
    split: Int[np.ndarray, " n"]
    instances: InstanceTable
    report: dict[str, int]
    profiles: Int[np.ndarray, "n profiles length"] | None = None
    places: Places | None = None


class InstanceTable(NamedTuple):
    """Planted instances as numbers; ``row`` counts from the block's first sequence, ``tasks`` are bits."""

    row: Int[np.ndarray, " i"]
    start: Int[np.ndarray, " i"]
    end: Int[np.ndarray, " i"]
    motif: Int[np.ndarray, " i"]
    minus: Int[np.ndarray, " i"]
    role: Int[np.ndarray, " i"]
    score: Float[np.ndarray, " i"]
    site: Int[np.ndarray, " i"]
    tasks: Int[np.ndarray, " i"]


@dataclass(frozen=True)
class Plan:
    """How a data set of n sequences is divided into blocks, and each block into classes and splits.

    Attributes
    ----------
    spec : Spec
        The specification.
    n, seed : int
        Number of sequences, and the seed.
    """

    spec: Spec
    n: int
    seed: int

    @property
    def block_size(self) -> int:
        """Sequences in a block: about a million bases, a power of two."""
        longest = self.spec.length_range[1]
        return 1 << max(4, (_BASES_PER_BLOCK // longest).bit_length() - 1)

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.n // self.block_size)

    def bounds(self, block: int) -> tuple[int, int]:
        """Return the first sequence of a block, and the one after its last."""
        return block * self.block_size, min(self.n, (block + 1) * self.block_size)

    def generator(self, block: int) -> np.random.Generator:
        """Return the source of chance of a block: of the seed, the block, and what specification it is."""
        key = [block]
        if self.spec.stream == "name":
            digest = hashlib.sha256(self.spec.title.encode()).digest()
            key = [*np.frombuffer(digest[:16], dtype="<u4").tolist(), block]
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=key)))

    def cell_counts(self) -> Int[np.ndarray, "blocks cells"]:
        """Return how many sequences of each class and split stand in each block.

        Each block gets what brings the totals nearest to the fractions, so that classes and splits are balanced as
        exactly as whole numbers allow, in every stretch of the data set.
        """
        classes = np.array([one.fraction for one in self.spec.classes])
        parts = np.array([self.spec.split.get(name, 0.0) for name in SPLITS])
        share = np.outer(classes / classes.sum(), parts / parts.sum()).reshape(-1)
        counts = np.zeros((self.blocks, len(share)), dtype=np.int64)
        given = np.zeros(len(share), dtype=np.int64)
        for block in range(self.blocks):
            first, end = self.bounds(block)
            counts[block] = _nearest(np.maximum(share * end - given, 0), end - first)
            given += counts[block]
        return counts


class BlockMaker:
    """Makes the blocks of a plan; what all blocks share is worked out once.

    Parameters
    ----------
    plan : Plan
        Specification, number and seed.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        _keep_freed_memory()
        self.layout = Layout(plan.spec)
        self.sampler = Sampler(plan.spec)
        self.cells = plan.cell_counts()
        self.class_of_cell, self.split_of_cell = np.divmod(np.arange(self.cells.shape[1]), len(SPLITS))
        self.noisy = np.array([task.noise > 0 for task in plan.spec.tasks])
        self.shuffled = np.array([one.shuffled for one in plan.spec.classes])
        self.background = BackgroundSource(plan.spec)
        self.scan = AccidentalScan(plan.spec, self.background) if plan.spec.scan is not None else None
        self.roles = roles_of_instances(plan.spec)
        motif_tasks, site_tasks = tasks_of_instances(plan.spec)
        bits = 1 << np.arange(len(plan.spec.tasks))
        self.motif_bits = (motif_tasks * bits).sum(axis=1).astype(np.int64)
        self.site_bits = np.append((site_tasks * bits).sum(axis=1), 0).astype(np.int64)

    def make(self, block: int) -> Block:
        """Make one block.

        Parameters
        ----------
        block : int
            Its number.

        Returns
        -------
        Block

        Raises
        ------
        SpecError
            If motifs do not fit, or a minimum score is not reached.
        """
        spec = self.plan.spec
        rng = self.plan.generator(block)
        first, end = self.plan.bounds(block)
        classes, split = self._cells(block, rng)
        lengths = _lengths(spec, rng, end - first)
        codes, places = self.background.draw(rng, split, classes)
        placed = self._place(rng, classes, lengths)
        scores = write_units(codes, placed, self.sampler, rng)
        shuffled = self.shuffled[classes]
        if shuffled.any():
            _shuffle_rows(codes, lengths, np.flatnonzero(shuffled), rng)
            placed, scores = _without(placed, scores, shuffled)
        table = self._table(placed, scores, end - first)
        affinity = np.maximum(scores / self.sampler.best[placed.units.motif], 0)
        planted = planted_units(placed, affinity, placed.units.role == CORE, classes, lengths)
        labels = derive_labels(spec, planted, rng)
        changed = (labels.values != labels.clean)[:, self.noisy]
        report = {"redrawn": placed.redrawn, "noisy": int(changed.any(axis=1).sum())}
        if self.scan is not None:
            report |= self.scan.run(codes, lengths, table, (split, classes), rng)
        made = (labels.values, labels.clean, classes, split, table, report, labels.profiles, places)
        return Block(first, codes, lengths, *made)

    def _cells(self, block: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        from genoplrp.synthetic.kernels import order_uniform

        cells = np.repeat(np.arange(self.cells.shape[1]), self.cells[block])
        cells = cells[order_uniform(rng.random(len(cells)))]
        return self.class_of_cell[cells], self.split_of_cell[cells]

    def _place(self, rng: np.random.Generator, classes: np.ndarray, lengths: np.ndarray) -> Placed:
        parts: list[Units] = []
        starts: list[np.ndarray] = []
        redrawn = 0
        for number, one in enumerate(self.plan.spec.classes):
            rows = np.flatnonzero(classes == number)
            if len(rows) == 0 or not one.plant:
                continue
            placed = place_class(self.layout, one, rng, lengths[rows])
            parts.append(select_rows(placed.units, np.ones(len(rows), dtype=bool), rows))
            starts.append(placed.start)
            redrawn += placed.redrawn
        return Placed(join_units(parts), np.concatenate([*starts, np.zeros(0, dtype=np.int64)]), redrawn)

    def _table(self, placed: Placed, scores: np.ndarray, n: int) -> InstanceTable:
        from genoplrp.synthetic.kernels import instance_columns, order_by_place

        units = placed.units
        row, start = instance_places(placed)
        order = order_by_place(row, start, n)
        of_instances = (row, start, units.motif, units.minus, units.role, units.site, scores)
        of_motifs = (self.sampler.width, self.motif_bits, self.site_bits)
        wide, narrow, rounded = instance_columns(order, *of_instances, *of_motifs, CORE)
        row, start, end, motif, tasks = wide
        minus, role, site = narrow
        if (self.roles != CORE).any():
            role = np.where(role == CORE, self.roles[motif, site], role).astype(np.int16)
        return InstanceTable(row, start, end, motif, minus, role, rounded, site, tasks)


def instance_frame(spec: Spec, tables: list[tuple[int, InstanceTable]]) -> pd.DataFrame:
    """Turn the instances of several blocks, each with the number of its first sequence, into one data frame."""
    import pandas as pd

    from genoplrp.synthetic.dataset import no_instances

    if not tables:
        return no_instances()
    joined = InstanceTable(
        *(np.concatenate(columns) for columns in zip(*(table for _, table in tables), strict=True))
    )
    shift = np.repeat([first for first, _ in tables], [len(table.row) for _, table in tables])

    def named(numbers: np.ndarray, names: list[str]) -> Any:
        used = np.flatnonzero(np.bincount(numbers, minlength=1))
        codes = np.searchsorted(used, np.arange(len(names)))[numbers]
        return pd.Categorical.from_codes(codes, categories=pd.Index([names[k] for k in used]))

    used, bits = _distinct(joined.tasks)
    task_names = [
        ",".join(t.name for k, t in enumerate(spec.tasks) if (value >> k) & 1) for value in used.tolist()
    ]
    return pd.DataFrame(
        {
            "sequence": joined.row + shift,
            "start": joined.start,
            "end": joined.end,
            "motif": named(joined.motif, list(spec.motifs)),
            "strand": named(joined.minus, ["+", "-"]),
            "role": named(joined.role, list(ROLES)),
            "score": joined.score,
            "site": named(joined.site + 1, ["", *spec.sites]),
            "tasks": named(bits, task_names),
        }
    )


def _distinct(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct numbers and where each stands among them; fast where there are few."""
    if len(numbers) and numbers.max() < 1 << 16:
        used = np.flatnonzero(np.bincount(numbers))
        place = np.zeros(int(used[-1]) + 1, dtype=np.int64)
        place[used] = np.arange(len(used))
        return used, place[numbers]
    return np.unique(numbers, return_inverse=True)


def _keep_freed_memory() -> None:
    """Let one block's memory serve the next.

    glibc gives freed memory back to the system above twice the size of the largest array that was freed so far, and
    fetching it again, page by page, takes a third of the time of a block. An array that nobody writes to costs nothing.
    """
    np.empty(16 * _BASES_PER_BLOCK, dtype=np.uint8)


def _shuffle_rows(codes: np.ndarray, lengths: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> None:
    """Shuffle the dinucleotides of some sequences in place, each within its own length."""
    for length in np.unique(lengths[rows]):
        same = rows[lengths[rows] == length]
        codes[same, :length] = shuffle_codes(np.ascontiguousarray(codes[same, :length]), rng)


def _without(placed: Placed, scores: np.ndarray, gone: np.ndarray) -> tuple[Placed, np.ndarray]:
    """What is planted in the other sequences: the units, their starts and the scores of their instances."""
    units = placed.units
    kept = ~gone[units.row]
    left = select_rows(units, ~gone, np.arange(len(gone)))
    return Placed(left, placed.start[kept], placed.redrawn), scores[kept[units.unit]]


def _lengths(spec: Spec, rng: np.random.Generator, n: int) -> Int[np.ndarray, " n"]:
    low, high = spec.length_range
    if low == high:
        return np.full(n, low, dtype=np.int64)
    return (low + np.floor(rng.random(n) * (high - low + 1))).astype(np.int64)


def _nearest(wanted: Float[np.ndarray, " cells"], total: int) -> Int[np.ndarray, " cells"]:
    """Whole numbers that sum to ``total`` and lie nearest to ``wanted`` (largest remainders first)."""
    scale = total / wanted.sum()
    exact = wanted * scale
    counts: np.ndarray = np.floor(exact + 1e-9).astype(np.int64)
    missing = total - int(counts.sum())
    order = np.argsort(counts - exact, kind="stable")
    counts[order[:missing]] += 1
    return counts
