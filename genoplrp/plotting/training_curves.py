"""Training curves: losses and validation metrics over the epochs, the epoch that was kept marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from genoplrp.errors import InputError, check_columns
from genoplrp.plotting.curves import quiet_axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_NAMES = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "accuracy": "accuracy",
    "pearson": "Pearson's r",
    "spearman": "Spearman's rho",
    "mse": "mean squared error",
}


def plot_training_curves(
    history: pd.DataFrame | Mapping[str, pd.DataFrame],
    metrics: Sequence[str] | None = None,
    axes: Sequence[Axes] | None = None,
    *,
    title: str | None = None,
    figsize: tuple[float, float] = (7.6, 3.0),
) -> tuple[Axes, Axes]:
    """Draw training and validation loss on the left, validation metrics on the right.

    Parameters
    ----------
    history
        ``TrainedModel.history``, or several by name (seeds, architectures), one colour each.
    metrics
        Columns without "valid_", e.g. ``["auroc"]``. Default: what the histories hold, but for losses and errors.
    axes
        Two axes to draw on; new ones by default.
    title
        Title over the left axes.
    figsize
        Size in inches of a new figure.

    Returns
    -------
    tuple of matplotlib.axes.Axes
        Losses, metrics.

    Raises
    ------
    InputError
        If a history is empty or lacks the columns.

    Examples
    --------
    >>> import pandas as pd
    >>> from genoplrp.plotting.training_curves import plot_training_curves
    >>> history = pd.DataFrame({"epoch": [1, 2], "train_loss": [0.7, 0.5], "valid_loss": [0.6, 0.55],
    ...                         "valid_auroc": [0.7, 0.8], "best": [False, True]})
    >>> left, right = plot_training_curves(history)
    >>> right.get_ylabel()
    'AUROC'
    """
    runs = dict(history) if isinstance(history, Mapping) else {"": history}
    wanted = _metrics(runs) if metrics is None else list(metrics)
    for name, run in runs.items():
        _check(name, run, wanted)
    left, right = _new_axes(figsize) if axes is None else (axes[0], axes[1])
    for number, (name, run) in enumerate(runs.items()):
        _draw_losses(left, run, f"C{number}" if name else None, name)
        _draw_metrics(right, run, wanted, f"C{number}" if name else None, name)
    for ax in (left, right):
        _finish(ax, max(int(run["epoch"].max()) for run in runs.values()))
    left.set_ylabel("loss")
    right.set_ylabel(_NAMES.get(wanted[0], wanted[0]) if len(wanted) == 1 else "validation metric")
    if title:
        left.set_title(title, loc="left", fontsize=9)
    return left, right


def _draw_losses(ax: Axes, run: pd.DataFrame, colour: str | None, name: str) -> None:
    prefix = f"{name}: " if name else ""
    ax.plot(run["epoch"], run["train_loss"], "--", lw=1.2, color=colour or "0.55", label=f"{prefix}training")
    ax.plot(run["epoch"], run["valid_loss"], lw=1.4, color=colour or "C0", label=f"{prefix}validation")
    best = run[run["best"].astype(bool)]
    ax.plot(
        best["epoch"], best["valid_loss"], "o", ms=5, mfc="white", color=colour or "C0", label=_kept(name)
    )


def _draw_metrics(ax: Axes, run: pd.DataFrame, metrics: Sequence[str], colour: str | None, name: str) -> None:
    best = run[run["best"].astype(bool)]
    prefix = f"{name}: " if name else ""
    for number, metric in enumerate(metrics):
        style = ("-", "--", ":", "-.")[number % 4] if colour else "-"
        drawn = colour or f"C{number}"
        label = name if name and len(metrics) == 1 else prefix + _NAMES.get(metric, metric)
        ax.plot(run["epoch"], run[f"valid_{metric}"], style, lw=1.4, color=drawn, label=label)
        ax.plot(best["epoch"], best[f"valid_{metric}"], "o", ms=5, mfc="white", color=drawn)


def _kept(name: str) -> str | None:
    return None if name else "weights kept"


def _finish(ax: Axes, last: int) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.set_xlabel("epoch")
    ax.set_xlim(0.5, last + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    quiet_axes(ax)
    handles, _ = ax.get_legend_handles_labels()
    if len(handles) > 1:
        ax.legend(frameon=False, fontsize=8)


def _metrics(runs: Mapping[str, pd.DataFrame]) -> list[str]:
    """Metrics on the scale of 0 to 1 that every history holds."""
    held = [
        {c.removeprefix("valid_") for c in run.columns if c.startswith("valid_")} for run in runs.values()
    ]
    return [name for name in _NAMES if name != "mse" and all(name in columns for columns in held)]


def _check(name: str, run: pd.DataFrame, metrics: Sequence[str]) -> None:
    where = f"The history {name!r}" if name else "The history"
    if not metrics:
        raise InputError(f"{where} holds no validation metric; name its columns with metrics=.")
    needed = ["epoch", "train_loss", "valid_loss", "best", *(f"valid_{metric}" for metric in metrics)]
    check_columns(where, run.columns, needed)
    if run.empty:
        raise InputError(f"{where} has no rows; there is nothing to draw.")


def _new_axes(figsize: tuple[float, float]) -> tuple[Axes, Axes]:
    import matplotlib.pyplot as plt

    _, (left, right) = plt.subplots(1, 2, figsize=figsize, layout="constrained")
    return left, right
