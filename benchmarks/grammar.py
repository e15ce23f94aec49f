"""Whether pairs of sites that work together are told from pairs that do not, on planted grammar.

What pairs are worth under the rule of the label is exact (`genoplrp.synthetic.effects.pair_effects`): not 0 for pairs
that interact, 0 for additive ones. Small networks are trained on every grammar (kept in
benchmarks/results/grammar.state), and the pairs of held-out sequences are ranked by the size of several measures, among
the pairs of their own network, and against those of a network that learnt an additive label (each in units of the
standard deviation of its network's output).

Run: python -m benchmarks.grammar [--only and xor] [--quick]
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

import genoplrp as gp
from benchmarks.hessians import STEPS, hessian_effects
from benchmarks.timing import machine, parser, save, table
from genoplrp.relevance import DeepLift, GradientTimesInput
from genoplrp.relevance.methods.outputs import explained_outputs
from genoplrp.sites.interactions import Interactions
from genoplrp.synthetic import Dataset, load_spec, simulate
from genoplrp.synthetic.spec import Spec
from genoplrp.synthetic.spec_toml import spec_from_table
from genoplrp.training import load_model, train

PRESETS = Path(gp.__file__).parent / "synthetic" / "presets"
LENGTH, N_SEQUENCES = 120, 10_000
SHARES = (0.0, 0.15, 0.25)
ODD = {"motifs": "MAX", "role": "decoy"}
"""A motif without a say: its pairs with the others are additive."""


def specification(name: str) -> Spec:
    """Return a grammar: a preset, shortened, or one of its own (``or``, ``additive``)."""
    if name in ("spacing", "order", "cooperative", "and"):
        table = _table(load_spec(name))
    else:
        table = {
            "motifs": [
                {"file": "motifs/tal_gata.meme", "min_score": 8.0},
                {"file": "motifs/koo2021_core.meme", "names": ["MAX"], "min_score": 8.0},
            ],
            "scan": {"motifs": ["TAL1", "GATA1"], "p_value": 1e-4, "action": "remove"},
            "tasks": [{"name": "label", "rule": RULES[name]}] if name in RULES else [ACTIVITY],
            "classes": [
                {"name": "both", "fraction": 0.4, "plant": [{"motifs": "TAL1"}, {"motifs": "GATA1"}, ODD]},
                {"name": "TAL1_only", "fraction": 0.2, "plant": [{"motifs": "TAL1"}, ODD]},
                {"name": "GATA1_only", "fraction": 0.2, "plant": [{"motifs": "GATA1"}, ODD]},
                {"name": "none", "fraction": 0.2, "plant": [ODD]},
            ],
        }
    spec = spec_from_table(table | {"name": name, "length": LENGTH}, where=name, folder=PRESETS)
    return spec.with_motif_tasks() if name in ("and", "xor", "not") else spec


RULES = {"xor": "TAL1 xor GATA1", "not": "TAL1 and not GATA1", "or": "TAL1 or GATA1"}
ACTIVITY = {"name": "activity", "kind": "real", "motifs": ["TAL1", "GATA1"], "noise": 0.2}
GRAMMARS = ("and", "or", "xor", "not", "spacing", "order", "cooperative", "additive")


def _table(spec: Spec) -> dict[str, Any]:
    import tomllib

    return tomllib.loads((PRESETS / f"{spec.name}.toml").read_text())


def trained(name: str, folder: Path) -> tuple[Dataset, Any]:
    """Return the data set of a grammar and a network trained on it, from the folder where it is there."""
    data = simulate(specification(name), N_SEQUENCES, seed=0)
    path = folder / name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        fit = train(data, "koo", seed=0, epochs=12, parameters={"dense": 128}, bootstrap=0, progress=False)
        fit.save(path)
        print(name, fit.metrics, flush=True)
    return data, load_model(path)


def judged(data: Dataset, sequences: int) -> tuple[Tensor, pd.DataFrame, pd.DataFrame]:
    """Return test sequences with two sites or more, these sites, and what their pairs are worth under the rule."""
    instances = data.instances
    counts = instances.groupby("sequence").size()
    is_test = np.asarray(data.split) == "test"
    rows = [row for row in counts.index[counts > 1] if is_test[row]][:sequences]
    number = {row: k for k, row in enumerate(rows)}
    sites = instances[instances["sequence"].isin(rows)]
    exact = data.pair_effects(0)
    exact = exact[exact["sequence"].isin(rows)]
    start = instances["start"].to_numpy()
    exact = pd.DataFrame(
        {
            "sequence": exact["sequence"].map(number),
            "low": np.minimum(start[exact["first"]], start[exact["second"]]),
            "high": np.maximum(start[exact["first"]], start[exact["second"]]),
            "exact": exact["interaction"],
        }
    )
    X = torch.from_numpy(data.one_hot()[rows])
    return X, sites.assign(sequence=sites["sequence"].map(number)), exact


def measures(model: Any, X: Tensor, sites: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return every measure of the pairs, and the seconds that each took."""
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Interactions]) -> pd.DataFrame:
        start = time.perf_counter()
        found = work().pairs
        seconds[name] = time.perf_counter() - start
        return found

    pruned = gp.Explainer(model, pruning=gp.Pruning(p=0.15), diagnostics=False)
    whole = timed("knock-outs", lambda: gp.interactions(pruned, X, sites, relevance=False))
    out = whole[["sequence", "start_a", "start_b", "motif_a", "motif_b", "distance", "q_value"]].copy()
    out["knock-outs"] = whole["interaction"]
    one = timed("one fill", lambda: gp.interactions(pruned, X, sites, fills=1))
    out["knock-outs, one fill"], out["PLRP change, one fill"] = one["interaction"], one["relevance_change"]
    shares = timed(
        "probability", lambda: gp.interactions(pruned, X, sites, scale="probability", relevance=False)
    )
    out["knock-outs, probability"] = shares["interaction"]
    changes = {
        "PLRP change": pruned,
        "LRP change": gp.Explainer(model, diagnostics=False),
        "gradient x input change": GradientTimesInput(model, diagnostics=False),
        "DeepLIFT change": DeepLift(model, diagnostics=False),
    }
    for name, explain in changes.items():
        found = timed(name, lambda explain=explain: gp.interactions(explain, X, sites))  # type: ignore[misc]
        out[name] = found["relevance_change"]
    start = time.perf_counter()
    out["pairwise mutagenesis"] = point_mutants(pruned, X, whole)
    seconds["pairwise mutagenesis"] = time.perf_counter() - start
    for name, steps in (("Hessian", 0), ("integrated Hessians", STEPS)):
        start = time.perf_counter()
        out[name] = hessian_effects(model, X, whole, steps=steps)
        seconds[name] = time.perf_counter() - start
    return out, seconds


