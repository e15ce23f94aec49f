"""Does pruning serve other explanations? LRP, gradient times input and DeepLIFT on planted motifs, pruned and not.

Run: python -m benchmarks.outlook [--preset koo2021] [--architectures koo bpnet] [--seeds 0 1] [--quick]

Every map explains the same correctly predicted positives of the test part; DeepLIFT compares with five
shuffles of each.
Printed are means over sequences of relevance mass accuracy, average precision and Gini index, and the mean difference
from the unpruned map of the same sequence with its standard error. Results are kept after every network.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.timing import machine, parser, save, table
from genoplrp.evaluation import score
from genoplrp.relevance import DeepLift, Explainer, GradientTimesInput, Pruning
from genoplrp.synthetic import load_spec, simulate
from genoplrp.training import train

PRUNINGS: dict[str, Pruning | None] = {"none": None, "auto": Pruning("auto")} | {
    f"p = {p:g}": Pruning(p) for p in (0.05, 0.15, 0.25)
}
METRICS = ("rma", "average_precision", "gini")
SHUFFLES = 5


def main() -> None:
    """Train, explain, score, print."""
    options = parser(__doc__ or "", "outlook.json")
    options.add_argument("--preset", default="koo2021")
    options.add_argument("--architectures", nargs="+", default=["koo", "bpnet"])
    options.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    options.add_argument("--n", type=int, default=20_000, help="sequences simulated")
    options.add_argument("--explained", type=int, default=300)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    n, explained = (1_000, 20) if chosen.quick else (chosen.n, chosen.explained)
    rows: list[dict[str, Any]] = []
    for architecture in chosen.architectures:
        for seed in chosen.seeds:
            data = simulate(load_spec(chosen.preset), n=n, seed=seed)
            settings = {"epochs": 2} if chosen.quick else {}
            fit = train(data, architecture=architecture, seed=seed, **settings)
            X, mask = _positives(fit.model, data, explained)
            if not len(X):
                print(f"{architecture}, seed {seed}: no positive is predicted correctly")
                continue
            rows += _scored(
                fit.model, X, mask, {"architecture": architecture, "seed": seed, "n": len(X)}, seed
            )
            save(chosen.out, {"machine": machine(), "preset": chosen.preset, "sequences": n, "rows": rows})
    print(table(rows, list(rows[0]) if rows else []))


def _positives(model: torch.nn.Module, data: Any, limit: int) -> tuple[Tensor, np.ndarray]:
    rows = np.flatnonzero((np.asarray(data.split) == "test") & (np.asarray(data.labels)[:, 0] == 1))
    X = torch.as_tensor(data.one_hot()[rows])
    with torch.no_grad():
        right = (model.eval()(X)[:, 0] > 0).numpy()
    chosen = np.flatnonzero(right)[:limit]
    return X[chosen], np.asarray(data.mask(task=0))[rows[chosen]]


def _scored(
    model: torch.nn.Module, X: Tensor, mask: np.ndarray, about: dict[str, Any], seed: int
) -> Iterator[dict[str, Any]]:
    shuffled = _shuffles(X, seed)
    for name, explain in (
        ("LRP (gamma)", Explainer(model)),
        ("gradient x input", GradientTimesInput(model)),
        (f"DeepLIFT, {SHUFFLES} shuffles", DeepLift(model, references=lambda _: shuffled)),
    ):
        plain = None
        for label, pruning in PRUNINGS.items():
            explain.pruning = pruning
            figures = score(explain(X, 0).per_nucleotide, mask)[list(METRICS)]
            plain = figures if plain is None else plain
            row = about | {"method": name, "pruning": label}
            for metric in METRICS:
                gain = figures[metric] - plain[metric]
                error = gain.std() / np.sqrt(len(gain))
                row[metric] = f"{figures[metric].mean():.3f} ({gain.mean():+.3f} ± {error:.3f})"
            yield row


def _shuffles(X: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.stack(
        [
            torch.stack([x[:, torch.randperm(x.shape[1], generator=generator)] for _ in range(SHUFFLES)])
            for x in X
        ]
    )


if __name__ == "__main__":
    main()
