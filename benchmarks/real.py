"""Networks and real sequences whose decisive sites biology knows, and what maps are scored against there.

Published networks (`benchmarks.splice_networks`) on human splice sites, and networks trained here on primate splice
junctions and on bacterial translation starts. Two judges: the known extent of the sites, and the network's own answers
to every substitution. Not here: planted sequences (`genoplrp.evaluation`).

Run: python -m benchmarks.real --out real [--cells WORDS] [--methods NAMES]   (everything: about forty CPU minutes)
Beside the extra ``bench`` it needs h5py, autolrp, and of spliceai and mmsplice the wheels (``pip install --no-deps``).

Writes ``real.csv`` (means of every cell and method, and paired differences of the consensus from each with 95 %
intervals over sequences), the same as a page (``real.md``), ``invariance.csv`` and ``real.png``. Maps are kept under
the folder: interrupted, it goes on where it was, and a folder that was made with other networks has to be emptied.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from benchmarks.peers import stand_in_for_torchvision
from benchmarks.real_tables import as_markdown, compare, draw
from genoplrp.datasets import load_splice_junctions
from genoplrp.evaluation import output_function
from genoplrp.evaluation.job import Job
from genoplrp.evaluation.localization import average_precision, relevance_mass_accuracy
from genoplrp.evaluation.methods import explain_with, register_method
from genoplrp.relevance import Explainer, measure_invariance
from genoplrp.sequence import one_hot_encode, read_fasta
from genoplrp.synthetic import Dataset
from genoplrp.training import TrainedModel, load_model, train

HERE = Path(__file__).parent
HUMAN = HERE.parent / "data" / "human_splice"
STARTS = HERE / "data" / "ecoli_starts.fa.gz"
#: Extents before and behind the first base of the intron (donor) or of the exon (acceptor), 0-based, half-open.
DONOR = {"dinucleotide": (0, 2), "site": (-3, 6)}
ACCEPTOR = {"dinucleotide": (-2, 0), "site": (-20, 1), "consensus": (-3, 1), "branch": (-44, -18)}
#: Before the start codon the best match of four bases or more of Shine and Dalgarno's sequence is the site.
SHINE_DALGARNO, BEFORE = "AGGAGG", (-17, -5)
START_AT = 60
METHODS = (
    "gradient-x-input", "integrated-gradients", "deeplift-shap", "ism", "autolrp", "zennit", "lrp@gamma",
    "lrp@gamma-all",
    "plrp-lambda-0.05@gamma", "plrp-lambda-0.15@gamma", "plrp-lambda-0.25@gamma", "plrp-M-0.25@gamma",
    "pruned-0.15:deeplift-shap", "consensus",
)  # fmt: skip
RIVALS = ("integrated-gradients", "deeplift-shap", "ism")
#: The way of explaining anchored models was chosen on these; on all other cells it is confirmed.
CHOSEN_ON = (
    "junctions-koo-0-donor",
    "junctions-koo-0-acceptor",
    "starts-koo-0",
    "spliceai1-donor",
    "spliceai1-acceptor",
)
SEEN = ("mmsplice-donor", "mmsplice-acceptor")
DELETED, FILLS = 10, 8
#: autoLRP is left out there: it took five gigabytes and more than four minutes for eight windows of SpliceAI.
LONG = 2000
#: zennit knows modules, not the sums between them: it runs on these chains of modules, and is wrong elsewhere.
CHAINS = ("junctions-koo", "starts-koo")


@dataclass(frozen=True)
class RealCell:
    """One network, sequences that it recognises, and where their sites lie.

    Attributes
    ----------
    name : str
    model : torch.nn.Module
    X : numpy.ndarray, shape (N, 4, L)
    target : int
    masks : dict of str to numpy.ndarray, shape (N, L), bool
        ``site`` is the truth; others are parts of it, or near it.
    window : tuple of int
        Where bases are ranked and mutated: all of a short sequence, the middle of a long one.
    """

    name: str
    model: nn.Module
    X: np.ndarray
    target: int
    masks: dict[str, np.ndarray]
    window: tuple[int, int]

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the explained output."""
        return output_function(self.model, self.target, batch_size=16)(X)

    def job(self, X: np.ndarray | None = None) -> Job:
        """Return what a method is handed."""
        X = self.X if X is None else X
        return Job(self.model, X, self.target, 0, batch_size=64 if X.shape[2] < 2000 else 2)


