"""The workflow on real DNA: train on primate splice junctions and look where the relevance lies."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from genoplrp.pipeline.explain import explain_dataset, rows_to_explain
from genoplrp.pipeline.folder import made_once, result_folder
from genoplrp.pipeline.quickstart import QuickstartResult

if TYPE_CHECKING:
    from genoplrp.formats.attribution import AttributionFile
    from genoplrp.relevance import Pruning
    from genoplrp.synthetic import Dataset
    from genoplrp.training import TrainedModel

# 0-based positions of the dinucleotides in the 60 bp windows: the intron begins at 30 (donor), ends at 29 (acceptor).
CONSENSUS = {"donor": ("GT", 30), "acceptor": ("AG", 28)}


def splice_quickstart(
    out: str | Path = "quickstart-splice",
    *,
    architecture: str = "koo",
    p: float = 0.25,
    seed: int = 0,
    epochs: int = 20,
    device: str | None = None,
    progress: bool = True,
    log: Callable[[str], None] = print,
) -> QuickstartResult:
    """Train on splice junctions, explain held-out donors and acceptors, profile their relevance.

    Parameters
    ----------
    out, architecture, p, seed, epochs, device, progress, log
        As in `genoplrp.pipeline.quickstart`.

    Returns
    -------
    QuickstartResult
        ``scores`` holds, for each task and method, the share of absolute relevance on the consensus dinucleotide.
    """
    from genoplrp.datasets import load_splice_junctions
    from genoplrp.relevance import Pruning
    from genoplrp.training import load_model, train

    begun, out = time.perf_counter(), Path(out)
    methods: dict[str, Pruning | None] = {"LRP": None, f"PLRP-lambda p={p:g}": Pruning(p)}
    settings = {"dataset": "splice", "architecture": architecture, "seed": seed, "epochs": epochs}
    with result_folder(out, settings, log) as folder:
        data = load_splice_junctions(seed=seed)
        log(f"1/4  Primate splice junctions: {data!r}")
        log(f"2/4  Train the network {architecture!r}")
        fit = made_once(
            folder / "model",
            load_model,
            lambda: train(data, architecture, seed, epochs=epochs, device=device, progress=progress),
            lambda made, path: made.save(path),
        )
        accuracy = three_class_accuracy(fit, data.subset("test"))
        log(
            f"     accuracy on {int((data.split == 'test').sum())} distinct held-out sequences: {accuracy:.3f}"
        )
        log("3/4  Explain the held-out donors and acceptors")
        files: dict[tuple[str, str], AttributionFile] = {}
        (folder / "relevance").mkdir(exist_ok=True)
        for index, task in enumerate(data.tasks):
            rows = rows_to_explain(data, task=index)
            for name, pruning in methods.items():
                file, _ = explain_dataset(
                    fit, data, rows, target=index, pruning=pruning, device=device, progress=progress
                )
                file.save(folder / "relevance" / f"{task}_{name.split()[0].lower()}.npz", overwrite=True)
                files[task, name] = file
        scores = profile_table(files)
        scores.to_csv(folder / "profile.csv", index=False)
        log(consensus_report(scores, data))
        log("4/4  Draw profiles and logos")
        _draw(files, list(methods), data, folder / "figures")
        (folder / "README.txt").write_text(_readme(architecture, seed, accuracy, p))
    seconds = time.perf_counter() - begun
    log(f"Done in {seconds:.0f} s: {out}/ (README.txt says what each file is)")
    return QuickstartResult(out, {"accuracy": accuracy}, scores, seconds)


def three_class_accuracy(fit: TrainedModel, data: Dataset) -> float:
    """Return the share of sequences put into the right one of donor, acceptor and neither.

    The class is the task with the larger logit if that is positive, else neither.
    """
    logits = fit.logits(data.one_hot())
    with_neither = np.column_stack([logits, np.zeros(len(logits))])
    truth = np.where(data.labels.any(axis=1), data.labels.argmax(axis=1), data.labels.shape[1])
    return float((with_neither.argmax(axis=1) == truth).mean())


def profile_table(files: dict[tuple[str, str], AttributionFile]) -> pd.DataFrame:
    """Return the mean share of |relevance| at each position, a row for each task, method and position."""
    tables = []
    for (task, method), file in files.items():
        absolute = np.abs(file.per_nucleotide)
        share = absolute / np.maximum(absolute.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        tables.append(
            pd.DataFrame(
                {
                    "task": task,
                    "method": method,
                    "position": np.arange(file.length),
                    "share": share.mean(axis=0),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def consensus_report(profile: pd.DataFrame, data: Dataset) -> str:
    """Return, for each task and method, the relevance on the consensus dinucleotide and the two top positions."""
    lines = []
    for (task, method), rows in profile.groupby(["task", "method"], sort=False):
        letters, first = CONSENSUS[str(task)]
        on = rows.loc[rows["position"].isin([first, first + 1]), "share"].sum()
        top = sorted(rows.nlargest(2, "share")["position"].tolist())
        lines.append(
            f"     {task:9} {method:20} {letters} at {first}-{first + 1}: {on:.0%} of |relevance| "
            f"({on / (2 / data.length):.0f} times its share of positions); top two positions {top}"
        )
    return "\n".join(lines)


def _draw(
    files: dict[tuple[str, str], AttributionFile], methods: list[str], data: Dataset, folder: Path
) -> None:
    from matplotlib.figure import Figure

    from genoplrp.plotting import plot_logo, plot_profile

    folder.mkdir(exist_ok=True)
    for task in data.tasks:
        letters, first = CONSENSUS[task]
        marks = [(first, first + 2, letters)]
        figure = Figure(figsize=(9, 6.5), layout="constrained")
        axes = figure.subplots(len(methods) + 1)
        plot_profile(
            {name: files[task, name].per_nucleotide for name in methods}, ax=axes[0], highlight=marks
        )
        count = len(files[task, methods[0]])
        axes[0].set_title(f"{task}: mean |relevance| of {count} held-out sequences", loc="left", fontsize=10)
        for ax, name in zip(axes[1:], methods, strict=True):
            plot_logo(
                files[task, name].relevance.mean(axis=0),
                ax=ax,
                highlight=marks,
                title=f"{name}, mean relevance",
            )
        for suffix in ("png", "svg"):
            figure.savefig(folder / f"{task}.{suffix}", dpi=150)


def _readme(architecture: str, seed: int, accuracy: float, p: float) -> str:
    return f"""What is in this folder (made by: genoplrp quickstart --dataset splice, seed {seed})

model/       The trained network ({architecture!r}): weights (safetensors) and a JSON card.
relevance/   One file for each task and method (.npz): relevance (N, 4, 60) of the held-out donors or acceptors in
             units of the explained logit.
profile.csv  Mean share of |relevance| at each position, for each task and method.
figures/     Profile and logos of the averaged relevance for donors and acceptors: LRP, and PLRP at p = {p:g}.

Accuracy on distinct held-out sequences (donor, acceptor, neither): {accuracy:.4f}
Data: UCI Molecular Biology (Splice-junction Gene Sequences), CC BY 4.0.
"""
