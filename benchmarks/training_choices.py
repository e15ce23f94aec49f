"""Which choice of the training moves the scores of LRP: one koo network for each, all else as the trainer does it.

Each network is trained on koo2021_fixed (`koo2021` where the choice says so) and 300 correctly predicted positives of
its test part are explained: LRP with rules gamma, and automatic p. Scores against the planted sites.

Run: python -m benchmarks.training_choices [--choices default "lr 0.001"] [--seeds 0 1] [--quick]

Results are kept after every training, in benchmarks/results/training_choices.json; the same call goes on where it was
stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from benchmarks.timing import machine, parser, save, table
from genoplrp.evaluation import average_precision, relevance_mass_accuracy, score_recovery
from genoplrp.relevance import Explainer, Pruning
from genoplrp.synthetic import Dataset, simulate
from genoplrp.training import TrainedModel, build_architecture, train
from genoplrp.training.networks import Koo

N_SEQUENCES = 20_000
N_EXPLAIN = 300
COLUMNS = ("choice", "networks", "AUROC", "epochs", "RMA", "AP", "weakest", "auto: RMA", "auto: AP")


def without_dense_norm(seed: int) -> nn.Module:
    """Make the koo network without the batch normalisation behind its dense layer."""
    network = build_architecture("koo", length=200, n_tasks=1, seed=seed)
    network.norm3 = nn.Identity()
    return network


def with_torch_weights(seed: int) -> nn.Module:
    """Make the koo network with the initial weights that PyTorch's layers give themselves."""
    torch.manual_seed(seed)
    return Koo(200, 1)


def as_prototypes(seed: int) -> nn.Module:
    """Make it with PyTorch's initial weights and without the normalisation behind the dense layer."""
    network = with_torch_weights(seed)
    network.norm3 = nn.Identity()
    return network


class Choice(NamedTuple):
    """What differs from the defaults."""

    options: Mapping[str, Any] = {}
    preset: str = "koo2021_fixed"
    network: str | Callable[[int], nn.Module] = "koo"


CHOICES: dict[str, Choice] = {
    "default": Choice(),
    "no label smoothing": Choice({"label_smoothing": 0.0}),
    "lr 0.001": Choice({"lr": 1e-3}),
    "6 epochs": Choice({"epochs": 6}),
    "no dropout": Choice({"parameters": {"dropout": (0.0, 0.0, 0.0)}}),
    "no weight decay": Choice({"weight_decay": 0.0}),
    "both strands": Choice({"reverse_complement": True}),
    "lr 0.001, no label smoothing, 6 epochs": Choice({"lr": 1e-3, "label_smoothing": 0.0, "epochs": 6}),
    "koo2021 as published": Choice({}, "koo2021"),
    "no norm behind the dense layer": Choice(network=without_dense_norm),
    "PyTorch's initial weights": Choice(network=with_torch_weights),
    "PyTorch's initial weights, no norm behind the dense layer": Choice(network=as_prototypes),
}


def main() -> None:
    """Train and score what is missing; write the results and print the table."""
    options = parser(__doc__ or "", "training_choices.json")
    options.add_argument("--choices", nargs="+", choices=list(CHOICES), help="some choices only")
    options.add_argument("--seeds", nargs="+", type=int, default=[0], help="training seeds (default 0)")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    found = json.loads(given.out.read_text())["choices"] if given.out.exists() else {}
    n, most = (2000, {"epochs": 1}) if given.quick else (N_SEQUENCES, {})
    for seed in given.seeds:
        for name in given.choices or list(CHOICES):
            of_choice = found.setdefault(name, {})
            if str(seed) in of_choice:
                continue
            choice = CHOICES[name]
            data = simulate(choice.preset, n, seed=0)
            fit = train(data, choice.network, seed, bootstrap=0, **{**choice.options, **most})
            of_choice[str(seed)] = scores_of(fit, data)
            print(f"{name}, seed {seed}: {of_choice[str(seed)]}", flush=True)
            save(given.out, {"machine": machine(), "choices": found})
    print(table(list(rows(found)), COLUMNS))


def scores_of(fit: TrainedModel, data: Dataset) -> dict[str, float]:
    """Score a network's maps: means over the sequences, differences paired, with their standard errors."""
    positives = np.flatnonzero((data.split == "test") & (data.labels[:, 0] > 0))
    logits = fit.logits(data.subset(positives).one_hot())[:, 0]
    chosen = data.subset(positives[logits > 0][:N_EXPLAIN])
    X, mask, sites = torch.from_numpy(chosen.one_hot()), chosen.mask(0), chosen.instances_of(0)
    plain, auto = (
        Explainer(fit.model, "gamma", pruning, diagnostics=False)(X).per_nucleotide.numpy()
        for pruning in (None, Pruning(p="auto"))
    )
    rma, ap = (metric(plain, mask) for metric in (relevance_mass_accuracy, average_precision))
    more_rma, more_ap = (
        metric(auto, mask) - own for metric, own in ((relevance_mass_accuracy, rma), (average_precision, ap))
    )
    figures = {
        "auroc": fit.metrics["test"]["tasks"][data.tasks[0]]["auroc"],
        "best_epoch": fit.provenance["best_epoch"],
        "n": len(chosen),
        "rma": rma.mean(),
        "ap": ap.mean(),
        "weakest": score_recovery(plain, sites)["weakest_share"].mean(),
    }
    for name, values in (("auto_rma", more_rma), ("auto_ap", more_ap)):
        figures[name] = values.mean()
        figures[f"{name}_se"] = values.std(ddof=1) / np.sqrt(len(values))
    return {name: round(float(value), 4) for name, value in figures.items()}


def rows(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Iterable[dict[str, str]]:
    """Rows of the table: means over the seeds."""
    for name, of_choice in found.items():
        if not of_choice:
            continue

        networks = list(of_choice.values())
        mean = {name: float(np.mean([network[name] for network in networks])) for name in networks[0]}
        yield {
            "choice": name,
            "networks": str(len(of_choice)),
            "AUROC": f"{mean['auroc']:.3f}",
            "epochs": f"{mean['best_epoch']:.0f}",
            "RMA": f"{mean['rma']:.3f}",
            "AP": f"{mean['ap']:.3f}",
            "weakest": f"{mean['weakest']:.3f}",
            "auto: RMA": f"{mean['auto_rma']:+.3f}",
            "auto: AP": f"{mean['auto_ap']:+.3f}",
        }


if __name__ == "__main__":
    main()