def spliceai(kind: str, replicate: int, *, first: int = 0, n: int = 12) -> RealCell:
    """SpliceAI on human donors or acceptors that it gives a probability of a half or more."""
    from benchmarks.splice_networks import CONTEXT, load_spliceai

    model, target = load_spliceai(replicate), {"acceptor": 1, "donor": 2}[kind]
    chosen: list[np.ndarray] = []
    for window in _windows(kind, CONTEXT, CONTEXT + 1):
        x = one_hot_encode([window]).astype(np.float32)
        with torch.no_grad():
            if float(model(torch.as_tensor(x)).softmax(1)[0, target]) >= 0.5:
                chosen.append(x)
        if len(chosen) == first + n:
            break
    X = np.concatenate(chosen[first:])
    # The base named is the last of the exon (donor), or its first.
    at = CONTEXT + 1 if kind == "donor" else CONTEXT
    masks = _anchored(X.shape, at, DONOR if kind == "donor" else ACCEPTOR)
    window = (at - 30, at + 30) if kind == "donor" else (at - 60, at + 20)
    return RealCell(f"spliceai{replicate}-{kind}", model, X, target, masks, window)


def mmsplice(kind: str, *, first: int = 0, n: int = 60) -> RealCell:
    """MMSplice's module for one kind on human sites with a positive logit."""
    from benchmarks.splice_networks import load_mmsplice

    before, behind = {"donor": (4, 14), "acceptor": (50, 3)}[kind]
    at = 5 if kind == "donor" else 50
    model = load_mmsplice(kind.capitalize())
    X = one_hot_encode(list(_windows(kind, before, behind))).astype(np.float32)
    X = X[output_function(model, 0)(X) > 0][first : first + n]
    masks = _anchored(X.shape, at, DONOR if kind == "donor" else ACCEPTOR)
    return RealCell(f"mmsplice-{kind}", model, X, 0, masks, (0, X.shape[2]))


def junctions(kind: str, architecture: str, seed: int, folder: Path, *, n: int = 150) -> RealCell:
    """A network trained here on primate splice junctions, on held-out ones."""
    data = load_splice_junctions(seed=0)
    fit = _trained(data, architecture, seed, folder / f"junctions-{architecture}-{seed}")
    target = data.tasks.index(kind)
    X, _ = _recognised(fit, data, target)
    at = 30
    masks = _anchored(X[:n].shape, at, DONOR if kind == "donor" else ACCEPTOR)
    return RealCell(
        f"junctions-{architecture}-{seed}-{kind}", fit.model, X[:n], target, masks, (0, X.shape[2])
    )


def load_starts() -> Dataset:
    """Load 3,500 translation starts of E. coli, and as many ATG elsewhere in its genome; ATG stands at position 60."""
    records = read_fasta(STARTS)
    labels = np.array([[kind == "start"] for kind in records.descriptions])
    return Dataset.from_sequences(
        records.sequences,
        labels,
        ["start"],
        {"train": 0.7, "valid": 0.1, "test": 0.2},
        records.names,
        seed=0,
    )


def starts(architecture: str, seed: int, folder: Path, *, n: int = 150) -> RealCell:
    """A network trained here on translation starts, on held-out ones that have a Shine-Dalgarno sequence."""
    data = load_starts()
    fit = _trained(data, architecture, seed, folder / f"starts-{architecture}-{seed}")
    X, _ = _recognised(fit, data, 0)
    site = shine_dalgarno(X)
    some = site.any(axis=1)
    X, site = X[some][:n], site[some][:n]
    return RealCell(f"starts-{architecture}-{seed}", fit.model, X, 0, {"site": site}, (0, X.shape[2]))


