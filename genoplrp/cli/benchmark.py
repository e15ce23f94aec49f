"""``genoplrp benchmark``: methods of explanation compared on planted truth; parses, calls and prints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genoplrp.cli.given import PATH

if TYPE_CHECKING:
    import pandas as pd

    from genoplrp.evaluation.plan import Plan


@click.command(name="benchmark", epilog="Example:  genoplrp benchmark --quick --out benchmark/")
@click.option("--out", "-o", type=PATH, help="Folder for everything (required except with --list).")
@click.option(
    "--quick",
    is_flag=True,
    help="Use one data set, one network and one seed: at most ten minutes on two cores.",
)
@click.option(
    "--dataset",
    "-d",
    multiple=True,
    help="Preset, or folder of a data set; repeat for several.  [default: koo2021_fixed, tal_gata, spacing, and]",
)
@click.option(
    "--architecture",
    "-a",
    multiple=True,
    help="Reference architecture; repeat for several.  [default: koo, bpnet]",
)
@click.option("--method", "-m", multiple=True, help="Method to compare; repeat for several.  [default: all]")
@click.option("--sweep", is_flag=True, help="Add PLRP-lambda and PLRP-M over p = 0, 0.05 ... 0.95.")
@click.option(
    "--seeds", type=click.IntRange(1), help="Training seeds 0, 1, ... of every network.  [default: 3]"
)
@click.option("--n-sequences", type=click.IntRange(10), help="Sequences to simulate.  [default: 20000]")
@click.option(
    "--n-explain", type=click.IntRange(1), help="Sequences to explain for each network.  [default: 300]"
)
@click.option("--random-labels", is_flag=True, help="Also compare with networks trained on permuted labels.")
@click.option("--epochs", type=click.IntRange(1), help="Maximum number of epochs.  [default: 20; bpnet 8]")
@click.option(
    "--least-auroc",
    type=click.FloatRange(0, 1),
    help="Networks with a lower test AUROC have not learned the task and are not explained.  [default: 0.8]",
)
@click.option("--target", "--task", "task", help="Task to explain, by name or number.  [default: the first]")
@click.option("--seed", type=int, help="Seed of the data sets.  [default: 0]")
@click.option(
    "--jobs", "-j", type=click.IntRange(1), default=1, show_default=True, help="Number of processes."
)
@click.option("--list", "list_only", is_flag=True, help="List the methods and exit.")
@click.option(
    "--resume",
    is_flag=True,
    help="Take the settings from the folder and compute what is missing or has failed.",
)
@click.option("--force", is_flag=True, help="Empty the folder first, if a benchmark made it.")
def command(
    out: Path | None,
    quick: bool,
    dataset: tuple[str, ...],
    architecture: tuple[str, ...],
    method: tuple[str, ...],
    sweep: bool,
    seeds: int | None,
    n_sequences: int | None,
    n_explain: int | None,
    random_labels: bool,
    epochs: int | None,
    least_auroc: float | None,
    task: str | None,
    seed: int | None,
    jobs: int,
    list_only: bool,
    resume: bool,
    force: bool,
) -> None:
    """Compare explanation methods on networks trained on planted motifs.

    Trains the networks, makes all maps, scores them against the planted sites and with the network, and writes tables,
    paired comparisons, figures and report.md into the folder. After an interruption, run the same command again to
    continue; you can also add methods, seeds and data sets later. Results from other data, weights, code, package
    versions or settings are computed again, and the reason is printed. If a method fails, the others continue, the
    reason is listed, and the exit code is 1; --resume tries only the failed ones again.
    """
    from genoplrp.errors import InputError
    from genoplrp.evaluation.runner import benchmark
    from genoplrp.synthetic import Dataset

    folders = {Path(name).name: Path(name) for name in dataset if Path(name).is_dir()}
    settings = _given(
        {
            "datasets": tuple(Path(name).name if Path(name).is_dir() else name for name in dataset),
            "architectures": architecture,
            "methods": method,
            "seeds": tuple(range(seeds or 0)),
            "n_sequences": n_sequences,
            "n_explain": n_explain,
            "epochs": epochs,
            "least_auroc": least_auroc,
            "data_seed": seed,
            "task": int(task) if task is not None and task.isdigit() else task,
            "random_labels": random_labels or None,
        }
    )
    if out is None:
        if resume or not list_only:
            raise click.UsageError("Missing option '--out' / '-o'.")
        out = Path()  # nothing is read or written there
    if resume and (quick or force):
        raise InputError("--resume takes the plan from the folder: leave --quick and --force out")
    plan = _plan(out if resume else None, quick, sweep, settings)
    if list_only:
        click.echo("\n".join(plan.methods))
        return
    own = {name: Dataset.load(path) for name, path in folders.items()} or None
    table = benchmark(own, out=out, plan=plan, jobs=jobs, resume=resume, force=force)
    click.echo(f"Wrote {len(table)} rows of scores, tables and figures to {out}; read {out / 'report.md'}")
    if "error" in table:
        _list_failures(table)
        sys.exit(1)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a plan that were asked for."""
    return {name: value for name, value in options.items() if value is not None and value != ()}


def _plan(folder: Path | None, quick: bool, sweep: bool, settings: dict[str, Any]) -> Plan:
    """Return the plan of a folder, the quick or the full one, with what was asked for."""
    from dataclasses import replace

    from genoplrp.evaluation.plan import Plan, full_plan, quick_plan, sweep_methods

    base = quick_plan() if quick else full_plan()
    plan = replace(base if folder is None else Plan.load(folder / "plan.json"), **settings)
    return replace(plan, methods=(*plan.methods, *sweep_methods())) if sweep else plan


def _list_failures(table: pd.DataFrame) -> None:
    failed = table[table["error"].notna()].drop_duplicates(["dataset", "architecture", "seed", "method"])
    click.echo(f"{len(failed)} failed (run again with --resume to try just these):", err=True)
    for (method, reason), part in failed.groupby(["method", "error"], sort=False):
        where = ", ".join(f"{row.dataset}/{row.architecture}-{row.seed}" for row in part.itertuples())
        click.echo(f"  {method} ({where}): {reason}", err=True)
