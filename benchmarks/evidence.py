"""Put the cells of several benchmark folders into one report, with the measurements that are not the benchmark's.

Run: python benchmarks/evidence.py FOLDER [FOLDER ...] --out evidence
Each folder was made by ``genoplrp benchmark``.
Written: what a benchmark writes (summary.csv, comparisons.csv, report.md,
figures), ``tables.md`` (the rows that docs/results.md shows), ``layers.csv`` (sparsity inside the networks) and
``splice.csv`` (relevance on the consensus of real splice junctions).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from genoplrp.evaluation.cells import CellRun
from genoplrp.evaluation.layers import layer_sparsity
from genoplrp.evaluation.plan import Cell, Plan
from genoplrp.evaluation.report import write_report
from genoplrp.formats.table import write_csv

LEARNT = 0.8
COLUMNS = {
    "gini": "Gini",
    "rma": "RMA",
    "average_precision": "AP",
    "rra": "RRA",
    "instance_recall": "site recall",
    "weakest_share": "weakest",
    "insertion": "insertion",
    "deletion": "deletion",
    "max_sensitivity": "max-sens.",
}
COMPARED = {
    "rma": "RMA",
    "average_precision": "AP",
    "instance_recall": "site recall",
    "weakest_share": "weakest",
}


def cells_of(folder: Path) -> Iterator[CellRun]:
    """Yield every network of a benchmark folder with the methods that are scored for it."""
    settings = json.loads((folder / "plan.json").read_text())
    for place in sorted(path.parent for path in folder.glob("cells/*/*/model")):
        architecture, _, seed = place.name.rpartition("-")
        files = sorted(place.glob("scores/*.csv"), key=lambda path: path.stat().st_mtime)
        methods = tuple(str(pd.read_csv(path, usecols=["method"], nrows=1)["method"][0]) for path in files)
        if not methods:
            continue
        cell = Cell(place.parent.name, architecture, int(seed))
        own = {"datasets": (cell.dataset,), "architectures": (architecture,), "seeds": (cell.seed,)}
        yield CellRun(Plan(**{**settings, **own, "methods": methods}), cell, folder)


def has_learnt(run: CellRun) -> bool:
    """Whether the network tells the explained task's classes apart; what did not learn has nothing to explain."""
    from genoplrp.training import load_model

    tasks = load_model(run.folder / "model").metrics["test"]["tasks"]
    value = float(next(iter(tasks.values()))["auroc"])
    print(f"{run.cell.folder}: AUROC {value:.3f}, {len(run.plan.methods)} methods")
    return value >= LEARNT


