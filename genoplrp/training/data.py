"""What the trainer reads: data sets, arrays and sequences brought into one compact form; no loss, no network."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import ArrayLike

from genoplrp.errors import InputError
from genoplrp.sequence import check_one_hot, encode_codes, encode_padded, one_hot_to_codes

if TYPE_CHECKING:
    from genoplrp.synthetic import Dataset

SPLITS = ("train", "valid", "test")

DataLike: TypeAlias = "Dataset | TrainingData | str | Path | tuple[ArrayLike | Sequence[str], ArrayLike]"


@dataclass(frozen=True)
class TrainingData:
    """Sequences as base codes, their labels and their split.

    Attributes
    ----------
    codes
        (N, L) uint8: 0 to 3 for A C G T, 4 for anything else. A fortieth of the size of float32 one-hot.
    labels
        (N, T) float32; NaN where a label is missing.
    tasks
        T names.
    split
        (N,) of "train", "valid", "test".
    checksum
        SHA-256 of sequences, labels, tasks and split; of a data set, its own.
    kinds
        What a data set declares of each task: "binary", "count", "real" or "profile".
    profiles
        (N, T, L) float32: reads at each base, of a data set whose tasks are all profiles; their labels are the sums.
    """

    codes: UInt8[np.ndarray, "n length"]
    labels: Float[np.ndarray, "n n_tasks"]
    tasks: tuple[str, ...]
    split: np.ndarray
    checksum: str
    kinds: tuple[str, ...] | None = None
    profiles: Float[np.ndarray, "n n_tasks length"] | None = None

    @property
    def length(self) -> int:
        """Length of the sequences (bp)."""
        return int(self.codes.shape[1])

    def part(self, name: str) -> tuple[UInt8[np.ndarray, "m length"], Float[np.ndarray, "m n_tasks"]]:
        """Codes and labels of one part of the split."""
        chosen = self.split == name
        return self.codes[chosen], self.labels[chosen]

    def targets(self, name: str) -> tuple[UInt8[np.ndarray, "m length"], Float[np.ndarray, "m n_tasks ..."]]:
        """Codes of one part of the split, and what the network is to learn of them: labels, or profiles."""
        codes, labels = self.part(name)
        return codes, labels if self.profiles is None else self.profiles[self.split == name]


def read_training_data(
    data: DataLike,
    *,
    tasks: Sequence[str] | None = None,
    split: ArrayLike | None = None,
    seed: int = 0,
) -> TrainingData:
    """Bring a data set, a data set's directory, or (X, y) into the form that the trainer works on.

    Parameters
    ----------
    data
        A :class:`genoplrp.Dataset`, the directory of one, or a pair of inputs and labels: inputs as one-hot
        (N, 4, L) or as N strings of equal length, labels (N,) or (N, T), NaN where missing.
    tasks
        T names, for a pair. Default: "task0", "task1", ...
    split
        "train", "valid" or "test" per sequence, for a pair. Default: 80 / 10 / 10 %, drawn from ``seed``;
        sequences that stand more than once (also as each other's reverse complement) stay in one part.
    seed
        Seed of a split that has to be drawn.

    Returns
    -------
    TrainingData

    Raises
    ------
    InputError
        If shapes, types, values or the split do not make sense.

    Examples
    --------
    >>> from genoplrp.training import read_training_data
    >>> split = ["train", "train", "valid", "test"]
    >>> data = read_training_data((["ACGG", "TTTT", "CCGA", "GGGG"], [1, 0, 1, 0]), split=split)
    >>> data.codes.shape, data.tasks
    ((4, 4), ('task0',))
    """
    if isinstance(data, TrainingData):
        return data
    if isinstance(data, str | Path):
        from genoplrp.synthetic import Dataset

        data = Dataset.load(data)
    if isinstance(data, tuple | list):
        if len(data) != 2:
            raise InputError(f"A pair (X, y) is needed; got {len(data)} items.")
        return _from_pair(data[0], data[1], tasks, split, seed)
    if not all(hasattr(data, name) for name in ("sequences", "labels", "tasks", "split", "kinds")):
        raise InputError(
            f"Cannot train on {type(data).__name__}: pass a Dataset, the directory of one, or a pair (X, y)."
        )
    if tasks is not None or split is not None:
        raise InputError("tasks= and split= are for a pair (X, y); a Dataset carries its own.")
    return _from_dataset(data, seed)


def encode(X: Any) -> UInt8[np.ndarray, "n length"]:
    """Base codes of one-hot (array or tensor) or of strings, checked at the door.

    Examples
    --------
    >>> from genoplrp.training.data import encode
    >>> encode(["ACGTN"]).tolist()
    [[0, 1, 2, 3, 4]]
    """
    if isinstance(X, str):
        X = [X]
    if isinstance(X, Sequence) and all(isinstance(s, str) for s in X):
        return encode_codes(X)
    if hasattr(X, "detach"):
        X = X.detach().cpu().numpy()
    check_one_hot(X)
    return one_hot_to_codes(X)


def draw_split(
    codes: UInt8[np.ndarray, "n length"], seed: int, shares: Sequence[float] = (0.8, 0.1, 0.1)
) -> np.ndarray:
    """Parts at random; equal sequences and reverse complements of each other stay together.

    Parameters
    ----------
    codes
        (N, L) base codes.
    seed
        Seed of the draw.
    shares
        Shares of train, valid and test.

    Examples
    --------
    >>> from genoplrp.training.data import draw_split, encode
    >>> parts = draw_split(encode(["ACGG", "CCGT", "AAAA", "CCCC"]), seed=0)
    >>> bool(parts[0] == parts[1])
    True
    """
    group = group_of_equals(codes)
    order = np.random.default_rng(seed).permutation(group.max() + 1)
    bounds = np.floor(np.cumsum(shares)[:-1] * len(order) + 0.5).astype(int)
    part_of_group = np.empty(len(order), dtype=int)
    for part, members in enumerate(np.split(order, bounds)):
        part_of_group[members] = part
    parts: np.ndarray = np.array(SPLITS)[part_of_group[group]]
    return parts


def _from_dataset(data: Any, seed: int) -> TrainingData:
    codes = encode_padded(data.sequences)
    labels = np.asarray(data.labels, dtype=np.float32)
    read = _assemble(codes, labels, tuple(data.tasks), data.split, seed)
    kinds, profiles = tuple(data.kinds), None
    if "profile" in kinds:
        if set(kinds) != {"profile"}:
            others = [task for task, kind in zip(data.tasks, kinds, strict=True) if kind != "profile"]
            raise InputError(
                f"Profiles cannot be trained together with {', '.join(others)}: a network for profiles has a value for "
                "each base. Make a data set of the profile tasks alone."
            )
        profiles = np.stack([data.profile(task) for task in data.tasks], axis=1).astype(np.float32)
    return replace(read, checksum=data.checksum(), kinds=kinds, profiles=profiles)


def _from_pair(
    X: Any, y: Any, tasks: Sequence[str] | None, split: ArrayLike | None, seed: int
) -> TrainingData:
    codes = encode(X)
    if hasattr(y, "detach"):
        y = y.detach().cpu().numpy()
    try:
        labels = np.asarray(y, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"Labels must be numbers, (N,) or (N, T): {error}") from error
    if labels.ndim == 1:
        labels = labels[:, None]
    names = tuple(tasks) if tasks is not None else tuple(f"task{i}" for i in range(labels.shape[-1]))
    return _assemble(codes, labels, names, split, seed)


def _assemble(
    codes: UInt8[np.ndarray, "n length"],
    labels: Float[np.ndarray, "n n_tasks"],
    tasks: tuple[str, ...],
    split: ArrayLike | None,
    seed: int,
) -> TrainingData:
    if labels.ndim != 2 or len(labels) != len(codes):
        raise InputError(
            f"Labels of shape {labels.shape} do not fit {len(codes)} sequences: (N, T) is needed."
        )
    if labels.shape[1] != len(tasks) or not tasks:
        raise InputError(f"{labels.shape[1]} label columns, but {len(tasks)} task names: {', '.join(tasks)}.")
    if len(set(tasks)) != len(tasks):
        raise InputError(f"Task names repeat: {', '.join(tasks)}; name each task differently.")
    if np.isinf(labels).any():
        row = int(np.flatnonzero(np.isinf(labels).any(axis=1))[0])
        raise InputError(f"Labels hold infinity, first in row {row}; use NaN for a missing label.")
    parts = draw_split(codes, seed) if split is None else np.asarray(split, dtype=str)
    if parts.shape != (len(codes),):
        raise InputError(
            f"split has shape {parts.shape}; one of {SPLITS} per sequence ({len(codes)}) is needed."
        )
    strange = sorted(set(parts.tolist()) - set(SPLITS))
    if strange:
        raise InputError(f"split holds {strange[0]!r}; allowed are {', '.join(SPLITS)}.")
    checksum = _checksum(codes, labels, tasks, parts)
    if not (parts == "valid").any() and (parts == "train").any():
        parts = _take_valid_from_train(codes, parts, seed)
    for part in ("train", "valid"):
        if not (parts == part).any():
            raise InputError(
                f"No sequence is in the {part} part of the split; training needs train and valid."
            )
    return TrainingData(codes, np.ascontiguousarray(labels), tasks, parts, checksum)


def _take_valid_from_train(codes: UInt8[np.ndarray, "n length"], parts: np.ndarray, seed: int) -> np.ndarray:
    parts = parts.astype("<U5")
    train = np.flatnonzero(parts == "train")
    drawn = draw_split(codes[train], seed, (0.9, 0.1, 0.0))
    parts[train[drawn == "valid"]] = "valid"
    return parts


def group_of_equals(codes: UInt8[np.ndarray, "n length"]) -> np.ndarray:
    """Number sequences so that equal ones, also as each other's reverse complement, have the same number."""
    flipped = np.ascontiguousarray(codes[:, ::-1])
    reverse = np.where(flipped < 4, 3 - flipped, flipped).astype(codes.dtype)
    groups: dict[bytes, int] = {}
    out = np.empty(len(codes), dtype=np.int64)
    for i, (forward, backward) in enumerate(zip(np.ascontiguousarray(codes), reverse, strict=True)):
        key = min(forward.tobytes(), backward.tobytes())
        out[i] = groups.setdefault(key, len(groups))
    return out


def _checksum(
    codes: UInt8[np.ndarray, "n length"],
    labels: Float[np.ndarray, "n n_tasks"],
    tasks: tuple[str, ...],
    split: np.ndarray,
) -> str:
    digest = hashlib.sha256()
    digest.update(np.ascontiguousarray(codes).tobytes())
    digest.update(np.ascontiguousarray(labels, dtype="<f4").tobytes())
    digest.update("\t".join(tasks).encode())
    digest.update("\n".join(split.tolist()).encode())
    return digest.hexdigest()
