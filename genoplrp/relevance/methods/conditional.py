"""Conditional relevance: what the channels of a layer hand on, each on its own, to the layers below and to the bases.

The sequences are traced once and repeated until they fill a batch; in one backward pass each repeat carries the
relevance of another channel. Pruning is that of the whole pass (`Decisions`), so that the channels add up to it.
Not here: which channels are nodes, and what a graph looks like (`genoplrp.sites.flow`).

References
----------
Achtibat et al. 2023, *From attribution maps to human-understandable explanations through Concept Relevance
Propagation*, Nature Machine Intelligence 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genoplrp.errors import InputError
from genoplrp.relevance.explainer import Explainer, Target
from genoplrp.relevance.explanation import Explanation
from genoplrp.relevance.inputs import OneTarget
from genoplrp.relevance.methods.passes import Passes
from genoplrp.relevance.presets import is_named
from genoplrp.relevance.propagation.backward import AmbiguousBatchError, Run
from genoplrp.relevance.propagation.cuts import Cuts, Decisions
from genoplrp.relevance.pruning.policy import SEARCHES, Pruning
from genoplrp.relevance.tracing.guards import autograd_on, is_out_of_memory
from genoplrp.relevance.tracing.tracer import Tracer


@dataclass(eq=False)
class ChannelRelevance:
    """The relevance of every channel of some layers, and of every base.

    Attributes
    ----------
    channels
        Layer name -> (N, C) relevance at the layer's output, summed over positions; layers in forward order. A
        normalisation behind a layer counts as part of it.
    per_nucleotide
        (N, L) relevance of the bases.
    prediction
        (N,) the explained output.
    widths
        Layer name -> width of the kernel in positions of its own input, for convolutions.
    units
        Layer name -> (N, C, positions) relevance at the layer's output, if asked for.
    """

    channels: dict[str, Float[Tensor, "n channels"]]
    per_nucleotide: Float[Tensor, "n length"]
    prediction: Float[Tensor, " n"]
    widths: dict[str, int]
    units: dict[str, Float[Tensor, "n channels positions"]] = field(default_factory=dict)

    @property
    def layers(self) -> list[str]:
        """Names of the layers."""
        return list(self.channels)

    @property
    def convolutions(self) -> list[str]:
        """Names of those that are convolutions."""
        return list(self.widths)


@dataclass(eq=False)
class ConditionalRelevance:
    """What groups of channels handed on.

    Attributes
    ----------
    edges
        (upper layer, lower layer) -> (N, G upper, G lower): relevance of the upper group that arrives at the lower one
        without passing through another of the layers. `passes.OUTPUT` is one group above all.
    skipped
        Upper layer -> (N, G, L): relevance that arrives at the bases without passing through another of the layers.
    maps
        Upper layer -> (N, G, L): all relevance of the group that arrives at the bases.
    """

    edges: dict[tuple[str, str], Float[Tensor, "n upper lower"]] = field(default_factory=dict)
    skipped: dict[str, Float[Tensor, "n upper length"]] = field(default_factory=dict)
    maps: dict[str, Float[Tensor, "n upper length"]] = field(default_factory=dict)


def channel_relevance(
    explainer: Explainer,
    X: Float[Tensor, "n 4 length"],
    target: Target = 0,
    *,
    layers: Sequence[str] | None = None,
    units: bool = False,
    args: Sequence[Tensor] | None = None,
    progress: bool = False,
) -> ChannelRelevance:
    """Return the relevance of every channel, at the output of each layer.

    Parameters
    ----------
    explainer
        Its rules and its pruning hold.
    X, target, args, progress
        As in a call of the explainer; X must be DNA, (N, 4, L).
    layers
        Names of layers (wildcards allowed); None for all that the output depends on.
    units
        Also keep the relevance of each position of each channel.

    Raises
    ------
    InputError
        If a layer is unknown, p is searched for each sequence anew (``"faithful"``), or the explainer is a DeepLift.

    Examples
    --------
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv1d(4, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(48, 1))
    >>> X = torch.eye(4)[torch.randint(4, (2, 10))].mT
    >>> found = channel_relevance(Explainer(model), X)
    >>> found.layers, found.channels["0"].shape
    (['0', '3'], torch.Size([2, 8]))
    """
    driver = _Driver.of(explainer, layers)
    driver.units = units
    e = driver(X, target, args=args, progress=progress)
    found = e.intermediate
    channels = {name: found["channels/" + name] for name in driver.names}
    single = {name: found["units/" + name] for name in driver.names} if units else {}
    return ChannelRelevance(channels, found["whole"], e.prediction, driver.widths, single)


def conditional_relevance(
    explainer: Explainer,
    X: Float[Tensor, "n 4 length"],
    groups: Mapping[str, Int[Tensor, " channels"]],
    target: Target = 0,
    *,
    args: Sequence[Tensor] | None = None,
    progress: bool = False,
) -> ConditionalRelevance:
    """Send the relevance of groups of channels down, each on its own.

    Parameters
    ----------
    explainer, X, target, args, progress
        As in `channel_relevance`.
    groups
        Layer name -> (C,) number of the group, from 0, that each channel of the layer's output belongs to.

    Notes
    -----
    With G groups in all, N sequences and batches of B it costs G N / B backward passes from the layers down, and one
    forward pass for each. For every group the relevance above it, from all edges, adds up to its own; so do the maps of
    a layer's groups and all that passes the layer by to the map of the whole.

    Examples
    --------
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv1d(4, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(48, 1))
    >>> X = torch.eye(4)[torch.randint(4, (2, 10))].mT
    >>> found = conditional_relevance(Explainer(model), X, {"0": torch.arange(8)})
    >>> bool(torch.allclose(found.maps["0"].sum(dim=1), Explainer(model)(X).per_nucleotide, atol=1e-6))
    True
    """
    driver = _Driver.of(explainer, list(groups))
    driver.groups = {name: torch.as_tensor(of_channel).long() for name, of_channel in groups.items()}
    found = driver(X, target, args=args, progress=progress).intermediate
    out = ConditionalRelevance()
    for key, value in found.items():
        kind, *path = key.split("/")
        if kind == "edge":
            upper, lower = "/".join(path).split("->")
            out.edges[upper, lower] = value
        elif kind in ("skipped", "map"):
            (out.skipped if kind == "skipped" else out.maps)["/".join(path)] = value
    return out


class _Driver(Explainer):
    """An explainer that hands on the relevance of channels and, where there are groups, what each group hands on."""

    _kind: Explainer
    _layers: Sequence[str] | None
    groups: dict[str, Tensor] | None
    units: bool
    names: list[str]
    widths: dict[str, int]

    @classmethod
    def of(cls, explainer: Explainer, layers: Sequence[str] | None) -> _Driver:
        check_kind(explainer)
        p = None if explainer.pruning is None else explainer.pruning.p
        if isinstance(p, str) and p in SEARCHES:
            raise InputError(
                f"p={p!r} is searched for each sequence by explaining it many times: give a number, or 'auto'"
            )
        driver = cls.like(explainer)
        driver.keep, driver.groups, driver.names, driver.widths = None, None, [], {}
        driver._kind, driver._layers, driver.units = explainer, layers, False
        return driver

    def _tracer(self, run: Run) -> Tracer:
        return self._kind._tracer(run)

    def _batch(
        self, x: Tensor, extra: list[Tensor], target: OneTarget, prunings: list[Pruning | None]
    ) -> list[Explanation]:
        if x.dim() != 3 or x.shape[1] != 4:
            raise InputError(f"X has shape {tuple(x.shape)}: expected DNA, (N, 4, L)")
        most = 1 if self.groups is None else max(int(g.max()) + 1 for g in self.groups.values())
        repeats = max(1, min(most, self.batch_size // len(x)))
        while True:
            try:
                return self._repeated(x, extra, target, prunings, repeats)
            except Exception as error:
                if repeats == 1 or not (isinstance(error, AmbiguousBatchError) or is_out_of_memory(error)):
                    raise
                repeats = 1 if isinstance(error, AmbiguousBatchError) else repeats // 2

    def _repeated(
        self,
        x: Tensor,
        extra: list[Tensor],
        target: OneTarget,
        prunings: list[Pruning | None],
        repeats: int,
    ) -> list[Explanation]:
        n = len(x)
        if repeats > 1:
            x, extra = _repeat(x, repeats), [_repeat(a, repeats) for a in extra]
            target = target.repeat(repeats) if isinstance(target, Tensor) else target
        with autograd_on(), Cuts(self._is_wanted) as cuts:
            run = Run(batch=len(x), cuts=cuts, decisions=Decisions())
            leaf, shadow, output, _ = self._forward(x, extra, target, run)
            self._check_layers(run)
            results = []
            for pruning in prunings:
                run.pruning = {} if pruning is None else pruning.plan(run.layers)
                run.decisions = Decisions()
                passes = Passes(run, leaf, shadow, output)
                self.names, self.widths = list(passes.arrived), passes.widths
                found = passes.channels()
                if self.units:
                    found |= {"units/" + name: passes.relevance(name) for name in self.names}
                if self.groups is not None:
                    found |= passes.parts(self.groups, n, repeats)
                kept = {name: value[:n].detach().cpu() for name, value in found.items()}
                results.append(
                    Explanation(x[:n].detach(), output[:n].detach().cpu(), target=None, intermediate=kept)
                )
        return results

    def _is_wanted(self, name: str) -> bool:
        return self._layers is None or any(is_named(name, pattern) for pattern in self._layers)

    def _check_layers(self, run: Run) -> None:
        names = [layer.name for layer in run.layers]
        for pattern in self._layers or ():
            if not any(is_named(name, pattern) for name in names):
                raise InputError(f"the model has no layer {pattern!r}; it has {', '.join(names)}")


def check_kind(explainer: Explainer) -> None:
    """Refuse explanations of a difference: there is no relevance to send on, only differences to references.

    Raises
    ------
    InputError
        If it is one.
    """
    if type(explainer)._explain is not Explainer._explain:
        raise InputError(
            f"{type(explainer).__name__} explains differences to references, which cannot be sent on in parts: give an "
            "Explainer (or GradientTimesInput)"
        )


def _repeat(x: Tensor, repeats: int) -> Tensor:
    return x.repeat(repeats, *[1] * (x.dim() - 1))
