"""Explaining sequences of a data set with a trained model, into the relevance file that all else reads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from genoplrp.errors import InputError
from genoplrp.pipeline.subject import Subject
from genoplrp.version import __version__

if TYPE_CHECKING:
    from genoplrp.formats.attribution import AttributionFile
    from genoplrp.relevance import Explanation, Pruning
    from genoplrp.relevance.presets import Rules
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
        At most this many, the first ones.

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
    fit: TrainedModel | Subject,
    data: Dataset,
    rows: Int[np.ndarray, " n"],
    *,
    target: int | str = 0,
    rules: Rules | None = "gamma",
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
        The trained model, or any other.
    data
        The data set.
    rows
        (N,) rows of the data set.
    target
        Index or name of the task that is explained, or what `genoplrp.relevance.targets.output_target` takes.
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
        The relevance file (not yet saved) and the explanation with its conservation ledger.

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
    from genoplrp.relevance.presets import DEFAULT_PRESET

    subject = Subject.of(fit)
    subject.check_length(data.length)
    wanted, name, index = subject.target(target)
    settings: dict[str, Any] = {"pruning": pruning, "batch_size": batch_size, "device": device}
    views: dict[str, Any] = {"max_shift": max_shift, "both_strands": both_strands}
    X = torch.from_numpy(pad(data.subset(rows).one_hot(), data.length))
    if consensus and rules is None:
        explanation = over_views(subject.model, X, wanted, progress=progress, **settings, **views)
        rules = CONSENSUS_RULES
    else:
        rules = DEFAULT_PRESET if rules is None else rules
        explainer = Explainer(subject.model, rules, **settings)
        explain: Callable[..., Explanation] = explainer
        if consensus:
            explain = partial(over_views, explainer, **views)
        explanation = explain(X, wanted, progress=progress)
    meta: dict[str, object] = {
        "genoplrp": __version__,
        "method": f"consensus, {describe(rules, pruning)}" if consensus else describe(rules, pruning),
        "rules": rules if isinstance(rules, str) else repr(rules),
        "pruning": None if pruning is None else {k: _plain(v) for k, v in vars(pruning).items()},
        "units": explanation.units,
        "architecture": subject.name,
        "task": name,
        "data_checksum": data.checksum(),
        "scores": "projected (contribution): relevance of the bases that are there",
        "notes": explanation.notes,
    }
    if "form" in explanation.settings:
        meta["consensus"] = _plain(explanation.settings["form"])
    file = AttributionFile(
        explanation.relevance.numpy(),
        prediction=explanation.prediction.numpy(),
        target=np.full(len(rows), index),
        sequence=rows,
        meta=meta,
    )
    return file, explanation


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
