"""Two questions about planted sequences: why deletion judges otherwise, and whose sites a map credits.

Run: python -m benchmarks.judges --out judges     (ten CPU minutes, most of it training)

``deletion.csv``: the drop of the output when a map's ten foremost bases are drawn anew from the background, twelve
times; the same of the ten foremost within sites and outside; the share of sites that lose two bases or more; and the
output that the thirty foremost bases keep alone. ``class.csv``: mass on the other task's sites, and how often they are
credited, for one output and for it against the other (`genoplrp.contrast`). ``deletion.png`` draws the first. All of
held-out sequences of networks trained here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import genoplrp as gp
from genoplrp.evaluation import output_function, score
from genoplrp.evaluation.grammar import score_grammar
from genoplrp.evaluation.job import Job
from genoplrp.evaluation.methods import explain_with
from genoplrp.evaluation.plan import EPOCHS
from genoplrp.relevance import contrast

NETWORKS = (("koo2021_fixed", "koo"), ("koo2021_fixed", "bpnet"), ("tal_gata", "koo"))
METHODS = (
    "gradient-x-input", "integrated-gradients", "deeplift-shap", "ism", "lrp@gamma", "lrp@gamma-all",
    "plrp-lambda-0.15@gamma", "plrp-lambda-0.25@gamma", "pruned-0.15:deeplift-shap", "consensus",
)  # fmt: skip
IN_CLASS = (
    "lrp@gamma",
    "lrp@gamma-all",
    "plrp-lambda-0.25@gamma",
    "integrated-gradients",
    "deeplift-shap",
    "consensus",
)
WEIGHTS = (0.0, 0.25, 0.5, 1.0)
FILLS, TOP, KEPT = 12, 10, 30


class Against(nn.Module):
    """A network whose one output is that of a task, set against another's."""

    def __init__(self, model: nn.Module, weight: float) -> None:
        super().__init__()
        self.model, self.weight = model, weight

    def forward(self, x: Tensor) -> Tensor:
        y = self.model(x)
        chosen: Tensor = contrast(0, 1, weight=self.weight)(y) if self.weight else y[:, 0]
        return chosen.unsqueeze(1)


def network(dataset: str, architecture: str, folder: Path) -> tuple[gp.Dataset, nn.Module]:
    """Simulate the data and train the network, or load them."""
    at, path = folder / "data" / dataset, folder / "networks" / f"{dataset}-{architecture}-0"
    if not at.exists():
        gp.simulate(gp.load_spec(dataset), n=20_000, seed=0).save(at)
    data = gp.Dataset.load(at)
    if not path.exists():
        epochs = {"epochs": EPOCHS[architecture]} if architecture in EPOCHS else {}
        gp.train(data, architecture, 0, progress=False, bootstrap=0, **epochs).save(path)
    return data, gp.load_model(path).model


def recognised(data: gp.Dataset, model: nn.Module, tasks: list[int], n: int) -> np.ndarray:
    """Return test rows that are positive for all of the tasks and recognised for the first."""
    rows = np.flatnonzero((data.split == "test") & (data.labels[:, tasks] > 0).all(axis=1))[: 4 * n]
    return rows[output_function(model, tasks[0])(data.subset(rows).one_hot()) > 0][:n]


