"""A p that follows the sequence: ideas of how to choose it, on planted and on real sequences together.

Pruning is best where one site decides, and deletes the weaker of several. Each idea reads off maps of a few passes
which case a sequence is, and chooses its p: so that no site loses its place, by the effective number of sites, by the
agreement of two views, layer by layer by what a shuffled copy gets. Beside them the choices of `genoplrp.Pruning`
(automatic, faithful) and fixed shares.

Run: python -m benchmarks.following --out following --networks judges --real real     (about ten CPU minutes)

``--networks`` and ``--real`` are the folders of `benchmarks.judges` and `benchmarks.real`, whose networks are taken, or
trained there. Writes ``following.csv``: means over sequences for each cell and choice.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from benchmarks import judges, real
from genoplrp.evaluation import score
from genoplrp.evaluation.instances import score_recovery
from genoplrp.relevance import Explainer, Pruning, register_policy

GRID = (0.0, 0.02, 0.05, 0.08, 0.1, 0.125, 0.15, 0.2, 0.25)
FIXED = (0.0, 0.05, 0.15, 0.25)
WIDTH, SHIFT = 11, 3
#: A site keeps its place while its share of the mass in sites is at least this part of what it was.
PLACE = 0.5
#: An entry is noise if this share of the entries of the shuffled copy lies below it.
QUANTILE = 0.99
CHOSEN_ON = ("koo2021_fixed, koo", "starts-koo-0", "junctions-koo-0-donor")
CONFIRMED_ON = (
    "koo2021_fixed, bpnet",
    "tal_gata, koo",
    "starts-bpnet-0",
    "junctions-residualbind-1-donor",
    "junctions-residualbind-1-acceptor",
    "mmsplice-donor",
    "mmsplice-acceptor",
)


def window_masses(maps: np.ndarray) -> np.ndarray:
    """Return the positive mass of every window of `WIDTH` bases, (..., L) to (..., L - WIDTH + 1)."""
    total = np.cumsum(np.maximum(maps, 0), axis=-1)
    total = np.concatenate([np.zeros_like(total[..., :1]), total], axis=-1)
    return total[..., WIDTH:] - total[..., :-WIDTH]


def called_sites(masses: np.ndarray, above: float) -> list[int]:
    """Return where windows with more mass than that start, the strongest first, none overlapping another."""
    left, found = masses.copy(), []
    while left.max() > above:
        at = int(left.argmax())
        found.append(at)
        left[max(at - WIDTH + 1, 0) : at + WIDTH] = -np.inf
    return found


def no_site_loses_its_place(maps: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Choose the largest p of the grid up to which every site called on the plain map keeps half of its share.

    Parameters
    ----------
    maps : numpy.ndarray, shape (K, N, L)
        Of every p of the grid.
    null : numpy.ndarray, shape (N, L)
        Plain maps of shuffled copies: a window is a site if it has more than the best window there.

    Returns
    -------
    numpy.ndarray, shape (N,), int
        Index of each sequence's p.
    """
    masses, best = window_masses(maps), window_masses(null).max(axis=1)
    chosen = np.zeros(maps.shape[1], dtype=int)
    for row in range(maps.shape[1]):
        sites = called_sites(masses[0, row], best[row]) or [int(masses[0, row].argmax())]
        held = masses[:, row, sites]
        share = held / held.sum(axis=1, keepdims=True)
        kept = (share >= PLACE * share[0]).all(axis=1)
        chosen[row] = len(kept) - 1 if kept.all() else int(kept.argmin()) - 1
    return chosen


def by_effective_sites(maps: np.ndarray) -> np.ndarray:
    """Choose p = .25 over the effective number of windows, (sum m)^2 / sum m^2 of those that do not overlap."""
    masses = window_masses(maps[0])
    chosen = np.zeros(len(masses), dtype=int)
    for row, own in enumerate(masses):
        held = own[called_sites(own, 0.0)] if own.max() > 0 else np.ones(1)
        number = held.sum() ** 2 / (held**2).sum()
        chosen[row] = np.searchsorted(GRID, GRID[-1] / number + 1e-9) - 1
    return chosen


