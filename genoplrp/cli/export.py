"""``genoplrp export``: relevance, sites and motifs in formats that other programs read; parses, calls and prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genoplrp.cli.given import PATH, check_device
from genoplrp.cli.site_options import SITE_OPTIONS, explained_model, site_options
from genoplrp.wording import counted

if TYPE_CHECKING:
    from genoplrp.formats import Explained
    from genoplrp.sites import CalledSites

SITES = ("bed", "meme")
"""Formats that need sites called first; all others are those of `genoplrp.formats.FORMATS`."""


def _known_format(ctx: click.Context, param: click.Parameter, name: str) -> str:
    """Return a format's name; the registry is imported only when the command runs."""
    from genoplrp.formats import FORMATS

    if name not in FORMATS and name not in SITES:
        raise click.BadParameter(f"{name!r} is not one of {', '.join((*FORMATS, *SITES))}")
    return name


@click.command(
    name="export",
    epilog="Examples:  genoplrp export relevance.npz --dataset data/ --to modisco --out modisco/;  "
    "genoplrp export scan/ --to bed --model model/ --out sites.bed;  "
    "genoplrp export motifs/ --to meme --out motifs.meme",
)
@click.argument("source", type=PATH)
@click.option(
    "--to", "form", required=True, metavar="FORMAT", callback=_known_format, help="What to write; see above."
)
@click.option("--out", "-o", required=True, type=PATH, help="File to write; for modisco a folder.")
@click.option("--dataset", "-d", type=PATH, help="Data set of the relevance file.")
@click.option(
    "--scores",
    type=click.Choice(["projected", "hypothetical"]),
    default="projected",
    show_default=True,
    help="For arrays: relevance of the bases in the sequence, or of all four (if stored).",
)
@click.option(
    "--overlap",
    type=click.Choice(["mean", "max", "first"]),
    default="mean",
    show_default=True,
    help="For tracks, where windows overlap: the mean, the largest absolute value, or the first window of the table.",
)
@click.option(
    "--model",
    "-m",
    type=PATH,
    help="For bed and meme: the explained model, for the null. The options below are for these two formats.",
)
@site_options
@click.option("--device", callback=check_device, help="Where to compute, e.g. cpu or cuda.  [default: cpu]")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the shuffles.")
@click.option("--force", is_flag=True, help="Replace the output if it exists.")
def command(
    source: Path,
    form: str,
    out: Path,
    dataset: Path | None,
    scores: str,
    overlap: str,
    model: Path | None,
    device: str | None,
    seed: int,
    force: bool,
    **options: Any,
) -> None:
    """Write SOURCE, a relevance file (.npz, with --dataset) or a store of scanned regions, for other programs.

    modisco: ohe.npz and attr.npz for TF-MoDISco-lite. chrombpnet: HDF5 with raw/seq, shap/seq, projected_shap/seq.
    finemo: regions npz. bigwig, bedgraph: relevance per base in genome coordinates, without zeros.

    bed: the sites called as by genoplrp motifs, in genome coordinates; a site in several windows is written once, from
    the window where it is strongest. meme: the motifs of these sites (extra modisco). For bed and meme, SOURCE may also
    be a folder of genoplrp motifs: then nothing is computed, and no model is needed.
    """
    from genoplrp import formats
    from genoplrp.scan import open_explained
    from genoplrp.sites import copy_of_run, is_motifs_run, write_motifs_meme, write_sites_bed

    if is_motifs_run(source):
        copy_of_run(source, form, out, overwrite=force)
        click.echo(f"Wrote {out}", err=True)
        return
    explained = open_explained(source, dataset)
    if form in SITES:
        with formats.written(out, overwrite=force) as part:
            called = _called(explained, model, options, device=device, seed=seed)
            if form == "bed":
                click.echo(f"{counted(len(write_sites_bed(called, part)), 'site')} in the genome")
            else:
                for motif in write_motifs_meme(called, part):
                    consensus = motif.motif().consensus()
                    click.echo(f"{motif.name}  {consensus}  {len(motif.instances):,} instances")
    else:
        formats.export(explained, form, out, overwrite=force, scores=scores, overlap=overlap)
        how = {"scores": f"; scores: {scores}", "overlap": f"; where windows overlap: {overlap}"}
        option = formats.FORMATS[form].option
        click.echo(
            f"{counted(len(explained), 'window')} of {explained.length} bp{how[option] if option else ''}"
        )
    click.echo(f"Wrote {out}", err=True)


def _called(
    explained: Explained, model: Path | None, options: dict[str, Any], *, device: str | None, seed: int
) -> CalledSites:
    from genoplrp.sites import called_sites, explain_alike

    explain = None
    if model is not None:
        module, target = explained_model(explained, model, options)
        explain = explain_alike(module, explained, target, device=device)
    how = {name: options[name] for name in SITE_OPTIONS}
    return called_sites(explained, explain, **how, seed=seed, log=click.echo)
