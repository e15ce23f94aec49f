"""``genoplrp flow``: the pruned network as a graph; parses, calls and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from genoplrp.cli.given import PATH
from genoplrp.cli.sequence_options import chosen_sequences, explainer_of, made_folder, sequence_options

_READING = (
    "From left to right: sites, channels of layers, the output. The height of a bar is the share of its node in the "
    "column, a band is the relevance between two nodes. Red speaks for the output, blue against it; grey nodes pool "
    "the rest. Letters show the mean relevance of the bases that a channel reads. All figures are in units of the "
    "output."
)


@click.command(name="flow", epilog="Example:  genoplrp flow model/ --dataset data/ --index 3 --out flow/")
@click.argument("model", type=PATH)
@sequence_options
@click.option(
    "--layers", help="Layers to show, e.g. conv1,conv2; wildcards allowed.  [default: four convolutions]"
)
@click.option(
    "--own-sites", is_flag=True, help="Use the strongest windows as sites instead of the planted ones."
)
@click.option("--share", type=click.FloatRange(0, 1, min_open=True), default=0.9, show_default=True,
              help="Share of a layer's relevance that the shown nodes, and the drawn bands, must hold.")  # fmt: skip
@click.option(
    "--most",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Maximum number of nodes per layer.",
)
@click.option("--seed", type=int, default=0, help="Has no effect: flows are deterministic.")
def command(
    model: Path,
    out: Path,
    layers: str | None,
    own_sites: bool,
    share: float,
    most: int,
    seed: int,
    **options: Any,
) -> None:
    """Trace relevance in MODEL from sites through the channels of its layers to the output.

    For one sequence (--index) each site is a node; for several, each motif is, and all figures are means. Writes
    flow.svg, flow.html, and the tables nodes.tsv, edges.tsv, windows.tsv and, with motifs, purity.tsv: which channel
    serves which motif.
    """
    from matplotlib.figure import Figure

    from genoplrp.pipeline.chosen import html_page, silent_sites, svg_of, with_roles
    from genoplrp.sites.flow import flow

    with made_folder("flow") as folder:
        subject, chosen, sites = chosen_sequences(model, options)
        target, name, _ = subject.target(options["target"])
        alone = options["index"] is not None
        if own_sites:
            sites = None
        said = [_READING]
        if sites is not None:
            said += silent_sites(sites)
        if sites is not None and alone:
            sites = with_roles(
                sites.drop(columns="label", errors="ignore").rename(columns={"motif": "label"})
            )
        found = flow(
            explainer_of(subject, options),
            chosen.X,
            target,
            sites=sites,
            layers=None if layers is None else [part.strip() for part in layers.split(",")],
            share=share,
            most=most,
            progress=True,
        )
        what = (
            f"sequence {chosen.first} ({chosen.names[0]})"
            if alone
            else f"mean of {len(chosen.names)} sequences"
        )
        title = f"{subject.name}: {name}, {what}"
        purity = found.purity()
        for file, table in (("nodes", found.nodes), ("edges", found.edges), ("windows", found.windows)):
            chosen.named(table).to_csv(folder / f"{file}.tsv", sep="\t", index=False)
        parts: list[Any] = [("Flow", svg_of(found.plot(share, figure=Figure())))]
        (folder / "flow.svg").write_text(parts[0][1])
        if not purity.empty and not alone:
            purity.to_csv(folder / "purity.tsv", sep="\t", index=False)
            parts.append(("Which channel serves which motif", purity))
        parts += [("Nodes", chosen.named(found.nodes)), ("Edges", found.strongest(share))]
        (folder / "flow.html").write_text(html_page(title, said + found.notes, parts))
    for note in said[1:] + found.notes:
        click.echo(f"Note: {note}", err=True)
    for layer in found.layers:
        own = found.nodes[(found.nodes["layer"] == layer) & (found.nodes["channel"] >= 0)]
        click.echo(f"{layer}: {len(own)} channels hold {own['share'].sum():.0%} of the relevance")
    click.echo(f"Wrote {out}/ (flow.html, flow.svg)", err=True)