def shine_dalgarno(X: np.ndarray) -> np.ndarray:
    """Mark the best match of at least four bases before each start codon, of several the one nearest 12 bp before."""
    wanted = one_hot_encode([SHINE_DALGARNO])[0]
    width = wanted.shape[1]
    places = range(START_AT + BEFORE[0], START_AT + BEFORE[1] - width + 2)
    matches = np.stack([(X[:, :, k : k + width] * wanted).sum((1, 2)) for k in places], axis=1)
    usual = -np.abs(np.array([k - START_AT + 12 for k in places])) / 100
    best = (matches + usual).argmax(axis=1)
    mask = np.zeros((len(X), X.shape[2]), dtype=bool)
    for row, k in enumerate(best):
        if matches[row, k] >= 4:
            mask[row, places[k] : places[k] + width] = True
    return mask


def mutagenesis(cell: RealCell) -> np.ndarray:
    """Return the output less the mean of the three substitutions at each position of the window, NaN outside."""
    start, stop = cell.window
    maps = np.full((len(cell.X), cell.X.shape[2]), np.nan)
    for row, x in enumerate(cell.X):
        mutants = np.repeat(x[None], 3 * (stop - start), axis=0)
        for k, position in enumerate(range(start, stop)):
            others = np.flatnonzero(x[:, position] == 0)[:3]
            for j, base in enumerate(others):
                mutants[3 * k + j, :, position] = np.eye(4, dtype=np.float32)[base]
        changed = cell.predict(mutants).reshape(-1, 3)
        maps[row, start:stop] = cell.predict(x[None])[0] - changed.mean(axis=1)
    return maps


def score_map(cell: RealCell, maps: np.ndarray, ism: np.ndarray) -> pd.DataFrame:
    """Score maps (N, L) against the known sites and against the network's own answers, a row for each sequence.

    ``rma`` is the share of the positive mass on the site, ``near`` that of the absolute mass in the window; ``ap``
    ranks the window's bases against the site; ``pearson`` and ``spearman`` compare with the effects of
    substitutions there. Shares of mass are NaN of a map that ends with the window (mutagenesis of a long sequence).
    """
    start, stop = cell.window
    ends = np.isnan(maps).any()
    maps = np.nan_to_num(maps)
    inside, effect = maps[:, start:stop], ism[:, start:stop]
    size = np.abs(maps).sum(axis=1)
    table = pd.DataFrame(
        {
            "rma": relevance_mass_accuracy(maps, cell.masks["site"]),
            "ap": average_precision(inside, cell.masks["site"][:, start:stop]),
            "near": np.abs(inside).sum(axis=1) / np.where(size > 0, size, 1),
            "pearson": [_correlation(a, b) for a, b in zip(inside, effect, strict=True)],
            "spearman": [
                _correlation(pd.Series(a).rank(), pd.Series(b).rank())
                for a, b in zip(inside, effect, strict=True)
            ],
        }
    )
    table["deletion"] = deletion(cell, maps)
    for name, mask in cell.masks.items():
        if name != "site":
            table[name] = relevance_mass_accuracy(maps, mask)
    if ends:
        table[["rma", "near", *(name for name in cell.masks if name != "site")]] = np.nan
    table.index.name = "sequence"
    return table


def deletion(cell: RealCell, maps: np.ndarray) -> np.ndarray:
    """Mean drop of the output (N,) when the window's ten foremost bases are resampled, uniformly, eight times."""
    start, stop = cell.window
    inside = maps[:, start:stop]
    rng = np.random.default_rng(0)
    drop = np.zeros((len(cell.X), cell.X.shape[2]), dtype=bool)
    drop[:, start:stop] = (-inside).argsort(1).argsort(1) < DELETED
    total = np.zeros(len(cell.X))
    for _ in range(FILLS):
        new = np.eye(4, dtype=np.float32)[rng.integers(0, 4, size=drop.shape)].transpose(0, 2, 1)
        total += cell.predict(np.where(drop[:, None], new, cell.X))
    return cell.predict(cell.X) - total / FILLS


