"""A figure of one explained sequence from relevance files and their data set; the drawing itself is ``plotting``'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from genoplrp.errors import InputError
from genoplrp.evaluation.blocks import pad

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from genoplrp.formats.attribution import AttributionFile
    from genoplrp.synthetic import Dataset


def check_files(files: Mapping[str, AttributionFile], data: Dataset) -> None:
    """Check that relevance files explain the same sequences, and that those are the data set's.

    Raises
    ------
    InputError
        If they do not.
    """
    first_name, first = next(iter(files.items()))
    for name, file in files.items():
        if file.length != data.length:
            raise InputError(
                f"{name} explains sequences of {file.length} bp, the data set's have {data.length} bp"
            )
        if len(file) and file.sequence.max() >= len(data):
            raise InputError(
                f"{name} explains sequence {file.sequence.max()}, the data set has {len(data)}: it is another data set"
            )
        known = file.meta.get("data_checksum")
        if known is not None and known != data.checksum():
            raise InputError(f"{name} was made from another data set; pass the one that was explained")
        if not np.array_equal(file.sequence, first.sequence):
            raise InputError(f"{name} and {first_name} explain different sequences; draw them separately")


def explained_task(file: AttributionFile, index: int, data: Dataset) -> int | None:
    """Return the task that one explanation of a file is about; None where it is not a task of the data set."""
    name = file.meta.get("task")
    if name in data.tasks:
        return data.tasks.index(name)
    target = int(file.target[index])
    return target if 0 <= target < len(data.tasks) else None


def logo_figure(
    files: Mapping[str, AttributionFile],
    data: Dataset,
    index: int,
    *,
    region: tuple[int, int] | None = None,
    width: float | None = None,
    **options: Any,
) -> Figure:
    """Draw one sequence: what was planted in it, where that is known, and a row for each relevance file.

    Parameters
    ----------
    files
        Name of each row, and the relevance file it shows; all explain the same sequences of `data`.
    data
        The data set.
    index
        Which sequence, counted in the relevance files.
    region
        (start, end) to draw, 0-based, half-open; by default the whole sequence.
    width
        Width of the figure in inches.
    **options
        Passed to `genoplrp.plotting.plot_logos`.

    Returns
    -------
    Figure
        Not registered with pyplot.

    Raises
    ------
    InputError
        If the files do not fit together, or `index` or `region` is out of range.
    """
    from matplotlib.figure import Figure

    from genoplrp.plotting import plot_comparison, plot_logos
    from genoplrp.plotting.logo import logo_width

    check_files(files, data)
    first = next(iter(files.values()))
    if not 0 <= index < len(first):
        raise InputError(
            f"index {index} is out of range: the file holds {len(first)} sequences, 0 to {len(first) - 1}"
        )
    low, high = region or (0, data.length)
    if low >= high:
        raise InputError(f"region {low}-{high} is empty: give its start and its end, e.g. {low}-{low + 50}")
    if not 0 <= low < high <= data.length:
        raise InputError(f"region {low}-{high} does not lie in the sequence, 0-{data.length}")
    row = int(first.sequence[index])
    planted = data.instances[data.instances["sequence"] == row]
    planted = planted[(planted["end"] > low) & (planted["start"] < high)]
    rows = {name: file.relevance[index, :, low:high] for name, file in files.items()}
    size = (width or logo_width(high - low), 0.8 + 1.2 * (len(rows) + bool(len(planted))))
    figure = Figure(figsize=size)
    shared: dict[str, Any] = {
        "figure": figure,
        "start": low,
        "title": _title(first, index, row, data),
    } | options
    if len(planted):
        one_hot = pad(data.subset([row]).one_hot()[0], data.length)[:, low:high]
        plot_comparison(one_hot, rows, _marked(planted, first, index, data), **shared)
    else:
        plot_logos(rows, **shared)
    return figure


def sequence_index(file: AttributionFile, data: Dataset, name: str) -> int:
    """Return where in a relevance file the sequence of a name stands.

    Raises
    ------
    InputError
        If the data set has no such sequence, or it was not explained.
    """
    if name not in data.names:
        raise InputError(
            f"the data set has no sequence {name!r}; its names begin {', '.join(data.names[:3])}, ..."
        )
    found = np.flatnonzero(file.sequence == data.names.index(name))
    if not len(found):
        raise InputError(f"the sequence {name!r} was not explained; the file holds {len(file)} others")
    return int(found[0])


def _marked(planted: Any, file: AttributionFile, index: int, data: Dataset) -> Any:
    """Grey out what is of no matter for the explained task: decoys, broken sites, other tasks' motifs."""
    task = explained_task(file, index, data)
    if task is None:
        return planted
    matters = data.instances_of(task).index
    return planted.assign(role=np.where(planted.index.isin(matters), "core", "decoy"))


def _title(file: AttributionFile, index: int, row: int, data: Dataset) -> str:
    task = explained_task(file, index, data)
    parts: Sequence[str] = [data.names[row], f"explained output {file.prediction[index]:.2f}"]
    if task is not None:
        parts = [data.names[row], f"{data.tasks[task]}: logit {file.prediction[index]:.2f}"]
        parts = [*parts, f"label {data.labels[row, task]:g}"]
    return ", ".join(parts)
