"""Kinds of task: which loss trains each, what its output means, which labels it takes; no metric, no loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from genoplrp.errors import InputError

Kind = Literal["binary", "multiclass", "regression", "count", "profile"]
KINDS: tuple[str, ...] = get_args(Kind)

_OF_DATASET = {"binary": "binary", "count": "count", "real": "regression", "profile": "profile"}


def detect_kinds(labels: Float[np.ndarray, "n n_tasks"]) -> tuple[Kind, ...]:
    """The kind of each task, told from its labels.

    Two columns or more of 0 and 1 with exactly one 1 in every row are the classes of one "multiclass" task.
    Otherwise each column for itself: 0 and 1 only "binary", other whole numbers from 0 up "count", anything
    else "regression". NaN is a missing label.

    Examples
    --------
    >>> import numpy as np
    >>> from genoplrp.training.kinds import detect_kinds
    >>> detect_kinds(np.array([[1.0, 0.3], [0.0, -1.0]]))
    ('binary', 'regression')
    >>> detect_kinds(np.eye(2))
    ('multiclass', 'multiclass')
    """
    if exclusive(labels):
        return tuple(as_kind("multiclass") for _ in labels.T)
    return tuple(_kind_of_column(column) for column in labels.T)


def choose_kinds(
    task: str | Sequence[str], labels: Float[np.ndarray, "n n_tasks"], declared: Sequence[str] | None = None
) -> tuple[Kind, ...]:
    """The kind of each task as asked for, as the data set declares it, or as the labels look.

    Parameters
    ----------
    task
        "auto", one kind for all tasks, or one for each.
    labels
        (N, T) labels.
    declared
        Kinds that a data set carries ("binary", "count", "real", "profile"); kept by "auto", however the labels look.

    Raises
    ------
    InputError
        If a kind is not known, or there are too many or too few.
    """
    n_tasks = labels.shape[1]
    if task == "auto":
        if declared is None:
            return detect_kinds(labels)
        return tuple(as_kind(_OF_DATASET.get(kind, kind)) for kind in declared)
    names = [task] * n_tasks if isinstance(task, str) else list(task)
    if len(names) != n_tasks:
        raise InputError(f"task= names {len(names)} kinds, but there are {n_tasks} tasks.")
    kinds = tuple(as_kind(name) for name in names)
    if "profile" in kinds and set(declared or ()) != {"profile"}:
        raise InputError(
            "task=: 'profile' needs a data set whose tasks are profiles, with the reads at each base."
        )
    if "multiclass" in kinds and set(kinds) != {"multiclass"}:
        raise InputError("task=: 'multiclass' makes all columns the classes of one task; it cannot be mixed.")
    return kinds


def as_kind(name: str) -> Kind:
    """The kind of that name.

    Raises
    ------
    InputError
        If there is none.
    """
    if name not in KINDS:
        raise InputError(f"task={name!r}: choose 'auto' or one of {', '.join(KINDS)}.")
    return cast(Kind, name)


def check_labels(labels: Float[np.ndarray, "n n_tasks"], kinds: Sequence[Kind], tasks: Sequence[str]) -> None:
    """Refuse labels that the kinds of task cannot be trained on.

    Raises
    ------
    InputError
        Naming the task, the row and the value.
    """
    if "multiclass" in kinds and not exclusive(labels):
        raise InputError(
            "Multi-class labels need two columns or more with exactly one 1 in each row, 0 elsewhere, none missing."
        )
    for column, kind, task in zip(labels.T, kinds, tasks, strict=True):
        present = ~np.isnan(column)
        if not present.any():
            raise InputError(f"Task {task!r} has no label at all in the training part.")
        bad = np.zeros(len(column), dtype=bool)
        if kind == "binary":
            bad = present & (column != 0) & (column != 1)
        if kind == "count":
            bad = present & ((column < 0) | (column != np.round(column)))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            wanted = "0 or 1" if kind == "binary" else "a count (0, 1, 2, ...)"
            raise InputError(f"Label {column[row]:g} of task {task!r} (row {row}) is not {wanted}.")


@dataclass(frozen=True)
class Objective:
    """The loss of the tasks, with what it needs to know of the training labels.

    Attributes
    ----------
    kinds
        Kind of each of the T tasks.
    weight
        (T,) weight of the positives ("binary") or of the class ("multiclass"); 1: unweighted.
    mean, scale
        (T,) of the training labels ("regression": the network learns (label - mean) / scale; "profile": the log of
        label / mean); else 0 and 1.
    """

    kinds: tuple[Kind, ...]
    weight: tuple[float, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def fit(
        cls, labels: Float[np.ndarray, "n n_tasks"], kinds: Sequence[Kind], class_weight: str | None = None
    ) -> Objective:
        """Take scales and class weights from the training labels.

        Parameters
        ----------
        labels
            (N, T) labels of the training part.
        kinds
            Kind of each task.
        class_weight
            None, or "balanced": all classes have the same weight in the loss.
        """
        if class_weight not in (None, "balanced"):
            raise InputError(f"class_weight={class_weight!r}: choose None or 'balanced'.")
        columns = [column[~np.isnan(column)].astype(np.float64) for column in labels.T]
        scaled = [kind == "regression" for kind in kinds]
        centred = [kind in ("regression", "profile") for kind in kinds]
        return cls(
            kinds=tuple(kinds),
            weight=tuple(
                _balance(c, kind, len(kinds)) if class_weight else 1.0
                for c, kind in zip(columns, kinds, strict=True)
            ),
            mean=tuple(float(c.mean()) if yes else 0.0 for c, yes in zip(columns, centred, strict=True)),
            scale=tuple(
                float(c.std()) or 1.0 if yes else 1.0 for c, yes in zip(columns, scaled, strict=True)
            ),
        )

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Objective:
        """Make it again from the dictionary that a checkpoint's card holds."""
        floats = {name: tuple(float(v) for v in found[name]) for name in ("weight", "mean", "scale")}
        return cls(kinds=tuple(as_kind(kind) for kind in found["kinds"]), **floats)

    def loss(
        self,
        output: Float[Tensor, "n n_tasks ..."],
        labels: Float[Tensor, "n n_tasks ..."],
        smoothing: float = 0.0,
    ) -> Float[Tensor, ""]:
        """Mean loss over the labels that are not missing (NaN); of profiles, over the bases.

        Parameters
        ----------
        output
            (N, T) raw outputs; of profiles (N, T, 1 + L).
        labels
            (N, T) labels; of profiles (N, T, L).
        smoothing
            Share of each class label that is spread evenly over the classes.

        References
        ----------
        Szegedy et al. 2016, *Rethinking the Inception architecture* (label smoothing).
        """
        if self.kinds[0] == "profile":
            return _profile_loss(output, labels, _row(self.mean, output))
        weight = _row(self.weight, output)
        if self.kinds[0] == "multiclass":
            return F.cross_entropy(output, labels.argmax(dim=1), weight=weight, label_smoothing=smoothing)
        present = ~labels.isnan()
        target = (labels.nan_to_num(0.0) - _row(self.mean, output)) / _row(self.scale, output)
        each = torch.zeros_like(output)
        for kind in dict.fromkeys(self.kinds):
            of_kind = [i for i, k in enumerate(self.kinds) if k == kind]
            wanted = target[:, of_kind]
            if kind == "binary":
                wanted = wanted * (1 - smoothing) + smoothing / 2
            each[:, of_kind] = _losses(kind, output[:, of_kind], wanted, weight[of_kind])
        return (each * present).sum() / present.sum().clamp(min=1)

    def prediction(self, output: Float[Tensor, "n n_tasks ..."]) -> Float[Tensor, "n n_tasks ..."]:
        """Raw outputs on the scale of the labels: probabilities, values, expected counts (of profiles, by base)."""
        if self.kinds[0] == "profile":
            total = output[:, :, :1].exp() * _row(self.mean, output)[:, None]
            return total * output[:, :, 1:].softmax(dim=2)
        if self.kinds[0] == "multiclass":
            return output.softmax(dim=1)
        columns = []
        for i, kind in enumerate(self.kinds):
            column = output[:, i]
            if kind == "binary":
                column = column.sigmoid()
            elif kind == "count":
                column = column.exp()
            else:
                column = column * self.scale[i] + self.mean[i]
            columns.append(column)
        return torch.stack(columns, dim=1)


