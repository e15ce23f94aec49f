"""``genoplrp interactions``: which sites work together; parses, calls and prints."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, Literal

import click

from genoplrp.cli.given import PATH
from genoplrp.cli.sequence_options import chosen_sequences, explainer_of, made_folder, sequence_options
from genoplrp.wording import counted, two_digits

_READING = (
    "Sites are removed, each alone and both together. An interaction above 0 means that two sites do more together "
    "than the sum of both alone, below 0 that one replaces or counteracts the other. In the matrix a dot marks pairs "
    "with q <= .05, and the bars show what the output loses without each site."
)


@click.command(
    name="interactions", epilog="Example:  genoplrp interactions model/ --dataset data/ --out interactions/"
)
@click.argument("model", type=PATH)
@sequence_options
@click.option("--fills", type=click.IntRange(min=1), default=4, show_default=True,
              help="Number of shuffles that replace a site; q-values need at least 2.")  # fmt: skip
@click.option("--scale", type=click.Choice(["output", "probability"]), default="output", show_default=True,
              help="Scale on which effects add up: the logit, or its logistic function.")  # fmt: skip
@click.option("--most", type=click.IntRange(min=1), default=12, show_default=True,
              help="Maximum number of sites per sequence; the strongest are used.")  # fmt: skip
@click.option("--no-relevance", is_flag=True, help="Omit the changes of relevance: forward passes only.")
@click.option("--bin", "width", type=click.IntRange(min=1), default=5, show_default=True,
              help="Width of the distance bins, in bp.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the shuffles.")
def command(
    model: Path,
    out: Path,
    fills: int,
    scale: Literal["output", "probability"],
    most: int,
    no_relevance: bool,
    width: int,
    seed: int,
    **options: Any,
) -> None:
    """Remove sites from sequences, alone and in pairs, and report which pairs work together in MODEL.

    Sites are those of --sites, or those planted in the data set. Writes sites.tsv, pairs.tsv, summary.tsv (by motifs),
    layout.tsv (by motifs, order and orientation), distance.tsv, a matrix and curves as SVG, and
    interactions.html.
    """
    from matplotlib.figure import Figure

    from genoplrp.errors import InputError
    from genoplrp.pipeline.chosen import html_page, silent_sites, svg_of
    from genoplrp.sites.interactions import interactions

    with made_folder("interactions") as folder:
        subject, chosen, sites = chosen_sequences(model, options)
        if sites is None:
            raise InputError("there are no sites: give --sites, a table with sequence, start and end")
        target, name, _ = subject.target(options["target"])
        found = interactions(
            explainer_of(subject, options),
            chosen.X,
            sites,
            target,
            fills=fills,
            scale=scale,
            relevance=not no_relevance,
            most=most,
            seed=seed,
            progress=True,
        )
        notes = silent_sites(found.sites) + found.notes
        tables = {"sites": chosen.named(found.sites), "pairs": chosen.named(found.pairs)}
        pictures = {}
        if not found.pairs.empty:
            tables |= {
                "summary": found.summary(),
                "layout": found.summary(["order", "orientation"]),
                "distance": found.by_distance(width),
            }
            fullest = int(found.sites["sequence"].mode().iloc[0])
            pictures = {
                "matrix": (
                    f"Sequence {chosen.first + fullest} ({chosen.names[fullest]})",
                    svg_of(found.plot(fullest, figure=Figure())),
                ),
                "distance": ("By distance", svg_of(found.plot_distance(width=width, figure=Figure()))),
            }
        for file, table in tables.items():
            table.to_csv(folder / f"{file}.tsv", sep="\t", index=False)
        for file, (_, picture) in pictures.items():
            (folder / f"{file}.svg").write_text(picture)
        parts: list[Any] = [("By motifs", tables["summary"])] if "summary" in tables else []
        parts += [
            *pictures.values(),
            *((key.capitalize(), tables[key]) for key in ("layout", "sites", "pairs") if key in tables),
        ]
        title = f"{subject.name}: {name}, {counted(len(chosen.names), 'sequence')}, pairs of sites"
        (folder / "interactions.html").write_text(html_page(title, [_READING, *notes], parts))
    for note in notes:
        click.echo(f"Note: {note}", err=True)
    for row in tables["summary"].to_dict("records") if "summary" in tables else []:
        click.echo(_in_words(row, called=fills > 1))
    click.echo(f"Wrote {out}/ (interactions.html)", err=True)


def _in_words(row: dict[Hashable, Any], *, called: bool) -> str:
    """Say how the pairs of two motifs interact; which of them do is called where there are q-values."""
    has_interval = row["low"] == row["low"]
    shown = two_digits(
        max(abs(row[name]) for name in (("low", "high") if has_interval else ("interaction",)))
    )
    interval = f" ({row['low']:.{shown}f} to {row['high']:.{shown}f})" if has_interval else ""
    pairs = counted(row["pairs"], "pair")
    verb = "interacts" if row["pairs"] == 1 else "interact"
    which = f"{row['interacting']:.0%} of {pairs} {verb} (q <= .05)" if called else pairs
    return f"{row['motif_pair']}: {row['interaction']:+.{shown}f}{interval}, {which}"
