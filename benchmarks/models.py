"""What models reach on every preset, beside an oracle that knows the specification; writes the table of the presets.

The oracle scans with the planted matrices and applies the rule (`genoplrp.synthetic.oracle`); of a real-valued task it
is Pearson's r of the labels with what they were before noise. Model and oracle are measured on the same test sequences.
The recipes are tried in turn; a preset for which one comes within the margin of the oracle *on the validation part* is
left alone by the next ones. The best recipe is chosen on the validation part, too, so that its test figure is not that
of a lucky draw.

Run: python -m benchmarks.models [--presets xor spacing] [--recipes koo bpnet] [--quick]
     python -m benchmarks.models --write      (train nothing; write the table into the presets' README)

Results are kept after every training, in benchmarks/results/models.json; the same call goes on where it was stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import genoplrp
from benchmarks.timing import machine, parser, save, table
from genoplrp.synthetic import Dataset, list_presets, load_spec, simulate
from genoplrp.synthetic.oracle import oracle_scores
from genoplrp.training import evaluate, train, train_to_folder

README = Path(genoplrp.__file__).parent / "synthetic" / "presets" / "README.md"
BEGIN, END = "<!-- benchmarks.models: begin -->", "<!-- benchmarks.models: end -->"
N_SEQUENCES = 20_000
BOOTSTRAP = 1000
METRIC = {"binary": "auroc", "real": "pearson", "count": "pearson"}
COLUMNS = (
    "preset",
    "task",
    "tests",
    "prevalence (mean ± sd)",
    "mask",
    "oracle",
    "best architecture",
    "model",
)


class Recipe(NamedTuple):
    """How to train: an architecture, what differs from the defaults, and a preset to learn the motifs on first."""

    architecture: str
    options: Mapping[str, Any] = {}
    begun_on: str = ""


RECIPES: dict[str, Recipe] = {
    "koo": Recipe("koo"),
    "koo, both strands": Recipe("koo", {"reverse_complement": True}),
    "koo, 128 filters, both strands": Recipe(
        "koo", {"parameters": {"filters": (128, 64)}, "reverse_complement": True}
    ),
    "koo, 128 filters, both strands, 40 epochs": Recipe(
        "koo", {"parameters": {"filters": (128, 64)}, "reverse_complement": True, "epochs": 40}
    ),
    "bpnet": Recipe("bpnet"),
    "bpnet, both strands": Recipe("bpnet", {"reverse_complement": True}),
    "deepstarr": Recipe("deepstarr"),
    "deepstarr, both strands": Recipe("deepstarr", {"reverse_complement": True}),
    "residualbind": Recipe("residualbind"),
    "koo, begun on tal_gata": Recipe("koo", begun_on="tal_gata"),
    "bpnet, begun on tal_gata": Recipe("bpnet", begun_on="tal_gata"),
}
"""The recipes by the name that the table gives them; the first ones are the cheapest."""


def main() -> None:
    """Train what is missing and write the results."""
    options = parser(__doc__ or "", "models.json")
    options.add_argument("--presets", nargs="+", choices=list_presets(), help="some presets only")
    options.add_argument(
        "--recipes", nargs="+", choices=list(RECIPES), help="some recipes only, in this order"
    )
    options.add_argument(
        "--margin", type=float, default=0.01, help="near enough to the oracle (default 0.01)"
    )
    options.add_argument("--write", action="store_true", help="only write the table into the presets' README")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    results = json.loads(given.out.read_text()) if given.out.exists() else {"presets": {}}
    if given.write:
        write_table(results["presets"], README)
        return
    n, epochs = (2000, 2) if given.quick else (N_SEQUENCES, None)
    for name in given.recipes or list(RECIPES):
        for preset in given.presets or list_presets():
            of_preset = results["presets"].setdefault(preset, {})
            if reached(of_preset, given.margin) or name in of_preset.get("models", {}):
                continue
            data = simulate(preset, n, seed=0)
            if of_preset.get("data_sha256") != data.checksum():
                of_preset |= facts(data) | {"models": {}}
            of_preset["models"][name] = fitted(data, RECIPES[name], epochs, given.out.with_suffix(".state"))
            print(
                f"{preset}: {name} {of_preset['models'][name]['test']}, oracle {of_preset['oracle']['test']}"
            )
            save(given.out, {"machine": machine(), "presets": results["presets"]})
    print(table(list(rows(results["presets"])), COLUMNS))


def facts(data: Dataset) -> dict[str, Any]:
    """What is known of a data set without a model: prevalence, mask, and what the oracle reaches on both parts."""
    oracle: dict[str, Any] = {}
    for part in ("valid", "test"):
        chosen = data.subset(part)
        known = chosen.labels.copy() if chosen.clean is None else chosen.clean.copy()
        binary = [kind == "binary" for kind in data.kinds]
        if any(binary):
            known[:, binary] = oracle_scores(chosen, progress=True)[:, binary]
        oracle[part] = headline(known, chosen)
    return {
        "data_sha256": data.checksum(),
        "n": len(data),
        "mean": data.labels.mean(axis=0, dtype=np.float64).round(4).tolist(),
        "sd": data.labels.std(axis=0, dtype=np.float64).round(4).tolist(),
        "mask": [round(float(data.mask(task).mean()), 4) for task in data.tasks],
        "tasks": data.tasks,
        "kinds": data.kinds,
        "oracle": oracle,
    }


def fitted(data: Dataset, recipe: Recipe, epochs: int | None, state: Path) -> dict[str, Any]:
    """Train as the recipe says; the figures of both parts, with 95 % bootstrap intervals."""
    started = time.perf_counter()
    options = dict(recipe.options) | ({"epochs": epochs} if epochs else {})
    first = None
    if recipe.begun_on:
        other = simulate(recipe.begun_on, len(data), seed=0)
        place = state.with_name(f"{recipe.architecture}_{recipe.begun_on}_{len(data)}.first")
        first = train_to_folder(other, place, recipe.architecture, resume=True, bootstrap=0, **options)
    fit = train(data, recipe.architecture, start_from=first, state=state, bootstrap=0, **options)
    parts = {part: data.subset(part) for part in ("valid", "test")}
    return {
        "architecture": recipe.architecture,
        "begun_on": recipe.begun_on,
        "options": dict(recipe.options),
        "epochs": len(fit.history),
        "best_epoch": fit.provenance["best_epoch"],
        "seconds": round(time.perf_counter() - started, 1),
    } | {part: headline(fit.predict(chosen.one_hot()), chosen) for part, chosen in parts.items()}


def headline(prediction: np.ndarray, data: Dataset) -> dict[str, list[float]]:
    """Task -> AUROC (Pearson's r, where real-valued), low and high end of its interval."""
    kinds = ["regression" if kind == "real" else kind for kind in data.kinds]
    figures = evaluate(prediction, data.labels, kinds, data.tasks, bootstrap=BOOTSTRAP)["tasks"]
    found = {}
    for task, kind in zip(data.tasks, data.kinds, strict=True):
        metric = METRIC[kind]
        found[task] = [round(v, 4) for v in (figures[task][metric], *figures[task][f"{metric}_interval"])]
    return found


def reached(of_preset: Mapping[str, Any], margin: float) -> bool:
    """Whether a model came within the margin of the oracle on the validation part, in every task."""
    return any(
        all(
            model["valid"][task][0] >= known[0] - margin
            for task, known in of_preset["oracle"]["valid"].items()
        )
        for model in of_preset.get("models", {}).values()
    )


def best(models: Mapping[str, Any]) -> str:
    """The recipe with the best mean over the tasks on the validation part."""
    return max(models, key=lambda name: np.mean([figure[0] for figure in models[name]["valid"].values()]))


def rows(presets: Mapping[str, Any]) -> Iterable[dict[str, str]]:
    """Rows of the table of the presets."""
    for preset, found in sorted(presets.items()):
        if not found.get("models"):
            continue
        name = best(found["models"])
        for k, task in enumerate(found["tasks"]):
            real = found["kinds"][k] != "binary"
            mean, sd = found["mean"][k], found["sd"][k]
            yield {
                "preset": f"`{preset}`",
                "task": task,
                "tests": load_spec(preset).tests,
                "prevalence (mean ± sd)": f"{mean:.2f} ± {sd:.2f}" if real else f"{mean:.2f}",
                "mask": f"{100 * found['mask'][k]:.1f} %",
                "oracle": f"{found['oracle']['test'][task][0]:.3f}",
                "best architecture": name,
                "model": "{:.3f} [{:.3f}, {:.3f}]".format(*found["models"][name]["test"][task]),
            }


def write_table(presets: Mapping[str, Any], path: Path) -> None:
    """Replace what stands between the two marks of the file by the table."""
    before, rest = path.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(
        f"{before}{BEGIN}\n\n{table(list(rows(presets)), COLUMNS)}\n\n{END}{after}", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
