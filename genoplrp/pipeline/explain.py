"""Explaining sequences of a data set with a trained model, into the relevance file that all else reads."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from genoplrp.errors import InputError
from genoplrp.version import __version__

if TYPE_CHECKING:
    from genoplrp.formats.attribution import AttributionFile
    from genoplrp.relevance import Explanation, Pruning
    from genoplrp.synthetic import Dataset
    from genoplrp.training import TrainedModel


def rows_to_explain(
    data: Dataset, *, split: str | None = "test", task: int | None = None, limit: int | None = None
) -> Int[np.ndarray, " n"]:
    """Return the rows of a data set that are to be explained.

    Parameters
    ----------
    data
        The data set.
    split
        ``"train"``, ``"valid"``, ``"test"``, or None for all.
    task
        Only sequences whose label for this task is positive; None for all.
    limit
        At most so many, the first ones.

    Raises
    ------
    InputError
        If nothing is left.
    """
    chosen = np.ones(len(data), dtype=bool) if split is None else data.split == split
    if task is not None:
        chosen &= data.labels[:, task] > 0
    rows = np.flatnonzero(chosen)[:limit]
    if len(rows) == 0:
        what = "" if task is None else f" with a positive label for {data.tasks[task]!r}"
        parts = ", ".join(sorted(set(data.split.tolist())))
        raise InputError(f"the data set has no sequence{what} in {split or 'any split'} (splits: {parts})")
    return rows


def explain_dataset(
    fit: TrainedModel,
    data: Dataset,
    rows: Int[np.ndarray, " n"],
    *,
    target: int | str = 0,
    rules: Any = "gamma",
    pruning: Pruning | None = None,
    batch_size: int = 64,
    device: str | None = None,
    consensus: bool = False,
    max_shift: int = 3,
    both_strands: bool = True,
    progress: bool = False,
) -> tuple[AttributionFile, Explanation]:
    """Explain some sequences of a data set.

    Parameters
    ----------
    fit
        The trained model.
    data
        The data set.
    rows
        (N,) rows of the data set.
    target
        Index or name of the task that is explained.
    rules, pruning, batch_size, device, progress
        As in `genoplrp.Explainer`.
    consensus
        What twelve views of each sequence agree on (`genoplrp.consensus`), each pruned as told; with ``rules=None`` by
        its own rules.
    max_shift, both_strands
        The most that a consensus tries.

    Returns
    -------
    tuple
        The relevance file (not yet saved) and the explanation with its books.

    Raises
    ------
    InputError
        If the model does not fit the data or the target is unknown.
    """
    import torch

    from genoplrp.evaluation.blocks import pad
    from genoplrp.formats.attribution import AttributionFile
    from genoplrp.relevance import Explainer
    from genoplrp.relevance import consensus as over_views
    from genoplrp.relevance.naming import CONSENSUS_RULES, describe

    if data.length != fit.length:
        raise InputError(
            f"the data set's sequences have {data.length} bp, the model was trained on {fit.length} bp: "
            "train a model on this data set, or explain the one it was trained on"
        )
    index = task_index(fit, target)
    settings: dict[str, Any] = {"pruning": pruning, "batch_size": batch_size, "device": device}
    views: dict[str, Any] = {"max_shift": max_shift, "both_strands": both_strands}
    X = torch.from_numpy(pad(data.subset(rows).one_hot(), data.length))
    if consensus and rules is None:
        explanation = over_views(fit.model, X, index, progress=progress, **settings, **views)
        rules = CONSENSUS_RULES
    else:
        explainer = Explainer(fit.model, rules, **settings)
        explain = partial(over_views, explainer, **views) if consensus else explainer
        explanation = explain(X, index, progress=progress)
    meta = {
        "genoplrp": __version__,
        "method": f"consensus, {describe(rules, pruning)}" if consensus else describe(rules, pruning),
        "rules": rules if isinstance(rules, str) else repr(rules),
        "pruning": None if pruning is None else {k: _plain(v) for k, v in vars(pruning).items()},
        "units": explanation.units,
        "architecture": fit.architecture,
        "task": fit.tasks[index],
        "data_checksum": data.checksum(),
        "scores": "projected (contribution): relevance of the bases that are there",
        "notes": explanation.notes,
    }
    found = explanation.settings.get("invariance")
    if found is not None:
        meta["consensus"] = dict(zip(views, found.allowed(max_shift), strict=True))
    file = AttributionFile(
        explanation.relevance.numpy(),
        prediction=explanation.prediction.numpy(),
        target=np.full(len(rows), index),
        sequence=rows,
        meta=meta,
    )
    return file, explanation


def task_index(fit: TrainedModel, target: int | str) -> int:
    """Return the index of a task by its name or number.

    Raises
    ------
    InputError
        If the model has no such task.
    """
    tasks = list(fit.tasks)
    if isinstance(target, str) and target in tasks:
        return tasks.index(target)
    if isinstance(target, str) and not target.lstrip("-").isdigit():
        raise InputError(f"the model has no task {target!r}; it has {', '.join(tasks)}")
    index = int(target)
    if not 0 <= index < len(tasks):
        raise InputError(
            f"target {index} is out of range: the model has {len(tasks)} tasks ({', '.join(tasks)})"
        )
    return index


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
