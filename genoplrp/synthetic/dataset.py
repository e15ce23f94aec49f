"""The data set: sequences, labels, split and the planted instances where there are any; not how it is made.

Real data (sequences and labels, no instances) is held by the same class: :meth:`Dataset.from_sequences`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from genoplrp.errors import InputError
from genoplrp.sequence import codes_to_one_hot, encode_codes, encode_padded
from genoplrp.synthetic.checks import check_kinds, check_labels, check_names, check_rows, check_tasks
from genoplrp.synthetic.masks import matters_for, spread, weigh
from genoplrp.synthetic.splits import SPLITS, check_split, split_by_sequence
from genoplrp.thumbnails import thumbnail
from genoplrp.wording import counted

if TYPE_CHECKING:
    import pandas as pd

    from genoplrp.synthetic.motifs import Motif
    from genoplrp.synthetic.spec import Spec

#: Columns of an instance table.
INSTANCE_COLUMNS = ("sequence", "start", "end", "motif", "strand", "role", "score", "site", "tasks")

Kind = Literal["binary", "count", "real", "profile"]


@dataclass(eq=False, repr=False)
class Dataset:
    """Sequences with labels, their split, and the planted truth where it is known.

    Attributes
    ----------
    sequences : list of str
        N sequences, letters as they are (upper or lower case).
    labels : array, (N, T), float32
        One column per task; NaN where a label of real data is missing.
    tasks : list of str
        The T tasks' names.
    split : array, (N,), str
        "train", "valid" or "test" for each sequence.
    names : list of str
        One name per sequence.
    kinds : list of str
        What each task's label is: "binary", "count", "real" or "profile" (the label is the sum of a profile).
    instances : pandas.DataFrame
        Planted motif instances, one per row: ``sequence`` (index into the lists above), ``start``, ``end``
        (0-based, half-open), ``motif``, ``strand``, ``role`` ("core"; "inhibitor" or "repressor" where it only
        lowers the labels, those of rules or others; "decoy"; "broken"), ``score`` (log-odds of the planted letters
        under the PWM, bits), ``site`` (the grammar site it belongs to, or "") and ``tasks`` (names of the tasks for
        which it matters, joined with commas). Empty for real data.
    clean : array, (N, T), float32, or None
        The labels before noise, where a task is noisy.
    classes : array, (N,), str, or None
        The class of the specification that each sequence was drawn from.
    motifs : dict of str to Motif
        The planted motifs.
    spec : Spec or None
        The specification of the data set.
    seed : int or None
        The seed of the simulation.
    report : dict
        Counts of the generator (redrawn sequences, accidental hits, flipped labels).
    sources : pandas.DataFrame or None
        Origin of each sequence (or of its background), if it is part of a longer one: ``chrom``, ``start``, ``end``
        (0-based, half-open), ``strand``; one row per sequence.
    profiles : array, (N, P, L), or None
        Reads at each base for each of the P tasks of the kind "profile", in their order; see :meth:`profile`.

    Examples
    --------
    >>> data = Dataset.from_sequences(["ACGT", "TTTT", "GGGG"], [1, 0, 1], split=["train", "valid", "test"])
    >>> data.one_hot().shape, data.labels.shape, data.tasks
    ((3, 4, 4), (3, 1), ['label'])
    >>> data.subset("train").sequences
    ['ACGT']
    """

    sequences: list[str]
    labels: Float[np.ndarray, "n tasks"]
    tasks: list[str]
    split: np.ndarray
    names: list[str]
    kinds: list[Kind]
    instances: pd.DataFrame
    clean: Float[np.ndarray, "n tasks"] | None = None
    classes: np.ndarray | None = None
    motifs: dict[str, Motif] = field(default_factory=dict)
    spec: Spec | None = None
    seed: int | None = None
    report: dict[str, Any] = field(default_factory=dict)
    profiles: Num[np.ndarray, "n profiles length"] | None = None
    sources: pd.DataFrame | None = None

    @classmethod
    def from_sequences(
        cls,
        sequences: Sequence[str],
        labels: Any,
        tasks: Sequence[str] | None = None,
        split: Sequence[str] | Mapping[str, float] | np.ndarray | None = None,
        names: Sequence[str] | None = None,
        *,
        kinds: Sequence[Kind] | None = None,
        seed: int = 0,
    ) -> Dataset:
        """Make a data set of sequences and labels that come from elsewhere.

        Parameters
        ----------
        sequences : sequence of str
            N sequences of equal length.
        labels : array-like, (N,) or (N, T)
            Finite numbers, NaN where missing.
        tasks : sequence of str, optional
            T names; ``label``, or ``label0``, ``label1``, ... by default.
        split : sequence of str, or mapping of part to fraction, optional
            The part of each sequence, or fractions such as ``{"train": .8, "valid": .1, "test": .1}`` (the
            default), drawn over *distinct* sequences, so that no sequence stands in two parts.
        names : sequence of str, optional
            N different names; ``seq0``, ``seq1``, ... by default.
        kinds : sequence of {"binary", "count", "real"}, optional
            What each label is; by default "binary" where only 0 and 1 occur, else "real".
        seed : int, default 0
            Seed of the split where it is drawn.

        Returns
        -------
        Dataset
            Without instances.

        Raises
        ------
        InputError
            If lengths or counts do not fit, a letter is not a nucleotide, a label is infinite, a task has no label at
            all, or names repeat.
        """
        many = list(sequences)
        encode_codes(many)
        array = check_labels(labels, len(many), missing=True)
        task_names = check_tasks(tasks, array.shape[1])
        names = check_names(names, len(many))
        if split is None or isinstance(split, Mapping):
            split = split_by_sequence(many, split or {"train": 0.8, "valid": 0.1, "test": 0.1}, seed=seed)
        parts = check_split(split, len(many))
        return cls(
            many, array, task_names, parts, names, check_kinds(kinds, array, task_names), no_instances()
        )

    def __len__(self) -> int:
        return len(self.sequences)

    def __repr__(self) -> str:
        origin = f"{self.spec.name}, seed {self.seed}" if self.spec is not None else "no specification"
        counts = ", ".join(f"{part} {int((self.split == part).sum())}" for part in SPLITS)
        return (
            f"<Dataset: {counted(len(self), 'sequence')} of {self.length} bp, tasks {', '.join(self.tasks)}, "
            f"{len(self.instances)} instances, {counts} ({origin})>"
        )

    def _repr_html_(self) -> str | None:
        """Show parts, tasks and one sequence with what is planted in it, in a notebook."""
        return thumbnail(self)

    @property
    def length(self) -> int:
        """Number of positions L of the arrays: the length of the longest sequence, in bp."""
        return max(map(len, self.sequences), default=0)

    @property
    def lengths(self) -> Int[np.ndarray, " n"]:
        """Length of each sequence, in bp."""
        return np.fromiter(map(len, self.sequences), dtype=np.int64, count=len(self))

    def one_hot(self, dtype: np.typing.DTypeLike = np.float32) -> Num[np.ndarray, "n 4 length"]:
        """One-hot of all sequences, (N, 4, L); shorter sequences end in zero columns."""
        return codes_to_one_hot(encode_padded(self.sequences), dtype)

    def mask(self, task: int | str = 0) -> Bool[np.ndarray, "n length"]:
        """Positions of the planted motifs that matter for a task.

        Parameters
        ----------
        task : int or str, default 0
            Number or name of the task.

        Returns
        -------
        array, (N, L), bool
            True inside every instance whose motif or grammar site the task's rule names, whatever the label.
            Decoys and sites with a broken grammar are outside.
        """
        table = self.instances_of(task)
        return spread(self, table, np.ones(len(table))) > 0

    def information(self, task: int | str = 0) -> Float[np.ndarray, "n length"]:
        """Weigh the truth by information: bits of the planted PWM's column at each position, else 0.

        Parameters
        ----------
        task : int or str, default 0
            Number or name of the task.

        Returns
        -------
        array, (N, L), float32
            Information content in bits, 0 to 2.

        References
        ----------
        Schneider et al., *J. Mol. Biol.* 188, 1986 (2 - entropy, without small-sample correction).
        """
        table = self.instances_of(task)
        return weigh(self, table, np.ones(len(table)))

    def signed_mask(self, task: int | str = 0) -> Int[np.ndarray, "n length"]:
        """Positions of :meth:`mask`, with the sign of what stands there.

        Parameters
        ----------
        task : int or str, default 0
            Number or name of the task.

        Returns
        -------
        array, (N, L), int8
            +1 inside what speaks for a higher label, -1 inside what speaks for a lower one; see `polarity`.
        """
        return np.asarray(np.sign(spread(self, self.instances, self._signs(task))), dtype=np.int8)

    def signed_weights(self, task: int | str = 0) -> Float[np.ndarray, "n length"]:
        """Weigh the signed mask by information: :meth:`information` with the signs of :meth:`signed_mask`."""
        return weigh(self, self.instances, self._signs(task))

    def site_effects(self, task: int | str = 0) -> pd.DataFrame:
        """What each instance is worth; see :func:`genoplrp.synthetic.effects.site_effects`."""
        from genoplrp.synthetic.effects import site_effects

        return site_effects(self, task)

    def pair_effects(self, task: int | str = 0) -> pd.DataFrame:
        """What pairs of instances are worth; see :func:`genoplrp.synthetic.effects.pair_effects`."""
        from genoplrp.synthetic.effects import pair_effects

        return pair_effects(self, task)

    def base_effects(self, task: int | str = 0, *, progress: bool = False) -> Float[np.ndarray, "n length"]:
        """What each base is worth; see :func:`genoplrp.synthetic.substitutions.base_effects`."""
        from genoplrp.synthetic.substitutions import base_effects

        return base_effects(self, task, progress=progress)

    def profile(self, task: int | str = 0) -> Num[np.ndarray, "n length"]:
        """Reads at each base, (N, L), for a task of the kind "profile"; 0 beyond a sequence's own end.

        Raises
        ------
        InputError
            If there is no such task, or it has no profile.
        """
        index = self.task_index(task)
        if self.kinds[index] != "profile" or self.profiles is None:
            raise InputError(
                f"Task {self.tasks[index]!r} is {self.kinds[index]}: it has no profile; name one that has."
            )
        return self.profiles[:, self.kinds[:index].count("profile"), : self.length]

    def instances_of(self, task: int | str = 0) -> pd.DataFrame:
        """Rows of the instance table that matter for a task (the positions of :meth:`mask`)."""
        return self.instances[matters_for(self.instances, self.tasks[self.task_index(task)])]

    def derivation(self, index: int) -> pd.DataFrame:
        """Why a sequence has its labels; see :func:`genoplrp.synthetic.derivation.derive`."""
        from genoplrp.synthetic.derivation import derive

        return derive(self, index)

    def accidental_hits(
        self, motifs: Sequence[str] | None = None, p_value: float | None = None
    ) -> pd.DataFrame:
        """Hits that nobody planted; see :func:`genoplrp.synthetic.accidental.accidental_hits`."""
        from genoplrp.synthetic.accidental import accidental_hits

        return accidental_hits(self, motifs, p_value)

    def task_index(self, task: int | str) -> int:
        """Return the number of a task given by number or name; InputError if there is none."""
        if isinstance(task, str):
            if task in self.tasks:
                return self.tasks.index(task)
        elif 0 <= int(task) < len(self.tasks):
            return int(task)
        raise InputError(
            f"There is no task {task!r}; this data set has {len(self.tasks)}: "
            + ", ".join(f"{i} = {name}" for i, name in enumerate(self.tasks))
        )

    def subset(self, which: str | Sequence[int] | np.ndarray | slice) -> Dataset:
        """Part of the data set, with the instance table renumbered.

        Parameters
        ----------
        which : str, indices, boolean mask or slice
            "train", "valid" or "test", or the sequences to keep, in that order.

        Returns
        -------
        Dataset

        Raises
        ------
        InputError
            If the part has another name, an index is out of range or repeats.
        """
        rows = check_rows(which, self.split)
        place = np.full(len(self), -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        table = self.instances
        if len(table):
            new = place[table["sequence"].to_numpy()]
            table = table.assign(sequence=new)[new >= 0].sort_values(
                "sequence", kind="stable", ignore_index=True
            )
            named = table.select_dtypes("category").columns
            table = table.assign(**{name: table[name].cat.remove_unused_categories() for name in named})
        return Dataset(
            sequences=[self.sequences[row] for row in rows],
            labels=self.labels[rows],
            tasks=list(self.tasks),
            split=self.split[rows],
            names=[self.names[row] for row in rows],
            kinds=list(self.kinds),
            instances=table,
            clean=None if self.clean is None else self.clean[rows],
            classes=None if self.classes is None else self.classes[rows],
            motifs=self.motifs,
            spec=self.spec,
            seed=self.seed,
            report={"subset_of": len(self)} | self.report,
            profiles=None if self.profiles is None else self.profiles[rows],
            sources=None if self.sources is None else self.sources.iloc[rows].reset_index(drop=True),
        )

    def checksum(self) -> str:
        """SHA-256 over sequences, labels, split, tasks and profiles; the sequences' names do not count."""
        digest = hashlib.sha256("\t".join(self.tasks).encode())
        for sequence in self.sequences:
            digest.update(sequence.encode() + b"\n")
        digest.update(np.ascontiguousarray(self.labels, dtype="<f4").tobytes())
        digest.update("\n".join(self.split.tolist()).encode())
        for task in (task for task, kind in zip(self.tasks, self.kinds, strict=True) if kind == "profile"):
            digest.update(np.ascontiguousarray(self.profile(task), dtype="<f4").tobytes())
        return digest.hexdigest()

    @property
    def noisy(self) -> Bool[np.ndarray, " tasks"]:
        """Which tasks have labels before noise that are kept beside the labels."""
        if self.spec is None or self.clean is None:
            return np.zeros(len(self.tasks), dtype=bool)
        return np.array([task.noisy for task in self.spec.tasks])

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        compress: bool = False,
        parquet: bool = False,
        truth: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Write the data set as a folder; see :func:`genoplrp.synthetic.storage.save_dataset`."""
        from genoplrp.synthetic.storage import save_dataset

        save_dataset(self, path, compress=compress, parquet=parquet, truth=truth, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Dataset:
        """Read a data set's folder, or a simdata file; see :func:`genoplrp.synthetic.storage.load_dataset`."""
        from genoplrp.synthetic.storage import load_dataset

        return load_dataset(path)

    def _signs(self, task: int | str) -> Int[np.ndarray, " instances"]:
        from genoplrp.synthetic.polarity import instance_signs

        return instance_signs(self)[:, self.task_index(task)]


def no_instances() -> pd.DataFrame:
    """Make an instance table without rows."""
    import pandas as pd

    kinds = {"sequence": np.int64, "start": np.int64, "end": np.int64, "score": np.float32}
    return pd.DataFrame({name: pd.Series(dtype=kinds.get(name, "category")) for name in INSTANCE_COLUMNS})
