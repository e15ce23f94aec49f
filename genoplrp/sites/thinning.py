"""How small the pruned network of a sequence is, and whether the output is still there if only it is left.

Not here: the graph of one flow (`genoplrp.sites.flow`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from genoplrp.errors import InputError
from genoplrp.relevance import Explainer, Pruning, Target
from genoplrp.relevance.inputs import OneTarget, check_input, check_target
from genoplrp.relevance.methods.conditional import channel_relevance, conditional_relevance
from genoplrp.relevance.propagation.backward import Run
from genoplrp.relevance.propagation.cuts import Cuts
from genoplrp.relevance.propagation.layer import Layer
from genoplrp.relevance.tracing.guards import autograd_on, evaluation_mode
from genoplrp.relevance.tracing.tracer import Tracer, one_explanation
from genoplrp.sequence import shuffle_codes

COLUMNS = ["p", "carry", "units", "channels", "edges", "fidelity", "unpruned", "random"]


def thinning(
    explainer: Explainer,
    X: Float[Tensor, "n 4 length"],
    target: Target = 0,
    p: Sequence[float] = (0.0, 0.15, 0.25),
    *,
    layers: Sequence[str] | None = None,
    share: float = 0.9,
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """Say for each p how few units, channels and edges hold most relevance, and what output the units alone make.

    Parameters
    ----------
    explainer : Explainer
        Its rules hold, and all of its pruning but p.
    X : Tensor, (N, 4, L)
        Sequences.
    target
        As in a call of the explainer.
    p : sequence of float
        Shares to prune.
    layers : sequence of str, optional
        Layers whose units count (wildcards allowed); by default the convolutions.
    share : float
        Of the absolute relevance of each layer, and of each pair of layers, of each sequence.
    seed : int
        Of the shuffles that silent units are set by, and of the random units.
    progress : bool
        Show progress bars.

    Returns
    -------
    DataFrame
        One row a p, all figures means over sequences: ``carry`` (share of the layers' units, a unit being a channel at
        a position, that carry any relevance), ``units``, ``channels`` and ``edges`` (the fewest that hold the share;
        edges between channels, and to the output), ``fidelity``: (output with these units alone - output with none) /
        (output - output with none). A unit that is not kept is set to its channel's mean over dinucleotide shuffles of
        the sequences. ``unpruned``: the same for as many units of each layer by relevance without pruning;
        ``random``: for as many random ones.

    Raises
    ------
    InputError
        If an argument is wrong or a layer unknown.

    Examples
    --------
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv1d(4, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(160, 1))
    >>> X = torch.eye(4)[torch.randint(4, (3, 24))].mT
    >>> table = thinning(Explainer(model), X, p=[0.0, 0.2])
    >>> bool(table["units"][1] < table["units"][0])
    True
    """
    if not 0 < share <= 1:
        raise InputError(f"share={share:g}: a share in (0, 1]")
    x, _ = check_input(X, None, explainer.network)
    if len(x) == 0:
        raise InputError("X has no sequences: there is nothing to thin")
    base = explainer.pruning or Pruning()
    first = channel_relevance(_with(explainer, None), X, target, layers=layers, units=True, progress=progress)
    names = first.layers if layers else first.convolutions
    silent = _Silent.of(explainer, names, _shuffled(x, seed), target)
    whole = silent.outputs(x, target, None)
    none = silent.outputs(x, target, {name: torch.zeros_like(first.units[name]).bool() for name in names})
    rng = torch.Generator().manual_seed(seed)

    def fidelity(chosen: Mapping[str, Tensor]) -> float:
        return float((silent.outputs(x, target, chosen) - none).mean() / (whole - none).mean())

    rows = []
    for one in p:
        explain = _with(explainer, base.with_p(one) if one else None)
        found = channel_relevance(explain, X, target, layers=names, units=True, progress=progress)
        kept = {name: _each(found.units[name], lambda v: holding(v, share)) for name in names}
        groups = {name: torch.arange(found.channels[name].shape[1]) for name in names}
        parts = conditional_relevance(explain, X, groups, target, progress=progress)
        by_lrp, drawn = {}, {}
        for name in names:
            count = kept[name].flatten(1).sum(dim=1)
            by_lrp[name] = _each(first.units[name].abs(), lambda v, count=count: _largest(v, count))  # type: ignore[misc]
            noise = torch.rand(kept[name].shape, generator=rng)
            drawn[name] = _each(noise, lambda v, count=count: _largest(v, count))  # type: ignore[misc]
        carry = torch.cat([(found.units[name] != 0).flatten(1) for name in names], dim=1)
        rows.append(
            (
                one,
                float(carry.double().mean()),
                _count(kept.values()),
                _count(holding(found.channels[name], share) for name in names),
                _count(holding(value.flatten(1), share) for value in parts.edges.values()),
                fidelity(kept),
                fidelity(by_lrp),
                fidelity(drawn),
            )
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def holding(values: Float[Tensor, "n entries"], share: float) -> Bool[Tensor, "n entries"]:
    """Return the fewest entries of each row that hold a share of its absolute sum.

    Examples
    --------
    >>> holding(torch.tensor([[5.0, -3.0, 1.0, 1.0]]), 0.7).tolist()
    [[True, True, False, False]]
    """
    size, order = values.double().abs().sort(dim=1, descending=True, stable=True)
    before = size.cumsum(dim=1) - size
    needed = (before < share * size.sum(dim=1, keepdim=True) * (1 - 1e-12)) & (size > 0)
    return torch.zeros_like(needed).scatter(1, order, needed)


class _Silent(Explainer):
    """An explainer that computes outputs with some units set to what they are without sites."""

    _kind: Explainer
    _means: dict[str, Tensor]
    _kept: Mapping[str, Tensor] | None

    @classmethod
    def of(cls, explainer: Explainer, names: Sequence[str], shuffled: Tensor, target: Target) -> _Silent:
        silent = cls.like(explainer)
        silent._kind, silent._means, silent._kept = explainer, {}, None
        sums: dict[str, list[Tensor]] = {name: [] for name in names}
        wanted = check_target(target, len(shuffled))
        for start in range(0, len(shuffled), silent.batch_size):
            stop = min(start + silent.batch_size, len(shuffled))
            with autograd_on(), Cuts(lambda name: name in sums) as cuts:
                silent._traced(shuffled[start:stop], wanted(start, stop), Run(batch=stop - start, cuts=cuts))
                for name in names:
                    cut = cuts.found[name][-1]
                    axis = 1 if cut.layer.map.kind == "convolution" else cut.before.dim() - 1
                    values = cut.before.detach().movedim(axis, 0).flatten(1)
                    sums[name].append(values.mean(dim=1) * (stop - start))
        silent._means = {name: torch.stack(parts).sum(dim=0) / len(shuffled) for name, parts in sums.items()}
        return silent

    def outputs(self, x: Tensor, target: Target, kept: Mapping[str, Tensor] | None) -> Tensor:
        """Return the outputs with the kept units, (N, C, positions) for each layer; None for all."""
        wanted, values = check_target(target, len(x)), []
        for start in range(0, len(x), self.batch_size):
            stop = min(start + self.batch_size, len(x))
            here = None if kept is None else {name: v[start:stop].to(x.device) for name, v in kept.items()}
            cuts = None if here is None else Cuts(here.__contains__, edit=self._editor(here))
            with autograd_on(), cuts or nullcontext():
                run = Run(batch=stop - start, cuts=cuts)
                values.append(self._traced(x[start:stop], wanted(start, stop), run).double().cpu())
        return torch.cat(values)

    def _traced(self, x: Tensor, target: OneTarget, run: Run) -> Tensor:
        with one_explanation(), evaluation_mode(self._runner):
            return self._forward(x, [], target, run)[2].detach()

    def _editor(self, kept: Mapping[str, Tensor]) -> Any:
        def edit(layer: Layer, z: Tensor) -> Tensor:
            mask, mean = kept[layer.name], self._means[layer.name]
            if layer.map.kind == "convolution":
                mean = mean.reshape(-1, *[1] * (z.dim() - 2))
            else:
                mask = mask.movedim(1, -1)
            return torch.where(mask.reshape(z.shape), z, mean)

        return edit

    def _tracer(self, run: Run) -> Tracer:
        return self._kind._tracer(run)


def _with(explainer: Explainer, pruning: Pruning | None) -> Explainer:
    out = type(explainer).like(explainer)
    out.pruning = pruning
    return out


def _each(values: Tensor, chosen: Callable[[Tensor], Tensor]) -> Tensor:
    """Choose among all entries of each row."""
    return chosen(values.flatten(1)).reshape(values.shape)


def _count(masks: Iterable[Tensor]) -> float:
    """Return how many entries of all masks are set, mean over rows."""
    return sum(float(mask.flatten(1).sum(dim=1).double().mean()) for mask in masks)


def _largest(size: Tensor, count: Tensor) -> Tensor:
    """Return the so many largest entries of each row."""
    order = size.argsort(dim=1, descending=True, stable=True)
    first = torch.arange(size.shape[1]) < count[:, None]
    return torch.zeros_like(first).scatter(1, order, first)


def _shuffled(x: Tensor, seed: int) -> Tensor:
    hot = x.cpu().numpy()
    codes = np.where(hot.any(axis=1), hot.argmax(axis=1), 4).astype(np.uint8)
    drawn = torch.from_numpy(shuffle_codes(codes, np.random.default_rng(seed)).astype(np.int64))
    return torch.cat((torch.eye(4), torch.zeros(1, 4)))[drawn].mT.to(x)
