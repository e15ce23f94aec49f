"""``genoplrp train``: a data set folder in, a checkpoint folder out; parses, calls and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from genoplrp.cli.given import PATH, check_device

_TASKS = click.Choice(["auto", "binary", "multiclass", "regression", "count"])


@click.command(
    name="train",
    epilog="Examples:  genoplrp train data/ -o model --architecture koo --epochs 20 --seed 0;  "
    "genoplrp train peaks.fa --labels peaks.tsv -o model --reverse-complement;  "
    "genoplrp train data/ -o model --architecture mine.py:build",
)
@click.argument("dataset", type=PATH, required=False)
@click.option("--out", "-o", type=PATH, help="Folder to make: the checkpoint.  [required]")
@click.option("--labels", type=PATH, help="Table of labels, if DATASET is a FASTA file.")
@click.option(
    "--architecture",
    "-a",
    default="koo",
    show_default=True,
    help="Name of a reference architecture, or module:callable or file.py:callable that returns your own nn.Module.",
)
@click.option(
    "--parameter",
    "-P",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="Parameter of the reference architecture, e.g. filters=64,96; can be repeated.",
)
@click.option("--list", "list_names", is_flag=True, help="List the architectures and exit.")
@click.option(
    "--epochs", type=click.IntRange(min=1), default=20, show_default=True, help="Maximum number of epochs."
)
@click.option(
    "--batch-size", type=click.IntRange(min=2), default=128, show_default=True, help="Sequences per step."
)
@click.option("--lr", type=float, default=1e-2, show_default=True, help="Maximum learning rate.")
@click.option(
    "--schedule",
    type=click.Choice(["onecycle", "cosine", "constant"]),
    default="onecycle",
    show_default=True,
    help="Learning-rate schedule.",
)
@click.option(
    "--weight-decay", type=float, default=1e-2, show_default=True, help="Decoupled weight decay of AdamW."
)
@click.option(
    "--clip-norm",
    type=float,
    default=1.0,
    show_default=True,
    help="Maximum norm of the gradient; 0 for no limit.",
)
@click.option(
    "--label-smoothing",
    type=float,
    default=0.05,
    show_default=True,
    help="Share of each label that is spread evenly over the classes.",
)
@click.option(
    "--patience",
    type=click.IntRange(min=0),
    default=6,
    show_default=True,
    help="Stop after this many epochs without improvement; 0 for never.",
)
@click.option(
    "--monitor",
    type=click.Choice(["loss", "score"]),
    default="loss",
    show_default=True,
    help="What must improve on the validation part: the loss, or the AUROC (Pearson's r) averaged over the tasks.",
)
@click.option("--start-from", type=PATH, help="Checkpoint to take initial layers from.")
@click.option("--task", type=_TASKS, default="auto", show_default=True, help="Kind of labels.")
@click.option("--class-weight", type=click.Choice(["balanced"]), help="Weight the classes equally.")
@click.option("--reverse-complement", is_flag=True, help="Augment with reverse complements.")
@click.option(
    "--max-shift",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Augment by shifts of up to this (bp).",
)
@click.option(
    "--precision", type=click.Choice(["float32", "bfloat16", "float16"]), default="float32", show_default=True
)
@click.option(
    "--bootstrap",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    help="Bootstrap resamples for the intervals of the metrics; 0 for none.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Random seed.")
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Train this many seeds, starting at --seed; --out then contains one checkpoint per seed.",
)
@click.option(
    "--device",
    callback=check_device,
    help="Where to train, e.g. cpu or cuda:0.  [default: a CUDA device if there is one]",
)
@click.option(
    "--log", type=PATH, help="CSV file to write during training, one row per epoch (one file per seed)."
)
@click.option("--tensorboard", type=PATH, help="Folder for TensorBoard events (one subfolder per seed).")
@click.option("--figure", type=PATH, help="Draw the training curves (PNG, SVG or PDF).")
@click.option(
    "--resume", is_flag=True, help="Continue an interrupted training, with otherwise the same command."
)
@click.option("--force", is_flag=True, help="Replace the checkpoint at --out.")
def command(
    dataset: Path | None,
    out: Path | None,
    labels: Path | None,
    architecture: str,
    pairs: tuple[str, ...],
    clip_norm: float,
    log: Path | None,
    tensorboard: Path | None,
    list_names: bool,
    seed: int,
    seeds: int,
    figure: Path | None,
    resume: bool,
    force: bool,
    **options: Any,
) -> None:
    """Train a network on DATASET: a folder from genoplrp simulate, a simdata file, or a FASTA file with --labels.

    Writes weights (safetensors), a JSON card and the training history; prints metrics on the validation and the
    test part, with 95 % bootstrap intervals.
    """
    from genoplrp.cli.architecture import named_architecture, parse_parameters
    from genoplrp.cli.notes import notes_shown
    from genoplrp.training import list_architectures, read_labelled_fasta, seed_table, train_to_folder

    if list_names:
        click.echo("\n".join(f"{name:13} {line}" for name, line in list_architectures().items()))
        return
    if dataset is None or out is None:
        raise click.UsageError("DATASET and --out are needed (or --list).")
    if figure is not None:
        from genoplrp.plotting.saving import check_figure_path

        check_figure_path(figure, overwrite=force or resume)
    data = read_labelled_fasta(dataset, labels, seed=seed) if labels else dataset
    folders = [out] if seeds == 1 else [out / f"seed{s}" for s in range(seed, seed + seeds)]
    fits = []
    with notes_shown():
        for number, folder in enumerate(folders, start=seed):
            name = f"seed{number}"
            if seeds > 1:
                log_of_seed = log and log.with_name(f"{log.stem}.{name}{log.suffix}")
                events = tensorboard and tensorboard / name
            else:
                log_of_seed, events = log, tensorboard
            try:
                fit = train_to_folder(
                    data,
                    folder,
                    named_architecture(architecture),
                    number,
                    parameters=parse_parameters(pairs),
                    clip_norm=clip_norm or None,
                    log=log_of_seed,
                    tensorboard=events,
                    resume=resume,
                    overwrite=force,
                    progress=True,
                    **options,
                )
            except KeyboardInterrupt:
                click.echo(
                    "Finished epochs are saved; run the same command with --resume to continue.", err=True
                )
                raise
            fits.append(fit)
            best = f"best epoch {fit.provenance['best_epoch']} of {len(fit.history)}"
            click.echo(f"{fit.architecture}, seed {fit.seed}: {best}; {folder}")
    # Without --bootstrap there are no intervals to show.
    table = (fits[0].metrics_table() if seeds == 1 else seed_table(fits)).dropna(axis="columns", how="all")
    click.echo(table.to_string(index=False, float_format=lambda value: f"{value:.4f}", na_rep=""))
    if figure is not None:
        _draw(figure, {f"seed {fit.seed}": fit.history for fit in fits}, force or resume)
    click.echo(f"Wrote {out}", err=True)


def _draw(path: Path, histories: dict[str, Any], overwrite: bool) -> None:
    import matplotlib.pyplot as plt

    from genoplrp.plotting import save_figure
    from genoplrp.plotting.training_curves import plot_training_curves

    figure, axes = plt.subplots(1, 2, figsize=(7.6, 3.0), layout="constrained")
    plot_training_curves(histories if len(histories) > 1 else next(iter(histories.values())), axes=axes)
    save_figure(figure, path, overwrite=overwrite)
    plt.close(figure)
    click.echo(f"Wrote {path}", err=True)