def with_truth(found: pd.DataFrame, exact: pd.DataFrame) -> pd.DataFrame:
    """Return pairs with what each is worth under the rule, 0 where the rule does not name it."""
    return found.merge(
        exact,
        how="left",
        left_on=["sequence", "start_a", "start_b"],
        right_on=["sequence", "low", "high"],
    ).fillna({"exact": 0.0})


def changes_by_p(
    model: Any, X: Tensor, sites: pd.DataFrame, exact: pd.DataFrame
) -> dict[str, dict[str, float]]:
    """Return the AUROC and the share of right signs of the change of relevance, for each share that is pruned."""
    results = {}
    for p in SHARES:
        explain = gp.Explainer(model, pruning=gp.Pruning(p=p) if p else None, diagnostics=False)
        found = with_truth(gp.interactions(explain, X, sites).pairs, exact)
        truth = found["exact"].to_numpy()
        interacting = truth != 0
        if interacting.any():
            towards = found["relevance_change"].to_numpy() * np.sign(truth[interacting][0])
            results[f"{p:g}"] = {
                "auroc": auroc(towards[interacting], towards[~interacting]),
                "sign": float((towards[interacting] > 0).mean()),
            }
    return results


def point_mutants(explain: gp.Explainer, X: Tensor, pairs: pd.DataFrame) -> np.ndarray:
    """Return the pair effects of point mutations: of each site the one that changes the output most."""
    whole = explained_outputs(explain, X).double().numpy()
    worst: dict[tuple[int, int, int], tuple[int, int]] = {}
    for side in "ab":
        keys = pairs[["sequence", f"start_{side}", f"end_{side}"]].drop_duplicates()
        for row, start, end in keys.itertuples(index=False, name=None):
            mutants = [(k, base) for k in range(start, end) for base in range(4) if X[row, base, k] == 0]
            changed = np.abs(
                explained_outputs(explain, _mutated(X[row], [[m] for m in mutants])).numpy() - whole[row]
            )
            worst[row, start, end] = mutants[int(changed.argmax())]
    effects = np.zeros(len(pairs))
    for i, (_, pair) in enumerate(pairs.iterrows()):
        row = pair["sequence"]
        a, b = (worst[row, pair[f"start_{side}"], pair[f"end_{side}"]] for side in "ab")
        f = explained_outputs(explain, _mutated(X[row], [[a], [b], [a, b]])).double().numpy()
        effects[i] = whole[row] - f[0] - f[1] + f[2]
    return effects


def _mutated(x: Tensor, mutants: list[list[tuple[int, int]]]) -> Tensor:
    out = x[None].repeat(len(mutants), 1, 1)
    for k, places in enumerate(mutants):
        for place, base in places:
            out[k, :, place] = 0
            out[k, base, place] = 1
    return out


