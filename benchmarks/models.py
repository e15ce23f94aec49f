"""What models reach on every preset, beside an oracle that knows the specification; writes the table of the presets.

The oracle scans with the planted matrices and applies the rule (`genoplrp.synthetic.oracle`); of a real-valued task it
is Pearson's r of the labels with what they were before noise. Model and oracle are measured on the same test sequences.
The recipes are tried in turn; a preset for which one comes within the margin of the oracle *on the validation part* is
left alone by the next ones, unless `--every` asks for them. The best recipe is chosen on the validation part, too, so
that its test figure is not that of a lucky draw. A recipe may train on more sequences than the others, or fewer; the
figures are those on the validation and the test part of the same 20,000, and none of these is trained on (checked).

Run: python -m benchmarks.models [--presets xor spacing] [--recipes koo bpnet] [--every] [--quick]
     python -m benchmarks.models --again 1    (the best recipe of each preset once more, with another seed)
     python -m benchmarks.models --write      (train nothing; write the tables into the presets' README)

Results are kept after every training, in benchmarks/results/models.json; the same call goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import genoplrp
from benchmarks.timing import machine, parser, save, table
from genoplrp.synthetic import Dataset, list_presets, load_spec, simulate
from genoplrp.synthetic.oracle import best_scores
from genoplrp.training import evaluate, train, train_to_folder

README = Path(genoplrp.__file__).parent / "synthetic" / "presets" / "README.md"
MARKS = "<!-- benchmarks.models: begin -->", "<!-- benchmarks.models: end -->"
COMPARED_MARKS = "<!-- benchmarks.models, compared: begin -->", "<!-- benchmarks.models, compared: end -->"
N_SEQUENCES = 20_000
BOOTSTRAP = 1000
METRIC = {"binary": "auroc", "real": "pearson", "count": "pearson", "profile": "pearson"}
COLUMNS = (
    "preset",
    "task",
    "tests",
    "prevalence (mean ± sd)",
    "mask",
    "oracle",
    "best architecture",
    "model",
    "other seed",
)


class Recipe(NamedTuple):
    """How to train: an architecture, what differs from the defaults, and on what.

    `begun_on` is a preset to learn the motifs on first, `n` the number of sequences that are made, and `sites` adds the
    presence of each motif as a task of its own, on the same sequences.
    """

    architecture: str
    options: Mapping[str, Any] = {}
    begun_on: str = ""
    n: int = N_SEQUENCES
    sites: bool = False


POOLED = {"parameters": {"filters": 128, "dense": 128}, "reverse_complement": True}
RECIPES: dict[str, Recipe] = {
    "koo": Recipe("koo"),
    "koo, both strands": Recipe("koo", {"reverse_complement": True}),
    "deepbind, 32 filters, both strands, 10 epochs": Recipe(
        "deepbind", {"parameters": {"filters": 32}, "reverse_complement": True, "epochs": 10}
    ),
    "deepbind, 48 filters, both strands, 16 epochs, batches of 32": Recipe(
        "deepbind",
        {"parameters": {"filters": 48}, "reverse_complement": True, "epochs": 16, "batch_size": 32},
    ),
    "deepbind, 64 filters, both strands, 24 epochs, batches of 32": Recipe(
        "deepbind",
        {"parameters": {"filters": 64}, "reverse_complement": True, "epochs": 24, "batch_size": 32},
    ),
    "koo, both strands, 20 epochs of 40,000": Recipe("koo", {"reverse_complement": True}, n=40_000),
    "bpnet_profile, 16 filters, both strands, 8 epochs": Recipe(
        "bpnet_profile", {"parameters": {"filters": 16}, "reverse_complement": True, "epochs": 8}
    ),
    "bpnet_profile, 16 filters, both strands, 8 epochs, batches of 32": Recipe(
        "bpnet_profile",
        {"parameters": {"filters": 16}, "reverse_complement": True, "epochs": 8, "batch_size": 32},
    ),
    "bpnet_profile, 32 filters, both strands, 16 epochs, batches of 32": Recipe(
        "bpnet_profile",
        {"parameters": {"filters": 32}, "reverse_complement": True, "epochs": 16, "batch_size": 32},
    ),
    "bpnet_profile, both strands": Recipe(
        "bpnet_profile", {"parameters": {"filters": 64}, "reverse_complement": True, "batch_size": 32}
    ),
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
    "bpnet, 6 epochs": Recipe("bpnet", {"epochs": 6}),
    "residualbind, 4 epochs": Recipe("residualbind", {"epochs": 4}),
    "koo, begun on tal_gata": Recipe("koo", begun_on="tal_gata"),
    "bpnet, begun on tal_gata": Recipe("bpnet", begun_on="tal_gata"),
    "koo, sites as tasks, 12 epochs": Recipe("koo", {"epochs": 12}, sites=True),
    "deepbind, 128 filters, both strands, 12 epochs": Recipe("deepbind", POOLED | {"epochs": 12}),
    **{
        f"deepbind, 128 filters, both strands, {epochs} epochs of {n:,}": Recipe(
            "deepbind", POOLED | {"epochs": epochs}, n=n
        )
        for n, epochs in ((5_000, 12), (10_000, 12), (40_000, 12), (80_000, 8))
    },
}
"""The recipes by the name that the tables give them; the first ones are the cheapest."""

COMPARED = (
    "koo",
    "deepbind, 128 filters, both strands, 12 epochs",
    "bpnet, 6 epochs",
    "residualbind, 4 epochs",
)
"""The recipes that stand side by side in the second table."""


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
    options.add_argument(
        "--every", action="store_true", help="train the recipes even where one was near enough"
    )
    options.add_argument(
        "--again", type=int, metavar="SEED", help="the best recipe of each preset, from this seed"
    )
    options.add_argument(
        "--write", action="store_true", help="only write the tables into the presets' README"
    )
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    results = json.loads(given.out.read_text()) if given.out.exists() else {"presets": {}}
    if given.write:
        write_tables(results["presets"], README)
        return
    n, epochs = (2000, 2) if given.quick else (N_SEQUENCES, None)
    wanted = given.presets or list_presets()
    for preset, name in turns(results["presets"], wanted, given):
        of_preset = results["presets"].setdefault(preset, {})
        data = simulate(preset, n, seed=0)
        if of_preset.get("data_sha256") != data.checksum():
            of_preset |= facts(data) | {"models": {}}
        found = fitted(preset, data, RECIPES[name], given.again or 0, epochs, given.out.with_suffix(".state"))
        place = of_preset["models"]
        if given.again:
            place = place[name].setdefault("again", {})
        place[str(given.again) if given.again else name] = found
        print(f"{preset}: {name} {found['test']}, oracle {of_preset['oracle']['test']}", flush=True)
        save(given.out, {"machine": machine(), "presets": results["presets"]})
    print(table(list(rows(results["presets"])), COLUMNS))


def turns(
    presets: Mapping[str, Any], wanted: Iterable[str], given: argparse.Namespace
) -> Iterator[tuple[str, str]]:
    """Preset and recipe of each training that is missing, one recipe after the other; looks at what is there."""
    if given.again:
        for preset in wanted:
            name = best(presets[preset]["models"])
            if str(given.again) not in presets[preset]["models"][name].get("again", {}):
                yield preset, name
        return
    for name in given.recipes or list(RECIPES):
        for preset in wanted:
            of_preset = presets.get(preset, {})
            enough = not given.every and reached(of_preset, given.margin)
            profiles = any(task.kind == "profile" for task in load_spec(preset).tasks)
            fits = profiles == (RECIPES[name].architecture == "bpnet_profile")
            if fits and not enough and name not in of_preset.get("models", {}):
                yield preset, name


def facts(data: Dataset) -> dict[str, Any]:
    """What is known of a data set without a model: prevalence, mask, and what the oracle reaches on both parts."""
    oracle: dict[str, Any] = {}
    for part in ("valid", "test"):
        chosen = data.subset(part)
        oracle[part] = headline(best_scores(chosen, progress=True), chosen)
    return {
        "data_sha256": data.checksum(),
        "version": data.spec.version if data.spec is not None else 1,
        "n": len(data),
        "mean": data.labels.mean(axis=0, dtype=np.float64).round(4).tolist(),
        "sd": data.labels.std(axis=0, dtype=np.float64).round(4).tolist(),
        "mask": [round(float(data.mask(task).mean()), 4) for task in data.tasks],
        "tasks": data.tasks,
        "kinds": data.kinds,
        "oracle": oracle,
    }


def fitted(
    preset: str, data: Dataset, recipe: Recipe, seed: int, epochs: int | None, state: Path
) -> dict[str, Any]:
    """Train as the recipe says; the figures of both parts of `data`, with 95 % bootstrap intervals."""
    started = time.process_time()
    options = dict(recipe.options) | ({"epochs": epochs} if epochs else {})
    n = len(data) if epochs else recipe.n
    first = None
    if recipe.begun_on:
        other = simulate(recipe.begun_on, n, seed=0)
        place = state.with_name(f"{recipe.architecture}_{recipe.begun_on}_{n}.first")
        first = train_to_folder(other, place, recipe.architecture, resume=True, bootstrap=0, **options)
    given = simulate(load_spec(preset).with_motif_tasks() if recipe.sites else preset, n, seed=0)
    parts = {part: data.subset(part) for part in ("valid", "test")}
    learnt = set(given.subset("train").sequences)
    if any(sequence in learnt for part in parts.values() for sequence in part.sequences):
        raise AssertionError(
            f"{preset}: of {n} sequences some are trained on that the figures are measured on"
        )
    fit = train(given, recipe.architecture, seed, start_from=first, state=state, bootstrap=0, **options)
    columns = [fit.tasks.index(task) for task in data.tasks]
    return {
        "architecture": recipe.architecture,
        "begun_on": recipe.begun_on,
        "sites": recipe.sites,
        "options": dict(recipe.options),
        "n": n,
        "epochs": len(fit.history),
        "best_epoch": fit.provenance["best_epoch"],
        "date": machine()["date"],
        "cpu_seconds": round(time.process_time() - started, 1),
    } | {part: headline(fit.predict(chosen.one_hot())[:, columns], chosen) for part, chosen in parts.items()}


def headline(prediction: np.ndarray, data: Dataset) -> dict[str, list[float]]:
    """Task -> AUROC (Pearson's r, where real-valued; of profiles, of their sums), low and high end of its interval."""
    kinds = [{"real": "regression", "profile": "count"}.get(kind, kind) for kind in data.kinds]
    prediction = prediction.sum(axis=2) if prediction.ndim == 3 else prediction
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
                "other seed": ", ".join(
                    f"{again['test'][task][0]:.3f}"
                    for again in found["models"][name].get("again", {}).values()
                ),
            }


