"""One call that scores maps against planted truth and returns a table; the metrics live beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genoplrp.errors import InputError
from genoplrp.evaluation.blocks import blocks, check_lengths, pad
from genoplrp.evaluation.maps import Arrays, as_array, check_finite, check_masks, read_maps
from genoplrp.evaluation.metrics import METRICS
from genoplrp.scores import described

if TYPE_CHECKING:
    import pandas as pd

    from genoplrp.formats.attribution import AttributionFile
    from genoplrp.synthetic import Dataset


_SEQUENCES_AT_A_TIME = 4096


def score(per_nucleotide: Arrays, mask: Arrays, *, lengths: Arrays | None = None) -> pd.DataFrame:
    """Score per-nucleotide relevance against the positions of the planted sites.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        Relevance per position, signed; no unit, every score is independent of its scale.
    mask : array or tensor, shape (N, L)
        True (or 1) at the positions of the sites that matter for the target; -1 where one speaks against it
        (`Dataset.signed_mask`).
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left (`Dataset.lengths`); what follows is padding and is not a
        position: each sequence scores as it does alone. By default all L.

    Returns
    -------
    pandas.DataFrame
        One row per sequence, in order (index ``sequence``), with the columns ``gini`` (of the absolute
        relevance), ``rma`` (share of the positive mass in the mask), ``rma_absolute``, ``rra``,
        ``average_precision``, ``auroc`` and ``prevalence`` (share of positions in the mask, which is chance
        for ``rma`` and ``rra``), then those of `register_metric`. All but ``gini`` and ``rma_absolute`` take a negative
        value for no relevance: where the mask has a sign, read ``signed_rma`` and ``signed_average_precision``, which
        are added then (`score_signed`).
        Localization and its chance are NaN where the mask is empty; a map that is all zero
        or constant scores chance.

    Raises
    ------
    InputError
        If the shapes differ or are not (N, L), the mask holds anything but 0, 1 and -1, or the lengths do not fit.
    NonFiniteError
        If the relevance holds NaN or infinity.

    References
    ----------
    See `gini`, `relevance_mass_accuracy`, `relevance_rank_accuracy`, `average_precision` and `auroc`.

    Examples
    --------
    >>> import numpy as np
    >>> table = score(np.array([[0.0, 2.0, 1.0, 0.0]]), np.array([[False, True, False, False]]))
    >>> table["rra"].tolist()
    [1.0]
    >>> score(np.array([[0.0, 2.0, -1.0, 0.0]]), np.array([[0, 1, -1, 0]]))["signed_average_precision"].tolist()
    [1.0]
    """
    import pandas as pd

    from genoplrp.evaluation.signed import score_signed

    maps = read_maps(per_nucleotide)
    sizes = check_lengths(lengths, maps.shape)
    check_finite(maps, sizes)
    truth_values = as_array(mask, "mask")
    signed = truth_values.dtype.kind in "fi" and bool((truth_values == -1).any())
    masks = check_masks(np.abs(truth_values) if signed else truth_values, maps.shape, lengths=sizes)
    columns = {name: np.full(len(maps), np.nan) for name in METRICS}
    # All metrics of one block before the next: it is read once.
    for rows, length in blocks(maps.shape, sizes):
        relevance, truth = maps[rows, :length].astype(np.float64, copy=False), masks[rows, :length]
        for name, metric in METRICS.items():
            found = np.asarray(metric(relevance, truth))
            if found.shape != (len(relevance),):
                raise InputError(
                    f"the metric {name!r} returned shape {found.shape} for {len(relevance)} sequences: "
                    "it must return one number for each"
                )
            columns[name][rows] = found
    table = pd.DataFrame(columns, index=pd.RangeIndex(len(maps), name="sequence"))
    return table.join(score_signed(maps, truth_values, lengths=sizes)) if signed else table


def score_dataset(
    explained: AttributionFile, truth: Dataset, *, task: int | str | None = None, signed: bool | None = None
) -> pd.DataFrame:
    """Score explanations of a data set's sequences against its masks, each for the task that was explained.

    Parameters
    ----------
    explained : AttributionFile
        Explanations that name their rows in the data set and their targets.
    truth : Dataset
        The data set with planted motifs.
    task : int or str, optional
        Score every sequence against this task's mask; by default the output that was explained names the
        task.
    signed : bool, optional
        Score against the signed truth, too, where a wrong sign counts against a map (`score_signed`); by default where
        a site speaks against a task that was explained.

    Returns
    -------
    pandas.DataFrame
        One row per explanation, in order: ``name``, ``sequence`` (row of the data set), ``task``,
        ``prediction`` and the columns of `score`, where signed with ``signed_rma`` and ``signed_average_precision``.

    Raises
    ------
    InputError
        If the rows, targets, lengths or the checksum that a relevance file keeps do not belong to the data set, or a
        sequence is explained twice for the same task.

    References
    ----------
    See `score`.

    Examples
    --------
    >>> import genoplrp as gp                                                   # doctest: +SKIP
    >>> from genoplrp.formats import AttributionFile                            # doctest: +SKIP
    >>> score_dataset(AttributionFile.load("relevance.npz"), gp.Dataset.load("data"))  # doctest: +SKIP
    """
    import pandas as pd

    n, length = explained.per_nucleotide.shape
    longest = int(truth.lengths.max(initial=0))
    tasks = _task_rows(explained.target, truth.tasks, task)
    _check_same_data(explained, truth, longest, tasks)
    tables = []
    # A mask of the whole data set would take more than the scores do.
    for first in range(0, n, _SEQUENCES_AT_A_TIME):
        chunk = slice(first, min(first + _SEQUENCES_AT_A_TIME, n))
        rows, place = np.unique(explained.sequence[chunk], return_inverse=True)
        part = truth.subset(rows)
        masks = np.zeros((len(place), length), dtype=bool)
        for index in np.unique(tasks[chunk]):
            chosen = tasks[chunk] == index
            masks[chosen] = pad(part.mask(int(index)), length)[place[chosen]]
        tables.append(score(explained.per_nucleotide[chunk], masks, lengths=part.lengths[place]))
    table = (
        pd.concat(tables, ignore_index=True)
        if tables
        else score(explained.per_nucleotide, np.zeros((0, length)))
    )
    if _has_negatives(truth, explained.sequence, tasks) if signed is None else signed:
        _add_signed_scores(table, explained, truth, tasks)
    table.insert(0, "name", [truth.names[i] for i in explained.sequence])
    table.insert(1, "sequence", explained.sequence)
    table.insert(2, "task", [truth.tasks[i] for i in tasks])
    table.insert(3, "prediction", explained.prediction)
    return table


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over sequences of every score in a table, with its standard error.

    Parameters
    ----------
    table : pandas.DataFrame
        What `score` or `score_dataset` returns; other numeric columns are summarised too, text is left out.

    Returns
    -------
    pandas.DataFrame
        One row per score (index ``metric``): ``mean``, ``standard_error`` (standard deviation over sequences
        divided by the square root of their number; NaN for a single one) and ``n``, the sequences that have
        the score.

    Examples
    --------
    >>> import pandas as pd
    >>> summarise(pd.DataFrame({"rma": [0.5, 0.7, float("nan")]})).round(2).loc["rma"].tolist()
    [0.6, 0.1, 2.0]
    """
    import pandas as pd

    numbers = table.select_dtypes("number")
    summary = pd.DataFrame({"mean": numbers.mean(), "standard_error": numbers.sem(), "n": numbers.count()})
    return summary.rename_axis("metric")


