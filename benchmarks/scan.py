"""Scanning windows of a genome: rate, peak memory, size on disk, and whether every way gives the same bytes.

Each scan is the command line in a process of its own. Run: ``python -m benchmarks.scan --model checkpoint/``, a
checkpoint of the architecture bpnet, whose pooling takes sequences of any length; without one, random weights.
``--rates 512`` compares instead a scan of so many windows with the bare explainer, in this process and in turns.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.timing import Timing, describe, machine, time_cases

LENGTH = 1000
BUILD = """
from genoplrp.training import build_architecture

def build():
    return build_architecture("bpnet", length={length}, n_tasks={tasks})
"""


class Scanned(NamedTuple):
    """One scan: windows, seconds (with starting Python and reading the genome), peak memory, size on disk."""

    windows: int
    seconds: float
    peak_mb: float
    store_bytes: int
    relevance_bytes: int
    zeros: float


def command(folder: Path, out: Path, *more: str, p: float) -> list[str]:
    """The command that a user would type."""
    weights = folder / "weights.safetensors"
    state = ["--state-dict", str(weights)] if weights.is_file() else []
    return [
        *(sys.executable, "-m", "genoplrp", "explain", f"{folder / 'model.py'}:build", *state),
        *("--length", str(LENGTH), "--p", str(p), "--out", str(out), *more),
    ]


def run(arguments: list[str]) -> tuple[float, float]:
    """Seconds, and peak resident memory in MB."""
    begin = time.perf_counter()
    child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = child.stderr.read() if child.stderr else b""
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(said.decode())
    return time.perf_counter() - begin, usage.ru_maxrss / 1024


def measure(folder: Path, genome: Path, windows: int, p: float, *more: str) -> Scanned:
    """Scan so many windows, which overlap where the genome is too short for them to lie side by side."""
    from genoplrp.scan import ScanStore

    bed = regions(folder, genome, windows)
    out = folder / f"scan_{windows}"
    seconds, peak = run(command(folder, out, "--fasta", str(genome), "--bed", str(bed), *more, p=p))
    store = ScanStore(out)
    values = store.per_nucleotide(slice(0, 2000))
    files = [path for path in out.rglob("*") if path.is_file()]
    relevance = sum(path.stat().st_size for path in files if "relevance" in path.parts)
    size = sum(path.stat().st_size for path in files)
    return Scanned(len(store), seconds, peak, size, relevance, float((values == 0).mean()))


def regions(folder: Path, genome: Path, windows: int) -> Path:
    """A BED file of windows spread evenly over the first chromosome."""
    from genoplrp.sequence import Genome

    chrom, size = next(iter(Genome(genome).sizes.items()))
    bed = folder / f"r{windows}.bed"
    starts = np.linspace(0, size - LENGTH, windows).astype(int)
    bed.write_text("".join(f"{chrom}\t{s}\t{s + LENGTH}\n" for s in starts))
    return bed


def digest(folder: Path) -> str:
    """One checksum of the names and bytes of all files."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            whole.update(str(path.relative_to(folder)).encode() + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def same_bytes(folder: Path, genome: Path, windows: int, p: float, ray: bool) -> dict[str, str]:
    """The same scan in one piece, killed and resumed, in shards, and on Ray: a checksum each."""
    common = ["--fasta", str(genome), "--bed", str(regions(folder, genome, windows))]
    found = {}
    whole, _ = run(command(folder, folder / "whole", *common, p=p))
    found["one process"] = digest(folder / "whole")
    rng, kills = random.Random(0), 0
    while kills < 5:
        child = subprocess.Popen(
            command(folder, folder / "killed", *common, p=p),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            child.wait(rng.uniform(0.2, 0.6) * whole)
            break
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
            kills += 1
    if not (folder / "killed").exists():
        run(command(folder, folder / "killed", *common, p=p))
    found[f"killed {kills} times, resumed"] = digest(folder / "killed")
    for i in (1, 2, 3):
        run(command(folder, folder / "parts", *common, "--shard", f"{i}/3", p=p))
    shards = [str(path) for path in sorted(folder.glob("parts.shard-*"))]
    run([sys.executable, "-m", "genoplrp", "merge", *shards, "--out", str(folder / "parts")])
    found["three shards, merged"] = digest(folder / "parts")
    if ray:
        run(command(folder, folder / "ray", *common, "--engine", "ray", "--workers", "2", p=p))
        found["Ray, two workers"] = digest(folder / "ray")
    return found


def prepare(folder: Path, checkpoint: Path | None) -> None:
    """Lay the model into the folder as a user's own: code and weights."""
    tasks = 1
    if checkpoint is not None:
        from safetensors.torch import save_file

        from genoplrp.training import load_model

        fit = load_model(checkpoint)
        tasks = len(fit.tasks)
        save_file(fit.model.state_dict(), folder / "weights.safetensors")
    (folder / "model.py").write_text(BUILD.format(length=LENGTH, tasks=tasks))


def rates(windows: int, p: float, threads: int, clock: str) -> list[Timing]:
    """Time a scan from base numbers to a store on disk, and the explainer alone on the same batches, in turns."""
    import torch

    from benchmarks.gpu import network
    from genoplrp.relevance import Explainer, Pruning
    from genoplrp.relevance.inputs import automatic_batch
    from genoplrp.scan import Sequences, scan
    from genoplrp.sequence import codes_to_one_hot

    torch.set_num_threads(threads)
    model, batch = network("bpnet", LENGTH), automatic_batch(LENGTH)
    codes = np.random.default_rng(0).integers(4, size=(windows, LENGTH), dtype=np.uint8)
    explain = Explainer(model, "gamma", Pruning(p=p), batch_size=batch, diagnostics=False)
    batches = [torch.from_numpy(codes_to_one_hot(codes[i : i + batch])) for i in range(0, windows, batch)]

    def scanned() -> None:
        with tempfile.TemporaryDirectory() as name:
            scan(model, Sequences(codes), Path(name) / "store", pruning=Pruning(p=p))

    cases = {"explainer alone": lambda: [explain(X) for X in batches], "scan": scanned}
    return time_cases(cases, "explainer alone", rounds=5, seconds=20, clock=clock)


def random_genome(path: Path, size: int) -> Path:
    """A genome of one chromosome of uniform bases."""
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)[np.random.default_rng(0).integers(4, size=size)]
    lines = letters.reshape(-1, 100)
    path.write_text(">chr1\n" + "\n".join(row.tobytes().decode() for row in lines) + "\n")
    return path


