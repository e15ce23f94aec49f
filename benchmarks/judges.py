"""Two questions about planted sequences: why deletion judges otherwise, and whose sites a map credits.

Run: python -m benchmarks.judges --out judges     (ten CPU minutes, most of it training)

``deletion.csv``: the drop of the output when a map's ten foremost bases are resampled from the background, twelve
times; the same of the ten foremost within sites and outside; the share of sites that lose two bases or more; the output
that the thirty foremost bases keep alone; and how well a site's relevance follows the fall of the output when the whole
site is resampled. ``class.csv``: mass on the other task's sites, and how often they are credited, for one output and
for it against the other (`genoplrp.contrast`). ``deletion.png`` draws the first. These are of held-out sequences of
networks trained here. With ``--splice N``, and only then, ``splice_class.csv``: whether a map of SpliceAI's donor
(acceptor) score, alone or against the others, follows what substitutions do to that score and to the difference from
the other kind's, on N sites of either kind.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import genoplrp as gp
from benchmarks import real
from genoplrp.evaluation import output_function, score
from genoplrp.evaluation.grammar import score_grammar
from genoplrp.evaluation.instances import score_instances
from genoplrp.evaluation.job import Job
from genoplrp.evaluation.methods import explain_with
from genoplrp.evaluation.plan import EPOCHS
from genoplrp.relevance import contrast

NETWORKS = (("koo2021_fixed", "koo"), ("koo2021_fixed", "bpnet"), ("tal_gata", "koo"))
METHODS = (
    "gradient-x-input", "integrated-gradients", "deeplift-shap", "ism", "lrp@gamma", "lrp@gamma-all",
    "lrp@epsilon-gamma-box", "plrp-lambda-0.15@gamma", "plrp-lambda-0.25@gamma", "pruned-0.15:deeplift-shap",
    "consensus",
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


class Chosen(nn.Module):
    """A network whose one output is a function of another's, (N, T) to (N,): rivals take an index only."""

    def __init__(self, model: nn.Module, choose: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.choose = model, choose

    def forward(self, x: Tensor) -> Tensor:
        return self.choose(self.model(x)).unsqueeze(1)


def _first(y: Tensor) -> Tensor:
    return y[:, 0]


def network(dataset: str, architecture: str, folder: Path) -> tuple[gp.Dataset, nn.Module]:
    """Simulate the data and train the network, or load them."""
    at, path = folder / "data" / dataset, folder / "networks" / f"{dataset}-{architecture}-0"
    for parent in (at.parent, path.parent):
        parent.mkdir(parents=True, exist_ok=True)
    if not at.exists():
        gp.simulate(gp.load_spec(f"{dataset}@1"), n=20_000, seed=0).save(at)  # as in docs/results.md
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

    def effects() -> np.ndarray:
        """The fall of the output when one whole site is resampled, in the order of the table."""
        places = sites[["sequence", "start", "end"]].to_numpy()
        falls = np.empty(len(places))
        for row, (i, start, end) in enumerate(places):
            x = np.repeat(X[i][None], FILLS, axis=0)
            x[:, :, start:end] = np.stack([fill[i, :, start:end] for fill in fills])
            falls[row] = before[i] - predict(x).mean()
        return falls

    def foremost(maps: np.ndarray, k: int, among: np.ndarray | None = None) -> np.ndarray:
        ranked = maps if among is None else np.where(among, maps, -np.inf)
        taken: np.ndarray = ranked.argsort(1)[:, ::-1].argsort(1) < k
        return taken if among is None else taken & among

    result, effect = [], effects()
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
                "site effects": np.corrcoef(score_instances(maps, sites)["mass"], effect)[0, 1],
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
        choose = contrast(0, 1, weight=weight) if weight else _first
        job = Job(Chosen(model, choose).eval(), X, 0, 0)
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


def splice_classes(n: int, replicate: int = 1) -> pd.DataFrame:
    """Correlate maps of one score, and of it against others, with what substitutions do to score and difference.

    Two judges: ``score``, the effects on the explained score alone, and ``difference``, those on it less the other
    kind's (donor less acceptor, or the other way round), which decides between the two.
    """
    result = []
    for kind in ("donor", "acceptor"):
        cell = real.spliceai(kind, replicate, n=n)
        other = 3 - cell.target
        effects = {
            "score": real.mutagenesis(cell),
            "difference": real.mutagenesis(_against(cell, contrast(cell.target, other, weight=1))),
        }
        targets = {
            "alone": cell,
            "against the other": _against(cell, contrast(cell.target, other, weight=1)),
            "against all": _against(cell, contrast(cell.target, weight=1)),
        }
        for how, asked in targets.items():
            for name in ("lrp@gamma", "plrp-lambda-0.25@gamma", "gradient-x-input"):
                maps = explain_with(name, asked.job())
                row = {"kind": kind, "target": how, "method": name}
                for judge, effect in effects.items():
                    row[judge] = real.score_map(cell, maps, effect)["pearson"].mean()
                result.append(row)
    return pd.DataFrame(result)


def _against(cell: real.RealCell, target: Callable[[Tensor], Tensor]) -> real.RealCell:
    return replace(cell, model=Chosen(cell.model, target).eval(), target=0)


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw the drop against the share of sites that the ten foremost bases hit, a panel for each network."""
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(table["network"]))
    figure, axes = plt.subplots(1, len(names), figsize=(4.2 * len(names) + 2.2, 3.8), constrained_layout=True)
    for ax, name in zip(np.atleast_1d(axes), names, strict=True):
        part = table[table["network"] == name]
        r = part["sites hit"].corr(part["deletion"])
        for row, marker in zip(part.to_dict("records"), "osD^v<>PXhp", strict=False):
            method = str(row["method"])
            colour = "#d55e00" if method.startswith(("lrp", "plrp", "consensus")) else "#0072b2"
            ax.plot(row["sites hit"], row["deletion"], marker, color=colour, label=method, ms=8)
        ax.set(title=f"{name} (r = {r:.2f})", xlabel="share of sites that lose two bases or more")
        ax.spines[["top", "right"]].set_visible(False)
    np.atleast_1d(axes)[0].set_ylabel("drop of the logit, ten foremost bases resampled")
    handles, labels = np.atleast_1d(axes)[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right", frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def run(out: Path, n: int = 60, only: str = "") -> None:
    """Train what is missing, measure, write, draw; only networks whose name holds a word, if one is given."""
    out.mkdir(parents=True, exist_ok=True)
    tables = []
    for dataset, architecture in NETWORKS:
        if only not in f"{dataset}, {architecture}":
            continue
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
    parser.add_argument("--only", default="", help="only networks whose name holds this word")
    parser.add_argument("--splice", type=int, default=0, metavar="N", help="only SpliceAI, N sites of a kind")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if not given.splice:
        run(given.out, given.n, given.only)
        return
    given.out.mkdir(parents=True, exist_ok=True)
    splice_classes(given.splice).round(4).to_csv(given.out / "splice_class.csv", index=False)


if __name__ == "__main__":
    main()
