"""What training hands back: the network with what is known about it; predicting; no fitting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from numpy.typing import ArrayLike
from torch import Tensor, nn
from tqdm.auto import tqdm

from genoplrp.errors import InputError, NonFiniteError
from genoplrp.training.batches import one_hot
from genoplrp.training.data import encode
from genoplrp.training.kinds import Objective


@dataclass
class TrainedModel:
    """A trained network, its tasks, and how it was trained.

    Attributes
    ----------
    model
        ``torch.nn.Module`` from one-hot (N, 4, L) to raw outputs (N, T); in evaluation mode. Raw outputs are
        logits ("binary", "multiclass"), standardised values ("regression") or log rates ("count"); of profiles
        (N, T, 1 + L), see :class:`genoplrp.training.profile_network.BPNetProfile`.
    architecture
        Name of a reference architecture, or the class of the user's own module.
    parameters
        Parameters of the architecture; empty for the user's own module.
    tasks
        T names.
    objective
        Kinds of task, with the scales that turn raw outputs into predictions.
    length
        Length of the sequences that it was trained on (bp).
    seed
        Seed of initial weights, order and augmentation.
    metrics
        For "valid" and "test" the figures of :func:`genoplrp.training.evaluate`.
    history
        One row per epoch: losses and validation metrics.
    provenance
        Options of the training, checksum of the data, versions.
    """

    model: nn.Module
    architecture: str
    parameters: dict[str, Any]
    tasks: tuple[str, ...]
    objective: Objective
    length: int
    seed: int
    metrics: dict[str, Any] = field(default_factory=dict)
    history: pd.DataFrame = field(default_factory=pd.DataFrame)
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kind of each task: "binary", "multiclass", "regression", "count" or "profile"."""
        return self.objective.kinds

    def predict(
        self, X: ArrayLike | Tensor, *, batch_size: int = 512, progress: bool = False
    ) -> Float[np.ndarray, "n n_tasks ..."]:
        """Predictions on the scale of the labels: probabilities, values or expected counts; of profiles (N, T, L).

        Parameters
        ----------
        X
            (N, 4, L) one-hot (array or tensor), or N sequences as strings.
        batch_size
            Sequences at a time.
        progress
            Show a progress bar.

        Raises
        ------
        InputError
            If X is not one-hot or has another length than the training sequences.
        """
        output = torch.from_numpy(self.logits(X, batch_size=batch_size, progress=progress))
        return self.objective.prediction(output).numpy()

    def logits(
        self, X: ArrayLike | Tensor, *, batch_size: int = 512, progress: bool = False
    ) -> Float[np.ndarray, "n n_tasks ..."]:
        """Raw outputs of the network, what an explanation starts from; parameters as in :meth:`predict`."""
        codes = encode(X)
        if codes.shape[1] != self.length:
            raise InputError(
                f"The sequences have {codes.shape[1]} bp, the model was trained on {self.length} bp: cut or pad them."
            )
        return raw_outputs(self.model, torch.from_numpy(codes), batch_size, progress=progress).cpu().numpy()

    def metrics_table(self) -> pd.DataFrame:
        """The metrics as a tidy table: part, task ("all": mean over the tasks), metric, value, low, high."""
        rows = []
        for part, figures in self.metrics.items():
            rows += _rows(part, "all", figures)
            for task, of_task in figures["tasks"].items():
                rows += _rows(part, task, of_task)
        return pd.DataFrame(rows, columns=["part", "task", "metric", "value", "low", "high"])

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the checkpoint directory; see :func:`genoplrp.training.save_model`."""
        from genoplrp.training.checkpoint import save_model

        return save_model(self, path, overwrite=overwrite)


def raw_outputs(
    model: nn.Module, codes: UInt8[Tensor, "n length"], batch_size: int, *, progress: bool = False
) -> Float[Tensor, "n n_tasks ..."]:
    """Outputs of the network in evaluation mode, without gradients; its mode is put back afterwards.

    Raises
    ------
    NonFiniteError
        If an output is NaN or infinite.
    """
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    batches = tqdm(codes.split(batch_size), desc="predict", unit="batch", disable=not progress, leave=False)
    with evaluating(model), torch.no_grad():
        output = torch.cat([model(one_hot(batch.to(device))).float() for batch in batches])
    if not output.isfinite().all():
        row = int((~output.isfinite()).flatten(1).any(dim=1).nonzero()[0])
        raise NonFiniteError(
            f"The network's output for sequence {row} is not finite: {output[row].tolist()}; "
            "check its weights and the input."
        )
    return output


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, every module's own mode afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _rows(part: str, task: str, figures: dict[str, Any]) -> list[tuple[str, str, str, float, float, float]]:
    rows = []
    for name, value in figures.items():
        if name in ("n", "tasks") or name.endswith("_interval") or not isinstance(value, float):
            continue
        low, high = figures.get(f"{name}_interval", (float("nan"), float("nan")))
        rows.append((part, task, name, value, low, high))
    return rows
