"""``genoplrp logo``: relevance files drawn as sequence logos; parses, calls and prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from genoplrp.cli.given import PATH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from genoplrp.formats.attribution import AttributionFile
    from genoplrp.scan import ScanStore

T = TypeVar("T")


@click.command(
    name="logo",
    epilog="Examples:  genoplrp logo lrp.npz plrp.npz --dataset data/ --index 0 --out logo.png;  "
    "genoplrp logo scan/ --region chr1:100-300 --out logo.png",
)
@click.argument("relevance", nargs=-1, required=True, type=PATH)
@click.option(
    "--dataset",
    "-d",
    type=PATH,
    help="Folder of the data set that relevance files (.npz) explain; a store contains its own sequences.",
)
@click.option(
    "--out",
    "-o",
    required=True,
    type=PATH,
    help="Picture to write: .png, .svg or .pdf. Several sequences need a .pdf, with one page each.",
)
@click.option(
    "--index",
    "-i",
    help="Sequences to draw, counted in the relevance file or store: 7, or 0,3,10-19, or all.  [default: 0]",
)
@click.option("--name", help="Sequence to draw, by its name in the data set or store, instead of --index.")
@click.option(
    "--region",
    help="Stretch to draw, e.g. 40-120 (0-based, half-open); for a store, genome coordinates such as chr1:100-300, "
    "which also select the window.  [default: all]",
)
@click.option("--scheme", type=click.Choice(["classic", "colorblind"]), default="classic", show_default=True)
@click.option("--scale", type=click.Choice(["kind", "own"]), default="kind", show_default=True,
              help="kind: one y axis for all relevance; own: one per row.")  # fmt: skip
@click.option("--upright", is_flag=True, help="Do not turn negative letters upside down.")
@click.option(
    "--width", type=click.FloatRange(min=1, max=200), help="Width in inches, up to 200.  [default: by length]"
)
@click.option(
    "--dpi", type=click.FloatRange(1, 2400), default=150, show_default=True, help="Pixels per inch of a PNG."
)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
def command(
    relevance: tuple[Path, ...],
    dataset: Path | None,
    out: Path,
    index: str | None,
    name: str | None,
    region: str | None,
    scheme: str,
    scale: str,
    upright: bool,
    width: float | None,
    dpi: float,
    force: bool,
) -> None:
    """Draw RELEVANCE, relevance files or stores of regions, as sequence logos, one row per file.

    The planted motifs of a data set are drawn above: motifs that matter for the explained task in colour, decoys in
    grey. A store has genome coordinates; a window on the minus strand is drawn from high to low coordinates, as the
    model reads it. The height of a letter is its relevance; negative letters hang below the line.
    """
    from tqdm import tqdm

    from genoplrp.errors import InputError
    from genoplrp.formats.attribution import AttributionFile
    from genoplrp.pipeline.logo import logo_figure, sequence_index
    from genoplrp.plotting.saving import check_figure_path, save_figure
    from genoplrp.synthetic import Dataset

    check_figure_path(out, overwrite=force)
    options = {"width": width, "scheme": scheme, "scale": scale, "flip_below": not upright}
    if any(path.is_dir() for path in relevance):
        if dataset is not None:
            raise InputError("a store contains its own sequences: omit --dataset")
        pages = _store_pages(relevance, index, name, region, out, options)
        save_figure(pages, out, dpi=dpi, overwrite=force)
        click.echo(f"Wrote {out}", err=True)
        return
    files = _named({path: AttributionFile.load(path) for path in relevance})
    if dataset is None:
        raise InputError(f"{relevance[0]} holds no sequences: name its data set with --dataset")
    data = Dataset.load(dataset)
    first = next(iter(files.values()))
    chosen = [sequence_index(first, data, name)] if name else _indices(index or "0", len(first))
    if len(chosen) > 1 and out.suffix.lower() != ".pdf":
        raise InputError(f"{len(chosen)} sequences need pages; name a .pdf instead of {out.name}")
    stretch = _region(region)
    pages = [
        logo_figure(files, data, i, region=stretch, **options)  # type: ignore[arg-type]
        for i in tqdm(chosen, desc="draw", unit="logo", disable=None if len(chosen) > 4 else True)
    ]
    save_figure(pages, out, dpi=dpi, overwrite=force)
    click.echo(f"Wrote {out}", err=True)


def _store_pages(
    paths: tuple[Path, ...],
    index: str | None,
    name: str | None,
    region: str | None,
    out: Path,
    options: dict[str, Any],
) -> list[Figure]:
    from genoplrp.errors import InputError
    from genoplrp.pipeline.regions import region_figure
    from genoplrp.scan import open_store

    opened = {path: open_store(path) for path in paths}
    stores = _titled(
        {path: (str(store.manifest["method"]), path.name) for path, store in opened.items()}, opened
    )
    first = next(iter(stores.values()))
    place = region if region is not None and ":" in region else None
    span = None
    if place is not None:
        span = _region(place.rpartition(":")[2].replace(",", ""))
    chosen = _chosen_windows(first, index, name, place)
    if len(chosen) > 1 and out.suffix.lower() != ".pdf":
        raise InputError(f"{len(chosen)} windows need pages; name a .pdf instead of {out.name}")
    pages = []
    for row in chosen:
        here = first.regions.iloc[row]
        stretch = span
        if span is None and region is not None:  # counted from the window's start
            low, high = _region(region) or (0, first.length)
            stretch = (int(here["start"]) + low, int(here["start"]) + high)
        pages.append(region_figure(stores, row, span=stretch, **options))
        click.echo(
            f"window {row}: {here['name']} {here['chrom']}:{here['start']}-{here['end']} ({here['strand']})"
        )
    return pages


def _chosen_windows(store: ScanStore, index: str | None, name: str | None, place: str | None) -> list[int]:
    """Return the windows of a name, of an index, or the one that holds a place; by default the first."""
    if name is not None:
        return [int(i) for i in store.rows(name)]
    if index is not None or place is None:
        return _indices(index or "0", len(store))
    return [int(store.rows(place)[0])]


def _named(files: dict[Path, AttributionFile]) -> dict[str, AttributionFile]:
    names = {path: (str(file.meta.get("method", path.stem)), path.stem) for path, file in files.items()}
    return _titled(names, files)


def _titled(names: dict[Path, tuple[str, str]], rows: dict[Path, T]) -> dict[str, T]:
    """Name rows by method, and by file name too where methods repeat."""
    methods = [method for method, _ in names.values()]
    return {
        (f"{method}\n{file}" if methods.count(method) > 1 else method.replace(" ", "\n", 1)): rows[path]
        for path, (method, file) in names.items()
    }


def _indices(text: str, n: int) -> list[int]:
    from genoplrp.errors import InputError

    if text == "all":
        return list(range(n))
    chosen: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise InputError(f"--index {text!r}: write 7, or 0,3,10-19, or all")
        chosen.extend(range(int(first), int(last or first) + 1))
    if not chosen or max(chosen) >= n:
        raise InputError(f"--index {text!r} is out of range: the file holds {n} sequences, 0 to {n - 1}")
    return chosen


def _region(text: str | None) -> tuple[int, int] | None:
    from genoplrp.errors import InputError

    if text is None:
        return None
    first, _, last = text.partition("-")
    if not (first.isdigit() and last.isdigit()):
        raise InputError(f"--region {text!r}: write START-END, e.g. 40-120")
    if int(first) >= int(last):
        raise InputError(f"region {text} is empty: write START-END with START < END, e.g. 40-120")
    return int(first), int(last)