def chance_levels(means: pd.Series[float]) -> pd.Series[float]:
    """Say what a map that says nothing scores.

    Parameters
    ----------
    means : pandas.Series
        Mean of every score, by name (`summarise`).

    Returns
    -------
    pandas.Series
        The chance level of every score, on the sequences that the means are of; NaN where it depends on the map.

    Examples
    --------
    >>> import pandas as pd
    >>> chance_levels(pd.Series({"gini": 0.9, "rma": 0.6, "auroc": 0.8, "prevalence": 0.1})).tolist()
    [nan, 0.1, 0.5, nan]
    """
    import pandas as pd

    levels = {}
    for name in means.index:
        chance = described(name).chance
        levels[name] = means.get(chance, np.nan) if isinstance(chance, str) else chance
    return pd.Series(levels, dtype=float)


def _has_negatives(truth: Dataset, rows: np.ndarray, tasks: np.ndarray) -> bool:
    """Whether a planted site speaks against a task that is scored."""
    from genoplrp.synthetic.polarity import instance_signs

    if not len(rows):
        return False
    signs = instance_signs(truth.subset(np.unique(rows)))
    return bool((signs[:, np.unique(tasks)] < 0).any())


def _add_signed_scores(
    table: pd.DataFrame, explained: AttributionFile, truth: Dataset, tasks: np.ndarray
) -> None:
    from genoplrp.evaluation.signed import score_signed

    for index in np.unique(tasks):
        rows = np.flatnonzero(tasks == index)
        part = truth.subset(explained.sequence[rows])
        maps = explained.per_nucleotide[rows]
        scores = score_signed(maps, pad(part.signed_mask(int(index)), maps.shape[1]), lengths=part.lengths)
        for name in scores:
            table.loc[rows, name] = scores[name].to_numpy()


