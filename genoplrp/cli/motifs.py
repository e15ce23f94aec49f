"""``genoplrp motifs``: sites and motifs of what was explained; parses, calls and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from genoplrp.cli.given import PATH, check_device
from genoplrp.cli.site_options import SITE_OPTIONS, explained_model, several_targets, site_options


@click.command(
    name="motifs",
    epilog="Example:  genoplrp motifs relevance.npz --dataset data/ --model model/ --out motifs/",
)
@click.argument("source", type=PATH)
@click.option("--model", "-m", required=True, type=PATH, help="The explained model, for the null.")
@click.option("--out", "-o", required=True, type=PATH, help="Folder to make.")
@click.option(
    "--target",
    "-t",
    "targets",
    multiple=True,
    help="Outputs to compare, e.g. 0,1,2 (or repeat the option). Outputs that SOURCE does not explain are explained "
    "in the same way; motifs.tsv counts the sites of each output.  [default: the one of SOURCE]",
)
@click.option("--dataset", "-d", type=PATH, help="Data set of the relevance file.")
@click.option(
    "--known", type=PATH, help="Known motifs (MEME, JASPAR, TRANSFAC).  [default: JASPAR, vertebrates]"
)
@click.option(
    "--jaspar",
    default="JASPAR2024",
    show_default=True,
    help="Release of JASPAR to match to; the best matches differ between releases.",
)
@click.option("--no-match", is_flag=True, help="Do not match motifs to known ones.")
@click.option("--no-filters", is_flag=True, help="Omit the filters.")
@click.option(
    "--filter-layer",
    help="Convolution whose channels are shown.  [default: the first whose receptive field is 6 bp or more]",
)
@site_options
@click.option(
    "--leiden-runs",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Random starts of each clustering; more take longer.",
)
@click.option("--device", callback=check_device, help="Where to compute, e.g. cpu or cuda.  [default: cpu]")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the shuffles.")
@click.option("--force", is_flag=True, help="Replace a folder that this command made.")
def command(
    source: Path,
    model: Path,
    out: Path,
    targets: tuple[str, ...],
    dataset: Path | None,
    known: Path | None,
    jaspar: str,
    no_match: bool,
    no_filters: bool,
    filter_layer: str | None,
    device: str | None,
    seed: int,
    leiden_runs: int,
    force: bool,
    **options: Any,
) -> None:
    """Call sites in SOURCE (a relevance file, or a store of scanned regions), and cluster them into motifs.

    Sites are compared with the relevance of the same model on shuffled sequences. Writes tables, MEME, BED and HTML
    pages (index.html, one for each motif, one for the filters of a layer). Needs the extra modisco.
    """
    from genoplrp.errors import InputError
    from genoplrp.scan import open_explained
    from genoplrp.sites import (
        discover_motifs,
        explain_alike,
        explained_target,
        filters_alike,
        jaspar_vertebrates,
    )
    from genoplrp.synthetic import read_motifs

    explained = open_explained(source, dataset)
    module, target = explained_model(explained, model, options)
    database = None
    if not no_match:
        database = read_motifs(known) if known is not None else jaspar_vertebrates(jaspar)
    explain: Any = explain_alike(module, explained, target, device=device)
    if targets:
        named = several_targets(targets, explained, model, options)
        explain = {
            explained_target(explained) if one == target else name: explain
            if one == target
            else explain_alike(module, explained, one, other=True, device=device)
            for name, one in named.items()
        }
    view = None
    if not no_filters:
        try:
            view = filters_alike(module, explained, target, layer=filter_layer, device=device)
        except InputError as error:
            if filter_layer is not None:
                raise
            click.echo(f"Note: no view of the filters: {error}")
    discover_motifs(
        explained,
        explain,
        out,
        **{name: options[name] for name in SITE_OPTIONS},
        filters=view,
        database=database,
        seed=seed,
        leiden_runs=leiden_runs,
        overwrite=force,
        log=click.echo,
    )
    click.echo(f"Wrote {out}/ (index.html)", err=True)
