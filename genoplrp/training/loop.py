"""The loop over epochs and batches: steps, validation, early stopping; knows neither files nor architectures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from genoplrp.errors import NonFiniteError
from genoplrp.training.batches import epoch_generator, shuffled_batches
from genoplrp.training.data import TrainingData
from genoplrp.training.kinds import Objective
from genoplrp.training.metrics import HEADLINES, evaluate
from genoplrp.training.model import raw_outputs
from genoplrp.training.options import Options


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Inside, dropout may draw from the global generators; afterwards they stand where they stood.

    Also asks cuDNN for its deterministic kernels, for the time being.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        if device.type == "cuda":
            stack.enter_context(torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True))
        yield


def fit_network(
    run: Run, *, after_epoch: Sequence[Callable[[Run], None]] = (), progress: bool = True
) -> pd.DataFrame:
    """Train in place until the run is finished; at the end the network holds the weights of its best epoch.

    Parameters
    ----------
    run
        A fresh or a resumed run.
    after_epoch
        Called with the run after each epoch (logs, the state on disk).
    progress
        Show a progress bar.

    Returns
    -------
    pandas.DataFrame
        One row per epoch: epoch, lr, train_loss, valid_loss, valid_<metric>, seconds, best; of several tasks
        valid_<metric> is their mean, and valid_<metric>/<task> stands beside it; of tasks of different kinds
        valid_score is the mean of each one's headline metric (AUROC, Pearson's r).
    """
    n_steps = run.steps_per_epoch * run.options.epochs
    done = run.steps_per_epoch * len(run.history)
    with tqdm(total=n_steps, initial=done, desc="train", unit="batch", disable=not progress) as bar:
        while not run.finished:
            run.epoch(bar)
            for call in after_epoch:
                call(run)
    run.restore_best()
    return run.history_frame()


class Run:
    """State of one training run between epochs.

    Everything random in epoch e is drawn from generators made of (seed, e), so this state, without any
    generator's, is all that a resumed run needs.
    """

    def __init__(
        self, network: nn.Module, data: TrainingData, objective: Objective, options: Options, seed: int
    ) -> None:
        self.network, self.data, self.objective, self.options, self.seed = (
            network,
            data,
            objective,
            options,
            seed,
        )
        self.device = next((p.device for p in network.parameters()), torch.device("cpu"))
        self.optimizer = _optimizer(network, options)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=options.precision == "float16")
        self.train_part = _on(self.device, *data.targets("train"))
        self.valid_part = _on(self.device, *data.targets("valid"))
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] = {}
        n, size = len(self.train_part[0]), options.batch_size
        self.steps_per_epoch = max(1, n // size + (n % size > 1))

    @property
    def finished(self) -> bool:
        """All epochs done, or none of the last ``patience`` brought an improvement."""
        done = len(self.history)
        if done >= self.options.epochs:
            return True
        return bool(self.options.patience) and done - self._best_index() > self.options.patience

    def epoch(self, bar: tqdm) -> None:
        """Train one epoch, validate, and keep the weights if they are the best so far."""
        started = time.perf_counter()
        number = len(self.history) + 1
        loss = self._train(number, bar)
        row = {"epoch": number, "lr": self.optimizer.param_groups[0]["lr"], "train_loss": loss}
        row |= self._validate()
        self.history.append(row | {"seconds": time.perf_counter() - started})
        if self._best_index() == number:
            self.best = {name: t.detach().clone() for name, t in self.network.state_dict().items()}
        headline = _headline(self.objective)
        bar.set_postfix(
            {"epoch": number, "valid loss": f"{row['valid_loss']:.4f}", headline: f"{row[headline]:.4f}"}
        )

    def restore_best(self) -> None:
        """Put the best epoch's weights into the network."""
        self.network.load_state_dict(self.best)

    def history_frame(self) -> pd.DataFrame:
        """History as a table; ``best`` marks the epoch whose weights are kept."""
        frame = pd.DataFrame(self.history)
        frame["best"] = frame["epoch"] == self._best_index()
        return frame

    def _train(self, number: int, bar: tqdm) -> float:
        options = self.options
        generator = epoch_generator(self.seed, number)
        _seed_dropout(self.device, generator)
        batches = shuffled_batches(
            *self.train_part,
            options.batch_size,
            generator,
            reverse_complement=options.reverse_complement,
            max_shift=options.max_shift,
        )
        self.network.train()
        total = torch.zeros((), dtype=torch.float64)
        step = (number - 1) * self.steps_per_epoch
        for done, (x, y) in enumerate(batches, start=1):
            total += self._step(x, y, options.lr_at(step + done, self.steps_per_epoch * options.epochs))
            bar.update()
        self.network.eval()
        loss = float(total) / self.steps_per_epoch
        if loss != loss or abs(loss) == float("inf"):
            raise NonFiniteError(
                f"The training loss is {loss} in epoch {number}: try a lower lr (now {options.lr})."
            )
        return loss

    def _step(self, x: Tensor, y: Tensor, lr: float) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)
        half = self.options.precision != "float32"
        with torch.autocast(self.device.type, dtype=getattr(torch, self.options.precision), enabled=half):
            output = self.network(x)
        loss = self.objective.loss(output.float(), y, self.options.label_smoothing)
        self.scaler.scale(loss).backward()
        if self.options.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        # Told without smoothing, so that it compares with the validation loss.
        told = (
            self.objective.loss(output.detach().float(), y) if self.options.label_smoothing else loss.detach()
        )
        return told.double().cpu()

    def _validate(self) -> dict[str, float]:
        codes, labels = self.valid_part
        output = raw_outputs(self.network, codes, 512)
        prediction = self.objective.prediction(output).cpu().numpy()
        figures = evaluate(prediction, labels.cpu().numpy(), self.objective.kinds, self.data.tasks)
        named = {f"valid_{k}": v for k, v in figures.items() if isinstance(v, float)}
        if _headline(self.objective) == "valid_score":
            each = [
                figures["tasks"][task][HEADLINES[kind]]
                for task, kind in zip(self.data.tasks, self.objective.kinds, strict=True)
            ]
            defined = [value for value in each if value == value]
            named["valid_score"] = sum(defined) / len(defined) if defined else float("nan")
        if len(self.data.tasks) > 1:  # the mean hides a task that is not learnt
            for task, kind in zip(self.data.tasks, self.objective.kinds, strict=True):
                metric = HEADLINES[kind]
                named[f"valid_{metric}/{task}"] = figures["tasks"][task][metric]
        return {"valid_loss": float(self.objective.loss(output, labels))} | named

    def _best_index(self) -> int:
        """Number of the best epoch so far (the first one at a tie); 0 before the first."""
        if not self.history:
            return 0
        if self.options.monitor == "loss":
            return 1 + min(range(len(self.history)), key=lambda i: self.history[i]["valid_loss"])
        headline = _headline(self.objective)
        return 1 + max(range(len(self.history)), key=lambda i: _or_lowest(self.history[i][headline]))


def _headline(objective: Objective) -> str:
    """Column of the history that stands for all tasks; of different kinds, the mean of each one's own metric."""
    metrics = {HEADLINES[kind] for kind in objective.kinds}
    return f"valid_{metrics.pop()}" if len(metrics) == 1 else "valid_score"


def _or_lowest(value: float) -> float:
    return value if value == value else -float("inf")


def _on(device: torch.device, codes: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(codes).to(device), torch.from_numpy(labels).to(device)


def _seed_dropout(device: torch.device, generator: torch.Generator) -> None:
    """Seed the (forked) global generators that dropout draws from."""
    drawn = int(torch.randint(2**62, (1,), generator=generator))
    torch.default_generator.manual_seed(drawn)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(drawn)


def _optimizer(network: nn.Module, options: Options) -> torch.optim.Optimizer:
    """AdamW; biases and normalisation are not decayed."""
    trained = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=options.lr)