MEASURES = (
    "knock-outs",
    "knock-outs, probability",
    "knock-outs, one fill",
    "PLRP change",
    "PLRP change, one fill",
    "LRP change",
    "gradient x input change",
    "DeepLIFT change",
    "pairwise mutagenesis",
    "Hessian",
    "integrated Hessians",
)


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Return the probability that one is larger than the other, ties half."""
    both = np.concatenate([positive, negative])
    ranks = pd.Series(both).rank().to_numpy()[: len(positive)]
    n, m = len(positive), len(negative)
    return float((ranks.sum() - n * (n + 1) / 2) / (n * m)) if n and m else float("nan")


def compared(found: pd.DataFrame, additive: pd.DataFrame | None) -> dict[str, dict[str, float]]:
    """Return AUROC, with an interval over sequences, and the share of right signs, of every measure.

    All interacting pairs of a grammar have one sign: ``auroc`` ranks by the value in that direction, since a network
    may hold a pair that the rule is silent about for evidence against the label; ``auroc_of_size`` ranks by size alone.
    """
    results = {}
    truth = found["exact"].to_numpy()
    interacting = truth != 0
    rng = np.random.default_rng(0)
    groups = list(found.groupby("sequence").indices.values())
    draws = [
        np.concatenate([groups[k] for k in rng.integers(len(groups), size=len(groups))]) for _ in range(200)
    ]
    for name in MEASURES:
        values = found[name].to_numpy()
        size = np.abs(values)
        towards = values * (np.sign(truth[interacting][0]) if interacting.any() else 1.0)
        drawn = [auroc(towards[d][interacting[d]], towards[d][~interacting[d]]) for d in draws]
        results[name] = {
            "auroc": auroc(towards[interacting], towards[~interacting]),
            "low": float(np.nanquantile(drawn, 0.025)) if interacting.any() else float("nan"),
            "high": float(np.nanquantile(drawn, 0.975)) if interacting.any() else float("nan"),
            "auroc_of_size": auroc(size[interacting], size[~interacting]),
            "against_additive": float("nan")
            if additive is None
            else auroc(
                size[interacting] / found["spread"].iloc[0],
                np.abs(additive[name]) / additive["spread"].iloc[0],
            ),
            "sign": float((towards[interacting] > 0).mean()) if interacting.any() else float("nan"),
        }
    return results


def main() -> None:
    """Train what is missing, measure, and write the results."""
    options = parser(__doc__ or "", "grammar.json")
    options.add_argument("--only", nargs="+", choices=GRAMMARS, default=list(GRAMMARS))
    options.add_argument("--nets", type=Path, help="folder of the networks")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    folder = given.nets or given.out.with_suffix(".state")
    sequences = 40 if given.quick else 120
    results = json.loads(given.out.read_text())["grammars"] if given.out.exists() else {}
    pairs: dict[str, pd.DataFrame] = {}
    for name in dict.fromkeys(["additive", *given.only]):
        data, fit = trained(name, folder)
        X, sites, exact = judged(data, sequences)
        found, seconds = measures(fit.model, X, sites)
        found = with_truth(found, exact)
        found["spread"] = float(explained_outputs(gp.Explainer(fit.model), X).std())
        pairs[name] = found
        metrics = {
            k: v for k, v in fit.metrics["test"]["tasks"][data.tasks[0]].items() if k in ("auroc", "pearson")
        }
        results[name] = {
            "network": metrics,
            "sequences": len(X),
            "pairs": len(found),
            "interacting": int((found["exact"] != 0).sum()),
            "called": float((found["q_value"] <= 0.05)[found["exact"] != 0].mean()),
            "called_additive": float((found["q_value"] <= 0.05)[found["exact"] == 0].mean()),
            "seconds": seconds,
            "PLRP change by p": changes_by_p(fit.model, X, sites, exact),
            "measures": compared(found, pairs["additive"] if name != "additive" else None),
            "by_distance": found.assign(bin=found["distance"] // 4 * 4)
            .groupby("bin")[
                [
                    "exact",
                    "knock-outs",
                    "knock-outs, probability",
                    "PLRP change",
                    "Hessian",
                    "integrated Hessians",
                ]
            ]
            .mean()
            .round(4)
            .reset_index()
            .to_dict("list"),
        }
        save(given.out, {"machine": machine(), "grammars": results})
    print(table(list(rows(results)), ["grammar", "network", "pairs", "interacting", *MEASURES]))


def rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the table of AUROC: among the network's own pairs / against the additive network / right signs."""
    out = []
    for name, one in results.items():
        figures = {
            measure: " / ".join(
                "" if f[key] != f[key] else f"{f[key]:.2f}" for key in ("auroc", "against_additive", "sign")
            )
            for measure, f in one["measures"].items()
        }
        network = ", ".join(f"{value:.3f}" for value in one["network"].values())
        out.append(
            {"grammar": name, "network": network, "pairs": one["pairs"], "interacting": one["interacting"]}
            | figures
        )
    return out


if __name__ == "__main__":
    main()
