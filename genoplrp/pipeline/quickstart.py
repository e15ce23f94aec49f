"""The whole workflow once: simulate, train, explain, score, draw, into one folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from genoplrp.pipeline.explain import explain_dataset, rows_to_explain
from genoplrp.pipeline.folder import made_once, result_folder

if TYPE_CHECKING:
    from genoplrp.formats.attribution import AttributionFile
    from genoplrp.relevance import Pruning
    from genoplrp.synthetic import Dataset
    from genoplrp.training import TrainedModel

Log = Callable[[str], None]
PAPER_P = 0.25
"""The paper's share for DNA."""
SHOWN = ["gini", "rma", "rma_absolute", "rra", "average_precision", "auroc"]
LOGOS = 3
CONSENSUS = "consensus"
# Motifs stand on both strands and anywhere: seeing each sequence so teaches as much as many more sequences would.
AUGMENTATION: dict[str, Any] = {"reverse_complement": True, "max_shift": 8}


@dataclass(frozen=True, eq=False)
class QuickstartResult:
    """What a quickstart made.

    Attributes
    ----------
    out
        The folder.
    metrics
        The model's figures on the held-out test sequences.
    scores
        One row a method: means of the scores over the explained sequences (planted data), or the relevance profile
        (splice junctions).
    seconds
        Wall-clock time of the run.
    """

    out: Path
    metrics: dict[str, float]
    scores: pd.DataFrame
    seconds: float


def quickstart(
    out: str | Path = "quickstart",
    *,
    preset: str = "koo2021_fixed",
    n: int = 20_000,
    architecture: str = "koo",
    p: float = PAPER_P,
    seed: int = 0,
    epochs: int = 10,
    explain: int = 300,
    device: str | None = None,
    progress: bool = True,
    log: Log = print,
) -> QuickstartResult:
    """Simulate a benchmark, train a network, explain it (LRP, PLRP, consensus), score that against the truth, draw.

    Parameters
    ----------
    out
        Folder to make; it appears when everything is in it. An interrupted run is continued.
    preset, n
        What to simulate, and how many sequences.
    architecture, epochs
        Network and the longest training.
    p
        Share of relevance that PLRP prunes at each layer.
    seed
        Seed of data and training.
    explain
        How many positive test sequences to explain.
    device
        Where to compute; None for the CPU.
    progress
        Show progress bars.
    log
        Receives the progress, one line at a time.

    Returns
    -------
    QuickstartResult

    Raises
    ------
    OutputExistsError
        If the folder exists.
    """
    from genoplrp.relevance import Pruning
    from genoplrp.synthetic import Dataset, load_spec, simulate
    from genoplrp.training import load_model, train
    from genoplrp.training.folder import state_path

    begun, out = time.perf_counter(), Path(out)
    # All that can be wrong with the arguments is found before anything is written.
    spec = load_spec(preset)
    methods: dict[str, Pruning | None] = {
        "LRP": None,
        f"PLRP-lambda p={p:g}": Pruning(p),
        f"PLRP-M p={p:g}": Pruning(p, method="M"),
        CONSENSUS: None,
    }
    settings = {"preset": preset, "n": n, "architecture": architecture, "seed": seed, "epochs": epochs}
    with result_folder(out, settings, log) as folder:
        log(f"1/5  Simulate {n:,} sequences of {preset!r}")
        data = made_once(
            folder / "data",
            Dataset.load,
            lambda: simulate(spec, n=n, seed=seed, progress=progress),
            lambda made, path: made.save(path),
        )
        log(f"     {data!r}")
        log(f"2/5  Train the network {architecture!r}")
        fit = made_once(
            folder / "model",
            load_model,
            lambda: train(
                data,
                architecture,
                seed,
                state=state_path(folder / "model"),
                epochs=epochs,
                device=device,
                progress=progress,
                **AUGMENTATION,
            ),
            lambda made, path: made.save(path),
        )
        metrics = {k: float(v) for k, v in fit.metrics["test"].items() if isinstance(v, float)}
        log("     test: " + ", ".join(f"{k} {v:.3f}" for k, v in metrics.items()))
        rows = rows_to_explain(data, task=0, limit=explain)
        log(f"3/5  Explain {len(rows)} positive test sequences")
        files = _explain(fit, data, rows, methods, folder, device, progress, log)
        log("4/5  Score against the planted motifs")
        scores = _score(files, data, folder)
        log(_table(scores))
        log("5/5  Draw logos")
        _draw(files, data, folder / "figures")
        (folder / "README.txt").write_text(_readme(preset, n, architecture, p, seed, metrics))
    seconds = time.perf_counter() - begun
    log(f"Done in {seconds:.0f} s: {out}/ (README.txt says what each file is)")
    return QuickstartResult(out, metrics, scores, seconds)


