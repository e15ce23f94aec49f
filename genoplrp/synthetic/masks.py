"""From rows of an instance table to values along the sequences; what a row is worth is said elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int, Num

if TYPE_CHECKING:
    import pandas as pd

    from genoplrp.synthetic.dataset import Dataset


def matters_for(instances: pd.DataFrame, task: str) -> Bool[np.ndarray, " instances"]:
    """Which rows of an instance table matter for a task."""
    column = instances["tasks"].astype("category")
    hits = [task in str(names).split(",") for names in column.cat.categories]
    matters: np.ndarray = np.append(np.array(hits, dtype=bool), False)[column.cat.codes.to_numpy()]
    return matters


def spread(data: Dataset, table: pd.DataFrame, value: Num[np.ndarray, " i"]) -> Int[np.ndarray, "n length"]:
    """Sum the whole numbers that instances are worth over each position of the sequences.

    Parameters
    ----------
    data : Dataset
        The sequences.
    table : pandas.DataFrame
        Rows of their instance table.
    value : array, (I,)
        One whole number a row.

    Returns
    -------
    array, (N, L), int16
    """
    # Up at each start, down at each end, summed along.
    steps = np.zeros((len(data), data.length + 1), dtype=np.int16)
    rows = table["sequence"].to_numpy(dtype=np.int64)
    np.add.at(steps, (rows, table["start"].to_numpy(dtype=np.int64)), value.astype(np.int16))
    np.add.at(steps, (rows, table["end"].to_numpy(dtype=np.int64)), -value.astype(np.int16))
    return np.cumsum(steps[:, :-1], axis=1, dtype=np.int16)


def weigh(data: Dataset, table: pd.DataFrame, value: Num[np.ndarray, " i"]) -> Float[np.ndarray, "n length"]:
    """Weigh instances by the information of their matrices' columns.

    Parameters
    ----------
    data : Dataset
        The sequences, with their motifs.
    table : pandas.DataFrame
        Rows of their instance table.
    value : array, (I,)
        One number a row.

    Returns
    -------
    array, (N, L), float32
        Bits times values; 0 outside.
    """
    weights = np.zeros((len(data), data.length), dtype=np.float32)
    chosen = table.assign(value=value)[value != 0]
    for (name, strand), rows in chosen.groupby(["motif", "strand"], observed=True):
        bits = data.motifs[str(name)].information()
        bits = bits if strand == "+" else bits[::-1]
        index = rows["start"].to_numpy()[:, None] + np.arange(len(bits))
        weights[rows["sequence"].to_numpy()[:, None], index] = bits * rows["value"].to_numpy()[:, None]
    return weights
