"""The options of ``genoplrp explain`` for regions and variants of a genome, and the call they make; no command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genoplrp.cli.given import PATH, with_options
from genoplrp.cli.model_options import MODEL_OPTIONS

if TYPE_CHECKING:
    from genoplrp.relevance import Pruning

_OPTIONS = [
    click.option(
        "--fasta",
        type=PATH,
        help="Genome to explain instead of --dataset: FASTA (plain, gzip, bgzip) or 2bit.",
    ),
    click.option("--bed", type=PATH, help="Regions of the genome: BED, narrowPeak, GTF / GFF or bigBed."),
    click.option(
        "--vcf",
        type=PATH,
        help="Variants, explained with both alleles; with --bed, in the window of every region that contains them.",
    ),
    click.option("--feature", help="Use only this feature of a GTF / GFF, e.g. gene."),
    click.option(
        "--tile", type=click.IntRange(min=1), help="Cover each region with windows this many bp apart."
    ),
    click.option(
        "--length",
        type=click.IntRange(min=1),
        help="Length of the windows in bp, if the model does not define it.",
    ),
    click.option(
        "--edge",
        type=click.Choice(["drop", "shift", "pad"]),
        default="drop",
        show_default=True,
        help="What to do with a window that extends beyond its chromosome.",
    ),
    click.option(
        "--max-unknown",
        type=click.FloatRange(0, 1),
        default=0.0,
        show_default=True,
        help="Largest share of unknown bases (N) in a window.",
    ),
    *MODEL_OPTIONS,
    click.option(
        "--values",
        type=click.Choice(["per_nucleotide", "full"]),
        default="per_nucleotide",
        show_default=True,
        help="What to store: relevance per position, or for all four channels.",
    ),
    click.option(
        "--hypothetical", is_flag=True, help="Also store relevance per unit of input for all four bases."
    ),
    click.option("--dtype", type=click.Choice(["float32", "float16"]), default="float32", show_default=True),
    click.option("--devices", help="Several devices to share the windows, e.g. 0,1 (instead of --device)."),
    click.option("--shard", help="i/n: explain only part i of n; then see genoplrp merge."),
    click.option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="Compute here or on a Ray cluster (extra ray), with the same result.",
    ),
    click.option(
        "--workers", type=click.IntRange(min=1), help="Ray workers.  [default: as many as the cluster holds]"
    ),
    click.option(
        "--address", help="Ray cluster to join.  [default: RAY_ADDRESS, else a new one on this machine]"
    ),
]


genome_options = with_options(_OPTIONS)


def explain_genome(
    model: Path,
    out: Path,
    options: dict[str, Any],
    *,
    target: str,
    rules: str | None,
    pruning: Pruning | None,
    batch_size: int | None,
    device: str | None,
    force: bool,
    **consensus: Any,
) -> None:
    """Explain regions or variants into a store, and say what was made."""
    from genoplrp.scan import scan_genome

    made = scan_genome(
        model,
        out=out,
        **options | {"shard": parse_shard(options["shard"]), "devices": parse_devices(options["devices"])},
        target=target,
        rules=rules,
        pruning=pruning,
        batch_size=batch_size,
        device=device,
        overwrite=force,
        progress=True,
        **consensus,
        log=click.echo,
    )
    effects = "effects.tsv, " if (made / "effects.tsv").is_file() else ""
    click.echo(f"Wrote {made}/ ({effects}regions.tsv, dropped.tsv, manifest.json, Zarr arrays)", err=True)


def parse_devices(text: str | None) -> list[str] | None:
    """Turn ``"0,1"`` into ``["cuda:0", "cuda:1"]``.

    Raises
    ------
    InputError
        If it names no device.
    """
    from genoplrp.scan.devices import device_names

    return None if text is None else device_names(text)


def parse_shard(text: str | None) -> tuple[int, int] | None:
    """Turn ``"3/8"`` into (3, 8).

    Raises
    ------
    InputError
        If it is not i/n with 1 <= i <= n.
    """
    from genoplrp.errors import InputError

    if text is None:
        return None
    i, slash, n = text.partition("/")
    if not (slash and i.isdigit() and n.isdigit() and 1 <= int(i) <= int(n)):
        raise InputError(f"--shard {text}: give i/n with 1 <= i <= n, for example 1/8")
    return int(i), int(n)