def explain_cell(cell: RealCell, name: str, folder: Path) -> tuple[np.ndarray, float]:
    """Return a method's maps and its seconds per sequence, from the folder if they are there."""
    path = folder / "maps" / cell.name / f"{name.replace(':', '+')}.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as archive:
            return archive["maps"].astype(np.float64), float(archive["seconds"])
    path.parent.mkdir(parents=True, exist_ok=True)
    if name != "ism":
        explain_with(name, cell.job(cell.X[:1]))  # imports and compilation are no part of the cost
    started = time.perf_counter()
    maps = mutagenesis(cell) if name == "ism" else explain_with(name, cell.job())
    seconds = (time.perf_counter() - started) / len(cell.X)
    np.savez_compressed(path, maps=maps.astype(np.float32), seconds=seconds)
    return maps, seconds


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = np.asarray(a) - np.mean(a), np.asarray(b) - np.mean(b)
    norm = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / norm) if norm > 0 else 0.0


def _windows(kind: str, before: int, behind: int) -> list[str]:
    """Cut windows around the annotated sites: so many bases before the base that is named, and from it on."""
    with gzip.open(HUMAN / "chr22_20M_21M.fa.gz", "rt") as stream:
        genome = "".join(line.strip() for line in stream if not line.startswith(">")).upper()
    windows = []
    for line in (HUMAN / f"{kind}s.bed").read_text().splitlines():
        _, at, _, _, _, strand = line.split("\t")
        start, stop = (
            (int(at) - before, int(at) + behind)
            if strand == "+"
            else (int(at) - behind + 1, int(at) + before + 1)
        )
        if start < 0 or stop > len(genome):
            continue
        window = genome[start:stop]
        if "N" in window:
            continue
        windows.append(window if strand == "+" else window.translate(str.maketrans("ACGT", "TGCA"))[::-1])
    return windows


def _anchored(shape: tuple[int, ...], at: int, extents: dict[str, tuple[int, int]]) -> dict[str, np.ndarray]:
    masks = {}
    for name, (start, stop) in extents.items():
        mask = np.zeros((shape[0], shape[2]), dtype=bool)
        mask[:, max(at + start, 0) : at + stop] = True
        masks[name] = mask
    return masks


