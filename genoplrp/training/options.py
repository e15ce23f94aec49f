"""How to train: one checked, frozen record of every setting, and the learning rate that follows from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import torch
from numpy.typing import ArrayLike

from genoplrp.errors import InputError, check_choice

if TYPE_CHECKING:
    from genoplrp.training.model import TrainedModel

SCHEDULES = ("onecycle", "cosine", "constant")
PRECISIONS = ("float32", "bfloat16", "float16")
MONITORS = ("loss", "score")


class TrainOptions(TypedDict, total=False):
    """What :func:`genoplrp.training.train_seeds` hands on to :func:`genoplrp.train`, where each is explained."""

    task: str | Sequence[str]
    parameters: Mapping[str, object] | None
    start_from: TrainedModel | str | Path | None
    tasks: Sequence[str] | None
    split: ArrayLike | None
    epochs: int
    batch_size: int
    lr: float
    schedule: str
    weight_decay: float
    patience: int
    monitor: str
    class_weight: str | None
    label_smoothing: float
    reverse_complement: bool
    max_shift: int
    clip_norm: float | None
    precision: str
    bootstrap: int
    device: str | torch.device | None
    log: str | Path | None
    tensorboard: str | Path | None


class FolderOptions(TrainOptions, total=False):
    """What :func:`genoplrp.training.train_to_folder` hands on, which keeps the state itself."""

    progress: bool


@dataclass(frozen=True)
class Options:
    """Settings of a training run; the meaning of each is told in :func:`genoplrp.train`."""

    epochs: int = 20
    batch_size: int = 128
    lr: float = 1e-2
    schedule: str = "onecycle"
    weight_decay: float = 1e-2
    patience: int = 6
    monitor: str = "loss"
    class_weight: str | None = None
    label_smoothing: float = 0.05
    reverse_complement: bool = False
    max_shift: int = 0
    clip_norm: float | None = 1.0
    precision: str = "float32"
    bootstrap: int = 1000

    def __post_init__(self) -> None:
        for name, least in (
            ("epochs", 1),
            ("batch_size", 2),
            ("patience", 0),
            ("max_shift", 0),
            ("bootstrap", 0),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"{name}={value!r}: a whole number of at least {least} is needed.")
        if not (isinstance(self.lr, int | float) and math.isfinite(self.lr) and self.lr > 0):
            raise InputError(f"lr={self.lr!r}: a positive number is needed, for example 0.001.")
        if self.weight_decay < 0:
            raise InputError(f"weight_decay={self.weight_decay!r}: must not be negative.")
        if not 0 <= self.label_smoothing < 1:
            raise InputError(f"label_smoothing={self.label_smoothing!r}: from 0 (none) to below 1.")
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise InputError(f"clip_norm={self.clip_norm!r}: a positive number, or None for no clipping.")
        check_choice("schedule", self.schedule, SCHEDULES)
        check_choice("monitor", self.monitor, MONITORS)
        check_choice("precision", self.precision, PRECISIONS)

    def check_precision(self, device: torch.device) -> None:
        """Refuse mixed precision where it does not pay: on CPUs it is slower, and crashes some of them."""
        if self.precision != "float32" and device.type != "cuda":
            raise InputError(
                f"precision={self.precision!r} needs a CUDA device, not {str(device)!r}; use 'float32'."
            )

    def lr_at(self, step: int, n_steps: int) -> float:
        """Learning rate at a step of ``n_steps``: a function of the step alone, so a resumed run needs no state.

        References
        ----------
        Smith & Topin 2019, *Super-convergence* ("onecycle": up over 30 % of the steps, then down along a cosine);
        Loshchilov & Hutter 2017, *SGDR* ("cosine").
        """
        if self.schedule == "constant":
            return self.lr
        done = step / max(n_steps, 1)
        if self.schedule == "cosine":
            return self.lr * _half_cosine(done)
        rise = 0.3
        if done < rise:
            return self.lr * (1 - 0.96 * _half_cosine(done / rise))
        return self.lr * max(_half_cosine((done - rise) / (1 - rise)), 1e-4)


def resolve_device(device: str | torch.device | None) -> torch.device:
    """The device to compute on: the first CUDA device if there is one and none is named, else the CPU.

    Raises
    ------
    InputError
        If the name is not a device's, or the device is not there.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"device={str(device)!r} cannot be used here ({reason}); 'cpu' can.") from error
    return resolved


def _half_cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
