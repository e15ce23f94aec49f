"""Does faithfulness to a model's own responses say how good a map is? Rules, shares pruned, references compared.

Each candidate is scored against the known sites, and by its faithfulness to the responses to resampled windows
(`genoplrp.relevance.methods.responses`), on planted and on real sequences.

Run: python -m benchmarks.faithful_maps --out faithful --networks judges --real real [--cells WORDS]  (five CPU minutes)

``--networks`` and ``--real`` are the folders of `benchmarks.judges` and `benchmarks.real`, whose networks are taken, or
trained there. Writes ``faithfulness.csv``: means over sequences for each cell and candidate.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from benchmarks import judges, real
from genoplrp.evaluation.instances import score_recovery
from genoplrp.evaluation.localization import average_precision, relevance_mass_accuracy
from genoplrp.relevance import Explainer, Pruning, consensus, consensus_views, measure_invariance
from genoplrp.relevance.methods.copies import COPIES, differences
from genoplrp.relevance.methods.invariance import sample_rows
from genoplrp.relevance.methods.responses import ask_about_windows

RULES = ("epsilon", "gamma", "gamma-all", "epsilon-gamma-box", "zplus-all")
SHARES = (0.0, 0.1, 0.25, 0.5)
#: Thresholds and windows were chosen on these; docs/results/ideas.md says what of the others had been seen.
CHOSEN_ON = (
    "koo2021_fixed, koo",
    "tal_gata, koo",
    "junctions-koo-0-donor",
    "junctions-koo-0-acceptor",
    "starts-koo-0",
    "starts-bpnet-0",
    "mmsplice-donor",
    "mmsplice-acceptor",
)
CONFIRMED_ON = (
    "spacing, koo",
    "and, koo",
    "koo2021_fixed, bpnet",
    "spacing, bpnet",
    "junctions-koo-1-donor",
    "junctions-koo-1-acceptor",
    "junctions-residualbind-1-donor",
    "junctions-residualbind-1-acceptor",
    "starts-koo-1",
    "starts-bpnet-1",
)


def planted(name: str, folder: Path, n: int) -> tuple[real.RealCell, pd.DataFrame]:
    """Return a network of `benchmarks.judges` with its sequences, and their sites."""
    dataset, architecture = name.split(", ")
    data, model = judges.network(dataset, architecture, folder)
    chosen = data.subset(judges.recognised(data, model, [0], n))
    X = chosen.one_hot().astype(np.float32)
    cell = real.RealCell(name, model, X, 0, {"site": chosen.mask(0)}, (0, X.shape[2]))
    return cell, chosen.instances_of(0)


def candidates(cell: real.RealCell) -> dict[str, Tensor]:
    """Return every candidate's map (N, L)."""
    x = torch.as_tensor(cell.X)
    maps: dict[str, Tensor] = {}
    for p in SHARES:
        pruning = Pruning(p=p) if p else None
        for rules in RULES:
            explainer = Explainer(cell.model, rules, pruning, diagnostics=False)
            maps[f"{rules}, p = {p:g}"] = explainer(x, cell.target).per_nucleotide.double()
    explainer = Explainer(cell.model, diagnostics=False)
    allowed = measure_invariance(explainer, x, cell.target).allowed(3)
    choose = partial(consensus_views, max_shift=allowed[0], both_strands=allowed[1])
    for p in SHARES[::2]:
        pruning = Pruning(p=p) if p else None
        moved = choose(4, mechanisms=["difference"])
        found = differences(explainer, pruning, x, cell.target, COPIES, moved)
        maps[f"shuffled copies, p = {p:g}"] = found
        e = consensus(cell.model, x, cell.target, views=moved, pruning=pruning)
        maps[f"uniform columns, p = {p:g}"] = e.per_nucleotide.double()
    maps["views of three mechanisms"] = consensus(
        cell.model, x, cell.target, views=choose(12)
    ).per_nucleotide.double()
    maps["consensus"] = consensus(cell.model, x, cell.target).per_nucleotide.double()
    return maps


def score_cell(cell: real.RealCell, sites: pd.DataFrame | None) -> pd.DataFrame:
    """Score every candidate, a row each."""
    maps, rows = candidates(cell), sample_rows(len(cell.X))
    shown = [maps["gamma, p = 0"][rows], maps["shuffled copies, p = 0"][rows]]
    asked = ask_about_windows(
        Explainer(cell.model, diagnostics=False), torch.as_tensor(cell.X)[rows], cell.target, maps=shown
    )
    result = []
    for name, values in maps.items():
        own = values.numpy()
        row = {
            "candidate": name,
            "rma": relevance_mass_accuracy(own, cell.masks["site"]).mean(),
            "average_precision": average_precision(own, cell.masks["site"]).mean(),
            "deletion": real.deletion(cell, own).mean(),
            "faithfulness": float(asked.faithfulness(values[rows]).mean()),
        }
        if sites is not None:
            row["weakest"] = score_recovery(own, sites)["weakest_share"].mean()
        result.append(row)
    return pd.DataFrame(result)


def main() -> None:
    """Read the options, and score cell by cell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the table")
    parser.add_argument("--networks", type=Path, required=True, help="folder of benchmarks.judges")
    parser.add_argument("--real", type=Path, required=True, help="folder of benchmarks.real")
    parser.add_argument("--n", type=int, default=100, help="sequences of each network")
    parser.add_argument(
        "--cells", default="", help="only those whose name holds one of these, parted by semicolons"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    tables = []
    for name in (*CHOSEN_ON, *CONFIRMED_ON):
        if not any(word in name for word in given.cells.split(";")):
            continue
        if ", " in name:
            cell, sites = planted(name, given.networks, given.n)
        else:
            cell, sites = real.cells(given.real / "networks")[name](), None
        table = score_cell(cell, sites)
        table.insert(0, "cell", name)
        table.insert(0, "part", "chosen on" if name in CHOSEN_ON else "confirmed on")
        tables.append(table)
        print(table.round(3).to_string(), flush=True)
    pd.concat(tables, ignore_index=True).round(4).to_csv(given.out / "faithfulness.csv", index=False)


if __name__ == "__main__":
    main()