def deletion(data: gp.Dataset, model: nn.Module, n: int) -> pd.DataFrame:
    """Take bases away, whole and in parts."""
    rows = recognised(data, model, [0], n)
    chosen = data.subset(rows)
    X, mask, sites = chosen.one_hot().astype(np.float32), chosen.mask(0), chosen.instances_of(0)
    predict = output_function(model, 0, batch_size=256)
    rng = np.random.default_rng(0)
    fills = [
        np.eye(4, dtype=np.float32)[rng.integers(0, 4, mask.shape)].transpose(0, 2, 1) for _ in range(FILLS)
    ]
    before = predict(X)

    def drop(taken: np.ndarray) -> float:
        after = [predict(np.where(taken[:, None], fill, X)) for fill in fills]
        return float((before - np.mean(after, axis=0)).mean())

    def foremost(maps: np.ndarray, k: int, among: np.ndarray | None = None) -> np.ndarray:
        ranked = maps if among is None else np.where(among, maps, -np.inf)
        taken: np.ndarray = ranked.argsort(1)[:, ::-1].argsort(1) < k
        return taken if among is None else taken & among

    result = []
    for name in METHODS:
        maps = explain_with(name, Job(model, X, 0, 0))
        taken, table = foremost(maps, TOP), score(maps, mask)
        hit = [
            taken[i, start:end].sum() >= 2 for i, start, end in sites[["sequence", "start", "end"]].to_numpy()
        ]
        result.append(
            {
                "method": name,
                "rma": table["rma"].mean(),
                "average_precision": table["average_precision"].mean(),
                "deletion": drop(taken),
                "within sites": drop(foremost(maps, TOP, mask)),
                "outside": drop(foremost(maps, TOP, ~mask)),
                "taken within": taken[mask].sum() / taken.sum(),
                "sites hit": np.mean(hit),
                "kept alone": float(before.mean()) - drop(~foremost(maps, KEPT)),
            }
        )
    return pd.DataFrame(result)


def classes(data: gp.Dataset, model: nn.Module, n: int) -> pd.DataFrame:
    """Set the first task's output against the second's, on sequences that hold both tasks' sites."""
    rows = recognised(data, model, [0, 1], n)
    chosen = data.subset(rows)
    X, mask = chosen.one_hot().astype(np.float32), chosen.mask(0)
    other = chosen.mask(1) & ~mask
    sites = chosen.instances.copy()
    sites["role"] = np.where(sites.index.isin(chosen.instances_of(0).index), "core", "other")
    result = []
    for weight in WEIGHTS:
        job = Job(Against(model, weight).eval(), X, 0, 0)
        for name in IN_CLASS:
            maps = explain_with(name, job)
            positive, table = np.maximum(maps, 0), score(maps, mask)
            result.append(
                {
                    "method": name,
                    "weight": weight,
                    "rma": table["rma"].mean(),
                    "average_precision": table["average_precision"].mean(),
                    "other mass": np.mean((positive * other).sum(1) / positive.sum(1)),
                    "other credited": score_grammar(maps, sites)["other_credited"].mean(),
                }
            )
    return pd.DataFrame(result)


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw the drop by all, within sites and outside, a panel for each network."""
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(table["network"]))
    figure, axes = plt.subplots(
        1, len(names), figsize=(4 * len(names), 3.6), sharey=True, constrained_layout=True
    )
    for ax, name in zip(np.atleast_1d(axes), names, strict=True):
        part = table[table["network"] == name].set_index("method")
        for column, colour, marker in (
            ("deletion", "#222222", "o"), ("within sites", "#d55e00", "s"), ("outside", "#0072b2", "v"),
        ):  # fmt: skip
            ax.plot(
                part[column],
                range(len(part)),
                marker,
                color=colour,
                label=f"ten foremost, {column}".replace(", deletion", ""),
            )
        ax.set(
            title=name,
            yticks=range(len(part)),
            yticklabels=part.index,
            xlabel="drop of the logit",
            xlim=(0, None),
        )
        ax.grid(axis="y", alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    np.atleast_1d(axes)[0].invert_yaxis()
    figure.legend(
        *np.atleast_1d(axes)[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def run(out: Path, n: int = 60) -> None:
    """Train what is missing, measure, write, draw."""
    out.mkdir(parents=True, exist_ok=True)
    tables = []
    for dataset, architecture in NETWORKS:
        data, model = network(dataset, architecture, out)
        table = deletion(data, model, n)
        table.insert(0, "network", f"{dataset}, {architecture}")
        tables.append(table)
        if dataset == "tal_gata":
            classes(data, model, n).round(4).to_csv(out / "class.csv", index=False)
    result = pd.concat(tables, ignore_index=True)
    result.round(4).to_csv(out / "deletion.csv", index=False)
    draw(result, out / "deletion.png")


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for everything")
    parser.add_argument("--n", type=int, default=60, help="sequences of each network")
    given = parser.parse_args()
    torch.set_num_threads(1)
    run(given.out, given.n)


if __name__ == "__main__":
    main()
