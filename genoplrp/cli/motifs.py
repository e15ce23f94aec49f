"""``genoplrp motifs``: sites and motifs of what was explained; parses, calls and prints."""

from __future__ import annotations

from pathlib import Path

import click

_PATH = click.Path(path_type=Path)


@click.command(
    name="motifs",
    epilog="Example:  genoplrp motifs relevance.npz --dataset data/ --model model/ --out motifs/",
)
@click.argument("source", type=_PATH)
@click.option("--model", "-m", required=True, type=_PATH, help="The model that was explained, for the null.")
@click.option("--out", "-o", required=True, type=_PATH, help="Folder to make.")
@click.option("--dataset", "-d", type=_PATH, help="Data set that a relevance file explains.")
@click.option("--state-dict", type=_PATH, help="Weights for a model given as module:callable.")
@click.option("--trust-pickle", is_flag=True, help="Load a pickled module; it can run anything it likes.")
@click.option(
    "--known", type=_PATH, help="Known motifs (MEME, JASPAR, TRANSFAC).  [default: JASPAR2024 vertebrates]"
)
@click.option("--no-match", is_flag=True, help="Do not match to known motifs.")
@click.option("--fdr", type=click.FloatRange(0, 1, min_open=True), default=0.05, show_default=True)
@click.option(
    "--null",
    type=click.Choice(["background", "shuffled"]),
    default="background",
    show_default=True,
    help="Shuffle between the strongest sites, or whole sequences (fewer sites, no more errors).",
)
@click.option(
    "--caller",
    type=click.Choice(["null", "tangermeme"]),
    default="null",
    show_default=True,
    help="Sites at a false-discovery rate against shuffled sequences, or tangermeme's recursive_seqlets.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.01,
    show_default=True,
    help="Largest p-value of tangermeme's seqlets (a ranking, not an error rate).",
)
@click.option("--no-filters", is_flag=True, help="Leave the first-layer filters out.")
@click.option(
    "--sign", type=click.Choice(["both", "positive", "negative"]), default="both", show_default=True
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=5000, show_default=True, help="Sequences to use."
)
@click.option("--device", help="Where to compute, e.g. cpu or cuda.  [default: cpu]")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the shuffles.")
@click.option("--force", is_flag=True, help="Replace a folder that this command made.")
def command(
    source: Path,
    model: Path,
    out: Path,
    dataset: Path | None,
    state_dict: Path | None,
    trust_pickle: bool,
    known: Path | None,
    no_match: bool,
    fdr: float,
    null: str,
    caller: str,
    threshold: float,
    no_filters: bool,
    sign: str,
    limit: int,
    device: str | None,
    seed: int,
    force: bool,
) -> None:
    """Call sites in SOURCE (a relevance file, or a store of scanned regions), and cluster them into motifs.

    Sites are held against the same model's relevance on shuffled sequences. Writes tables, MEME, BED, and pages to read
    (index.html, one for each motif, one for the first-layer filters); needs the extra modisco.
    """
    from genoplrp.errors import InputError
    from genoplrp.scan import load_any_model, open_explained, output_target
    from genoplrp.sites import discover_motifs, explain_alike, filters_alike, jaspar_vertebrates
    from genoplrp.synthetic import read_motifs

    explained = open_explained(source, dataset)
    loaded = load_any_model(model, state_dict=state_dict, trust_pickle=trust_pickle)
    target, _ = output_target(explained.meta.get("target", explained.meta.get("task", 0)), loaded.tasks)
    database = None
    if not no_match:
        database = read_motifs(known) if known is not None else jaspar_vertebrates()
    explain = explain_alike(loaded.model, explained, target, device=device)
    view = None
    if not no_filters:
        try:
            view = filters_alike(loaded.model, explained, target, device=device)
        except InputError as error:
            click.echo(f"Note: no view of the filters: {error}")
    discover_motifs(
        explained,
        explain,
        out,
        caller=caller,
        threshold=threshold,
        filters=view,
        fdr=fdr,
        null=null,
        sign=sign,
        database=database,
        limit=limit,
        seed=seed,
        overwrite=force,
        log=click.echo,
    )
    click.echo(f"Wrote {out}/ (index.html)", err=True)
