"""How the benchmarks measure: interleaved runs, medians with spread, peak memory in a process of its own, the machine.

Not here: what is measured. Times on a shared machine drift by more than the differences of interest, so the cases take
turns, every ratio is formed within a round, and the median of the ratios is reported with their quartiles.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

Case = Callable[[], object]
PACKAGES = ("genoplrp", "torch", "numba", "numpy", "zennit", "captum", "tangermeme")


class Timing(NamedTuple):
    """One case: seconds (median), and the ratio to the unit with its quartiles over the rounds."""

    name: str
    seconds: float
    ratio: float
    low: float
    high: float
    runs: int


def time_cases(
    cases: Mapping[str, Case],
    unit: str,
    *,
    rounds: int | None = None,
    seconds: float = 60.0,
    clock: str = "wall",
    seed: int = 0,
) -> list[Timing]:
    """Run the cases in turns, in a new order each round, and compare each with the unit of the same round.

    Parameters
    ----------
    cases
        Name -> function; each is called once before the clock starts.
    unit
        Name of the case that the others are compared with; it runs before and after every case of a round, so that
        both are timed under the same load.
    rounds
        Rounds at most (15 if None); slow cases get fewer, at least three.
    seconds
        Time that one case may take in all.
    clock
        ``"wall"``, or ``"cpu"``: the process's time on all cores, for a machine that others use at the same time.
    seed
        Of the orders.
    """
    order = random.Random(seed)
    rounds = rounds or 15
    quick = {}
    for name, case in tqdm(cases.items(), desc="warm-up", leave=False, disable=None):
        case()
        quick[name] = _clock(case, clock)
    wanted = {name: max(3, min(rounds, int(seconds / (quick[name] + 2 * quick[unit])))) for name in cases}
    times: dict[str, list[float]] = {name: [] for name in cases}
    ratios: dict[str, list[float]] = {name: [] for name in cases}
    for turn in tqdm(range(max(wanted.values())), desc="rounds", leave=False, disable=None):
        names = [name for name in cases if turn < wanted[name]]
        order.shuffle(names)
        before = _clock(cases[unit], clock)
        for name in names:
            taken = _clock(cases[name], clock)
            after = _clock(cases[unit], clock)
            times[name].append(taken)
            ratios[name].append(taken / (0.5 * (before + after)))
            before = after
    return [_timing(name, times[name], ratios[name]) for name in cases]


def peak_memory(module: str, arguments: Sequence[str]) -> float:
    """Run ``python -m module *arguments`` and return the MiB it prints on its last line (see `print_peak`)."""
    # Freed blocks go back to the system at once, so that the high-water mark is that of memory in use.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode != 0:
        print(f"memory of {' '.join(arguments)}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return float("nan")
    return float(done.stdout.split()[-1])


def print_peak(case: Case) -> None:
    """Print by how many MiB the process grows at most while the case runs, warm."""
    case()
    case()
    reset, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    if not reset.exists():  # not Linux: the mark cannot be taken back, so what came before counts too
        mark = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        case()
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - mark) / 1024)
        return
    reset.write_text("5")
    before = _kib(status, "VmRSS")
    case()
    print((_kib(status, "VmHWM") - before) / 1024)


def peak_of_process() -> float:
    """Return the peak resident memory of this process, in MiB.

    On Linux it is that of the program itself: what `resource` says is at least the peak of the process that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return _kib(status, "VmHWM") / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def machine() -> dict[str, Any]:
    """Describe where the figures come from."""
    import torch

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
        "versions": versions,
    }


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return rows as a Markdown table."""
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(str(row.get(column, "")) for column in columns) + " |" for row in rows]
    return "\n".join(lines)


def describe(timing: Timing) -> str:
    """Return a ratio with its quartiles."""
    digits = 3 if timing.ratio < 0.1 else 2 if timing.ratio < 10 else 1
    return f"{timing.ratio:.{digits}f} ({timing.low:.{digits}f} to {timing.high:.{digits}f})"


def save(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON; the file is whole or as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(content, indent=2, default=float) + "\n")
    partial.replace(path)


def parser(description: str, out: str) -> argparse.ArgumentParser:
    """Return the options that all benchmarks share."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--quick", action="store_true", help="fewer cases and rounds: under two minutes")
    options.add_argument("--threads", type=int, default=1, help="torch's threads (default 1)")
    options.add_argument(
        "--clock", choices=["wall", "cpu"], default="wall", help="cpu: on a machine others use"
    )
    options.add_argument("--rounds", type=int, help="rounds at most (default 15, quick 5)")
    options.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results" / out, help="JSON file"
    )
    return options


def _clock(case: Case, clock: str) -> float:
    read = time.perf_counter if clock == "wall" else time.process_time
    start = read()
    case()
    return read() - start


def _timing(name: str, times: Sequence[float], ratios: Sequence[float]) -> Timing:
    low, middle, high = np.percentile(ratios, [25, 50, 75])
    return Timing(name, float(np.median(times)), float(middle), float(low), float(high), len(times))


def _kib(status: Path, field: str) -> float:
    line = next(line for line in status.read_text().splitlines() if line.startswith(field))
    return float(line.split()[1])
