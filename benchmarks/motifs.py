"""What `genoplrp.find_motifs` finds on every preset, beside what was planted; and how many called sites are false.

A small network is trained on each preset (kept in benchmarks/results/motifs.state; some are shortened to 120 bp, as
in `benchmarks.grammar`), and sequences of other seeds that hold a motif of the task are explained (p = 0.05).
A found motif stands for the planted motif that most of its instances lie on. Then:

found, twice, others
    planted motifs that have a found one; found ones beyond the first of one sign for one planted motif; found ones most
    of whose instances lie on nothing planted (those of another task's motifs are not counted).
width
    of each first one, less that of the planted matrix from the first to the last column of 0.1 bit.
recall, precision
    share of the planted instances that an instance of their motif covers half of (of the shorter of the two); share of
    the instances of these motifs that lie so on a planted one of their motif.
sites at 5 and 20 %
    called at the false-discovery rate that is asked, in percent. Recall: share of the planted instances half of which
    sites cover. False: share of the sites of which less than half lies on anything planted. Mean over seeds of 300
    sequences each, with its 95 % t interval; seeds without a site say nothing of false ones.

Run: python -m benchmarks.motifs [--only and xor] [--quick]
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.stats import t as students

import genoplrp as gp
from benchmarks.timing import machine, parser, save, table
from genoplrp.errors import InputError
from genoplrp.sites import Motifs, find_motifs, find_sites
from genoplrp.sites.bounds import LEAST_BITS
from genoplrp.synthetic import Dataset

PLAIN: dict[str, Any] = {"n": 10_000, "epochs": 10}
SHORT: dict[str, Any] = {"n": 10_000, "epochs": 12, "length": 120}
LONGER: dict[str, Any] = {"n": 30_000, "epochs": 12}
POOLED: dict[str, Any] = {
    "n": 20_000,
    "epochs": 12,
    "reverse_complement": True,
    "architecture": "deepbind",
    "parameters": {"filters": 128, "dense": 128},
}
RECIPES: dict[str, dict[str, Any]] = {
    "and": SHORT | {"sites": True},
    "cooperative": PLAIN | {"reverse_complement": True},
    "hard_background": LONGER,
    "koo2021": POOLED,
    "koo2021_fixed": LONGER,
    "not": SHORT | {"sites": True},
    "order": SHORT,
    "saturation": PLAIN | {"reverse_complement": True},
    "soft_syntax": PLAIN | {"reverse_complement": True},
    "spacing": PLAIN,
    "tal_gata": PLAIN,
    "xor": PLAIN | {"sites": True},
}
"""How the network of each preset is trained; ``sites``: with the presence of each motif as a task of its own."""
HARDLY = "koo2021_fixed, hardly learnt"
RECIPES[HARDLY] = {"preset": "koo2021_fixed", "n": 4_500, "epochs": 9, "seed": 9}
P = 0.05
ASKED = (0.05, 0.2)
COLUMNS = (
    *("preset", "network", "found", "twice", "others", "width", "recall", "precision", "sites"),
    *("recall at 5 %", "false at 5 %", "recall at 20 %", "false at 20 %"),
)


def simulated(name: str, n: int, seed: int) -> Dataset:
    """Return a data set of a preset as its recipe has it."""
    how = RECIPES[name]
    spec = gp.load_spec(how.get("preset", name))
    spec = replace(spec, length=how.get("length", spec.length))
    return gp.simulate(spec.with_motif_tasks() if how.get("sites") else spec, n=n, seed=seed, progress=False)


def trained(name: str, folder: Path) -> Any:
    """Return the network of a preset, from the folder where it is there."""
    path, how = folder / name.replace(", ", "-").replace(" ", "_"), RECIPES[name]
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        fit = gp.train(
            simulated(name, how["n"], how.get("seed", 0)),
            how.get("architecture", "koo"),
            seed=how.get("seed", 0),
            epochs=how["epochs"],
            parameters=how.get("parameters", {"dense": 128}),
            reverse_complement=how.get("reverse_complement", False),
            bootstrap=0,
            progress=False,
        )
        fit.save(path)
    return gp.load_model(path)


def held_out(name: str, task: int, sequences: int, seed: int) -> Dataset:
    """Return sequences that no network was trained on, and that hold a motif of the task."""
    data = simulated(name, 4 * sequences, seed)
    return data.subset(np.unique(data.instances_of(task)["sequence"].to_numpy())[:sequences])


def on_planted(found: pd.DataFrame, planted: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs (``found``, ``planted``: row numbers) that share half of the shorter one, with ``name``."""
    left = found[["sequence", "start", "end"]].rename_axis("found").reset_index()
    right = planted[["sequence", "start", "end"]].assign(name=planted["motif"].astype(str))
    both = left.merge(right.rename_axis("planted").reset_index(), on="sequence", suffixes=("", "_planted"))
    shared = both[["end", "end_planted"]].min(axis=1) - both[["start", "start_planted"]].max(axis=1)
    shorter = np.minimum(both["end"] - both["start"], both["end_planted"] - both["start_planted"])
    return both.loc[2 * shared >= shorter, ["found", "planted", "name"]]


