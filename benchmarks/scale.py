"""What a genome's worth of windows does to the store: ``python -m benchmarks.scale --windows 1000000 10000000``.

Stub relevance (a tenth of the positions; nothing is explained) goes through shards, merge, reading and export; each
step is a process of its own. Time should grow with the windows, memory only as the table of windows does.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.timing import machine, save, table

LENGTH, ROWS, GAP = 20, 1024, 200


def windows(n: int) -> pd.DataFrame:
    """n windows side by side on 24 chromosomes."""
    each = -(-n // 24)
    number = np.arange(n)
    return pd.DataFrame(
        {
            "chrom": pd.Categorical.from_codes(number // each, [f"chr{i}" for i in range(1, 25)]),
            "start": number % each * GAP,
            "end": number % each * GAP + LENGTH,
            "name": np.char.add("peak", number.astype(str)),
            "score": 0.0,
            "strand": "+",
            "region": number,
        }
    )


def manifest(n: int, shard: tuple[int, int]) -> dict[str, Any]:
    """What `ScanWriter` needs of a manifest."""
    from genoplrp.scan.store import FORMAT, FORMAT_VERSION

    sizes = {f"chr{i}": -(-n // 24) * GAP for i in range(1, 25)}
    return {
        "format": FORMAT, "format_version": FORMAT_VERSION, "windows": n, "length": LENGTH, "rows_per_block": ROWS,
        "values": "per_nucleotide", "hypothetical": False, "dtype": "float32", "units": "output", "method": "stub",
        "chrom_sizes": sizes, "shard": list(shard),
    }  # fmt: skip


def write(folder: Path, n: int, shards: int) -> None:
    """All shards, one after the other; on a cluster each is a process that holds this table."""
    from genoplrp.scan.store import ScanWriter, blocks_of

    rng = np.random.default_rng(0)
    relevance = rng.normal(size=(ROWS, LENGTH)).astype(np.float32) * (rng.random((ROWS, LENGTH)) < 0.1)
    codes = rng.integers(4, size=(ROWS, LENGTH), dtype=np.uint8)
    regions = windows(n)
    dropped = pd.DataFrame(columns=["region", "chrom", "start", "end", "name", "reason"])
    for i in range(1, shards + 1):
        described = manifest(n, (i, shards))
        part = folder / f"scan.shard-{i:04d}-of-{shards:04d}.partial"
        writer = ScanWriter(part, described, regions, dropped)
        for block in blocks_of(described):
            m = min(ROWS, n - block * ROWS)
            values = np.roll(relevance, block, axis=0)[:m]
            writer.write(
                block, {"sequence": codes[:m], "relevance": values, "prediction": values.sum(axis=1)}
            )
        writer.finish(part.with_suffix(""))


def merge(folder: Path, n: int, shards: int) -> None:
    """Put the shards together."""
    from genoplrp.scan import merge as merge_shards

    merge_shards(sorted(folder.glob("scan.shard-*")), folder / "scan")


def read(folder: Path, n: int, shards: int) -> None:
    """Open the store and go through all its blocks."""
    from genoplrp.scan import ScanStore

    store = ScanStore(folder / "scan")
    seen = sum(len(store.per_nucleotide(slice(start, start + ROWS))) for start in range(0, n, ROWS))
    if seen != n:
        raise SystemExit(f"{seen} windows came back of {n}")


def bigwig(folder: Path, n: int, shards: int) -> None:
    """Write all relevance as a track."""
    from genoplrp.formats import write_bigwig
    from genoplrp.scan import ScanStore

    write_bigwig(ScanStore(folder / "scan"), folder / "scan.bw", overwrite=True)


STEPS: dict[str, Callable[[Path, int, int], None]] = {
    "write": write,
    "merge": merge,
    "read": read,
    "bigwig": bigwig,
}


def main() -> None:
    """Run the steps for each number of windows, print a table, write JSON."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--windows", type=int, nargs="*", default=[100_000, 1_000_000])
    options.add_argument("--shards", type=int, default=1000)
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "scale.json")
    options.add_argument(
        "--step", help="run one step in this process and print what it took: NAME FOLDER", nargs=2
    )
    given = options.parse_args()
    if given.step:
        name, folder = given.step
        start = time.perf_counter()
        STEPS[name](Path(folder), given.windows[0], given.shards)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": round(seconds, 1), "peak_mb": round(peak)}))
        return
    rows: list[dict[str, Any]] = []
    for n in given.windows:
        with tempfile.TemporaryDirectory() as folder:
            for name in STEPS:
                command = [sys.executable, "-m", "benchmarks.scale", "--step", name, folder]
                command += ["--windows", str(n), "--shards", str(given.shards)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    raise SystemExit(done.stderr)
                found = json.loads(done.stdout.splitlines()[-1])
                rows.append({"windows": n, "step": name, **found})
                print(rows[-1], file=sys.stderr, flush=True)
            store = [path for path in (Path(folder) / "scan").rglob("*") if path.is_file()]
            size = sum(path.stat().st_size for path in store)
            rows.append({"windows": n, "step": "store", "files": len(store), "MB": round(size / 1e6)})
    print(table(rows, ["windows", "step", "seconds", "peak_mb", "files", "MB"]))
    save(given.out, {"machine": machine(), "length": LENGTH, "shards": given.shards, "rows": rows})


if __name__ == "__main__":
    main()