def _explain(
    fit: TrainedModel,
    data: Dataset,
    rows: np.ndarray,
    methods: dict[str, Pruning | None],
    folder: Path,
    device: str | None,
    progress: bool,
    log: Log,
) -> dict[str, AttributionFile]:
    files = {}
    (folder / "relevance").mkdir(exist_ok=True)
    for name, pruning in methods.items():
        settings: dict[str, Any] = {"rules": None, "consensus": True} if name == CONSENSUS else {}
        file, explanation = explain_dataset(
            fit, data, rows, pruning=pruning, device=device, progress=progress, **settings
        )
        file.save(folder / "relevance" / f"{_slug(name)}.npz", overwrite=True)
        files[name] = file
        if name == CONSENSUS:
            log(f"     {name}: {explanation.notes[-1]}")
            continue
        verdict = "conserved" if explanation.check().holds else "NOT conserved"
        kept = explanation.layers.groupby("layer", sort=False)["kept_fraction"].mean()
        log(f"     {name}: {verdict}; entries kept: " + ", ".join(f"{k} {v:.0%}" for k, v in kept.items()))
    return files


def _score(files: dict[str, AttributionFile], data: Dataset, folder: Path) -> pd.DataFrame:
    from genoplrp.evaluation import score_dataset
    from genoplrp.formats.table import write_csv

    tables = []
    for name, file in files.items():
        table = score_dataset(file, data)
        table.insert(0, "method", name)
        tables.append(table)
    everything = pd.concat(tables, ignore_index=True)
    write_csv(everything, folder / "scores.csv", overwrite=True)
    grouped = everything.groupby("method", sort=False)[SHOWN]
    summary = grouped.mean().join(grouped.sem().add_suffix("_se"))
    write_csv(summary.reset_index(), folder / "summary.csv", overwrite=True)
    return summary


def _table(scores: pd.DataFrame) -> str:
    lines = ["     " + f"{'':22}" + "".join(f"{name:>19}" for name in SHOWN)]
    for method, row in scores.iterrows():
        cells = "".join(f"{row[name]:>11.3f} ± {row[name + '_se']:.3f}" for name in SHOWN)
        lines.append(f"     {method!s:22}{cells}")
    return "\n".join(lines)


def _draw(files: dict[str, AttributionFile], data: Dataset, folder: Path) -> None:
    from genoplrp.plotting import plot_comparison

    folder.mkdir(exist_ok=True)
    names = list(files)
    first = files[names[0]]
    # The sequences the network is surest of.
    for rank, i in enumerate(np.argsort(-first.prediction)[:LOGOS]):
        row = int(first.sequence[i])
        instances = data.instances_of(0)
        axes = plot_comparison(
            data.subset([row]).one_hot()[0],
            {name: files[name].relevance[i] for name in (*names[:2], CONSENSUS)},
            instances[instances["sequence"] == row],
        )
        figure = axes[0].figure
        for suffix in ("png", "svg"):
            figure.savefig(folder / f"logo_{rank + 1}.{suffix}", dpi=150, bbox_inches="tight")


def _readme(preset: str, n: int, architecture: str, p: float, seed: int, metrics: dict[str, float]) -> str:
    figures = "\n".join(f"  {name}: {value:.4f}" for name, value in metrics.items())
    return f"""What is in this folder (made by: genoplrp quickstart, seed {seed})

data/            {n:,} sequences of the preset {preset!r}: sequences.fa, labels.tsv, instances.bed (the planted motifs),
                 spec.toml (the recipe with its seed). Read it with genoplrp.Dataset.load("data").
model/           The trained network ({architecture!r}): weights (safetensors) and a JSON card.
                 Read it with genoplrp.load_model("model").
relevance/       One file per method (.npz): relevance (N, 4, L) of the positive test sequences in units of the
                 explained logit, and what was explained. Read with genoplrp.formats.attribution.AttributionFile.load.
scores.csv       Every score of every explained sequence; gini: sparsity; rma: share of positive relevance in the
                 planted motifs; rra: share of the top-ranked positions in them; average_precision, auroc: ranking.
summary.csv      The means over sequences and their standard errors (_se).
figures/         Up to three sequences: the planted motifs, LRP, PLRP at p = {p:g}, and the consensus of
                 twelve passes (PNG and SVG).

The model on held-out test sequences:
{figures}

Next:
  genoplrp score relevance/lrp.npz --dataset data
  genoplrp explain model --dataset data --p 0.05 --out relevance_p05.npz
  genoplrp logo relevance/lrp.npz --dataset data --index 0 --out logo.png
"""


def _slug(name: str) -> str:
    return name.lower().replace(" ", "_").replace("=", "")
