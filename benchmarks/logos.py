"""Sequence logos against logomaker and tangermeme, drawing and writing the PNG: ``python -m benchmarks.logos``.

Each case makes a figure of its own and renders it at 100 dots per inch. What takes more than ten seconds is run once.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.timing import Case, Timing, describe, machine, parser, save, table, time_cases
from genoplrp.plotting import plot_logo, plot_logos

UNIT = "genoplrp"
# name -> (sequences, bases, most seconds that one logo figure may take on a slow core)
SHAPES = {
    "200 bp": (1, 200, 0.1),
    "1,000 bp": (1, 1000, None),
    "5,000 bp": (1, 5000, 0.3),
    "100 x 200 bp": (100, 200, 5.0),
}
SLOW = {
    ("logomaker", "5,000 bp"),
    ("logomaker", "100 x 200 bp"),
    ("logomaker", "1,000 bp"),
    ("tangermeme", "100 x 200 bp"),
}

Draw = Callable[[np.ndarray, Axes], object]


def main() -> None:
    options = parser(__doc__ or "", "logos.json").parse_args()
    mpl.use("agg")
    rows, results = [], {}
    for shape, (n, length, most) in SHAPES.items():
        maps = _maps(n, length)
        cases = _cases(maps)
        slow = [name for name in cases if (name, shape) in SLOW]
        quick: Mapping[str, Case] = {name: case for name, case in cases.items() if name not in slow}
        rounds = options.rounds or (5 if options.quick else 15)
        timings = time_cases(quick, UNIT, rounds=rounds, seconds=20, clock=options.clock)
        unit = next(timing.seconds for timing in timings if timing.name == UNIT)
        if not options.quick:
            timings += [_once(name, cases[name], unit, options.clock) for name in slow]
        results[shape] = [timing._asdict() for timing in timings]
        rows += [
            {
                "logo": shape,
                "with": timing.name,
                "s": f"{timing.seconds:.3f}",
                f"to {UNIT}": describe(timing),
                "target, s": f"{most:g}" if most and timing.name == UNIT else "",
            }
            for timing in timings
        ]
    print(table(rows, list(rows[0])))
    print(machine())
    save(options.out, {"machine": machine(), "unit": UNIT, "logos": results})


def _maps(n: int, length: int) -> np.ndarray:
    """Relevance of n random sequences, every base with a letter: the worst case."""
    rng = np.random.default_rng(0)
    one_hot = np.eye(4)[rng.integers(0, 4, (n, length))].transpose(0, 2, 1)
    return one_hot * rng.normal(size=(n, 1, length))


def _cases(maps: np.ndarray) -> dict[str, Case]:
    return {
        UNIT: partial(_ours, maps),
        "tangermeme": partial(_row_by_row, maps, _tangermeme),
        "logomaker": partial(_row_by_row, maps, _logomaker),
    }


def _size(n: int) -> tuple[float, float]:
    return (16.0, 0.7 + 1.15 * n)


def _ours(maps: np.ndarray) -> None:
    figure = Figure(figsize=_size(len(maps)))
    if len(maps) == 1:
        plot_logo(maps[0], figure.subplots())
    else:
        plot_logos(list(maps), figure=figure)
    _render(figure)


def _row_by_row(maps: np.ndarray, draw: Draw) -> None:
    figure = Figure(figsize=_size(len(maps)))
    for ax, relevance in zip(figure.subplots(len(maps), squeeze=False)[:, 0], maps, strict=True):
        draw(relevance, ax)
    _render(figure)


def _tangermeme(relevance: np.ndarray, ax: Axes) -> Any:
    import torch
    from tangermeme.plot import plot_logo as draw

    return draw(torch.from_numpy(relevance), ax=ax)


def _logomaker(relevance: np.ndarray, ax: Axes) -> Any:
    import logomaker

    return logomaker.Logo(pd.DataFrame(relevance.T, columns=list("ACGT")), ax=ax)


def _render(figure: Figure) -> None:
    figure.savefig(io.BytesIO(), format="png", dpi=100)


def _once(name: str, case: Case, unit: float, clock: str) -> Timing:
    read = time.perf_counter if clock == "wall" else time.process_time
    start = read()
    case()
    seconds = read() - start
    return Timing(name, seconds, seconds / unit, seconds / unit, seconds / unit, 1)


if __name__ == "__main__":
    main()
