"""``genoplrp quickstart``: the whole workflow once; parses, calls and prints."""

from __future__ import annotations

from pathlib import Path

import click

from genoplrp.cli.given import PATH, check_device


@click.command(
    name="quickstart",
    epilog="Example:  genoplrp quickstart --out quickstart    (real DNA: genoplrp quickstart --dataset splice)",
)
@click.option(
    "--dataset",
    default="koo2021_fixed",
    show_default=True,
    help="Preset to simulate (genoplrp simulate --list), or 'splice' for real splice junctions.",
)
@click.option("--out", "-o", type=PATH, help="Folder to make.  [default: quickstart]")
@click.option(
    "-n", "n", type=click.IntRange(min=100), default=20_000, show_default=True, help="Sequences to simulate."
)
@click.option("--architecture", default="koo", show_default=True, help="Network to train.")
@click.option(
    "--p",
    type=float,
    default=0.25,
    show_default=True,
    help="Share of relevance that PLRP prunes at each layer.",
)
@click.option(
    "--epochs", type=click.IntRange(min=1), help="Maximum number of epochs.  [default: 10; splice: 20]"
)
@click.option(
    "--explain", type=click.IntRange(min=1), default=300, show_default=True, help="Sequences to explain."
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--device", callback=check_device, help="Where to compute, e.g. cpu or cuda.  [default: cpu]")
def command(
    dataset: str,
    out: Path | None,
    n: int,
    architecture: str,
    p: float,
    epochs: int | None,
    explain: int,
    seed: int,
    device: str | None,
) -> None:
    """Simulate, train, explain with LRP and PLRP, score against the planted motifs and draw logos, in one folder.

    Takes about a minute on two cores and downloads nothing.
    """
    from genoplrp.pipeline import quickstart, splice_quickstart

    if dataset == "splice":
        splice_quickstart(
            out or Path("quickstart-splice"),
            architecture=architecture,
            p=p,
            seed=seed,
            epochs=epochs or 20,
            device=device,
            log=click.echo,
        )
        return
    quickstart(
        out or Path("quickstart"),
        preset=dataset,
        n=n,
        architecture=architecture,
        p=p,
        seed=seed,
        epochs=epochs or 10,
        explain=explain,
        device=device,
        log=click.echo,
    )
