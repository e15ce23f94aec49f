"""``genoplrp merge``: the shards of a scan put together; parses, calls and prints."""

from __future__ import annotations

from pathlib import Path

import click

from genoplrp.cli.given import PATH
from genoplrp.wording import counted


@click.command(name="merge", epilog="Example:  genoplrp merge scan.shard-*-of-0008 --out scan")
@click.argument("shards", nargs=-1, required=True, type=PATH)
@click.option("--out", "-o", required=True, type=PATH, help="Folder to make.")
@click.option("--seed", type=int, default=0, help="Accepted everywhere; nothing here is random.")
@click.option("--device", help="Accepted everywhere; nothing is computed on it.")
@click.option("--force", is_flag=True, help="Replace a store that exists.")
def command(shards: tuple[Path, ...], out: Path, seed: int, device: str | None, force: bool) -> None:
    """Put all SHARDS of one scan (genoplrp explain --fasta ... --shard i/n) together.

    The result has the same bytes as a scan in one piece. The shards stay as they are.
    """
    from genoplrp.scan import ScanStore, merge
    from genoplrp.scan.variants import write_effects

    store = ScanStore(merge(shards, out, overwrite=force))
    if "allele" in store.regions:
        write_effects(out)
    click.echo(f"{counted(len(shards), 'shard')}, {counted(len(store), 'window')} of {store.length} bp")
    click.echo(f"Wrote {out}", err=True)