def planted_width(pwm: np.ndarray) -> int:
    """Return the columns from the first to the last one of `LEAST_BITS`, against uniform bases."""
    bits = 2 + np.where(pwm > 0, pwm * np.log2(np.maximum(pwm, 1e-12)), 0).sum(axis=0)
    clear = np.flatnonzero(bits >= LEAST_BITS)
    return int(clear[-1] - clear[0] + 1)


def judged(found: Motifs, data: Dataset, task: int) -> dict[str, Any]:
    """Compare found motifs with those planted for the task."""
    planted = data.instances_of(task).reset_index(drop=True)
    wanted = sorted(set(planted["motif"].astype(str)))
    matrices = {name: use.motif.pwm for name, use in data.spec.motifs.items()}
    first: dict[tuple[str, str], Any] = {}
    others, twice, hits = [], [], np.zeros(len(planted), dtype=bool)
    right = number = 0
    for one in found.motifs:
        pairs = on_planted(one.instances, planted)
        counts = pairs.drop_duplicates(["found", "name"])["name"].value_counts()
        if counts.empty or counts.iloc[0] < 0.5 * len(one.instances):
            if on_planted(one.instances, data.instances)["found"].nunique() < 0.5 * len(one.instances):
                others.append(one.motif().consensus())
            continue
        name = str(counts.index[0])
        own = pairs[pairs["name"] == name]
        hits[own["planted"]] = True
        right += own["found"].nunique()
        number += len(one.instances)
        key = (one.name.partition("_")[0], name)
        if key in first:
            twice.append(f"{name}: {one.motif().consensus()}")
        else:
            first[key] = one
    return {
        "wanted": wanted,
        "found": sorted({name for _, name in first}),
        "twice": twice,
        "others": others,
        "width": {
            f"{name} {sign}": one.width - planted_width(matrices[name]) for (sign, name), one in first.items()
        },
        "consensus": {f"{name} {sign}": one.motif().consensus() for (sign, name), one in first.items()},
        "recall": float(hits.mean()),
        "precision": right / number if number else float("nan"),
        "covered by sites": float(
            np.isin(np.arange(len(planted)), on_planted(found.sites, planted)["planted"]).mean()
        ),
        "instances": number,
        "sites": len(found.sites),
    }


def covered(rows: pd.DataFrame, where: np.ndarray) -> np.ndarray:
    """Return whether at least half of each row's stretch lies where the mask (N, L) is true."""
    stretches = rows[["sequence", "start", "end"]].itertuples(index=False)
    return np.array([where[i, start:end].mean() >= 0.5 for i, start, end in stretches], dtype=bool)


def mask(rows: pd.DataFrame, shape: tuple[int, ...]) -> np.ndarray:
    """Return where the rows' stretches lie, (N, L)."""
    where = np.zeros(shape, dtype=bool)
    for i, start, end in rows[["sequence", "start", "end"]].itertuples(index=False):
        where[i, start:end] = True
    return where


class Counts(NamedTuple):
    """Sites and the false ones among them, planted instances of the task and those found."""

    sites: int
    false: int
    planted: int
    found: int


