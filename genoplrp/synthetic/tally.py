"""How often labels, and short sequences, occur in the parts of a data set, piece by piece; what is wrong is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from genoplrp.synthetic.splits import SPLITS

if TYPE_CHECKING:
    from genoplrp.synthetic.blocks import Block

#: In a part of fewer sequences that all labels are equal may be chance, and is not warned of.
FEWEST = 20
#: Longer sequences, in bp, do not repeat by chance.
SHORT = 20


@dataclass(frozen=True)
class Tally:
    """Sums over the labels of some sequences, for each part and task.

    Attributes
    ----------
    n : array, (3,), int
        Number of sequences in each part, in the order of ``SPLITS``.
    total, squares, least, most : array, (3, T), float64
        Sum, sum of squares, smallest and largest label.
    words : tuple of 3 arrays, int64, or of none
        The different sequences in each part, as numbers, where they are short.

    Examples
    --------
    >>> tally = tally_labels(np.array([[1.0], [0.0], [1.0]]), np.array([0, 0, 2]))
    >>> tally.lines(["y"], ["binary"])
    ['y: 66.7 % of 3 sequences positive (train 50.0 %, test 100.0 %)']
    """

    n: Int[np.ndarray, " parts"]
    total: Float[np.ndarray, "parts tasks"]
    squares: Float[np.ndarray, "parts tasks"]
    least: Float[np.ndarray, "parts tasks"]
    most: Float[np.ndarray, "parts tasks"]
    words: tuple[Int[np.ndarray, " k"], ...] = ()

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.n + other.n,
            self.total + other.total,
            self.squares + other.squares,
            np.minimum(self.least, other.least),
            np.maximum(self.most, other.most),
            tuple(np.union1d(mine, theirs) for mine, theirs in zip(self.words, other.words, strict=True)),
        )

    def lines(self, tasks: Sequence[str], kinds: Sequence[str]) -> list[str]:
        """Say each task's prevalence, or mean and standard deviation, in all sequences and in each part."""
        return [self._line(k, task, kind) for k, (task, kind) in enumerate(zip(tasks, kinds, strict=True))]

    def notes(self, tasks: Sequence[str], kinds: Sequence[str]) -> list[str]:
        """Say of which tasks nothing can be learnt or measured, and where parts have sequences in common."""
        found = []
        for part, words in list(zip(SPLITS, self.words, strict=False))[1:]:
            known = int(np.isin(words, self.words[0]).sum())
            if known:
                found.append(
                    f"{known} of the {len(words)} different sequences of the {part} part are in the train part, too: "
                    "sequences this short repeat; make them longer"
                )
        least, most = self.least.min(axis=0), self.most.max(axis=0)
        for k, (task, kind) in enumerate(zip(tasks, kinds, strict=True)):
            what = "one class only" if kind == "binary" else "one value only"
            if least[k] == most[k]:
                found.append(
                    f"task {task!r} has {what}: the label is {least[k]:g} in all {self.n.sum()} sequences; nothing can "
                    "be learnt from it (are the negatives planted as they should be, with 'broken' where it is meant?)"
                )
                continue
            for part, n, low, high in zip(SPLITS, self.n, self.least[:, k], self.most[:, k], strict=True):
                if n >= FEWEST and low == high:
                    found.append(
                        f"task {task!r} has {what} in the {part} part: the label is {low:g} in all {n} sequences"
                    )
        return found

    def _line(self, k: int, task: str, kind: str) -> str:
        n = int(self.n.sum())
        shown = [part for part in range(len(SPLITS)) if self.n[part]]
        if kind == "binary":
            parts = ", ".join(f"{SPLITS[p]} {100 * self.total[p, k] / self.n[p]:.1f} %" for p in shown)
            return f"{task}: {100 * self.total[:, k].sum() / n:.1f} % of {n} sequences positive ({parts})"
        parts = ", ".join(f"{SPLITS[p]} {self.total[p, k] / self.n[p]:.3g}" for p in shown)
        mean = self.total[:, k].sum() / n
        sd = np.sqrt(max(self.squares[:, k].sum() / n - mean**2, 0))
        return f"{task}: mean {mean:.3g}, standard deviation {sd:.3g} over {n} sequences ({parts})"


def tally_block(block: Block) -> Tally:
    """Sum up the labels of a block, and its sequences where they are short."""
    tally = tally_labels(block.labels, block.split)
    if block.codes.shape[1] > SHORT:
        return tally
    # A digit for each base, 0 beyond the end of a sequence.
    real = np.arange(block.codes.shape[1]) < block.lengths[:, None]
    words = np.where(real, block.codes.astype(np.int64) + 1, 0) @ 6 ** np.arange(block.codes.shape[1])
    return replace(tally, words=tuple(np.unique(words[block.split == part]) for part in range(len(SPLITS))))


def tally_labels(labels: Float[np.ndarray, "n tasks"], split: Int[np.ndarray, " n"]) -> Tally:
    """Sum up the labels of some sequences.

    Parameters
    ----------
    labels : array, (n, T)
        Their labels.
    split : array, (n,), int
        The part of each, as a number in ``SPLITS``.

    Returns
    -------
    Tally
    """
    values = labels.astype(np.float64)
    parts = [values[split == part] for part in range(len(SPLITS))]
    return Tally(
        np.array([len(part) for part in parts]),
        np.stack([part.sum(axis=0) for part in parts]),
        np.stack([(part**2).sum(axis=0) for part in parts]),
        np.stack([part.min(axis=0, initial=np.inf) for part in parts]),
        np.stack([part.max(axis=0, initial=-np.inf) for part in parts]),
    )
