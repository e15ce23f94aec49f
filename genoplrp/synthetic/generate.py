"""From a specification to a data set, in memory; files are written by ``stream``."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np

from genoplrp.errors import InputError
from genoplrp.sequence import decode_codes
from genoplrp.synthetic.blocks import Block, BlockMaker, Plan, instance_frame
from genoplrp.synthetic.dataset import Dataset
from genoplrp.synthetic.sources import source_frame
from genoplrp.synthetic.spec import Spec
from genoplrp.synthetic.spec_toml import load_spec
from genoplrp.synthetic.splits import SPLITS
from genoplrp.synthetic.tally import tally_block

if TYPE_CHECKING:
    import pandas as pd


def simulate(spec: Spec | str, n: int, seed: int = 0, *, progress: bool = False) -> Dataset:
    """Generate a benchmark data set.

    Parameters
    ----------
    spec : Spec or str
        A specification, or the name or path of one.
    n : int
        Number of sequences.
    seed : int, default 0
        The same specification, number and seed give the same data, on every platform.
    progress : bool, default False
        Show a progress bar on stderr.

    Returns
    -------
    Dataset
        Sequences, labels, split, instances. A warning names tasks whose labels are all the same.

    Raises
    ------
    InputError
        If ``n`` or ``seed`` is not a whole number that fits, or the specification cannot be had.
    SpecError
        If it does not make sense, or its motifs do not fit into the sequences.

    Examples
    --------
    >>> data = simulate("koo2021_fixed", n=20, seed=1)
    >>> len(data), data.length, int(data.labels.sum())
    (20, 200, 10)
    """
    spec = load_spec(spec) if not isinstance(spec, Spec) else spec
    maker = BlockMaker(Plan(spec, check_count(n, "n", 1), check_count(seed, "seed", 0)))
    with progress_bar(n, shown=progress) as bar:
        blocks = []
        for number in range(maker.plan.blocks):
            blocks.append(maker.make(number))
            bar.update(len(blocks[-1].labels))
    data = dataset_of(maker.plan, blocks)
    tally = reduce(add, map(tally_block, blocks))
    for note in tally.notes(data.tasks, data.kinds):
        warnings.warn(note, stacklevel=2)
    return data


def dataset_of(plan: Plan, blocks: list[Block]) -> Dataset:
    """Put consecutive blocks together as one data set."""
    spec = plan.spec
    classes = np.array([one.name for one in spec.classes])
    first = blocks[0].first
    return Dataset(
        sequences=[sequence for block in blocks for sequence in letters(block)],
        labels=np.concatenate([block.labels for block in blocks]),
        tasks=[task.name for task in spec.tasks],
        split=np.array(SPLITS)[np.concatenate([block.split for block in blocks])],
        names=[f"seq{first + i}" for i in range(sum(len(block.labels) for block in blocks))],
        kinds=[task.kind for task in spec.tasks],
        instances=instance_frame(spec, [(block.first - first, block.instances) for block in blocks]),
        clean=_joined(block.clean for block in blocks) if any(task.noisy for task in spec.tasks) else None,
        classes=classes[np.concatenate([block.classes for block in blocks])],
        motifs=dict(spec.matrices),
        spec=spec,
        seed=plan.seed,
        report=total_report(block.report for block in blocks),
        sources=_sources(blocks),
        profiles=_joined(block.profiles for block in blocks),
    )


def _joined(parts: Iterable[np.ndarray | None]) -> np.ndarray | None:
    """Join an array of each block; None where blocks have none."""
    present = [part for part in parts if part is not None]
    return np.concatenate(present) if present else None


def _sources(blocks: list[Block]) -> pd.DataFrame | None:
    places = [block.places for block in blocks if block.places is not None]
    return source_frame(places, np.concatenate([block.lengths for block in blocks])) if places else None


def letters(block: Block) -> list[str]:
    """Sequences of a block as letters, each of its own length."""
    whole = decode_codes(block.codes)
    if (block.lengths == block.codes.shape[1]).all():
        return whole
    return [sequence[:length] for sequence, length in zip(whole, block.lengths.tolist(), strict=True)]


def total_report(reports: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Sum of the blocks' reports."""
    total: Counter[str] = Counter()
    for report in reports:
        total.update(report)
    return dict(sorted(total.items()))


def check_count(value: object, name: str, least: int) -> int:
    """Return a whole number of at least ``least``, or raise InputError."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(f"{name} is {value!r}; expected a whole number of at least {least}.")
    return int(value)


def progress_bar(n: int, *, shown: bool) -> Any:
    """Progress bar over sequences, on stderr."""
    from tqdm.auto import tqdm

    return tqdm(total=n, unit="seq", unit_scale=True, desc="simulate", disable=not shown)
