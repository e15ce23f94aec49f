"""Sites called from relevance against planted truth: maps of several methods, each with two callers.

Maps explain the positive sequences of held-out data seeds, with the networks of `benchmarks.motifs`. Positive sites
are called by tangermeme's seqlets and by `genoplrp.find_sites`. Then, as mean over seeds with its 95 % t interval:

false
    share of the sites of which less than half lies on anything planted; seeds without a site are left out.
recall
    share of the instances planted for the task half of which sites cover.

Run: python -m benchmarks.sites [--nets FOLDER] [--quick]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import genoplrp as gp
from benchmarks.motifs import Counts, counted, false, recall, simulated, trained
from benchmarks.timing import machine, parser, save, table
from genoplrp.evaluation.job import Job
from genoplrp.evaluation.methods import explain_with
from genoplrp.sequence import codes_to_one_hot, one_hot_to_codes
from genoplrp.sites import find_sites, recursive_seqlets
from genoplrp.sites.calling import as_positions
from genoplrp.synthetic import Dataset

TASKS = {"koo2021_fixed": "label", "tal_gata": "both"}
PRUNED = (0.0, 0.05, 0.1, 0.25)
THRESHOLD = 0.01
SEQUENCES, SEEDS = 300, range(9001, 9009)
Maps = Callable[[np.ndarray], np.ndarray]


def positives(name: str, task: int | str, seed: int) -> Dataset:
    """Return sequences that no network was trained on and whose label is positive."""
    data = simulated(name, 8 * SEQUENCES, seed)
    return data.subset(np.flatnonzero(data.labels[:, data.task_index(task)] > 0)[:SEQUENCES])


def maps(model: torch.nn.Module, target: int) -> dict[str, Maps]:
    """Return each map as a function from base numbers (n, L) to relevance (n, L)."""

    def registered(method: str) -> Maps:
        def explain(codes: np.ndarray) -> np.ndarray:
            return as_positions(explain_with(method, Job(model, codes_to_one_hot(codes), target=target)))

        return explain

    def relevance(p: float) -> Maps:
        explainer = gp.Explainer(model, "gamma", gp.Pruning(p) if p else None, diagnostics=False)
        return lambda codes: (
            explainer(torch.from_numpy(codes_to_one_hot(codes)), target).per_nucleotide.double().numpy()
        )

    ours = {f"PLRP {p:g}" if p else "LRP": relevance(p) for p in PRUNED}
    return {"DeepLIFT/SHAP": registered("deeplift-shap"), **ours, "consensus": registered("consensus")}


def called(explain: Maps, codes: np.ndarray, seed: int) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the positive sites of each caller."""
    values = explain(codes)
    yield f"tangermeme, p <= {THRESHOLD:g}", recursive_seqlets(values, threshold=THRESHOLD)
    sites = find_sites(explain, codes, values, sign="positive", fdr=0.2, seed=seed)
    for fdr in (0.05, 0.2):
        yield f"find_sites, FDR {fdr * 100:g} %", sites[sites["q_value"] <= fdr]


def main() -> None:
    """Train what is missing, measure, and write the results."""
    options = parser(__doc__ or "", "sites.json")
    options.add_argument("--nets", type=Path, help="folder of the networks")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    folder = given.nets or given.out.with_name("motifs.state")
    counts: dict[tuple[str, str, str], list[Counts]] = {}
    for name, task in TASKS.items():
        fit = trained(name, folder)
        for seed in SEEDS[:2] if given.quick else SEEDS:
            data = positives(name, task, seed)
            codes = one_hot_to_codes(data.one_hot())
            for method, explain in maps(fit.model, data.task_index(task)).items():
                for caller, sites in called(explain, codes, seed):
                    counts.setdefault((name, method, caller), []).append(counted(sites, data, task))
    rows = [
        {
            "preset": name,
            "relevance": method,
            "caller": caller,
            "recall": recall(seeds),
            "false": false(seeds),
        }
        for (name, method, caller), seeds in counts.items()
    ]
    save(given.out, {"machine": machine(), "sequences": SEQUENCES, "rows": rows})
    print(table(rows, ["preset", "relevance", "caller", "recall", "false"]))


if __name__ == "__main__":
    main()
