"""Everything that docs/results.md shows, from nothing: ``python -m benchmarks.evidence --out evidence --jobs 2``.

Trains and scores the full plan of ``genoplrp benchmark`` (folder ``full``), sweeps p on the first of its networks
(``sweep``), trains on permuted labels (``random-labels``), and writes beside them: ``tables.md`` (the tables of the
page), ``summary.csv``, ``comparisons.csv``, ``agreement.csv``, ``sanity.csv``, ``timing.csv``, ``models.csv``,
``sweep.csv``, ``random_labels.csv``, ``layers.csv`` (sparsity inside the networks), ``splice.csv`` (relevance on the
consensus of real splice junctions) and the figures. Interrupted, it goes on where it was; the same seeds give the same
tables, but for timing.csv. ``--further`` makes the rest of the page, too: real sites, deletion and class, choices of p,
images, and the figure that opens it (`benchmarks.real`, `judges`, `following`, `images`, `overview`).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from genoplrp.evaluation.cells import CellRun
from genoplrp.evaluation.layers import layer_sparsity
from genoplrp.evaluation.plan import full_plan, quick_plan, sweep_methods
from genoplrp.evaluation.runner import benchmark
from genoplrp.formats.table import write_csv

#: Defaults are chosen on these, and confirmed on those.
CHOSEN_ON, CONFIRMED_ON = ("koo2021_fixed", "tal_gata"), ("spacing", "and")
SWEPT = "koo2021_fixed"
SPLICE_SEEDS = 3
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
TABLES_HEAD = """# All scores

Written by `python -m benchmarks.evidence`. Means over sequences and training seeds (number in brackets); intervals are
95 % t intervals over seeds and sequences, paired by sequence; triples are RMA, AP and the weakest share (and
what of it is chance). What is measured, and on what: [Results](../results.md).

"""
CONSENSUS = "consensus"
RIVALS = ("integrated-gradients", "deeplift-shap", "ism")
PRIZE = ["lrp@gamma", "lrp@gamma-all", *RIVALS, "pruned-0.15:deeplift-shap", CONSENSUS]
PAIRS = (
    *(f"{CONSENSUS}>{name}" for name in ("lrp@gamma", "lrp@gamma-all", *RIVALS)),
    *(f"{CONSENSUS}>agreement:{name}" for name in RIVALS[:2]),
    *(f"contiguity:{CONSENSUS}>contiguity:{name}" for name in RIVALS[:2]),
    *(
        f"{name}>{control}"
        for name, plain in (
            ("plrp-lambda-0.15@gamma", "lrp@gamma"),
            ("plrp-lambda-0.15@epsilon", "lrp@epsilon"),
        )
        for control in (plain, f"threshold:{name}", f"sharpen:{name}", f"contiguity:{plain}")
    ),
    "plrp-auto@gamma>lrp@gamma",
    "pruned-0.15:gradient-x-input>gradient-x-input",
    "pruned-0.15:deeplift-shap>deeplift-shap",
)
COMPARED = {
    "rma": "RMA",
    "average_precision": "AP",
    "instance_recall": "site recall",
    "weakest_share": "weakest",
}


def whole_benchmark(out: Path, jobs: int) -> list[CellRun]:
    """Run the full plan, and return the cells whose networks have learnt."""
    plan = full_plan()
    benchmark(out=out, plan=plan, jobs=jobs)
    return [run for cell in plan.cells() if (run := CellRun(plan, cell, out)).has_learnt()]


def sweep_over_p(out: Path, runs: list[CellRun], jobs: int) -> Path:
    """Score PLRP over p on the first network of each architecture, and return the summary's path."""
    chosen = {run.cell.architecture: run for run in reversed(runs) if run.cell.dataset == SWEPT}
    plan = replace(
        runs[0].plan,
        datasets=(SWEPT,),
        architectures=tuple(sorted(chosen, reverse=True)),
        seeds=(0,),
        methods=tuple(sweep_methods()),
        n_explain=100,
        sanity=False,
    )
    out.mkdir(parents=True, exist_ok=True)
    for run in chosen.values():
        # The networks are trained already, and the data simulated.
        for source in (run.folder / "model", run.data_folder):
            target = out / source.relative_to(run.data_folder.parent.parent)
            if not target.exists():
                shutil.copytree(source, target.with_suffix(".part"), dirs_exist_ok=True)
                target.with_suffix(".part").rename(target)
    plan.save(out / "plan.json")  # or the folder would pass for something else
    benchmark(out=out, plan=plan, jobs=jobs)
    return out / "summary.csv"


def random_labels_table(out: Path) -> pd.DataFrame:
    """Agreement of maps with those of a network that was trained on permuted labels."""
    plan = replace(quick_plan(), n_sequences=4000, n_explain=50, n_robust=0, sanity=True, random_labels=True)
    benchmark(out=out, plan=plan, figures=False)
    table = pd.read_csv(out / "sanity.csv")
    rows = table[table["layer"] == "random labels"]
    means = rows.groupby("method", sort=False)[["cosine", "spearman", "top_k"]].mean()
    return means.reset_index()


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


