"""The options of the commands that read a model on sequences with sites, and what they say; no command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genoplrp.cli.given import PATH, SPLIT, check_device, refuse_given, with_options
from genoplrp.cli.model_options import MODEL_OPTIONS, load_subject
from genoplrp.wording import counted

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from jaxtyping import Int

    from genoplrp.pipeline.chosen import Chosen
    from genoplrp.pipeline.subject import Subject
    from genoplrp.relevance import Explainer
    from genoplrp.synthetic import Dataset

_OPTIONS = [
    click.option("--dataset", "-d", type=PATH, help="Folder of a data set."),
    click.option("--fasta", type=PATH, help="Sequences of one length, instead of --dataset."),
    click.option("--out", "-o", required=True, type=PATH, help="Folder to make."),
    click.option("--sites", type=PATH,
                 help="BED file or table of sites: sequence (name, or number as for --index), start, end, and motif "
                 "and strand if known."),
    click.option("--target", default="0", show_default=True, help="What to explain, as in genoplrp explain."),
    click.option("--index", "-i", type=click.IntRange(min=0),
                 help="Only this sequence, counted from 0 among those of --split and --positives."),
    click.option("--split", type=SPLIT, default="test", show_default=True),
    click.option("--positives", is_flag=True, help="Only sequences with a positive label for the task."),
    click.option("--limit", type=click.IntRange(min=1), default=200, show_default=True,
                 help="Maximum number of sequences; the first ones are used."),
    click.option("--rules", default="gamma", show_default=True, help="Preset of propagation rules."),
    click.option("--p", type=click.FloatRange(0, 1, max_open=True), default=0.15, show_default=True,
                 help="Share of relevance to prune at each layer (lower than in genoplrp explain); 0 for plain LRP."),
    *MODEL_OPTIONS,
    click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True),
    click.option("--device", callback=check_device, help="Where to compute, e.g. cpu or cuda.  [default: cpu]"),
    click.option("--force", is_flag=True, help="Replace a folder that this command made."),
]  # fmt: skip


sequence_options = with_options(_OPTIONS)


@contextmanager
def made_folder(command: str) -> Iterator[Path]:
    """Give a folder to fill for the running command, which is there when all is done, with its page and a manifest.

    Parameters
    ----------
    command : str
        Name of the command, and of its page.

    Raises
    ------
    OutputExistsError
        If it exists, unless --force was given and it is a folder of this command.
    """
    from genoplrp.formats.writing import written_folder
    from genoplrp.version import __version__

    kind = ("manifest.json", f"{command}.html")
    options = click.get_current_context().params
    with written_folder(options["out"], overwrite=options["force"], holds=kind) as folder:
        yield folder
        said = {
            name: value
            for name, value in options.items()
            if value is not None and name not in ("force", "out")
        }
        manifest = {"genoplrp": __version__, "command": command, "options": said}
        text = json.dumps(manifest, indent=1, sort_keys=True, default=str)
        (folder / "manifest.json").write_text(text + "\n")


def chosen_sequences(model: Path, options: dict[str, Any]) -> tuple[Subject, Chosen, pd.DataFrame | None]:
    """Return the model, the sequences, and the sites: those of the file, else those that were planted."""
    from genoplrp.errors import InputError
    from genoplrp.pipeline.chosen import from_dataset, from_fasta, read_sites
    from genoplrp.synthetic import Dataset

    dataset, fasta, index = options["dataset"], options["fasta"], options["index"]
    if (dataset is None) == (fasta is None):
        raise InputError("say which sequences: --dataset or --fasta")
    if fasta is not None:
        refuse_given(
            {"split", "positives"}, "is an option of --dataset, a FASTA file has no splits and no labels"
        )
    if index is not None:
        refuse_given({"limit"}, "is for several sequences, --index takes one")
    limit = options["limit"] if index is None else None
    if dataset is not None:
        data = Dataset.load(dataset)
        subject = load_subject(model, options, data.length)
        chosen = from_dataset(data, _rows_of(data, subject, options, limit))
    else:
        chosen = from_fasta(fasta, limit)
        if index is not None:
            _check_index(index, len(chosen.names), str(fasta))
            chosen = replace(chosen, X=chosen.X[index : index + 1], names=chosen.names[index : index + 1])
        subject = load_subject(model, options, chosen.X.shape[2])
    chosen = replace(chosen, first=index or 0)
    sites = (
        chosen.planted
        if options["sites"] is None
        else read_sites(options["sites"], chosen.names, chosen.first)
    )
    return subject, chosen, sites


def _rows_of(
    data: Dataset, subject: Subject, options: dict[str, Any], limit: int | None
) -> Int[np.ndarray, " n"]:
    """Return the rows of a data set that --split, --positives, --index and --limit choose."""
    from genoplrp.errors import InputError
    from genoplrp.pipeline.explain import rows_to_explain

    positives, index = options["positives"], options["index"]
    task = subject.target(options["target"])[2]
    if positives and not 0 <= task < len(data.tasks):
        raise InputError(
            f"--positives: the target is not a task of the data set; it has {', '.join(data.tasks)}"
        )
    split = None if options["split"] == "all" else options["split"]
    rows = rows_to_explain(data, split=split, task=task if positives else None, limit=limit)
    if index is None:
        return rows
    where = f"{'the data set' if split is None else 'split ' + split} of {options['dataset']}"
    _check_index(index, len(rows), where + (", positives," if positives else ""))
    return rows[index : index + 1]


def _check_index(index: int, count: int, where: str) -> None:
    from genoplrp.errors import InputError

    if index >= count:
        raise InputError(f"--index {index}: {where} has {counted(count, 'sequence')}, 0 to {count - 1}")


def explainer_of(subject: Subject, options: dict[str, Any]) -> Explainer:
    """Return the explainer that the options describe."""
    from genoplrp.relevance import Explainer, Pruning

    return Explainer(
        subject.model,
        options["rules"],
        Pruning(options["p"]) if options["p"] else None,
        batch_size=options["batch_size"],
        device=options["device"],
        diagnostics=False,
    )