def counted(sites: pd.DataFrame, data: Dataset, task: int | str) -> Counts:
    """Compare called sites with what was planted: false is one of which less than half lies on anything planted."""
    shape, planted = (len(data), data.length), data.instances_of(task)
    false = ~covered(sites, mask(data.instances, shape))
    return Counts(len(sites), int(false.sum()), len(planted), int(covered(planted, mask(sites, shape)).sum()))


def of_sites(explain: gp.Explainer, name: str, task: int, seeds: range) -> dict[str, list[Counts]]:
    """Return the counts of each seed, for each rate asked."""
    counts: dict[str, list[Counts]] = {str(asked): [] for asked in ASKED}
    for seed in seeds:
        data = held_out(name, task, 300, seed)
        sites = find_sites(explain, data.one_hot(), fdr=max(ASKED), target=task, seed=seed)
        for asked in ASKED:
            counts[str(asked)].append(counted(sites[sites["q_value"] <= asked], data, task))
    return counts


def interval(parts: Iterable[int], wholes: Iterable[int]) -> str:
    """Return the mean share over seeds with its 95 % t interval, in percent; seeds whose whole is 0 are left out."""
    shares = np.array([part / whole for part, whole in zip(parts, wholes, strict=True) if whole])
    if len(shares) < 2:
        return "none"
    half = students.ppf(0.975, len(shares) - 1) * shares.std(ddof=1) / np.sqrt(len(shares))
    return f"{100 * shares.mean():.1f} ± {100 * half:.1f}"


def recall(counts: Sequence[Counts]) -> str:
    """Return the share of planted instances that are found."""
    return interval([one.found for one in counts], [one.planted for one in counts])


def false(counts: Sequence[Counts]) -> str:
    """Return the share of false sites, and the number of sites."""
    share = interval([one.false for one in counts], [one.sites for one in counts])
    return f"{share} ({sum(one.sites for one in counts):,} sites)"


def main() -> None:
    """Train what is missing, measure, and write the results."""
    options = parser(__doc__ or "", "motifs.json")
    options.add_argument("--only", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    options.add_argument("--fdr", type=float, default=max(ASKED), help="asked where motifs are found")
    options.add_argument("--nets", type=Path, help="folder of the networks")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    folder = given.nets or given.out.with_suffix(".state")
    results = json.loads(given.out.read_text())["presets"] if given.out.exists() else {}
    for name in given.only:
        fit, task = trained(name, folder), 0
        explain = gp.Explainer(fit.model, pruning=gp.Pruning(p=P), diagnostics=False)
        data = held_out(name, task, 500 if given.quick else 1_000, 1000)
        try:
            one = judged(find_motifs(explain, data.one_hot(), target=task, fdr=given.fdr), data, task)
        except InputError as error:
            one = {"error": str(error)}
        metrics = next(iter(fit.metrics["test"]["tasks"].values()))
        one["network"] = {k: metrics[k] for k in ("auroc", "pearson") if k in metrics}
        one["called"] = of_sites(explain, name, task, range(1001, 1003 if given.quick else 1007))
        results[name] = one
        save(given.out, {"machine": machine(), "presets": results})
        print(table(rows({name: one}), COLUMNS), flush=True)
    print(table(rows(results), COLUMNS))


def rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the table of the page."""
    out = []
    for name, one in results.items():
        network = ", ".join(f"{value:.3f}" for value in one["network"].values())
        row: dict[str, Any] = {"preset": name, "network": network}
        for asked, counts in one["called"].items():
            seeds = [Counts(*seed) for seed in counts]
            row[f"recall at {100 * float(asked):g} %"] = recall(seeds)
            row[f"false at {100 * float(asked):g} %"] = false(seeds)
        if "error" not in one:
            row |= {
                "found": f"{len(one['found'])} of {len(one['wanted'])}",
                "twice": len(one["twice"]),
                "others": len(one["others"]),
                "width": ", ".join(f"{value:+d}" for value in one["width"].values()),
                "recall": f"{one['recall']:.2f}",
                "precision": f"{one['precision']:.2f}",
                "sites": f"{one['sites']:,}",
            }
        out.append(row)
    return out


if __name__ == "__main__":
    main()
