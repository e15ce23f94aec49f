"""Sites called from explanations, compared with the instances that were planted: precision and recall, a row a method.

Precision: share of the sites that lie at least half on an instance planted for the task; any_planted: on an instance of
whatever motif (a network credits other tasks' motifs too: that is no chance site). Recall: share of the task's
instances of which a site covers at least half. Run:
``python -m benchmarks.sites --data data/ --model model/ --target 0``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.timing import machine

MAPS = ("lrp", "plrp-0.05", "plrp-0.1", "plrp-0.15", "plrp-0.25")


def score(
    sites: pd.DataFrame, instances: pd.DataFrame, mask: np.ndarray, planted: np.ndarray
) -> dict[str, float]:
    """Number of sites, precision for the task and for any motif, recall."""
    covered = np.zeros(mask.shape, dtype=bool)
    hits, any_hits = [], []
    for row, start, end in zip(sites["sequence"], sites["start"], sites["end"], strict=True):
        covered[row, start:end] = True
        hits.append(mask[row, start:end].mean() >= 0.5)
        any_hits.append(planted[row, start:end].mean() >= 0.5)
    found = [
        covered[row, start:end].mean() >= 0.5
        for row, start, end in zip(instances["sequence"], instances["start"], instances["end"], strict=True)
    ]
    return {
        "sites": len(sites),
        "precision": float(np.mean(hits)) if hits else float("nan"),
        "any_planted": float(np.mean(any_hits)) if any_hits else float("nan"),
        "recall": float(np.mean(found)),
    }


def main() -> None:
    """Measure, print a table, and write it as JSON."""
    from genoplrp.evaluation.job import Job
    from genoplrp.evaluation.methods import explain_with
    from genoplrp.relevance import Explainer, Pruning
    from genoplrp.sequence import codes_to_one_hot, one_hot_to_codes
    from genoplrp.sites import find_sites, recursive_seqlets
    from genoplrp.synthetic import Dataset
    from genoplrp.training import load_model

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--target", type=int, default=0)
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--threshold", type=float, default=0.01, help="of tangermeme's seqlets")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    data, fit = Dataset.load(given.data), load_model(given.model)
    rows = np.flatnonzero((data.split == "test") & (data.labels[:, given.target] > 0))[: given.limit]
    part = data.subset(rows)
    X, mask, instances = part.one_hot(), part.mask(given.target), part.instances
    planted = np.zeros(mask.shape, dtype=bool)
    for row, start, end in zip(instances["sequence"], instances["start"], instances["end"], strict=True):
        planted[row, start:end] = True
    inside = [
        mask[row, start:end].mean() >= 0.5
        for row, start, end in zip(instances["sequence"], instances["start"], instances["end"], strict=True)
    ]
    instances = instances[inside]  # those that matter for the task
    codes, table = one_hot_to_codes(X), []

    def add(method: str, caller: str, sites: pd.DataFrame) -> None:
        table.append({"method": method, "caller": caller} | score(sites, instances, mask, planted))
        print(pd.DataFrame(table[-1:]).to_string(index=False, header=len(table) == 1), flush=True)

    shap = explain_with("deeplift-shap", Job(fit.model, X, target=given.target))
    add(
        "DeepLIFT/SHAP",
        f"tangermeme, p <= {given.threshold:g}",
        recursive_seqlets(shap, threshold=given.threshold),
    )
    for name in MAPS:
        p = float(name.partition("-")[2] or 0)
        explainer = Explainer(fit.model, "gamma", Pruning(p) if p else None, diagnostics=False)

        def explain(these: np.ndarray, explainer: Explainer = explainer) -> np.ndarray:
            made = explainer(torch.from_numpy(codes_to_one_hot(these)), given.target)
            return made.per_nucleotide.double().numpy()

        values = explain(codes)
        seqlets = recursive_seqlets(values, threshold=given.threshold)
        add(name, f"tangermeme, p <= {given.threshold:g}", seqlets)
        add(name, "ours, FDR 5 %", find_sites(explain, codes, values, sign="positive", fdr=0.05))
        add(name, "ours, FDR 20 %", find_sites(explain, codes, values, sign="positive", fdr=0.2))
    if given.json is not None:
        given.json.write_text(json.dumps({"machine": machine(), "rows": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
