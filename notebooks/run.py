"""Execute the notebooks, and with --write keep their outputs: ``python notebooks/run.py [--write] [NAME ...]``.

It fails where a cell raises. With --write it also fails where a notebook takes more than three minutes: so long may a
reader wait on a quiet machine; elsewhere only a cell that hangs is stopped. Needs the extra ``genoplrp[notebook]``.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError

HERE = Path(__file__).parent
LIMIT = 180  # seconds a notebook
HANGS = 900  # seconds a cell


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="notebooks to execute (default: all)")
    parser.add_argument("--write", action="store_true", help="keep the outputs")
    parser.add_argument("--jobs", type=int, default=1, help="notebooks beside one another, one thread each")
    given = parser.parse_args()
    paths = [HERE / name for name in given.names] or sorted(HERE.glob("*.ipynb"))
    if given.jobs > 1:  # the kernels inherit it: parallel notebooks must not fight for cores
        os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))
    with ThreadPoolExecutor(given.jobs) as pool:
        done = pool.map(lambda path: execute(path, given.write), paths)
        failed = [path.name for path, good in zip(paths, done, strict=True) if not good]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def execute(path: Path, write: bool) -> bool:
    """Execute one notebook and say how long it took."""
    notebook = nbformat.read(path, as_version=4)
    start = time.perf_counter()
    try:
        NotebookClient(notebook, timeout=HANGS, resources={"metadata": {"path": str(HERE)}}).execute()
    except (CellExecutionError, CellTimeoutError) as error:
        print(f"{path.name}: {error}", file=sys.stderr)
        return False
    seconds = time.perf_counter() - start
    print(f"{path.name}: {seconds:.0f} s", flush=True)
    if write:
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # times differ from run to run
        notebook.metadata["language_info"] = {"name": "python"}
        nbformat.write(notebook, path)
    return not write or seconds <= LIMIT


if __name__ == "__main__":
    sys.exit(main())