def selected_tables(out: Path, methods: list[str]) -> str:
    """Write the chosen rows of every data set and network as Markdown."""
    summary, models = pd.read_csv(out / "summary.csv"), pd.read_csv(out / "models.csv")
    lines: list[str] = []
    for (dataset, architecture), part in summary.groupby(["dataset", "architecture"], sort=False):
        wide = part.pivot_table(index="method", columns="metric", values="mean", sort=False)
        lrp = part[(part["method"] == "lrp@gamma") & (part["metric"] == "rma")].iloc[0]
        own = models[(models["dataset"] == dataset) & (models["architecture"] == architecture)]
        first = own["task"].iloc[0]
        auroc = own[(own["task"] == first) & (own["metric"] == "auroc")]["value"]
        lines += [
            f"### {dataset}, {architecture} ({lrp['seeds']} training seeds, {lrp['n']} explanations; test AUROC "
            f"{auroc.min():.3f} to {auroc.max():.3f})",
            "",
            "| method | " + " | ".join(COLUMNS.values()) + " |",
            "|" + " --- |" * (len(COLUMNS) + 1),
        ]
        for name in methods:
            if name in wide.index:
                row = wide.loc[name]
                cells = ["" if np.isnan(row[c]) else f"{row[c]:.3f}" for c in COLUMNS]
                lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def selected_comparisons(out: Path, pairs: list[tuple[str, str]]) -> str:
    """Write the chosen paired differences as Markdown; in bold what stays clear of 0 after Holm's correction."""
    table = pd.read_csv(out / "comparisons.csv")
    lines = [
        "| data set, network | method | reference | " + " | ".join(COMPARED.values()) + " |",
        "|" + " --- |" * (len(COMPARED) + 3),
    ]
    keys = ["dataset", "architecture", "method", "reference"]
    grouped = {key: part.set_index("metric") for key, part in table.groupby(keys, sort=False)}
    for (dataset, architecture), _ in table.groupby(keys[:2], sort=False):
        for pair in pairs:
            part = grouped.get((dataset, architecture, *pair))
            if part is None:
                continue
            cells = []
            for metric in COMPARED:
                row = part.loc[metric]
                text = f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
                cells.append(f"**{text}**" if row["p_holm"] < 0.05 else text)
            names = f"`{pair[0]}` | `{pair[1]}`"
            lines.append(f"| {dataset}, {architecture} | {names} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def layers_table(runs: list[CellRun], n: int = 100) -> pd.DataFrame:
    """Measure the sparsity of relevance inside the networks of the first seed."""
    tables = []
    for run in runs:
        if run.cell.seed != min(r.cell.seed for r in runs if r.cell[:2] == run.cell[:2]):
            continue
        ready = run._prepare().first(n)
        for method in ("lambda", "M"):
            table = layer_sparsity(ready.fit.model, ready.X, ready.target, method=method)
            for position, (key, value) in enumerate({**run.cell._asdict(), "method": method}.items()):
                table.insert(position, key, value)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def splice_table(seeds: int = 3) -> pd.DataFrame:
    """Share of positive relevance on the splice consensus: the dinucleotide, and the nine or five bases around it."""
    import torch

    from genoplrp.datasets import load_splice_junctions
    from genoplrp.evaluation import explain_with
    from genoplrp.evaluation.job import Job
    from genoplrp.pipeline.explain import rows_to_explain
    from genoplrp.relevance import consensus
    from genoplrp.training import train

    # (M)AG|GTRAGT from 27 on; the acceptor's NCAG|G from 26 on, its dinucleotide at 28.
    sites = {"donor": (30, (27, 36)), "acceptor": (28, (26, 31))}
    names = ["random", "gradient-x-input", "integrated-gradients", "deeplift-shap", "ism", "lrp@gamma"]
    names += ["lrp@gamma-all"]
    names += [
        "plrp-lambda-0.05@gamma",
        "plrp-lambda-0.15@gamma",
        "plrp-lambda-0.25@gamma",
        "plrp-M-0.15@gamma",
    ]
    rows = []
    for seed in range(seeds):
        data = load_splice_junctions(seed=0)
        fit = train(data, "koo", seed, progress=False, bootstrap=0)
        for target, task in enumerate(data.tasks):
            X = data.subset(rows_to_explain(data, task=target)).one_hot()
            # A few sequences hold IUPAC codes, which not every rival takes.
            X = X[(X.sum(axis=1) == 1).all(axis=1)]
            job = Job(fit.model, X, target, seed)
            maps: dict[str, Any] = {name: explain_with(name, job) for name in names}
            # The junction has its place and its strand here: neither may be moved.
            e = consensus(fit.model, torch.as_tensor(X), target, max_shift=0, both_strands=False)
            maps["consensus@gamma-all, unmoved"] = e.per_nucleotide.numpy()
            at, (start, end) = sites[task]
            for name, values in maps.items():
                positive = np.maximum(values, 0.0)
                share = positive / np.maximum(positive.sum(axis=1, keepdims=True), 1e-12)
                rows.append(
                    (
                        seed,
                        task,
                        name,
                        len(X),
                        share[:, at : at + 2].sum(1).mean(),
                        share[:, start:end].sum(1).mean(),
                    )
                )
    return pd.DataFrame(rows, columns=["seed", "task", "method", "n", "dinucleotide", "consensus"])


def main() -> None:
    """Gather, write, and measure what is not there yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", default="", help="comma-separated rows of the tables; all by default")
    parser.add_argument("--pairs", default="", help="comma-separated METHOD>REFERENCE; all by default")
    parser.add_argument("--without", default="", help="leave out: layers, splice")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    runs = [run for folder in given.folders for run in cells_of(folder)]
    runs = [run for run in runs if has_learnt(run)]
    everything = tuple(dict.fromkeys(name for run in runs for name in run.plan.methods))
    plan = Plan(
        datasets=tuple(dict.fromkeys(run.cell.dataset for run in runs)),
        architectures=tuple(dict.fromkeys(run.cell.architecture for run in runs)),
        seeds=tuple(sorted({run.cell.seed for run in runs})),
        methods=everything,
    )
    write_report(plan, runs, given.out)
    shown = given.methods.split(",") if given.methods else list(everything)
    compared = pd.read_csv(given.out / "comparisons.csv")[["method", "reference"]].drop_duplicates()
    pairs = (
        [tuple(pair.split(">")) for pair in given.pairs.split(",")]
        if given.pairs
        else [*compared.itertuples(index=False)]
    )
    text = (
        selected_tables(given.out, shown) + "\n" + selected_comparisons(given.out, [(a, b) for a, b in pairs])
    )
    (given.out / "tables.md").write_text(text + "\n")
    if "layers" not in given.without:
        write_csv(layers_table(runs), given.out / "layers.csv", overwrite=True)
    if "splice" not in given.without:
        write_csv(splice_table(), given.out / "splice.csv", overwrite=True)


if __name__ == "__main__":
    main()