def prize_table(out: Path, methods: list[str]) -> str:
    """Write RMA / AP / weakest share (of it by chance) of some methods, a row for each data set and network."""
    summary = pd.read_csv(out / "summary.csv")
    lines = ["| | " + " | ".join(methods) + " |", "|" + " --- |" * (len(methods) + 1)]
    for (dataset, architecture), part in summary.groupby(["dataset", "architecture"], sort=False):
        wide = part.pivot_table(index="method", columns="metric", values="mean", sort=False)
        cells = []
        for name in methods:
            rma, ap, weakest, chance = wide.loc[
                name, ["rma", "average_precision", "weakest_share", "weakest_chance"]
            ]
            cells.append(f"{rma:.3f} / {ap:.3f} / {weakest:.3f} ({chance:.3f})")
        seeds = part["seeds"].max()
        lines.append(f"| {dataset}, {architecture} ({seeds}) | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def goal_table(out: Path) -> str:
    """Write the consensus less each rival in RMA and AP, and less LRP in the weakest share, with intervals."""
    table = pd.read_csv(out / "comparisons.csv")
    table = table[table["method"] == CONSENSUS]
    asked = [(rival, metric) for metric in ("rma", "average_precision") for rival in RIVALS]
    asked.append(("lrp@gamma", "weakest_share"))
    heads = [f"{COMPARED[metric]} - {reference}" for reference, metric in asked]
    lines = ["| | " + " | ".join(heads) + " |", "|" + " --- |" * (len(heads) + 1)]
    for (dataset, architecture), part in table.groupby(["dataset", "architecture"], sort=False):
        rows = part.set_index(["reference", "metric"])
        cells = [
            f"{r['difference']:+.3f} [{r['low']:+.3f}, {r['high']:+.3f}]"
            for r in (rows.loc[key] for key in asked)
        ]
        lines.append(f"| {dataset}, {architecture} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def defaults_table(out: Path) -> str:
    """Write what the defaults of one pass are chosen by, on some data sets, and how it is on the others."""
    summary = pd.read_csv(out / "summary.csv")
    wide = summary.pivot_table(
        index="method", columns=["metric", "dataset", "architecture"], values="mean", sort=False
    )
    names = [name for name in wide.index if name.startswith(("lrp@", "plrp-"))]
    quality = (wide["rma"] + wide["average_precision"]) / 2
    weakest = wide["weakest_share"] - wide["weakest_share"].loc["lrp@gamma"]
    lines = [
        "| method | "
        + " | ".join(f"{of}: (RMA + AP) / 2 | weakest - LRP" for of in ("chosen on", "confirmed on")),
        "| --- | --- | --- | --- | --- |",
    ]
    for name in sorted(names, key=lambda name: -quality.loc[name, list(CHOSEN_ON)].mean()):
        cells = [
            f"{quality.loc[name, list(data)].mean():.3f} | {weakest.loc[name, list(data)].mean():+.3f}"
            for data in (CHOSEN_ON, CONFIRMED_ON)
        ]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def selected_comparisons(out: Path, pairs: list[list[str]]) -> str:
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


def splice_table(seeds: int) -> pd.DataFrame:
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
            maps["consensus, unmoved"] = e.per_nucleotide.numpy()
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


def make_further(out: Path) -> None:
    """Run the commands that make the rest of the page, each into a folder of its own; trained networks are kept."""
    folders = {name: str(out / name) for name in ("judges", "real", "following", "images")}
    networks = ["--networks", folders["judges"], "--real", folders["real"]]
    for name, folder in folders.items():
        options = networks if name == "following" else []
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", "--out", folder, *options], check=True)
    tables = ["--planted", str(out / "summary.csv"), "--real", str(out / "real" / "real.csv")]
    command = [sys.executable, "-m", "benchmarks.overview", *tables, "--out", str(out / "overview.png")]
    subprocess.run(command, check=True)


def main() -> None:
    """Gather, write, and measure what is not there yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for everything")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--methods", default="", help="comma-separated rows of the tables; all by default")
    parser.add_argument("--pairs", default="", help="comma-separated METHOD>REFERENCE; all by default")
    parser.add_argument("--further", action="store_true", help="the rest of the page, too: an hour more")
    given = parser.parse_args()
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    runs = whole_benchmark(out / "full", given.jobs)
    sweep = sweep_over_p(out / "sweep", runs, given.jobs)
    made = {"random_labels": random_labels_table, "layers": layers_table, "splice": splice_table}
    arguments: dict[str, Any] = {
        "random_labels": out / "random-labels",
        "layers": runs,
        "splice": SPLICE_SEEDS,
    }
    for name, make in made.items():
        if not (out / f"{name}.csv").exists():
            write_csv(make(arguments[name]), out / f"{name}.csv")
    for name in ("summary", "comparisons", "agreement", "sanity", "timing", "models"):
        table = pd.read_csv(out / "full" / f"{name}.csv")
        if name == "sanity":  # of single sequences there
            keys = ["dataset", "architecture", "method", "layers", "layer"]
            table = table.groupby(keys, sort=False).mean(numeric_only=True).drop(columns="seed").reset_index()
        write_csv(table.round(5), out / f"{name}.csv", overwrite=True)
    write_csv(pd.read_csv(sweep).round(5), out / "sweep.csv", overwrite=True)
    for folder, name in (("full", "methods"), ("full", "cost"), ("sweep", "sweep")):
        shutil.copy(out / folder / "figures" / f"{name}.png", out)
    pairs = given.pairs.split(",") if given.pairs else PAIRS
    shown = given.methods.split(",") if given.methods else list(runs[0].plan.methods)
    sections = {
        "The consensus beside its rivals": prize_table(out, PRIZE) + "\n\n" + goal_table(out),
        "One pass: what the defaults are chosen by": defaults_table(out),
        "All methods": selected_tables(out, shown),
        "Paired differences": selected_comparisons(out, [pair.split(">") for pair in pairs]),
    }
    text = "\n\n".join(f"## {title}\n\n{body.rstrip()}" for title, body in sections.items())
    (out / "tables.md").write_text(TABLES_HEAD + text + "\n")
    if given.further:
        make_further(out)


if __name__ == "__main__":
    main()