def _trained(data: Dataset, architecture: str, seed: int, path: Path) -> TrainedModel:
    if path.exists():
        return load_model(path)
    fit = train(data, architecture, seed, progress=False, bootstrap=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    fit.save(path)
    return fit


def _recognised(fit: TrainedModel, data: Dataset, target: int) -> tuple[np.ndarray, np.ndarray]:
    rows = np.flatnonzero((data.split == "test") & (data.labels[:, target] > 0))
    X = data.subset(rows).one_hot().astype(np.float32)
    # A few sequences hold IUPAC codes, which not every rival takes.
    good = (X.sum(axis=1) == 1).all(axis=1) & (fit.logits(X)[:, target] > 0)
    return X[good], rows[good]


def _autolrp(job: Job) -> Any:
    """Relevance by autoLRP, gamma .25 in convolutions and epsilon elsewhere, as the preset gamma has it."""
    import autolrp

    rule = {**autolrp.BASE, "ConvolutionBackward": ("gamma", {"gamma": 0.25})}
    config = autolrp.LRPConfig(rule=rule, eps=1e-6)
    parts = []
    for some in torch.as_tensor(job.X).split(job.batch_size):
        x = autolrp.tensor(some)
        job.model.eval()(x)[:, job.target].sum().lrp(config=config)
        parts.append(x.relevance.detach().as_subclass(torch.Tensor))
    return torch.cat(parts)


def _zennit(job: Job) -> Any:
    """Relevance by zennit with the same rules, batch normalisations merged."""
    stand_in_for_torchvision()
    from zennit.attribution import Gradient
    from zennit.canonizers import SequentialMergeBatchNorm
    from zennit.composites import LayerMapComposite
    from zennit.rules import Epsilon, Gamma, Norm, Pass
    from zennit.types import Activation, AvgPool, Convolution, Linear

    rules = [(Activation, Pass()), (AvgPool, Norm()), (Convolution, Gamma(0.25)), (Linear, Epsilon(1e-6))]
    composite = LayerMapComposite(rules, canonizers=[SequentialMergeBatchNorm()])
    with Gradient(copy.deepcopy(job.model).eval(), composite) as attribute:
        x = torch.as_tensor(job.X)
        outputs = attribute(
            x, lambda y: torch.nn.functional.one_hot(torch.tensor(job.target), y.shape[1]) * y
        )
    return outputs[1].detach()


def cells(networks: Path, sites: int = 8) -> dict[str, Callable[[], RealCell]]:
    """Return how to make each cell, by name; ``sites`` of a kind for SpliceAI, whose windows are long."""
    made: dict[str, Callable[[], RealCell]] = {}
    for kind in ("donor", "acceptor"):
        made[f"spliceai1-{kind}"] = lambda kind=kind: spliceai(kind, 1, n=sites)
        made[f"spliceai2-{kind}"] = lambda kind=kind: spliceai(kind, 2, first=8, n=sites)
        made[f"mmsplice-{kind}"] = lambda kind=kind: mmsplice(kind)
        for architecture, seed in (("koo", 0), ("koo", 1), ("residualbind", 1), ("residualbind", 2)):
            made[f"junctions-{architecture}-{seed}-{kind}"] = lambda kind=kind, a=architecture, s=seed: (
                junctions(kind, a, s, networks)
            )
    for architecture in ("koo", "bpnet"):
        for seed in (0, 1):
            made[f"starts-{architecture}-{seed}"] = lambda a=architecture, s=seed: starts(
                a, s, networks, n=100
            )
    return made


def main() -> None:
    """Make what is not there yet, cell by cell, and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for everything")
    parser.add_argument(
        "--cells", default="", help="only those whose name holds one of these, comma-separated"
    )
    parser.add_argument("--methods", default=",".join(METHODS), help="comma-separated")
    parser.add_argument("--sites", type=int, default=8, help="sites of a kind that SpliceAI is explained on")
    given = parser.parse_args()
    out: Path = given.out
    (out / "cells").mkdir(parents=True, exist_ok=True)
    register_method("autolrp", _autolrp)
    register_method("zennit", _zennit)
    made = cells(out / "networks", given.sites)
    wanted = [name for name in made if any(word in name for word in given.cells.split(","))]
    for cell_name in wanted:
        cell = made[cell_name]()
        ism, _ = explain_cell(cell, "ism", out)
        scores = {}
        for name in given.methods.split(","):
            if name == "autolrp" and cell.X.shape[2] > LONG:
                continue
            if name == "zennit" and not cell_name.startswith(CHAINS):
                continue
            maps, seconds = explain_cell(cell, name, out)
            scores[name] = score_map(cell, maps, ism).assign(ms=1000 * seconds)
        table = compare(scores)
        table.insert(0, "cell", cell_name)
        table.to_csv(out / "cells" / f"{cell_name}.csv", index=False)
        found = measure_invariance(
            Explainer(cell.model, batch_size=cell.job().batch_size), torch.as_tensor(cell.X), cell.target
        )
        (out / "cells" / f"{cell_name}.txt").write_text(f"{found}\n")
        print(f"{cell_name}: {found}", flush=True)
    done = [name for name in made if (out / "cells" / f"{name}.csv").exists()]
    table = pd.concat([pd.read_csv(out / "cells" / f"{name}.csv") for name in done], ignore_index=True)
    table.round(4).to_csv(out / "real.csv", index=False)
    found = {
        "cell": done,
        "invariance": [(out / "cells" / f"{name}.txt").read_text().strip() for name in done],
    }
    invariance = pd.DataFrame(found)
    invariance.to_csv(out / "invariance.csv", index=False)
    (out / "real.md").write_text(as_markdown(table, invariance))
    draw(table, out / "real.png")


if __name__ == "__main__":
    main()
