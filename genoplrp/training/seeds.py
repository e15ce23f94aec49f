"""The same training from several seeds, and how much the result depends on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import pandas as pd
from tqdm.auto import tqdm

from genoplrp.errors import InputError
from genoplrp.training.data import DataLike, read_training_data
from genoplrp.training.model import TrainedModel
from genoplrp.training.options import TrainOptions
from genoplrp.training.trainer import Architecture, train


def train_seeds(
    data: DataLike,
    architecture: Architecture = "koo",
    seeds: Sequence[int] = (0, 1, 2),
    *,
    state: str | Path | None = None,
    progress: bool = True,
    **options: Unpack[TrainOptions],
) -> list[TrainedModel]:
    """Train once per seed on the same data and the same split.

    Parameters
    ----------
    data, architecture, options
        As for :func:`genoplrp.train`. Your own module starts every seed from the same weights; pass a function
        from the seed to a module to start from different ones.
    seeds
        Seeds, all different. A split that has to be drawn is drawn from the first.
    state
        Directory for the states of the trainings; the same call after an interruption repeats finished seeds'
        trainings only if their states are gone.
    progress
        Show progress bars.

    Returns
    -------
    list of TrainedModel
        In the order of the seeds.

    Raises
    ------
    InputError
        If there is no seed, or one is given twice; else as :func:`genoplrp.train`.

    Examples
    --------
    >>> from genoplrp.training import seed_table, train_seeds
    >>> X = ["ACGTACGTACGTACGTACGT", "TTTTTTTTTTGGGGGGGGGG"] * 20
    >>> y, split = [1, 0] * 20, ["train"] * 20 + ["valid"] * 20
    >>> fits = train_seeds((X, y), seeds=(0, 1), split=split, epochs=1, bootstrap=0, progress=False)
    >>> seed_table(fits).columns.tolist()
    ['part', 'task', 'metric', 'mean', 'sd', 'n_seeds']
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise InputError(f"seeds={list(seeds)}: one seed at least, and none twice.")
    read = read_training_data(
        data, tasks=options.pop("tasks", None), split=options.pop("split", None), seed=seeds[0]
    )
    fits = []
    for seed in tqdm(seeds, desc="seeds", unit="seed", disable=not progress):
        of_seed = None if state is None else Path(state) / f"seed{seed}.safetensors"
        fits.append(train(read, architecture, seed, state=of_seed, progress=progress, **options))
    return fits


def seed_table(fits: Sequence[TrainedModel]) -> pd.DataFrame:
    """Mean and standard deviation of every metric over models trained from different seeds.

    Returns
    -------
    pandas.DataFrame
        part, task ("all": mean over the tasks), metric, mean, sd (with n - 1; NaN for one seed), n_seeds.
    """
    tables = pd.concat([fit.metrics_table() for fit in fits])
    grouped = tables.groupby(["part", "task", "metric"], sort=False)["value"]
    summary = grouped.agg(mean="mean", sd="std", n_seeds="size")
    return summary.reset_index()
