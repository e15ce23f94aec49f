"""Everything a live report shows: a sweep over p for each rule and method, scored; the page itself is ``report``'s."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Int
from tqdm import tqdm

from genoplrp.errors import InputError
from genoplrp.pipeline.explain import rows_to_explain
from genoplrp.pipeline.subject import Subject
from genoplrp.scores import shown_in
from genoplrp.version import __version__
from genoplrp.wording import counted

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from genoplrp.relevance.targets import OneOutput
    from genoplrp.report import ReportContent
    from genoplrp.synthetic import Dataset
    from genoplrp.training import TrainedModel

SHARES = tuple(round(0.05 * i, 2) for i in range(20))
RULES = ("gamma", "epsilon")
METHODS = ("lambda", "M")
FLOW_SHARE = 0.15
"""The share that is pruned at each layer for the flow."""
_IN_FLOW = 100  # sequences, the first ones
_CHUNK = 64


def report_content(
    fit: TrainedModel | Subject,
    data: Dataset,
    rows: Int[np.ndarray, " n"],
    *,
    target: int | str = 0,
    rules: Sequence[str] = RULES,
    methods: Sequence[str] = METHODS,
    p: Sequence[float] = SHARES,
    title: str | None = None,
    batch_size: int = 32,
    device: str | None = None,
    progress: bool = True,
) -> ReportContent:
    """Explain sequences at many p with several rules and methods, and score each map.

    Parameters
    ----------
    fit
        The trained model, or any other.
    data
        The data set.
    rows
        (N,) rows of the data set to report.
    target
        Index or name of the task that is explained, or what `genoplrp.relevance.targets.output_target` takes.
    rules, methods, p
        What the reader of the report can choose from.
    title
        Heading; by default the data set's and the network's names.
    batch_size, device, progress
        As in `genoplrp.Explainer`.

    Returns
    -------
    ReportContent

    Raises
    ------
    InputError
        If the model does not fit the data, the target is unknown, or a list is empty.
    """
    from genoplrp.evaluation import METRICS
    from genoplrp.evaluation.blocks import pad
    from genoplrp.report import MapStore, ReportContent

    if not (rules and methods and p):
        raise InputError("a report needs at least one rule, one method and one p")
    subject = Subject.of(fit)
    subject.check_length(data.length)
    task, task_name, index = subject.target(target)
    truth_task = _truth_of(data, subject, task_name, index)
    part = data.subset(rows)
    planted = truth_task is not None and len(part.instances) > 0
    mask = pad(part.mask(truth_task), data.length) if planted and truth_task is not None else None
    n_maps = len(rules) * len(methods) * len(p)
    store = MapStore(len(rows), n_maps, data.length)
    metrics = [name for name in shown_in("report") if name in METRICS] if planted else ["gini"]
    scores = {metric: np.full((len(rows), n_maps), np.nan) for metric in metrics}
    prediction = np.zeros(len(rows))
    bar = tqdm(total=len(rows) * n_maps, desc="sweep", unit="map", disable=None if progress else True)
    one_hot, lengths = pad(part.one_hot(), data.length), part.lengths
    for first in range(0, len(rows), _CHUNK):
        chunk = slice(first, min(first + _CHUNK, len(rows)))
        for index, maps, logits in sweeps(
            subject.model, one_hot[chunk], task, rules, methods, p, batch_size, device
        ):
            store.put(first, index, maps)
            prediction[chunk] = logits
            found = _scores(maps, None if mask is None else mask[chunk], lengths[chunk])
            for metric, values in scores.items():
                values[chunk, index] = np.asarray(found[metric])
            bar.update(len(maps))
    bar.close()
    longest = data.length
    return ReportContent(
        title=title or _heading(data, subject),
        facts=_facts(subject, data, task_name, len(rows)),
        names=part.names,
        sequences=[sequence.ljust(longest, "N") for sequence in part.sequences],
        prediction=prediction,
        label=part.labels[:, truth_task] if truth_task is not None else None,
        task=task_name,
        rules=list(rules),
        methods=list(methods),
        p=list(p),
        maps=store,
        scores=scores,
        instances=_instances(part, truth_task),
        notes=_notes(data.length, planted),
    )


def _scores(
    maps: np.ndarray, mask: np.ndarray | None, lengths: np.ndarray
) -> pd.DataFrame | dict[str, np.ndarray]:
    """Return the scores of maps, (n, L); without planted sites sparsity only."""
    from genoplrp.evaluation import score
    from genoplrp.evaluation.sparsity import gini

    if mask is None:
        return {"gini": gini(maps, lengths=lengths)}
    return score(maps, mask, lengths=lengths)


def _heading(data: Dataset, subject: Subject) -> str:
    return f"{data.spec.name if data.spec is not None else 'Data set'}, {subject.name} network"


def _truth_of(data: Dataset, subject: Subject, name: str, index: int) -> int | None:
    """Return the task of the data set that a model's output is; None where it has none."""
    if subject.tasks is None and 0 <= index < len(data.tasks):
        return index  # outputs without names are the data set's tasks, in order
    return data.tasks.index(name) if name in data.tasks else None


