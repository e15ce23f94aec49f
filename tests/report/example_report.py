"""A report small enough to check by hand: planted sequences, maps that grow sparse with p, scores from `score`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from genoplrp.evaluation import score
from genoplrp.report import MapStore, ReportContent

RULES, METHODS, P = ("gamma", "epsilon"), ("lambda", "M"), (0.0, 0.25, 0.5, 0.75)
METRICS = ("gini", "rma", "average_precision")
N, LENGTH = 12, 120


def make_content(n: int = N, length: int = LENGTH, names=None) -> ReportContent:
    rng = np.random.default_rng(7)
    sequences = ["".join(row) for row in rng.choice(list("ACGT"), (n, length))]
    starts = rng.integers(0, length - 10, n)
    mask = (np.arange(length) >= starts[:, None]) & (np.arange(length) < starts[:, None] + 8)
    instances = pd.DataFrame(
        {
            "sequence": np.arange(n),
            "start": starts,
            "end": starts + 8,
            "motif": np.where(np.arange(n) % 3 == 0, "SP1", "YY1"),
            "strand": np.where(np.arange(n) % 2 == 0, "+", "-"),
            "role": np.where(np.arange(n) == 1, "decoy", "core"),
        }
    )
    base = rng.normal(size=(n, length)) + 2.5 * mask
    variants = [
        np.where(np.abs(base) >= np.quantile(np.abs(base), p, axis=1, keepdims=True), base, 0) * factor
        + shift
        for factor, shift in ((1.0, 0.0), (0.5, 0.02))
        for method in METHODS
        for p in (P if method == "lambda" else tuple(0.8 * value for value in P))
    ]
    store = MapStore(n, len(variants), length)
    scores = {metric: np.zeros((n, len(variants))) for metric in METRICS}
    for index, maps in enumerate(variants):
        store.put(0, index, maps)
        table = score(maps, mask)
        for metric in METRICS:
            scores[metric][:, index] = table[metric]
    scores["rma"][3:4] = np.nan  # as where nothing is planted
    return ReportContent(
        title="A report <of> tests",
        facts={"Network": "none", "Data": "made up"},
        names=names or [f"seq{i}" for i in range(n)],
        sequences=sequences,
        prediction=rng.normal(size=n),
        label=(np.arange(n) % 2).astype(float),
        task="binding",
        rules=RULES,
        methods=METHODS,
        p=P,
        maps=store,
        scores=scores,
        instances=instances,
        notes=["A note."],
    )