def what_is_missing(table: pd.DataFrame) -> list[str]:
    """Say what a table of scores cannot tell, in one line each.

    Parameters
    ----------
    table : pandas.DataFrame
        What `score` or `score_dataset` returns.

    Returns
    -------
    list of str
        Empty if every sequence has every score and their mean has a standard error.

    Examples
    --------
    >>> what_is_missing(score(np.ones((1, 3)), np.zeros((1, 3))))[0]
    'none of the sequences has a motif that matters for its task: there is nothing to localize'
    """
    n, found = len(table), int(table["prevalence"].notna().sum())
    lines = []
    if n and not found:
        lines.append(
            "none of the sequences has a motif that matters for its task: there is nothing to localize"
        )
    elif found < n:
        lines.append(
            f"{n - found} of {n} sequences have no motif that matters for their task: localization and prevalence are "
            f"of the other {found}"
        )
    if "signed_rma" in table:
        lines.append(
            "the truth has a sign: signed_rma and signed_average_precision ask for negative relevance at sites that "
            "speak against the label, the scores beside them for positive relevance at every site"
        )
    if 1 in (n, found):
        lines.append("a single sequence has no standard error: it says nothing of others")
    return lines


def _check_same_data(explained: AttributionFile, truth: Dataset, longest: int, tasks: np.ndarray) -> None:
    """Refuse relevance that cannot be of this data set, or that counts a sequence twice."""
    n_rows, length = len(truth.names), explained.per_nucleotide.shape[1]
    beyond = explained.sequence[explained.sequence >= n_rows]
    if len(beyond):
        raise InputError(
            f"the relevance is of sequence {beyond[0]}, but the data set has {n_rows} sequences; "
            "pass the data set that was explained"
        )
    if length != longest:
        raise InputError(
            f"the relevance is {length} bp long, the data set's sequences {longest} bp; "
            "pass the data set that was explained"
        )
    known = explained.meta.get("data_checksum")
    if known is not None and known != truth.checksum():
        raise InputError(
            "the relevance is of another data set (sequences, labels or split differ); pass the data set that was "
            "explained"
        )
    pairs, times = np.unique(np.stack([explained.sequence, tasks]), axis=1, return_counts=True)
    if (times > 1).any():
        raise InputError(
            f"sequence {pairs[0, times > 1][0]} is explained {times.max()} times for the same task, and would count as "
            "often; score each file by itself"
        )


def _task_rows(target: np.ndarray, tasks: list[str], task: int | str | None) -> np.ndarray:
    """Give the task, as an index, that each explanation is to be scored against."""
    if isinstance(task, str) and task not in tasks:
        raise InputError(f"unknown task {task!r}; the data set has {', '.join(tasks)}")
    if task is not None:
        index = tasks.index(task) if isinstance(task, str) else task
        target = np.full(len(target), index)
    wrong = target[(target < 0) | (target >= len(tasks))]
    if len(wrong):
        what = f"target {wrong[0]}" if wrong[0] >= 0 else "what was explained (a function of several outputs)"
        raise InputError(
            f"{what} is not a task of the data set, which has {len(tasks)}: {', '.join(tasks)}; "
            "say which one to score against with --target (task= in Python)"
        )
    return target
