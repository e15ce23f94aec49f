"""Logs of a training while it runs: a CSV file, TensorBoard events; what is logged is the loop's row of an epoch."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from genoplrp import partial
from genoplrp.errors import MissingDependencyError

Row = dict[str, Any]
Logger = Callable[[list[Row]], None]
"""Called after each epoch with all rows so far (the rows of a resumed run's first part too)."""


def csv_logger(path: str | Path) -> Logger:
    """Log to a CSV file: one row per epoch, replaced as a whole, so it is complete whenever one looks.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from genoplrp.training.logs import csv_logger
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "log.csv"
    >>> csv_logger(path)([{"epoch": 1, "train_loss": 0.5}])
    >>> path.read_text().splitlines()
    ['epoch,train_loss', '1,0.5']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)

    def log(rows: list[Row]) -> None:
        with partial.new_file(path) as made, made.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    return log


def tensorboard_logger(directory: str | Path) -> Logger:
    """Log to TensorBoard events: one scalar per column, the epoch as the step.

    Raises
    ------
    MissingDependencyError
        If tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingDependencyError(
            "TensorBoard logs need the package tensorboard: pip install 'genoplrp[tensorboard]'"
        ) from error
    directory = Path(directory)

    def log(rows: list[Row]) -> None:
        # A writer per epoch: nothing stays open if the run is killed, and a resumed run appends.
        with SummaryWriter(str(directory)) as writer:
            row = rows[-1]
            for name, value in row.items():
                if name != "epoch":
                    writer.add_scalar(name.replace("_", "/", 1), value, row["epoch"])

    return log