def flow_figure(
    fit: TrainedModel | Subject,
    data: Dataset,
    rows: Int[np.ndarray, " n"],
    *,
    target: int | str = 0,
    rules: str = "gamma",
    batch_size: int = 32,
    device: str | None = None,
) -> tuple[str, str]:
    """Return the heading and the picture (SVG) of the mean flow of sequences, those with a positive label if any is.

    Parameters
    ----------
    fit, data, rows, target, batch_size, device
        As in `report_content`.
    rules
        The rules.
    """
    from matplotlib.figure import Figure

    from genoplrp.pipeline.chosen import from_dataset, svg_of
    from genoplrp.relevance import Explainer, Pruning
    from genoplrp.sites.flow import flow

    subject = Subject.of(fit)
    task, name, index = subject.target(target)
    if 0 <= index < len(data.tasks) and (data.labels[rows, index] > 0).any():
        rows = rows[data.labels[rows, index] > 0]
    chosen = from_dataset(data, rows[:_IN_FLOW])
    explainer = Explainer(
        subject.model, rules, Pruning(FLOW_SHARE), batch_size=batch_size, device=device, diagnostics=False
    )
    found = flow(explainer, chosen.X, task, sites=chosen.planted, progress=True)
    picture = svg_of(found.plot(figure=Figure()))
    return (
        f"What flows where for {name}: mean of {counted(len(chosen.names), 'sequence')}, {rules}, p = {FLOW_SHARE:g}",
        picture,
    )


def run_folder(
    run: Path, model: Path | None, dataset: Path | None
) -> tuple[Path, Path, Int[np.ndarray, " n"] | None]:
    """Find model, data set and the sequences that were explained in a folder of ``genoplrp quickstart``.

    Returns
    -------
    tuple
        Path of the model, path of the data set, rows that were explained (None where there is no relevance file).

    Raises
    ------
    InputError
        If one of the two is missing.
    """
    from genoplrp.formats.attribution import AttributionFile

    if not run.is_dir():
        raise InputError(f"there is no folder {run}; `genoplrp quickstart` makes one")
    needed = [(run / "model", "--model")] if model is None else []  # a given one may be file.py:callable
    model, dataset = model or run / "model", dataset or run / "data"
    for path, option in [*needed, (dataset, "--dataset")]:
        if not path.exists():
            raise InputError(f"there is no {path}; say where it is with {option}")
    explained = sorted((run / "relevance").glob("*.npz"))
    return model, dataset, AttributionFile.load(explained[0]).sequence if explained else None


def rows_to_report(
    data: Dataset, explained: Int[np.ndarray, " n"] | None, split: str | None, limit: int | None
) -> Int[np.ndarray, " n"]:
    """Return the rows to report: those that were explained, unless a part of the data set is asked for."""
    if split is None and explained is not None:
        if len(explained) and explained.max() >= len(data):
            raise InputError(
                "the run's relevance files belong to another data set; choose sequences with --split"
            )
        return explained[:limit]
    return rows_to_explain(data, split=None if split == "all" else split or "test", limit=limit)


def sweeps(
    model: nn.Module,
    one_hot: np.ndarray,
    task: OneOutput,
    rules: Sequence[str],
    methods: Sequence[str],
    p: Sequence[float],
    batch_size: int,
    device: str | None,
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield (index of the map, relevance per position (n, L), explained output (n,)) for each rule, method and p."""
    import torch

    from genoplrp.relevance import Explainer, Pruning

    X = torch.from_numpy(one_hot)
    index = 0
    for rule in rules:
        for method in methods:
            explainer = Explainer(
                model,
                rule,
                Pruning(method=cast(Any, method)),
                batch_size=batch_size,
                device=device,
                diagnostics=False,
            )
            for _, explanation in explainer.sweep(X, task, p):
                yield index, explanation.per_nucleotide.numpy(), explanation.prediction.numpy()
                index += 1


def _instances(part: Dataset, task: int | None) -> pd.DataFrame | None:
    if not len(part.instances):
        return None
    table = part.instances
    if task is None:
        return table
    matters = table.index.isin(part.instances_of(task).index)
    return table.assign(role=np.where(matters, "core", "other"))


def _facts(fit: Subject, data: Dataset, task: str, n: int) -> dict[str, str]:
    # Of the task that is shown, where there are several.
    test = fit.metrics.get("test", {})
    test = test.get("tasks", {}).get(task, test)
    figures = [f"{k} {test[k]:.3f}" for k in ("auroc", "average_precision") if isinstance(test.get(k), float)]
    origin = f"{data.spec.name}, seed {data.seed}" if data.spec is not None else "sequences from a file"
    return {
        "Network": fit.name if fit.seed is None else f"{fit.name}, seed {fit.seed}",
        "Test": ", ".join(figures) or "not evaluated",
        "Data": f"{origin}, {counted(len(data), 'sequence')} of {data.length:,} bp",
        "Shown": counted(n, "sequence"),
        "Task": task,
        "Made by": f"genoplrp {__version__}",
    }


def _notes(length: int, planted: bool) -> list[str]:
    notes = [
        "Letters are as high as the relevance of their base, in units of the explained output (a logit). The page keeps"
        " relevance in 255 steps from minus to plus the largest of each map; scores were computed from the full"
        " numbers before.",
        "p is the share of relevance that PLRP prunes at each layer (negative relevance: half of it); p = 0 is LRP."
        " Dashed lines: mean over all sequences.",
    ]
    if planted:
        notes.append("Coloured stretches are planted motifs that matter for the task; grey ones do not.")
    if length > 1000:
        notes.append(
            "Where a base is narrower than a pixel, the extremes of each pixel are drawn (red up, blue down)."
        )
    return notes
