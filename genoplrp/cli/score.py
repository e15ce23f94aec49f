"""``genoplrp score``: relevance of a data set against its planted motifs; parses, calls and prints."""

from __future__ import annotations

from pathlib import Path

import click

from genoplrp.cli.given import PATH
from genoplrp.wording import counted


@click.command(name="score", epilog="Example:  genoplrp score relevance.npz --dataset data/ --out scores.csv")
@click.argument("relevance", type=PATH)
@click.option(
    "--dataset",
    "-d",
    required=True,
    type=PATH,
    help="Folder of the explained data set (genoplrp simulate).",
)
@click.option("--out", "-o", type=PATH, help="CSV to write, one row per sequence.")
@click.option(
    "--target",
    "--task",
    "task",
    help="Score against this task, by name or number.  [default: the output that was explained]",
)
@click.option(
    "--signed",
    is_flag=True,
    help="Also score the sign (inhibitors must be negative).  [default: if the truth has signs]",
)
@click.option("--force", is_flag=True, help="Replace the CSV if it exists.")
def command(
    relevance: Path, dataset: Path, out: Path | None, task: str | None, signed: bool, force: bool
) -> None:
    """Score RELEVANCE against the motifs planted in its data set: a relevance file, or a store of its sequences.

    Prints the mean of every score over the sequences, its standard error and its chance level (the score of a random
    map). gini: sparsity of the absolute relevance. rma: share of the positive relevance in the motifs (rma_absolute: of
    the absolute relevance). rra: share of the top-ranked positions in the motifs. Sequences without a motif have only
    gini. signed_rma and signed_average_precision (if the truth has signs, or with --signed): positions of sites that
    speak against the label must be negative.
    """
    from genoplrp import partial
    from genoplrp.evaluation import score_dataset, summarise
    from genoplrp.evaluation.scoring import chance_levels, what_is_missing
    from genoplrp.formats.attribution import AttributionFile
    from genoplrp.formats.table import write_csv
    from genoplrp.synthetic import Dataset

    if out is not None:
        partial.check_file(out, overwrite=force)
    wanted = int(task) if task is not None and task.isdigit() else task
    data = Dataset.load(dataset)
    if relevance.is_dir():
        from genoplrp.pipeline.regions import stored_relevance
        from genoplrp.scan import open_store

        store = open_store(relevance)
        named = str(store.manifest["target"])
        index = data.tasks.index(named) if named in data.tasks else int(named) if named.isdigit() else -1
        explained = stored_relevance(store, data, index)
    else:
        explained = AttributionFile.load(relevance)
    table = score_dataset(explained, data, task=wanted, signed=signed or None)
    summary = summarise(table.drop(columns=["sequence", "prediction"]))
    summary.insert(2, "chance", chance_levels(summary["mean"]))
    method = explained.meta.get("method", "relevance")
    click.echo(f"{method}: {counted(len(table), 'sequence')} of {dataset}")
    click.echo(summary.to_string(float_format=lambda value: f"{value:.3f}", na_rep=""))
    for line in what_is_missing(table):
        click.echo(line, err=True)
    if out is not None:
        write_csv(table, out, overwrite=force)
        click.echo(f"Wrote {out}", err=True)