def compared(presets: Mapping[str, Any]) -> Iterable[dict[str, str]]:
    """Rows of the table of the architectures, of presets with two of them or more; empty where one was not trained."""
    for preset, found in sorted(presets.items()):
        if sum(name in found["models"] for name in COMPARED) < 2:
            continue
        for task in found["tasks"]:
            row = {"preset": f"`{preset}`", "task": task, "oracle": f"{found['oracle']['test'][task][0]:.3f}"}
            for name in COMPARED:
                if name in found["models"]:
                    row[name] = f"{found['models'][name]['test'][task][0]:.3f}"
            yield row


def filled(found: Iterable[dict[str, str]], columns: Iterable[str]) -> str:
    """The table of the columns that have an entry."""
    found = list(found)
    return table(found, [column for column in columns if any(row.get(column) for row in found)])


def write_tables(presets: Mapping[str, Any], path: Path) -> None:
    """Replace what stands between the two pairs of marks of the file by the tables."""
    text = path.read_text(encoding="utf-8")
    tables = {
        MARKS: filled(rows(presets), COLUMNS),
        COMPARED_MARKS: filled(compared(presets), ("preset", "task", "oracle", *COMPARED)),
    }
    for (begin, end), written in tables.items():
        before, rest = text.split(begin)
        text = f"{before}{begin}\n\n{written}\n\n{end}{rest.split(end)[1]}"
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
