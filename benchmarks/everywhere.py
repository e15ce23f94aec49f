"""Public functions with the model on a device, beside the same on the CPU: ``python -m benchmarks.everywhere``.

Sequences are given in the CPU's memory and in the device's; results must be on the CPU, and alike. Without
``--device`` on a card, else on a device that stands in for one (`stand_in`: slow, its kernels are interpreted).
"""

from __future__ import annotations

import argparse
import copy
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import genoplrp as gp
from benchmarks.gpu import network, sequences
from benchmarks.stand_in import stand_in
from benchmarks.timing import table
from genoplrp.evaluation import deletion_insertion, layer_sparsity, output_function, sufficiency_necessity
from genoplrp.relevance import (
    DeepLift,
    GradientTimesInput,
    channel_relevance,
    choose_rules,
    coverage,
    filter_windows,
    measure_invariance,
)
from genoplrp.sites import filter_view, thinning
from genoplrp.training import build_architecture
from genoplrp.wording import first_line

TOLERANCE = 2e-3
"""Largest difference, in units of the largest value: float32, other kernels."""
LENGTH = 200
COLUMNS = ("function", "X on the CPU", "X on the device", "s")
SITES = pd.DataFrame({"sequence": [0, 0, 1], "start": [10, 50, 30], "end": [20, 60, 40]})


def _explainer(model: nn.Module, rules: str = "gamma", p: float | str = 0.1, **options: Any) -> gp.Explainer:
    return gp.Explainer(model, rules, gp.Pruning(p=p, **options))


def _by_autograd(model: nn.Module, X: Tensor) -> Tensor:
    explain = _explainer(model, "zplus")
    explain._chains.declined = "for autograd"
    return explain(X).relevance


def _twice(explain: gp.Explainer, X: Tensor) -> Tensor:
    """The second batch takes the first one's answers."""
    explain(X.flip(0))
    return explain(X).relevance


def _map(model: nn.Module, X: Tensor) -> Tensor:
    """Relevance to be judged, from a pass that is checked by itself."""
    return GradientTimesInput(model)(X).per_nucleotide


CASES: dict[str, Callable[[nn.Module, Tensor], Any]] = {
    "lrp": lambda model, X: gp.lrp(model, X),
    "plrp": lambda model, X: gp.plrp(model, X),
    "PLRP-M": lambda model, X: _explainer(model, "zplus", method="M")(X).relevance,
    "Explainer, two batches": lambda model, X: _twice(_explainer(model, "epsilon"), X),
    "Explainer, by autograd": _by_autograd,
    "Explainer, diagnostics": lambda model, X: _explainer(model)(X).layers,
    "Explainer, no sequences": lambda model, X: _explainer(model)(X[:0]).relevance,
    "Explainer, a target each": lambda model, X: (
        _explainer(model)(X, torch.arange(len(X), device=X.device) % 2).relevance
    ),
    "contrast": lambda model, X: gp.plrp(model, X, target=gp.contrast(0)),
    "sweep": lambda model, X: torch.stack([e.relevance for _, e in _explainer(model).sweep(X, p=[0, 0.2])]),
    "p = 'auto'": lambda model, X: _explainer(model, p="auto")(X).relevance,
    "p = 'effective'": lambda model, X: _explainer(model, p="effective")(X).relevance,
    "consensus": lambda model, X: gp.consensus(model, X).relevance,
    "DeepLift": lambda model, X: DeepLift(model)(X).relevance,
    "choose_rules": lambda model, X: choose_rules(model, X).rules,
    "measure_invariance": lambda model, X: str(measure_invariance(_explainer(model), X)),
    "coverage": lambda model, X: coverage(model, X),
    "channel_relevance": lambda model, X: list(channel_relevance(_explainer(model), X).channels.values()),
    "filter_windows": lambda model, X: str(filter_windows(_explainer(model), X, "conv1")),
    "filter_view": lambda model, X: filter_view(model, X).table,
    "flow": lambda model, X: gp.flow(_explainer(model), X).nodes,
    "thinning": lambda model, X: thinning(_explainer(model), X, p=(0.0, 0.2)),
    "interactions": lambda model, X: gp.interactions(model, X, SITES).pairs,
    "find_sites": lambda model, X: gp.find_sites(_explainer(model), X.cpu().argmax(1).numpy(), fdr=0.5),
    "layer_sparsity": lambda model, X: layer_sparsity(model, X),
    "deletion_insertion": lambda model, X: deletion_insertion(
        output_function(model), X, _map(model, X)
    ).to_frame(),
    "sufficiency_necessity": lambda model, X: sufficiency_necessity(
        output_function(model), X, _map(model, X)
    ),
}


def rows(device: torch.device, names: Sequence[str] = tuple(CASES)) -> list[dict[str, str]]:
    """Run functions with the model and, in turn, the sequences on a device, and compare."""
    found = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_architecture("koo", length=LENGTH, n_tasks=2).eval()
    long, X = network("deepstarr", 249), sequences(4, LENGTH)
    runs = [(name, CASES[name], model, X) for name in names]
    if len(runs) == len(CASES):  # rows too long for one program of the pruning kernel
        runs.append(("plrp, long rows", CASES["plrp"], long, sequences(1, 249)))
    for name, function, net, given in runs:
        start = time.perf_counter()
        row = {"function": name}
        here = _parts(function(net, given))
        there = copy.deepcopy(net).to(device)
        for where, x in (("X on the CPU", given), ("X on the device", given.to(device))):
            try:
                row[where] = _compared(here, _parts(function(there, x)))
            except Exception as error:
                row[where] = f"{type(error).__name__}: {first_line(error)[:100]}"
        row["s"] = f"{time.perf_counter() - start:.0f}"
        found.append(row)
    return found


def _parts(value: Any) -> list[Any]:
    """Return what a result consists of: tensors, arrays of numbers, text."""
    if isinstance(value, pd.DataFrame):
        numbers = value.select_dtypes("number")
        return [torch.from_numpy(numbers.to_numpy(np.float64, copy=True)), list(value.columns), len(value)]
    if isinstance(value, list) and value and isinstance(value[0], Tensor):
        return value
    return [value]


def _compared(here: list[Any], there: list[Any]) -> str:
    """Return the largest difference, or what is wrong."""
    worst = 0.0
    for one, other in zip(here, there, strict=True):
        if not isinstance(one, Tensor):
            if one != other:
                return f"{other!s:.40} for {one!s:.40}"
            continue
        if other.device.type != "cpu":
            return f"the result is on {other.device}"
        if one.shape != other.shape:
            return f"{tuple(other.shape)} for {tuple(one.shape)}"
        if not torch.equal(one.isnan(), other.isnan()):
            return "NaN where there is none on the CPU, or the other way"
        one, other = one.nan_to_num().double(), other.nan_to_num().double()
        if one.numel():
            worst = max(worst, float((one - other).abs().max() / one.abs().max().clamp(min=1e-30)))
    return f"{worst:.0e}" if worst <= TOLERANCE else f"differs by {worst:.0e}"


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "--device", help="cuda, cuda:1, mps, ...  [default: a card, else what stands in for one]"
    )
    options.add_argument("--only", nargs="*", choices=list(CASES), default=list(CASES), metavar="NAME")
    given = options.parse_args()
    warnings.simplefilter("ignore")
    named = given.device or ("cuda" if torch.cuda.is_available() else None)
    with nullcontext(torch.device(named)) if named else stand_in() as device:
        print(table(rows(device, given.only), COLUMNS))


if __name__ == "__main__":
    main()
