"""``genoplrp report``: one HTML file with live logos and a slider over p; parses, calls and prints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genoplrp.cli.given import PATH, SPLIT, check_device
from genoplrp.cli.model_options import load_subject, model_options
from genoplrp.wording import counted

if TYPE_CHECKING:
    from genoplrp.report import ReportContent


@click.command(name="report", epilog="Example:  genoplrp report quickstart/ --out report.html")
@click.argument("run", type=PATH)
@click.option("--out", "-o", required=True, type=PATH, help="HTML file to write.")
@click.option("--model", "-m", type=PATH,
              help="Model, as in genoplrp explain.  [default: RUN/model]")  # fmt: skip
@click.option("--dataset", "-d", type=PATH, help="Folder of the data set, or splice for the"
              " splice junctions that come with the package.  [default: RUN/data]")  # fmt: skip
@click.option(
    "--target", help="What to explain, as in genoplrp explain.  [default: 0, or what a store explains]"
)
@model_options
@click.option("--split", type=SPLIT,
              help="Part to report.  [default: that of RUN/relevance, else test]")  # fmt: skip
@click.option(
    "--limit", type=click.IntRange(min=1), default=200, show_default=True, help="Maximum number of sequences."
)
@click.option("--rules", default="gamma,epsilon", show_default=True, help="Presets of rules to offer.")
@click.option("--methods", default="lambda,M", show_default=True, help="Pruning methods to offer.")
@click.option("--steps", type=click.IntRange(min=2), default=20, show_default=True,
              help="Number of stops of the slider, from p = 0 to 0.95.")  # fmt: skip
@click.option(
    "--flow",
    is_flag=True,
    help="Add a section that shows which sites feed which filters and channels, at p = 0.15.",
)
@click.option("--title", help="Title of the report.")
@click.option("--batch-size", type=click.IntRange(min=1), default=32, show_default=True)
@click.option("--device", callback=check_device, help="Where to compute, e.g. cpu or cuda.  [default: cpu]")
@click.option("--seed", type=int, default=0, help="Has no effect: explanations are deterministic.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
def command(
    run: Path,
    out: Path,
    model: Path | None,
    dataset: Path | None,
    target: str | None,
    split: str | None,
    limit: int,
    rules: str,
    methods: str,
    steps: int,
    flow: bool,
    title: str | None,
    batch_size: int,
    device: str | None,
    seed: int,
    force: bool,
    **loading: Any,
) -> None:
    """Make an HTML report of RUN: logos drawn in the browser, with a slider for p.

    RUN is a folder of genoplrp quickstart, or a store of regions (genoplrp explain --fasta ...). A store needs --model
    for the slider; without it the report shows the stored maps.

    The file is self-contained and needs no network or server. It holds the relevance of every sequence at every stop
    of the slider, one byte per base: 200 sequences of 200 bp take about 4 MB. For long windows or many sequences offer
    fewer choices: --rules gamma --methods lambda makes it four times smaller (500 sequences of 5,000 bp: 60 MB).
    """
    import numpy as np

    from genoplrp.pipeline.report import flow_figure, report_content, rows_to_report, run_folder
    from genoplrp.report import check_report_path, write_report
    from genoplrp.synthetic import Dataset

    check_report_path(out, overwrite=force)
    how: dict[str, Any] = {
        "rules": rules.split(","),
        "methods": methods.split(","),
        "p": [round(float(value), 4) for value in np.linspace(0, 0.95, steps)],
        "title": title,
        "batch_size": batch_size,
        "device": device,
    }
    if (run / "manifest.json").is_file() and dataset is None:
        content = _of_store(run, model, loading, target, limit, how)
        write_report(content, out, overwrite=force)
        _say_what_is_written(out, content, "window")
        return
    splice = dataset is not None and str(dataset) == "splice"
    model, folder, explained = run_folder(run, model, run if splice else dataset)
    if splice:
        from genoplrp.datasets import load_splice_junctions

        subject = load_subject(model, loading, 60)
        data, explained = load_splice_junctions(seed=subject.seed or 0), None
    else:
        data = Dataset.load(folder)
        subject = load_subject(model, loading, data.length)
    rows = rows_to_report(data, explained, split, limit)
    content = report_content(subject, data, rows, target=target or "0", **how)
    if flow:
        figure = flow_figure(
            subject,
            data,
            rows,
            target=target or "0",
            rules=content.rules[0],
            batch_size=batch_size,
            device=device,
        )
        content = replace(content, figures=[figure])
    write_report(content, out, overwrite=force)
    _say_what_is_written(out, content, "sequence")


def _say_what_is_written(out: Path, content: ReportContent, noun: str) -> None:
    click.echo(f"{counted(len(content.names), noun)}, {out.stat().st_size / 1e6:.1f} MB")
    click.echo(f"Wrote {out}", err=True)


def _of_store(
    run: Path,
    model: Path | None,
    loading: dict[str, Any],
    target: str | None,
    limit: int,
    how: dict[str, Any],
) -> ReportContent:
    from genoplrp.errors import InputError
    from genoplrp.pipeline.regions import region_report, spread_rows
    from genoplrp.scan import open_store

    store = open_store(run)
    if model is None and target is not None:
        raise InputError("--target needs the model (--model): the store holds one explanation")
    subject = None if model is None else load_subject(model, loading, store.length)
    return region_report(store, spread_rows(store.regions, limit), subject, target=target, **how)
