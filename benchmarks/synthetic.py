"""Generating sequences against the naive way, base by base in plain Python, printed as a ratio; and memory at any size.

The naive way makes for each sequence a PWM as long as the sequence (uniform columns, planted motifs), draws one number
a base and looks it up in the cumulated column: in plain Python, and with numpy arrays read base by base, as published
generators do. It makes a hundredth of the sequences.

Run: python -m benchmarks.synthetic [--quick] [--number 200000] [--out FILE]
     python -m benchmarks.synthetic --memory 1000000      (peak memory of a process that streams so many to disk)
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.timing import describe, machine, parser, peak_of_process, save, time_cases
from genoplrp.synthetic import Spec, load_spec, simulate, simulate_to
from genoplrp.synthetic.blocks import BlockMaker, Plan

UNIFORM = [0.25, 0.25, 0.25, 0.25]
COUNTS, SHARES = [3, 4, 5, 6, 7], [0.5, 0.25, 0.17, 0.05, 0.03]


def naive(spec: Spec, n: int, seed: int = 0) -> list[str]:
    """The preset koo2021_fixed, base by base."""
    draw = random.Random(seed)
    motifs = {name: [column.tolist() for column in motif.pwm.T] for name, motif in spec.matrices.items()}
    sequences = []
    for index in range(n):
        pool = spec.sets["core" if index % 2 else "decoys"]
        chosen = [motifs[draw.choice(pool)] for _ in range(draw.choices(COUNTS, SHARES)[0])]
        free = 200 - sum(len(motif) for motif in chosen)
        cuts = sorted(draw.randint(0, free) for _ in chosen)
        columns: list[list[float]] = []
        for motif, before, cut in zip(chosen, [0, *cuts], cuts, strict=False):
            columns += [UNIFORM] * (cut - before)
            columns += motif if draw.random() < 0.5 else [column[::-1] for column in motif[::-1]]
        columns += [UNIFORM] * (200 - len(columns))
        letters = []
        for column in columns:
            u, total = draw.random(), 0.0
            base = 0
            for base in range(4):  # it stops at the base that is drawn
                total += column[base]
                if u < total:
                    break
            letters.append("ACGT"[base])
        sequences.append("".join(letters))
    return sequences


def as_published(spec: Spec, n: int, seed: int = 0) -> list[np.ndarray]:
    """The same in the way of published generators: numpy arrays, but a list for each base, and one-hot at once."""
    rng = np.random.default_rng(seed)
    sequences = []
    for index in range(n):
        pool = spec.sets["core" if index % 2 else "decoys"]
        chosen = [
            spec.matrices[pool[rng.integers(len(pool))]].pwm for _ in range(rng.choice(COUNTS, p=SHARES))
        ]
        cuts = np.sort(rng.integers(0, 200 - sum(pwm.shape[1] for pwm in chosen) + 1, len(chosen)))
        gaps = np.diff(cuts, prepend=0)
        pieces = [np.full((4, gaps[0]), 0.25)]
        for pwm, gap in zip(chosen, [*gaps[1:], 0], strict=True):
            pieces += [pwm if rng.random() < 0.5 else pwm[::-1, ::-1], np.full((4, gap), 0.25)]
        columns = np.hstack(pieces)
        columns = np.hstack([columns, np.full((4, 200 - columns.shape[1]), 0.25)])
        edges, u = np.cumsum(columns, axis=0), rng.random(200)
        edges[3] = 1
        one_hot = np.zeros((4, 200))
        for k in range(200):
            one_hot[next(base for base in range(4) if u[k] < edges[base, k]), k] = 1
        sequences.append(one_hot)
    return sequences


def plant(spec: Spec, n: int) -> None:
    """Sequences, labels and instances as arrays, without text and tables."""
    maker = BlockMaker(Plan(spec, n, seed=0))
    for block in range(maker.plan.blocks):
        maker.make(block)


def stream(n: int) -> None:
    """A data set written to disk and thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        simulate_to(Path(folder) / "x", "koo2021_fixed", n, progress=True)


def peak_of_streaming(n: int) -> float:
    """Peak resident memory, in MiB, of a process of its own that writes so many sequences."""
    command = [sys.executable, "-m", "benchmarks.synthetic", "--memory", str(n)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(said.split()[-2])


def main() -> None:
    """Time both, or measure the memory of one."""
    options = parser(__doc__ or "", "synthetic.json")
    options.add_argument(
        "--number", type=int, help="sequences (200,000; quick 50,000); the naive way makes a hundredth"
    )
    options.add_argument(
        "--memory", type=int, help="only print the peak memory of streaming so many sequences"
    )
    arguments = options.parse_args()
    if arguments.memory:
        stream(arguments.memory)
        print(f"{arguments.memory} sequences: {peak_of_process():.0f} MiB")
        return
    spec = load_spec("koo2021_fixed")
    number = arguments.number or (50_000 if arguments.quick else 200_000)
    few = max(number // 100, 1)
    cases = {
        f"naive Python, {few}": lambda: naive(spec, few),
        f"naive as published, {few}": lambda: as_published(spec, few),
        f"planting, {number}": lambda: plant(spec, number),
        f"simulate (with text and table), {number}": lambda: simulate(spec, number),
    }
    rounds = arguments.rounds or (5 if arguments.quick else 15)
    timings = time_cases(cases, next(iter(cases)), rounds=rounds, clock=arguments.clock)
    for timing in timings:
        print(f"{timing.name:55s} {timing.seconds:8.3f} s   {describe(timing)}")
    streamed = (number // 10, number)
    memory = {n: peak_of_streaming(n) for n in streamed}
    print(
        "Peak memory of a process that streams to disk: "
        + ", ".join(f"{n}: {m:.0f} MiB" for n, m in memory.items())
    )
    print(", ".join(f"{key}: {value}" for key, value in machine().items()))
    found = [timing._asdict() for timing in timings]
    save(arguments.out, {"machine": machine(), "timings": found, "streaming_peak_mib": memory})


if __name__ == "__main__":
    main()
