"""``genoplrp export``: relevance in the formats that other programs read; parses, calls and prints."""

from __future__ import annotations

from pathlib import Path

import click

FORMATS = ["modisco", "chrombpnet", "finemo", "bigwig", "bedgraph"]


@click.command(
    name="export",
    epilog="Example:  genoplrp export relevance.npz --dataset data/ --to modisco --out modisco/",
)
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--to", "form", required=True, type=click.Choice(FORMATS), help="What to write.")
@click.option(
    "--out", "-o", required=True, type=click.Path(path_type=Path), help="File to write; for modisco a folder."
)
@click.option(
    "--dataset", "-d", type=click.Path(path_type=Path), help="Data set that a relevance file explains."
)
@click.option(
    "--scores",
    type=click.Choice(["projected", "hypothetical"]),
    default="projected",
    show_default=True,
    help="For arrays: relevance of the bases that are there, or of all four (if they were kept).",
)
@click.option(
    "--overlap",
    type=click.Choice(["mean", "max", "first"]),
    default="mean",
    show_default=True,
    help="For tracks, where windows overlap: the mean, the largest in magnitude, or the window first in the table.",
)
@click.option("--seed", type=int, default=0, help="Accepted everywhere; nothing here is random.")
@click.option("--device", help="Accepted everywhere; nothing is computed on it.")
@click.option("--force", is_flag=True, help="Replace the output if it exists.")
def command(
    source: Path,
    form: str,
    out: Path,
    dataset: Path | None,
    scores: str,
    overlap: str,
    seed: int,
    device: str | None,
    force: bool,
) -> None:
    """Write SOURCE, a relevance file (.npz, with --dataset) or a store of scanned regions, for other programs.

    modisco: ohe.npz and attr.npz for TF-MoDISco-lite. chrombpnet: HDF5 with raw/seq, shap/seq, projected_shap/seq.
    finemo: regions npz. bigwig, bedgraph: relevance per base in genome coordinates; zeros are left out.
    """
    from genoplrp import formats
    from genoplrp.scan import open_explained

    explained = open_explained(source, dataset)
    if form in ("bigwig", "bedgraph"):
        write_track = formats.write_bigwig if form == "bigwig" else formats.write_bedgraph
        write_track(explained, out, overlap=overlap, overwrite=force)
        click.echo(f"{len(explained)} windows of {explained.length} bp; where windows overlap: {overlap}")
    else:
        write = {
            "modisco": formats.write_modisco,
            "chrombpnet": formats.write_chrombpnet,
            "finemo": formats.write_finemo,
        }[form]
        write(explained, out, scores=scores, overwrite=force)
        click.echo(f"{len(explained)} sequences of {explained.length} bp, {scores} scores")
    click.echo(f"Wrote {out}", err=True)