def main() -> None:
    """Measure, print a table, and write what was found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="checkpoint of the architecture bpnet")
    parser.add_argument("--fasta", type=Path, help="genome; by default 10 Mb of random bases")
    parser.add_argument("--windows", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--p", type=float, default=0.25)
    parser.add_argument("--same", type=int, default=0, help="windows for the comparison of bytes; 0 for none")
    parser.add_argument("--ray", action="store_true", help="compare with Ray, too")
    parser.add_argument("--rates", type=int, default=0, metavar="WINDOWS", help="scan and explainer in turns")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="with --rates")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="with --rates")
    parser.add_argument("--json", type=Path)
    parser.add_argument("more", nargs="*", help="further options of genoplrp explain, after --")
    given = parser.parse_args()
    if given.rates:
        for timing in rates(given.rates, given.p, given.threads, given.clock):
            rate = f"{given.rates / timing.seconds:.0f} windows a second of {given.clock} time"
            print(f"{timing.name}: {rate}, {describe(timing)} of the explainer's time")
        return
    result: dict[str, object] = {"machine": machine(), "p": given.p, "length": LENGTH, "more": given.more}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, given.model)
        genome = given.fasta or random_genome(folder / "genome.fa", 10_000_000)
        rows = []
        print("windows  seconds  windows/s  peak MB  store MB  bytes/window  dense  relevance bytes  zeros")
        for windows in given.windows:
            one = measure(folder, genome, windows, given.p, *given.more)
            rows.append(one._asdict())
            print(
                f"{one.windows:7d}  {one.seconds:7.1f}  {one.windows / one.seconds:9.1f}  {one.peak_mb:7.0f}  "
                f"{one.store_bytes / 1e6:8.1f}  {one.store_bytes / one.windows:12.0f}  {LENGTH * 16:5d}  "
                f"{one.relevance_bytes / one.windows:15.0f}  {one.zeros:5.1%}",
                flush=True,
            )
        result["scans"] = rows
        if given.same:
            sums = same_bytes(folder, genome, given.same, given.p, given.ray)
            result["same"] = {"windows": given.same, "checksums": sums}
            for how, checksum in sums.items():
                print(f"{checksum[:16]}  {how}")
            if len(set(sums.values())) != 1:
                raise SystemExit("the bytes differ")
    if given.json is not None:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
