"""What a user writes: type-checked by mypy and pyright, both strict; it is not run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import genoplrp as gp
from genoplrp.evaluation import Job, auroc, register_method, register_metric
from genoplrp.plotting import plot_comparison, plot_deletion, plot_long, plot_profile
from genoplrp.relevance import DeepLift, Epsilon, Gamma, Preset, register_operation, register_preset
from genoplrp.relevance.tracing.tracer import Tracer
from genoplrp.sequence import reverse_complement
from genoplrp.training import train_seeds, train_to_folder

data = gp.simulate(gp.load_spec("koo2021"), n=2_000, seed=0)
one_hot: np.ndarray = data.one_hot()
fit = gp.train(data, architecture="koo", seed=0)
fit.save(Path("model"))
model: nn.Module = gp.load_model("model").model

X = torch.as_tensor(one_hot[:8])
relevance: Tensor = gp.plrp(model, X, target=0, p=0.1)
relevance = gp.plrp(model, X, target=lambda y: y[:, 0], p="auto", rules="gamma", method="M")
relevance = gp.lrp(model, X, target=[0] * 8, rules=Gamma(0.1))
by_layer = {"stem.*": Gamma(0.1), "head": Epsilon()}
relevance = gp.lrp(model, X, rules=by_layer)
relevance = gp.lrp(model, X, rules={"stem.*": Gamma(0.1), nn.Linear: Epsilon(), "preset": "gamma"})
register_preset("mine", Preset(Gamma(0.25, gauge=True), Gamma(0.25), Epsilon()))

explain = gp.Explainer(
    model, rules="gamma", pruning=gp.Pruning(p=0.1, scope="position"), keep_intermediate=True
)
e = explain(X, target=0)
maps: Tensor = e.per_nucleotide
first: Tensor = e.intermediate["conv2"]
holds = bool(e.check().holds)
layers = e.layers.groupby("layer").mean(numeric_only=True)
for p, swept in explain.sweep(X, target=0, p=[0.0, 0.1, 0.2]):
    print(p, swept.relevance.sum())
agreed = gp.consensus(model, X, target=0)

flow = gp.flow(explain, X[0], target=0, sites=[(3, 12), (30, 41)], layers=["conv1"])
print(flow.strongest(0.8)["relevance"].sum(), flow.graph().number_of_nodes())
pairs = gp.interactions(model, X, data.instances, target=0, scale="probability", fills=2)
print(pairs.summary()["interaction"].abs().max(), pairs.matrix(0).shape)

table = gp.score(e.per_nucleotide, data.mask(0)[:8])
print(table["rma"].mean(), auroc(maps, data.mask(0)[:8]))


def first_base(job: Job) -> np.ndarray:
    return job.X[:, 0]


def largest(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    return np.asarray(maps.max(axis=1))


register_method("first-base", first_base)
register_metric("largest", largest, better="higher", chance="prevalence")
ax = gp.plot_logo(e.relevance[0], highlight=data.instances[data.instances["sequence"] == 0])
e.plot(0, ax, highlight=[(3, 9, "SP1", "-")], scheme="colorblind", ylim=(-1.0, 1.0))
gp.plot_logos({"LRP": maps[0] * X[0], "PLRP": relevance[0]}, scale="own", flip_below=False)
plot_comparison(one_hot[0], {"PLRP": relevance[0]}, data.mask(0)[0], strand="+", title="planted")
plot_long(relevance[0], zooms=2, width=40, renderer="logomaker", font_name="DejaVu Sans")
plot_profile({"LRP": maps, "again": one_hot[:8].sum(axis=1)}, lengths=[200] * 8, center=100)
plot_deletion({"LRP": [[4.0, 2.0, 0.0]]}, fraction=[0.0, 0.5, 1.0])
flow.plot(0.8, title="mean").set_dpi(150)

fits = train_seeds(data, "koo", seeds=(0, 1), epochs=2, lr=0.005, parameters={"filters": (16, 32)})
fit = train_to_folder(data, "model", "bpnet", resume=True, batch_size=64, progress=False)
results = gp.benchmark(
    "koo2021", ["lrp"], out="benchmark", architectures=("koo",), n_explain=20, sanity=False
)
print(results["rma"].mean(), fits[0].metrics_table())

other: np.ndarray = reverse_complement(one_hot)
letters: list[str] = reverse_complement(["ACGT"])
sites = gp.find_sites(explain, X, e, fdr=0.1, sign="positive")
motifs = gp.find_motifs(explain, one_hot, maps)
motifs.plot(scheme="classic").set_dpi(150)


def sine(
    tracer: Tracer, func: Callable[..., Tensor], args: tuple[Tensor, ...], kwargs: dict[str, object]
) -> Tensor:
    tracer.count("ruled", "sin")
    return args[0] * (torch.sin(args[0]) / args[0]).detach()


register_operation("sin", sine, elementwise=True, neutral=False)
multiplier = DeepLift(model, gp.Pruning(0.1), references="zeros", keep_multiplier=True)(X).multiplier
