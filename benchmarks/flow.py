"""Which channels carry which factor, and how few units of a network carry a prediction, on planted motifs.

On koo2021_fixed (five factors): the purity of channels, with a ReLU and an exponential as the first activation, and
units, channels, edges and fidelity at several p. The networks are kept in benchmarks/results/flow.state.

Run: python -m benchmarks.flow [--quick]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import genoplrp as gp
from benchmarks.timing import machine, parser, save, table
from genoplrp.sites import thinning
from genoplrp.synthetic import Dataset
from genoplrp.training import load_model, train

N_SEQUENCES = 10_000
SHARES = (0.0, 0.15, 0.25)
ARCHITECTURES = {"koo": "koo2021_fixed", "koo_exp": "koo2021_fixed_exp"}


def main() -> None:
    """Train what is missing, measure, and write the results."""
    options = parser(__doc__ or "", "flow.json")
    options.add_argument("--nets", type=Path, help="folder of the networks")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    folder = given.nets or given.out.with_suffix(".state")
    data = gp.simulate("koo2021_fixed", N_SEQUENCES, seed=0)
    chosen = (data.split == "test") & (data.labels[:, 0] == 1)
    part = data.subset(chosen.nonzero()[0][: 20 if given.quick else 100])
    X = torch.from_numpy(part.one_hot())
    results: dict[str, Any] = {}
    for architecture, name in ARCHITECTURES.items():
        fit = trained(architecture, data, folder / name)
        thin = thinning(gp.Explainer(fit.model), X, p=SHARES)
        results[architecture] = {
            "auroc": fit.metrics["test"]["tasks"]["label"]["auroc"],
            "sequences": len(X),
            "thinning": thin.round(4).to_dict("list"),
            "purity": {f"{p:g}": purity(fit.model, X, part, p) for p in SHARES},
        }
        save(given.out, {"machine": machine(), "architectures": results})
        print(architecture, results[architecture]["auroc"])
        print(table(thin.round(3).to_dict("records"), list(thin.columns)))
        rows = [{"p": p} | by_layer for p, by_layer in results[architecture]["purity"].items()]
        print(table(rows, list(rows[0])), flush=True)


def trained(architecture: str, data: Dataset, path: Path) -> Any:
    """Return a network trained on the data, from the folder where it is there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        settings: dict[str, Any] = {"epochs": 10, "parameters": {"dense": 128}, "bootstrap": 0}
        train(data, architecture, seed=0, progress=False, **settings).save(path)
    return load_model(path)


def purity(model: Any, X: torch.Tensor, part: Dataset, p: float) -> dict[str, float]:
    """Return the purity of each layer's channels, weighted by relevance, and what chance would give."""
    explain = gp.Explainer(model, pruning=gp.Pruning(p=p) if p else None)
    found = gp.flow(explain, X, sites=part.instances, share=0.9, most=64)
    nodes = found.nodes[found.nodes["layer"] == "sites"].set_index("node")["relevance"]
    on_sites = nodes.drop("elsewhere").clip(lower=0)
    out = {"chance": round(float(on_sites.max() / on_sites.sum()), 3)}
    for layer, channels in found.purity().groupby("layer"):
        weight = channels["relevance"].abs()
        for column in ("purity", "on_sites"):
            out[f"{layer} {column}"] = round(float((channels[column] * weight).sum() / weight.sum()), 3)
    return out


if __name__ == "__main__":
    main()
