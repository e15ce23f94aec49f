"""The metrics against Quantus and scikit-learn, and deletion curves against a loop: ``python -m benchmarks.metrics``.

The same maps for everybody; every ratio is to ours. Quantus is timed where it is installed; scikit-learn scores one map
at a time. The loop over deletion curves is the plain one: one sequence, one fill and one step at a time through the
network, on the steps and fills that ours takes by default; both give the same curves, which is checked first.
"""

from __future__ import annotations

import sys
import warnings
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import nn

from benchmarks.timing import (
    Case,
    describe,
    machine,
    parser,
    peak_memory,
    print_peak,
    save,
    table,
    time_cases,
)
from genoplrp.evaluation import (
    auroc,
    average_precision,
    deletion_insertion,
    gini,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
)
from genoplrp.evaluation.fills import draw_fill
from genoplrp.evaluation.methods import output_function
from genoplrp.training import build_architecture

UNIT = "genoplrp"
N_FILLS = 4
# network -> (length, sequences, sequences if quick, its parameters)
NETWORKS: dict[str, tuple[int, int, int, dict[str, Any]]] = {
    "koo": (200, 64, 16, {}),
    "bpnet": (1000, 8, 1, {"layers": 8}),
}


def main() -> None:
    options = parser(__doc__ or "", "metrics.json")
    options.add_argument("--sequences", type=int, default=500, help="maps that are scored")
    options.add_argument("--length", type=int, default=200, help="their length, in bp")
    options.add_argument(
        "--memory-of", type=int, help="print the peak memory of so many curves in MiB, nothing else"
    )
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    warnings.simplefilter("ignore")
    if given.memory_of:
        print_peak(_curves("koo", given.memory_of)[UNIT])
        return
    rounds, seconds = (5, 4) if given.quick else (15, 60)
    rows, results = [], {}
    cases = _metrics(given.sequences, given.length)
    cases |= {f"deletion curves, {name}": _checked(name, given.quick) for name in NETWORKS}
    for name, pair in cases.items():
        timings = time_cases(pair, UNIT, rounds=given.rounds or rounds, seconds=seconds, clock=given.clock)
        results[name] = [timing._asdict() for timing in timings]
        rows += [
            {"what": name, "with": t.name, "ms": f"{1e3 * t.seconds:.2f}", f"to {UNIT}": describe(t)}
            for t in timings
        ]
    memory = {
        n: peak_memory("benchmarks.metrics", ["--memory-of", str(n)])
        for n in ((32, 128) if given.quick else (64, 256))
    }
    print(table(rows, list(rows[0])))
    print(
        "\nPeak memory of deletion curves, koo: " + ", ".join(f"{n}: {m:.0f} MiB" for n, m in memory.items())
    )
    print(", ".join(f"{key}: {value}" for key, value in machine().items()))
    save(given.out, {"machine": machine(), "unit": UNIT, "cases": results, "curves_peak_mib": memory})


def _metrics(n: int, length: int) -> dict[str, dict[str, Case]]:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(n, length))
    masks = rng.random(maps.shape) < 0.2
    cases: dict[str, dict[str, Case]] = {
        "gini": {UNIT: partial(gini, maps)},
        "rma": {UNIT: partial(relevance_mass_accuracy, maps, masks, sign="absolute")},
        "rra": {UNIT: partial(relevance_rank_accuracy, maps, masks)},
        "average precision": {
            UNIT: partial(average_precision, maps, masks),
            "scikit-learn, a loop": lambda: [
                average_precision_score(m, r) for m, r in zip(masks, maps, strict=True)
            ],
        },
        "auroc": {
            UNIT: partial(auroc, maps, masks),
            "scikit-learn, a loop": lambda: [roc_auc_score(m, r) for m, r in zip(masks, maps, strict=True)],
        },
    }
    for name, case in _quantus(maps, masks).items():
        cases[name]["Quantus"] = case
    return cases


def _quantus(maps: np.ndarray, masks: np.ndarray) -> dict[str, Case]:
    """The same metrics by Quantus, or none where it is not installed."""
    # Quantus imports zennit where it finds it, and that needs torchvision.
    sys.modules.setdefault("zennit", None)  # type: ignore[arg-type]
    try:
        import quantus
    except ImportError as error:
        print(f"(Quantus left out: {error})")
        return {}
    n, length = maps.shape
    common = {"model": None, "x_batch": np.zeros((n, 1, length)), "y_batch": np.zeros(n)}

    def run(name: str, **more: object) -> Case:
        metric = getattr(quantus, name)(normalise=False, disable_warnings=True, return_aggregate=False)
        return lambda: metric(**common, a_batch=np.abs(maps)[:, None].copy(), **more)

    truth = masks[:, None]
    return {
        "gini": run("Sparseness"),
        "rma": run("RelevanceMassAccuracy", s_batch=truth),
        "rra": run("RelevanceRankAccuracy", s_batch=truth),
    }


def _checked(network: str, quick: bool) -> dict[str, Case]:
    """The curves both ways, after a check on a fill without chance that they are the same."""
    _, many, few, _ = NETWORKS[network]
    model, X, maps = _material(network, 2)
    ours = deletion_insertion(output_function(model, 0), X, maps, fill="zero", n_fills=1)
    theirs = _one_at_a_time(model, X, maps, ours.positions, fill="zero", n_fills=1)
    np.testing.assert_allclose(theirs, [ours.deletion, ours.insertion], rtol=1e-3, atol=1e-5)
    return _curves(network, few if quick else many)


def _curves(network: str, n: int) -> dict[str, Case]:
    model, X, maps = _material(network, n)
    ours = partial(deletion_insertion, output_function(model, 0), X, maps, n_fills=N_FILLS)
    steps = deletion_insertion(output_function(model, 0), X[:1], maps[:1], n_fills=1).positions
    return {UNIT: ours, "one sequence, one step at a time": partial(_one_at_a_time, model, X, maps, steps)}


def _one_at_a_time(
    model: nn.Module,
    X: np.ndarray,
    maps: np.ndarray,
    steps: np.ndarray,
    fill: Any = "dinucleotide",
    n_fills: int = N_FILLS,
) -> np.ndarray:
    """Deletion and insertion (2, n, steps), as they are written down."""
    rng = np.random.default_rng(0)
    curves = np.zeros((2, len(X), len(steps)))
    with torch.no_grad():
        for i, (x, relevance) in enumerate(zip(X, maps, strict=True)):
            order = np.argsort(-relevance)
            for _ in range(n_fills):
                filled = draw_fill(x[None], fill, rng)[0]
                for k, count in enumerate(steps):
                    top = order[:count]
                    without, alone = x.copy(), filled.copy()
                    without[:, top], alone[:, top] = filled[:, top], x[:, top]
                    for curve, changed in zip(curves, (without, alone), strict=True):
                        curve[i, k] += model(torch.from_numpy(changed)[None])[0, 0].item() / n_fills
    return curves


def _material(network: str, n: int) -> tuple[nn.Module, np.ndarray, np.ndarray]:
    length, _, _, parameters = NETWORKS[network]
    rng = np.random.default_rng(0)
    X = np.eye(4, dtype=np.float32)[rng.integers(0, 4, (n, length))].transpose(0, 2, 1).copy()
    torch.manual_seed(0)
    model = build_architecture(network, length=length, n_tasks=1, **parameters).eval()
    return model, X, rng.normal(size=(n, length))


if __name__ == "__main__":
    main()
