"""Time of the metrics against Quantus and scikit-learn, on the same maps, printed as ratios.

Run: python benchmarks/metrics.py [--sequences 500] [--length 200]
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from genoplrp.evaluation import (
    auroc,
    average_precision,
    gini,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
)

REPEATS = 5


def seconds(work: Callable[[], object]) -> float:
    """Best of several runs, after one that warms up."""
    work()
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def quantus_metrics(maps: np.ndarray, masks: np.ndarray) -> dict[str, Callable[[], object]]:
    """The same metrics by Quantus, or none where it is not installed."""
    # Quantus imports zennit where it finds it, and that needs torchvision.
    sys.modules.setdefault("zennit", None)  # type: ignore[arg-type]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import quantus
    except ImportError as error:
        print(f"(Quantus left out: {error})")
        return {}
    n, length = maps.shape
    common = {"model": None, "x_batch": np.zeros((n, 1, length)), "y_batch": np.zeros(n)}

    def run(name: str, **more: object) -> Callable[[], object]:
        metric = getattr(quantus, name)(normalise=False, disable_warnings=True, return_aggregate=False)
        return lambda: metric(**common, a_batch=np.abs(maps)[:, None].copy(), **more)

    truth = masks[:, None]
    return {
        "gini": run("Sparseness"),
        "rma": run("RelevanceMassAccuracy", s_batch=truth),
        "rra": run("RelevanceRankAccuracy", s_batch=truth),
    }


def main() -> None:
    """Print one row per metric."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=500)
    parser.add_argument("--length", type=int, default=200)
    chosen = parser.parse_args()
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(chosen.sequences, chosen.length))
    masks = rng.random(maps.shape) < 0.2
    ours = {
        "gini": lambda: gini(maps),
        "rma": lambda: relevance_mass_accuracy(maps, masks, sign="absolute"),
        "rra": lambda: relevance_rank_accuracy(maps, masks),
        "average_precision": lambda: average_precision(maps, masks),
        "auroc": lambda: auroc(maps, masks),
    }
    theirs = quantus_metrics(maps, masks) | {
        "average_precision": lambda: [
            average_precision_score(m, r) for m, r in zip(masks, maps, strict=True)
        ],
        "auroc": lambda: [roc_auc_score(m, r) for m, r in zip(masks, maps, strict=True)],
    }
    print(f"{chosen.sequences} sequences of {chosen.length} bp")
    print(f"{'metric':20s} {'ours, ms':>10s} {'peer, ms':>10s} {'peer / ours':>12s}   peer")
    for name, work in ours.items():
        if name not in theirs:
            continue
        own, other = seconds(work), seconds(theirs[name])
        peer = "scikit-learn, a loop" if name in ("average_precision", "auroc") else "Quantus"
        print(f"{name:20s} {own * 1e3:10.2f} {other * 1e3:10.2f} {other / own:12.1f}   {peer}")


if __name__ == "__main__":
    main()
