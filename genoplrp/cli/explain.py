"""``genoplrp explain``: a model's predictions on a data set or a genome, explained; parses, calls and prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genoplrp.cli.genome_options import explain_genome, genome_options
from genoplrp.cli.given import PATH, SPLIT, device_that_is_here, refuse_given
from genoplrp.cli.model_options import LOADING
from genoplrp.wording import counted

if TYPE_CHECKING:
    import numpy as np

    from genoplrp.relevance import Explanation, Pruning
    from genoplrp.relevance.pruning.policy import Method, Scope


@click.command(
    name="explain",
    epilog="Examples:  genoplrp explain model/ --dataset data/ --p 0.25 --out relevance.npz;  genoplrp explain "
    "net.py:Net --state-dict weights.pt --fasta genome.fa --bed peaks.bed --length 500 --out scan/",
)
@click.argument("model", type=PATH)
@click.option("--dataset", "-d", type=PATH, help="Folder of a data set.")
@click.option(
    "--out", "-o", required=True, type=PATH, help="Relevance file to write (.npz), or folder for a genome."
)
@click.option(
    "--target",
    default="0",
    show_default=True,
    help="What to explain: a task by name or number; an index for each axis of the output (0,2; a colon sums over the "
    "axis), after the name of an output if there are several (donor:0,2); a difference (1-0); or sum.",
)
@click.option("--split", type=SPLIT, default="test", show_default=True)
@click.option("--positives", is_flag=True, help="Only sequences with a positive label for the task.")
@click.option("--limit", type=click.IntRange(min=1), help="Explain at most this many sequences.")
@click.option("--rules", help="Preset of propagation rules.  [default: gamma]")
@click.option(
    "--p",
    help="Share of relevance to prune at each layer; 0 for plain LRP; auto, effective, gain or faithful choose it.  "
    "[default: 0.25]",
)
@click.option("--p-neg", type=float, help="The same for negative relevance.  [default: p / 2]")
@click.option(
    "--method", type=click.Choice(["lambda", "M", "M-literal"]), default="lambda", show_default=True
)
@click.option(
    "--scope", type=click.Choice(["sample", "position", "filter"]), default="sample", show_default=True
)
@click.option("--total", is_flag=True, help="Read p as the share over the whole network.")
@click.option(
    "--consensus",
    is_flag=True,
    help="Keep what twelve passes agree on: shifted and reverse-complemented views of each sequence, by relevance, "
    "relevance with the z-box rule, and DeepLIFT. Views to which the model responds differently are omitted. Rules are "
    "gamma and gamma-all in turn unless --rules is given. Views are pruned only if --p is given, as the share over the "
    "whole network.",
)
@click.option(
    "--max-shift",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="With --consensus: largest shift in bp; 0 if the output belongs to a position, e.g. a splice site.",
)
@click.option(
    "--one-strand",
    is_flag=True,
    help="With --consensus: omit the other strand, e.g. for RNA or a stranded output.",
)
@click.option("--prune-input", is_flag=True, help="Also prune the input of the network.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    help="Sequences per batch.  [default: 64; for a genome it depends on the length]",
)
@click.option("--device", help="Where to compute, e.g. cpu or cuda.  [default: cpu]")
@click.option("--seed", type=int, default=0, help="Has no effect: explanations are deterministic.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@genome_options
def command(
    model: Path,
    dataset: Path | None,
    out: Path,
    target: str,
    split: str,
    positives: bool,
    limit: int | None,
    rules: str | None,
    p: str | None,
    p_neg: float | None,
    method: Method,
    scope: Scope,
    total: bool,
    consensus: bool,
    max_shift: int,
    one_strand: bool,
    prune_input: bool,
    batch_size: int | None,
    device: str | None,
    seed: int,
    force: bool,
    **genome: Any,
) -> None:
    """Explain MODEL on the sequences of a data set, or on regions or variants of a genome.

    MODEL is a checkpoint of genoplrp train, a torch.export archive (.pt2), a Keras file (.keras, .h5), or
    module:callable or file.py:callable that returns the nn.Module, with its weights as --state-dict.

    With --dataset, writes the relevance of every base, in units of the explained logit, and prints how sparse it is and
    whether it is conserved.

    With --fasta and --bed or --vcf, writes a folder (Zarr) in batches; after an interruption, run the same command
    again to continue. Without --bed and --vcf, every FASTA record is a sequence of the model's length.
    """
    from genoplrp import partial
    from genoplrp.errors import InputError

    if genome["engine"] == "local":
        device_that_is_here(device)
    if not consensus and (one_strand or max_shift != 3):
        raise InputError(
            "--max-shift and --one-strand are options of --consensus: pass it too, or leave them out"
        )
    how: dict[str, Any] = {
        "target": target,
        "rules": rules if consensus else rules or "gamma",
        "pruning": _pruning(p, p_neg, method, prune_input, scope, total, consensus),
        "consensus": consensus,
        "max_shift": max_shift,
        "both_strands": not one_strand,
        "device": device,
    }
    if genome["fasta"] is not None:
        if dataset is not None:
            raise InputError("--dataset and --fasta exclude each other: leave one of them out")
        refuse_given({"split", "positives", "limit"}, "is an option of --dataset")
        explain_genome(model, out, genome, **how, batch_size=batch_size, force=force)
        return
    if dataset is None:
        raise InputError("say what to explain: --dataset, or --fasta (with --bed or --vcf for a genome)")
    refuse_given(set(genome) - set(LOADING), "is an option of --fasta")
    if out.exists() and not force:
        raise partial.exists_already(out, overwrite=False)
    _explain_dataset(model, dataset, out, genome, split, positives, limit, batch_size or 64, force, how)


def _pruning(
    p: str | None,
    p_neg: float | None,
    method: Method,
    prune_input: bool,
    scope: Scope,
    total: bool,
    consensus: bool,
) -> Pruning | None:
    from genoplrp.errors import InputError
    from genoplrp.relevance import Pruning

    share = _share(p or ("0" if consensus else "0.25"))
    if consensus and isinstance(share, str):
        raise InputError(f"--consensus prunes by a number; got --p {p}")
    if share == 0.0:
        return None
    return Pruning(share, p_neg, method, prune_input, scope=scope, total=total or consensus)


def _explain_dataset(
    model: Path,
    dataset: Path,
    out: Path,
    loading: dict[str, Any],
    split: str,
    positives: bool,
    limit: int | None,
    batch_size: int,
    force: bool,
    how: dict[str, Any],
) -> None:
    from genoplrp.cli.model_options import load_subject
    from genoplrp.errors import InputError
    from genoplrp.pipeline.explain import explain_dataset, rows_to_explain
    from genoplrp.synthetic import Dataset

    data = Dataset.load(dataset)
    subject = load_subject(model, loading, data.length)
    _, name, index = subject.target(how["target"])
    if positives and not 0 <= index < len(data.tasks):
        raise InputError(
            f"--positives: {name!r} is not a task of the data set; it has {', '.join(data.tasks)}"
        )
    rows = rows_to_explain(
        data, split=None if split == "all" else split, task=index if positives else None, limit=limit
    )
    file, explanation = explain_dataset(subject, data, rows, **how, batch_size=batch_size, progress=True)
    file.save(out, overwrite=force)
    click.echo(f"{file.meta['method']}: {counted(len(rows), 'sequence')}, target {name!r}")
    _print_figures(explanation, data.lengths[rows], checked=not how["consensus"])
    click.echo(f"Wrote {out}", err=True)


def _print_figures(explanation: Explanation, lengths: np.ndarray, *, checked: bool) -> None:
    """Say how sparse relevance is, what the predictions are, and whether it is conserved."""
    from genoplrp.scan.summary import relevance_figures, summary_lines

    figures = relevance_figures(
        iter([explanation.per_nucleotide.numpy()]), explanation.prediction.numpy(), lengths
    )
    for line in summary_lines(figures, explanation.units, what="sequences"):
        click.echo(line)
    if checked:
        click.echo(str(explanation.check()))
    for note in explanation.notes:
        click.echo(f"Note: {note}")


def _share(p: str) -> float | str:
    try:
        return float(p)
    except ValueError:
        return p
