"""The command ``genoplrp simulate``: parses, generates a data set, prints; no logic of its own."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genoplrp.cli.given import PATH, refuse_given
from genoplrp.wording import counted

if TYPE_CHECKING:
    from genoplrp.synthetic.spec import Spec

_OF_DATA = {"out", "workers", "bgzip", "parquet", "croissant", "truth", "variants"}


@click.command(
    "simulate",
    epilog="Examples:  genoplrp simulate koo2021_fixed -n 20000 -o koo --seed 1;  "
    "genoplrp simulate not -n 5000 -o not --truth --variants 500;  genoplrp simulate xor --describe --figure xor.png",
)
@click.argument("spec", metavar="PRESET|SPEC", required=False)
@click.option(
    "-n",
    "--number",
    "n",
    type=click.IntRange(min=1),
    help="Number of sequences.  [default: 10000; a folder's own]",
)
@click.option("-o", "--out", type=PATH, help="Folder to write.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="Seed; the same seed gives the same bytes.  [default: 0; a folder's own]",
)
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Number of processes."
)
@click.option(
    "--motif-tasks", is_flag=True, help="Add the presence of each motif of the rules as a further task."
)
@click.option("--bgzip", is_flag=True, help="Compress the sequences with bgzip.")
@click.option("--parquet", is_flag=True, help="Also write the tables as Parquet.")
@click.option(
    "--croissant",
    is_flag=True,
    help="Also write a Croissant description of files and tables, for catalogues.",
)
@click.option(
    "--truth", is_flag=True, help="Also write the effect of each site, pair of sites and base on each task."
)
@click.option(
    "--variants",
    type=click.IntRange(min=1),
    help="Also write this many variants of test sequences with their true effects (VCF, FASTA of both alleles).",
)
@click.option("--force", is_flag=True, help="Replace an existing data set.")
@click.option("--list", "list_them", is_flag=True, help="List the presets and what they test, and exit.")
@click.option(
    "--describe",
    "describe_it",
    is_flag=True,
    help="Describe PRESET or SPEC by a sample, without writing data.",
)
@click.option("--figure", type=PATH, help="With --describe: also draw it (PNG, SVG or PDF).")
def command(
    spec: str | None,
    n: int | None,
    out: Path | None,
    seed: int | None,
    workers: int,
    motif_tasks: bool,
    bgzip: bool,
    parquet: bool,
    croissant: bool,
    truth: bool,
    variants: int | None,
    force: bool,
    list_them: bool,
    describe_it: bool,
    figure: Path | None,
) -> None:
    """Generate benchmark sequences with planted motifs.

    PRESET is the name of a built-in specification (tal_gata@1: its first version), SPEC a TOML file (or the folder of a
    data set, to simulate it again, with its own number and seed). Memory does not grow with the number of sequences.
    """
    if list_them:
        _list_presets()
        return
    if spec is None:
        raise click.UsageError(
            "Name a preset or a specification file; genoplrp simulate --list shows the presets."
        )
    if figure is not None and not describe_it:
        raise click.UsageError("--figure draws a description; give --describe, too.")
    made_n, made_seed = _as_made(spec)
    seed = made_seed if seed is None else seed
    if describe_it:
        refuse_given(_OF_DATA, "does nothing with --describe, which writes no data")
        _describe(_loaded(spec, motif_tasks), n or 2000, seed, figure, force)
        return
    if out is None:
        raise click.UsageError("Say where to write the data set: -o FOLDER.")
    from genoplrp.cli.notes import notes_shown
    from genoplrp.synthetic.folder import check_target
    from genoplrp.synthetic.stream import simulate_to

    check_target(out, overwrite=force)
    source, n = _loaded(spec, motif_tasks), n or made_n
    with notes_shown():
        tally = simulate_to(
            out,
            source,
            n,
            seed,
            workers=workers,
            compress=bgzip,
            parquet=parquet,
            truth=truth,
            variants=variants or 0,
            overwrite=force,
            progress=True,
        )
    if croissant:
        from genoplrp.synthetic.croissant import write_croissant

        write_croissant(out)
    click.echo(f"{out}: {counted(n, 'sequence')} of {spec}, seed {seed}")
    for line in tally.lines([task.name for task in source.tasks], [task.kind for task in source.tasks]):
        click.echo(f"  {line}")


def _as_made(spec: str) -> tuple[int, int]:
    """Number of sequences and seed that stand for none given: of a data set's folder its own."""
    import tomllib

    made, table = Path(spec) / "spec.toml", {}
    with suppress(
        OSError, ValueError
    ):  # no folder, or a file that is refused when it is read as a specification
        table = tomllib.loads(made.read_text(encoding="utf-8")).get("dataset", {})
    return int(table.get("n", 10_000)), int(table.get("seed", 0))


def _loaded(spec: str, motif_tasks: bool) -> Spec:
    from genoplrp.synthetic.spec_toml import load_spec

    found = load_spec(spec)
    return found.with_motif_tasks() if motif_tasks else found


def _describe(spec: Spec, n: int, seed: int, figure: Path | None, force: bool) -> None:
    from genoplrp.cli.notes import notes_shown
    from genoplrp.plotting.saving import check_figure_path, save_figure
    from genoplrp.synthetic.describe import describe

    if figure is not None:
        check_figure_path(figure, overwrite=force)
    with notes_shown():
        found = describe(spec, n, seed, progress=True)
    click.echo(str(found))
    if figure is not None:
        from genoplrp.plotting.benchmark_examples import plot_description

        save_figure(plot_description(found), figure, overwrite=force)
        click.echo(f"Wrote {figure}", err=True)


def _list_presets() -> None:
    from genoplrp.synthetic.describe import preset_table

    for name, row in preset_table().iterrows():
        click.echo(f"{name}\n    {row['description']}\n    tests {row['tests']}")
        click.echo(f"    tasks {row['tasks']} (prevalence {row['prevalence']})")
