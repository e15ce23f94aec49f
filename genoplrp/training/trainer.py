"""Training a network on labelled sequences, from the data to a :class:`TrainedModel`; the loop is in ``loop``."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import torch
from numpy.typing import ArrayLike
from torch import nn

from genoplrp.errors import InputError
from genoplrp.training.architectures import ARCHITECTURES, build_architecture
from genoplrp.training.data import DataLike, TrainingData, read_training_data
from genoplrp.training.kinds import Objective, check_labels, choose_kinds
from genoplrp.training.logs import Logger, csv_logger, tensorboard_logger
from genoplrp.training.loop import Run, fit_network, own_randomness
from genoplrp.training.metrics import evaluate
from genoplrp.training.model import TrainedModel, evaluating, raw_outputs
from genoplrp.training.options import Options, resolve_device
from genoplrp.training.readiness import FEWEST_FOR_INTERVAL, check_learnable, monitored
from genoplrp.training.resume import restore_state, run_identity, save_state
from genoplrp.training.transfer import take_over
from genoplrp.version import __version__

Architecture: TypeAlias = str | nn.Module | Callable[[int], nn.Module]


def train(
    data: DataLike,
    architecture: Architecture = "koo",
    seed: int = 0,
    *,
    task: str | Sequence[str] = "auto",
    parameters: Mapping[str, object] | None = None,
    start_from: TrainedModel | str | Path | None = None,
    tasks: Sequence[str] | None = None,
    split: ArrayLike | None = None,
    epochs: int = Options.epochs,
    batch_size: int = Options.batch_size,
    lr: float = Options.lr,
    schedule: str = Options.schedule,
    weight_decay: float = Options.weight_decay,
    patience: int = Options.patience,
    monitor: str = Options.monitor,
    class_weight: str | None = None,
    label_smoothing: float = Options.label_smoothing,
    reverse_complement: bool = False,
    max_shift: int = 0,
    clip_norm: float | None = Options.clip_norm,
    precision: str = Options.precision,
    bootstrap: int = Options.bootstrap,
    device: str | torch.device | None = None,
    state: str | Path | None = None,
    log: str | Path | None = None,
    tensorboard: str | Path | None = None,
    progress: bool = True,
) -> TrainedModel:
    """Train a network with early stopping; the weights of the best validation epoch are kept.

    The same seed gives the same weights on the same machine; the global random state is not changed.

    Parameters
    ----------
    data
        A :class:`genoplrp.Dataset`, the directory of one, or a pair (X, y): one-hot (N, 4, L) or N strings, and
        labels (N,) or (N, T), NaN where missing.
    architecture
        Name of a reference architecture (:func:`list_architectures`), or your own ``torch.nn.Module`` from
        (N, 4, L) to (N, T), which is copied and not changed itself. A function from the seed to a module
        gives each seed its own initial weights.
    seed
        Seed of the initial weights (reference architectures), the order, dropout and augmentation.
    task
        Kind of the tasks, or of each: "binary", "multiclass" (the columns are classes), "regression", "count", or
        "profile" (of a data set with profiles alone, by ``architecture="bpnet_profile"`` or a module of its shape);
        "auto": as the data set declares it, else as the labels look. The loss follows: binary or categorical
        cross-entropy, squared error of standardised labels, Poisson; Poisson of the sum and multinomial of the shape.
    parameters
        Parameters of the reference architecture, e.g. ``{"filters": (64, 96)}``.
    start_from
        A trained model, or its checkpoint, whose layers of the same name and shape are taken over, except the
        output layer. Helps where no single motif predicts the label (xor): learn the motifs on another task.
    tasks, split
        Names and parts for a pair (X, y); see :func:`read_training_data`.
    epochs
        Maximum number of epochs.
    batch_size
        Sequences per step.
    lr
        Maximum learning rate of AdamW.
    schedule
        "onecycle", "cosine" or "constant".
    weight_decay
        Decoupled weight decay of AdamW.
    patience
        Epochs without improvement before stopping; 0: never stop early.
    monitor
        What must improve on the validation part: "loss", or "score": the mean over the tasks of AUROC (classes) and
        Pearson's correlation (values and counts), without the tasks for which it is not defined there.
    class_weight
        None, or "balanced": all classes have the same weight in the loss.
    label_smoothing
        Share of each class label that is spread evenly over the classes; keeps small data sets from overfitting.
    reverse_complement
        Reverse-complement training sequences with probability one half.
    max_shift
        Shift training sequences by up to this many bp in either direction.
    clip_norm
        Maximum norm of the gradient; None: no clipping.
    precision
        "float32", or mixed precision "bfloat16" / "float16" on a CUDA device.
    bootstrap
        Resamples for the confidence intervals of the final metrics; 0: none.
    device
        Where to train; default: a CUDA device if there is one, else the CPU.
    state
        File that keeps the state after each epoch. If it exists, the same call goes on from there, and ends in
        the same weights as if it had not been interrupted. Removed at the end.
    log
        CSV file to keep up to date, one row per epoch.
    tensorboard
        Directory for TensorBoard events (extra "tensorboard").
    progress
        Show a progress bar (on standard error).

    Returns
    -------
    TrainedModel

    Raises
    ------
    InputError
        If data, labels, architecture or a setting do not make sense.
    CheckpointError
        If ``state`` is the state of another training, or none.
    NonFiniteError
        If the loss or an output becomes NaN or infinite.

    References
    ----------
    Loshchilov & Hutter 2019, *Decoupled weight decay regularization* (AdamW).

    Examples
    --------
    >>> import genoplrp as gp
    >>> X = ["ACGTACGTACGTACGTACGT", "TTTTTTTTTTGGGGGGGGGG"] * 20
    >>> fit = gp.train((X, [1, 0] * 20), split=(["train"] * 20 + ["valid"] * 20), epochs=1, progress=False)
    >>> fit.predict(["ACGTACGTACGTACGTACGT"]).shape
    (1, 1)
    """
    options = Options(
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        schedule=schedule,
        weight_decay=weight_decay,
        patience=patience,
        monitor=monitor,
        class_weight=class_weight,
        label_smoothing=label_smoothing,
        reverse_complement=reverse_complement,
        max_shift=max_shift,
        clip_norm=clip_norm,
        precision=precision,
        bootstrap=bootstrap,
    )
    where = resolve_device(device)
    options.check_precision(where)
    read = read_training_data(data, tasks=tasks, split=split, seed=seed)
    objective = _objective(read, task, class_weight)
    notes = check_learnable(read, objective.kinds, monitor, bootstrap)
    for note in notes:
        warnings.warn(note, stacklevel=2)
    network, name, built_with = _network(architecture, read, seed, parameters)
    taken = take_over(network, start_from) if start_from is not None else []
    network = network.to(where)
    _check_output(network, read, where)
    run = Run(network, read, objective, options, seed)
    after_epoch = [_logging(logger) for logger in _loggers(log, tensorboard)]
    if state is not None:
        state = Path(state)
        identity = run_identity(
            network,
            data=read.checksum,
            architecture=name,
            seed=seed,
            objective=asdict(objective),
            **asdict(options),
        )
        if state.exists():
            restore_state(state, run, identity)
        after_epoch.append(_saving(state, identity))
    with own_randomness(where):
        history = fit_network(run, after_epoch=after_epoch, progress=progress)
    network.eval()
    metrics = _final_metrics(network, read, objective, options, seed)
    if state is not None:
        state.unlink(missing_ok=True)
    return TrainedModel(
        model=network,
        architecture=name,
        parameters=built_with,
        tasks=read.tasks,
        objective=objective,
        length=read.length,
        seed=seed,
        metrics=metrics,
        history=history,
        provenance={
            "data_sha256": read.checksum,
            "n": {part: int((read.split == part).sum()) for part in ("train", "valid", "test")},
            "options": asdict(options),
            "monitored": monitored(read.tasks, objective.kinds, monitor),
            "notes": notes,
            "best_epoch": int(history.loc[history["best"], "epoch"].iloc[0]),
            "taken_over": taken,
            "device": str(where),
            "genoplrp": __version__,
        },
    )


def _objective(read: TrainingData, task: str | Sequence[str], class_weight: str | None) -> Objective:
    kinds = choose_kinds(task, read.labels, read.kinds)
    of_training = read.part("train")[1]
    check_labels(read.labels, kinds, read.tasks)
    check_labels(of_training, kinds, read.tasks)
    return Objective.fit(of_training, kinds, class_weight)


def _network(
    architecture: Architecture, read: TrainingData, seed: int, parameters: Mapping[str, object] | None
) -> tuple[nn.Module, str, dict[str, Any]]:
    if isinstance(architecture, str):
        built = build_architecture(
            architecture, length=read.length, n_tasks=len(read.tasks), seed=seed, **(parameters or {})
        )
        return built, architecture, built.hyperparameters
    if parameters:
        raise InputError("parameters= are for a reference architecture; your own module is built already.")
    if isinstance(architecture, nn.Module):
        network = copy.deepcopy(architecture)
    elif callable(architecture):
        network = architecture(seed)
    else:
        network = None
    if not isinstance(network, nn.Module):
        raise InputError(
            f"architecture is {type(architecture).__name__}: give a name, an nn.Module, "
            "or a function from the seed to one."
        )
    name = next((n for n, cls in ARCHITECTURES.items() if type(network) is cls), type(network).__qualname__)
    return network, name, getattr(network, "hyperparameters", {})


def _loggers(log: str | Path | None, tensorboard: str | Path | None) -> list[Logger]:
    loggers = [csv_logger(log)] if log is not None else []
    return [*loggers, tensorboard_logger(tensorboard)] if tensorboard is not None else loggers


def _logging(logger: Logger) -> Callable[[Run], None]:
    return lambda run: logger(run.history)


def _saving(path: Path, identity: dict[str, Any]) -> Callable[[Run], None]:
    return lambda run: save_state(path, run, identity)


def _check_output(network: nn.Module, read: TrainingData, device: torch.device) -> None:
    """One forward pass of two sequences, so that a module of another shape is refused before an epoch is spent."""
    wanted: tuple[int, ...] = (2, len(read.tasks))
    meant = "one column per task"
    if read.profiles is not None:
        wanted = (*wanted, 1 + read.length)
        meant = "for each profile the log of its sum, and a logit for each base, as architecture='bpnet_profile' has"
    try:
        with evaluating(network), torch.no_grad():
            output = network(torch.zeros(2, 4, read.length, device=device))
    except (RuntimeError, ValueError, TypeError) as error:
        raise InputError(
            f"The network does not take an input of shape (2, 4, {read.length}): {error}"
        ) from error
    if not isinstance(output, torch.Tensor) or tuple(output.shape) != wanted:
        shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise InputError(f"The network returns {shape} for two sequences; {wanted} is needed: {meant}.")


def _final_metrics(
    network: nn.Module, read: TrainingData, objective: Objective, options: Options, seed: int
) -> dict[str, Any]:
    metrics = {}
    for part in ("valid", "test"):
        codes, labels = read.targets(part)
        if not len(codes):
            continue
        output = raw_outputs(network, torch.from_numpy(codes), 512).cpu()
        prediction = objective.prediction(output).numpy()
        bootstrap = options.bootstrap if len(codes) >= FEWEST_FOR_INTERVAL else 0
        figures = evaluate(prediction, labels, objective.kinds, read.tasks, bootstrap=bootstrap, seed=seed)
        figures["loss"] = float(objective.loss(output, torch.from_numpy(labels)))
        metrics[part] = figures
    return metrics