def by_agreement(maps: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Choose the p at which maps of the sequence and of the sequence moved by three bases agree best (cosine).

    Both of shape (K, N, L), the second moved back.
    """
    a, b = window_masses(maps[..., SHIFT:-SHIFT]), window_masses(moved[..., SHIFT:-SHIFT])
    size = np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    agreement: np.ndarray = (a * b).sum(-1) / np.where(size > 0, size, 1)
    return agreement.argmax(axis=0)


def above_the_copy(relevance: Tensor) -> tuple[Tensor, Tensor]:
    """Prune, layer by layer, what lies below nearly all that a shuffled copy gets: rows are sequences, then copies."""
    half = len(relevance) // 2
    own, copy = relevance[:half].double(), relevance[half:].double()
    shares = []
    for sign in (1, -1):
        mine, theirs = (sign * own).clamp(min=0), (sign * copy).clamp(min=0)
        bound = torch.stack(
            [row[row > 0].quantile(QUANTILE) if (row > 0).any() else row[0] for row in theirs]
        )
        below = torch.where(mine <= bound[:, None], mine, 0).sum(1) / mine.sum(1).clamp(min=1e-300)
        shares.append(torch.cat([below, below]).clamp(max=0.5))
    return shares[0], shares[1]


def all_choices(
    model: nn.Module, X: np.ndarray, target: int
) -> dict[str, tuple[np.ndarray, np.ndarray, int]]:
    """Return maps (N, L), the p of each sequence (NaN where it is each layer's), and backward passes, by name."""
    x = torch.as_tensor(X)
    order = torch.randperm(x.shape[2], generator=torch.Generator().manual_seed(0))
    size = 64 if x.shape[2] < real.LONG else 2

    def explain(pruning: Pruning | None, some: Tensor = x, batch_size: int = size) -> np.ndarray:
        e = Explainer(model, "gamma", pruning, batch_size=batch_size, diagnostics=False)(some, target)
        values: np.ndarray = e.per_nucleotide.double().numpy()
        return values

    def over_grid(some: Tensor) -> np.ndarray:
        explainer = Explainer(model, "gamma", Pruning(p=0.1), batch_size=size, diagnostics=False)
        return np.stack([e.per_nucleotide.double().numpy() for _, e in explainer.sweep(some, target, GRID)])

    maps, null = over_grid(x), explain(None, x[..., order])
    blank = torch.full_like(x[..., :SHIFT], 0.25)
    moved = over_grid(torch.cat([blank, x[..., :-SHIFT]], dim=2))
    moved = np.concatenate([moved[..., SHIFT:], np.zeros_like(moved[..., :SHIFT])], axis=-1)
    unknown = np.full(len(x), np.nan)
    found = {f"p = {p:g}" if p else "LRP": (maps[GRID.index(p)], np.full(len(x), p), 1) for p in FIXED}
    found["P = .25 over the depth"] = explain(Pruning(p=0.25, total=True)), unknown, 1
    found["automatic"] = explain(Pruning(p="auto")), unknown, 1
    e = Explainer(model, "gamma", Pruning(p="faithful"), batch_size=size, diagnostics=False)(x, target)
    found["faithful (.95)"] = e.per_nucleotide.double().numpy(), np.asarray(e.settings["p"]), len(GRID)
    ideas: dict[str, tuple[Callable[[], np.ndarray], int]] = {
        "no site loses its place": (lambda: no_site_loses_its_place(maps, null), len(GRID) + 1),
        "by effective sites": (lambda: by_effective_sites(maps), 2),
        "by agreement of two views": (lambda: by_agreement(maps, moved), 2 * len(GRID)),
    }
    for name, (choose, passes) in ideas.items():
        chosen = choose()
        found[name] = maps[chosen, np.arange(len(x))], np.asarray(GRID)[chosen], passes
    register_policy("above the copy", above_the_copy)
    pairs = []
    for some in x.split(max(size // 2, 1)):
        both = torch.cat([some, some[..., order]])
        pairs.append(explain(Pruning(p="above the copy"), both, len(both))[: len(some)])
    found["above a shuffled copy"] = np.concatenate(pairs), unknown, 2
    return found


def planted_cell(name: str, folder: Path, n: int) -> pd.DataFrame:
    """Score all choices on a network of `benchmarks.judges`."""
    dataset, architecture = name.split(", ")
    data, model = judges.network(dataset, architecture, folder)
    rows = judges.recognised(data, model, [0], n)
    chosen = data.subset(rows)
    X, mask, sites = chosen.one_hot().astype(np.float32), chosen.mask(0), chosen.instances_of(0)
    cell = real.RealCell(name, model, X, 0, {"site": mask}, (0, X.shape[2]))
    result = []
    for choice, (maps, p, passes) in all_choices(model, X, 0).items():
        table = score(maps, mask)
        result.append(
            {
                "choice": choice,
                "passes": passes,
                "p": p.mean(),
                "rma": table["rma"].mean(),
                "average_precision": table["average_precision"].mean(),
                "weakest": score_recovery(maps, sites)["weakest_share"].mean(),
                "deletion": real.deletion(cell, maps).mean(),
            }
        )
    return pd.DataFrame(result)


def real_cell(name: str, folder: Path) -> pd.DataFrame:
    """Score all choices on a network of `benchmarks.real`."""
    cell = real.cells(folder / "networks")[name]()
    ism, _ = real.explain_cell(cell, "ism", folder)
    result = []
    for choice, (maps, p, passes) in all_choices(cell.model, cell.X, cell.target).items():
        table = real.score_map(cell, maps, ism).mean()
        row = {"choice": choice, "passes": passes, "p": p.mean(), "average_precision": table["ap"]}
        result.append(row | {key: table[key] for key in ("rma", "deletion", "pearson")})
    return pd.DataFrame(result)


def main() -> None:
    """Read the options, and score cell by cell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the table")
    parser.add_argument("--networks", type=Path, required=True, help="folder of benchmarks.judges")
    parser.add_argument("--real", type=Path, required=True, help="folder of benchmarks.real")
    parser.add_argument("--n", type=int, default=100, help="planted sequences of each network")
    parser.add_argument("--without", default="", help="leave out cells whose name holds this word")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    tables = []
    for name in (*CHOSEN_ON, *CONFIRMED_ON):
        if given.without and given.without in name:
            continue
        table = planted_cell(name, given.networks, given.n) if ", " in name else real_cell(name, given.real)
        table.insert(0, "cell", name)
        table.insert(0, "part", "chosen on" if name in CHOSEN_ON else "confirmed on")
        tables.append(table)
        print(table.round(3).to_string(), flush=True)
    pd.concat(tables, ignore_index=True).round(4).to_csv(given.out / "following.csv", index=False)


if __name__ == "__main__":
    main()
