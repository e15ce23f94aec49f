"""What the first explanation in a new process takes: ``python -m benchmarks.startup``.

Each round starts fresh interpreters in turn: imports are timed apart from what follows them until the first explanation
is there, on kernels that are on disk already and, once, on none (compiled anew).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.timing import machine, parser, save, table

GOAL = 2.0
_PROGRAM = """
import json, sys, time
def now():
    return time.perf_counter(), time.process_time()
marks = [now()]
import torch
marks.append(now())
import genoplrp as gp
from genoplrp.training import build_architecture
torch.set_num_threads(int(sys.argv[3]))
model = build_architecture(sys.argv[1], length=200, n_tasks=1).eval()
X = torch.nn.functional.one_hot(torch.randint(4, (64, 200)), 4).mT.float()
marks.append(now())
for _ in range(2):
    gp.Explainer(model, sys.argv[2], gp.Pruning(p=0.25))(X)
    marks.append(now())
print(json.dumps([[b - a for a, b in zip(x, y)] for x, y in zip(marks, marks[1:])]))
"""
PHASES = ("import torch", "import genoplrp, build the model", "first explanation", "second explanation")
CASES = {
    "koo, epsilon": ("koo", "epsilon"),
    "koo, gamma": ("koo", "gamma"),
    "bpnet, gamma": ("bpnet", "gamma"),
}


def main() -> None:
    options = parser(__doc__ or "", "startup.json")
    given = options.parse_args()
    rounds = given.rounds or (3 if given.quick else 9)
    taken: dict[str, list[np.ndarray[Any, Any]]] = {name: [] for name in CASES}
    for name in CASES:  # kernels are on disk from here on
        _start(name, given.threads)
    for _ in tqdm(range(rounds), desc="rounds", leave=False, disable=None):
        for name in CASES:
            taken[name].append(_start(name, given.threads))
    with tempfile.TemporaryDirectory() as empty:
        cold = {name: [_start(name, given.threads, {"NUMBA_CACHE_DIR": empty})] for name in list(CASES)[:1]}
    rows = [_row(name, runs) for name, runs in taken.items()]
    rows += [_row(f"{name}, kernels compiled anew", runs) for name, runs in cold.items()]
    print(table(rows, list(rows[0])))
    print(f"\nSeconds, median of {rounds}; goal of a first explanation: {GOAL:g}.")
    print(machine())
    save(given.out, {"machine": machine(), "seconds": rows})


def _row(name: str, runs: list[np.ndarray[Any, Any]]) -> dict[str, str]:
    middle = np.median(runs, axis=0)
    figures = {
        phase: f"{wall:.2f} ({cpu:.2f} CPU)" for phase, (wall, cpu) in zip(PHASES, middle, strict=True)
    }
    return {"case": name} | figures


def _start(name: str, threads: int, environment: Mapping[str, str] | None = None) -> np.ndarray[Any, Any]:
    """Return wall and CPU seconds of each phase in a process of its own, (4, 2)."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *CASES[name], str(threads)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | dict(environment or {}),
    )
    return np.asarray(json.loads(done.stdout))


if __name__ == "__main__":
    main()