def _profile_loss(
    output: Float[Tensor, "n n_tasks values"], reads: Float[Tensor, "n n_tasks length"], mean: Tensor
) -> Float[Tensor, ""]:
    """Poisson loss of the sum, multinomial loss of how it is spread: together the Poisson loss of every base.

    Divided by the number of bases, so that it does not depend on the length.
    """
    log_total = output[:, :, 0] + mean.clamp(min=1e-6).log()
    of_sum = F.poisson_nll_loss(log_total, reads.sum(dim=2), log_input=True, reduction="none")
    of_shape = -(reads * output[:, :, 1:].log_softmax(dim=2)).sum(dim=2)
    return (of_sum + of_shape).mean() / reads.shape[2]


def _losses(kind: str, output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    if kind == "binary":
        return F.binary_cross_entropy_with_logits(output, target, pos_weight=weight, reduction="none")
    if kind == "count":
        return F.poisson_nll_loss(output, target, log_input=True, reduction="none")
    return (output - target).square()


def _balance(column: np.ndarray, kind: Kind, n_tasks: int) -> float:
    positive = float(np.maximum(column.sum(), 1))
    if kind == "multiclass":
        return len(column) / (n_tasks * positive)
    return max(len(column) - positive, 1.0) / positive if kind == "binary" else 1.0


def exclusive(labels: np.ndarray) -> bool:
    """Whether the columns could be classes: two or more, exactly one 1 in each row."""
    return bool(labels.shape[1] > 1 and np.isin(labels, (0.0, 1.0)).all() and (labels.sum(axis=1) == 1).all())


def _kind_of_column(column: np.ndarray) -> Kind:
    known = column[~np.isnan(column)]
    if np.isin(known, (0.0, 1.0)).all():
        return "binary"
    return "count" if ((known >= 0) & (known == np.round(known))).all() else "regression"


def _row(values: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)
