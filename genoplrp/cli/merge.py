"""``genoplrp merge``: the shards of a scan put together; parses, calls and prints."""

from __future__ import annotations

from pathlib import Path

import click

from genoplrp.cli.given import PATH
from genoplrp.wording import counted


@click.command(name="merge", epilog="Example:  genoplrp merge scan.shard-*-of-0008 --out scan")
@click.argument("shards", nargs=-1, required=True, type=PATH)
@click.option("--out", "-o", required=True, type=PATH, help="Folder to make.")
@click.option("--seed", type=int, default=0, help="Has no effect: nothing here is random.")
@click.option("--device", help="Has no effect: nothing is computed.")
@click.option("--force", is_flag=True, help="Replace an existing store.")
def command(shards: tuple[Path, ...], out: Path, seed: int, device: str | None, force: bool) -> None:
    """Merge all SHARDS of one scan (genoplrp explain --fasta ... --shard i/n).

    The result has the same bytes as an undivided scan. The shards are not changed.
    """
    from genoplrp.scan import ScanStore, merge
    from genoplrp.scan.variants import write_effects

    store = ScanStore(merge(shards, out, overwrite=force))
    if "allele" in store.regions:
        write_effects(out)
    click.echo(f"{counted(len(shards), 'shard')}, {counted(len(store), 'window')} of {store.length} bp")
    click.echo(f"Wrote {out}", err=True)
