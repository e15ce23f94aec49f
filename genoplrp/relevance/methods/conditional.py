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
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genoplrp.errors import InputError
from genoplrp.relevance.explainer import Explainer, Target
from genoplrp.relevance.explanation import Explanation
from genoplrp.relevance.inputs import OneTarget
from genoplrp.relevance.presets import is_named
from genoplrp.relevance.propagation.backward import AmbiguousBatchError, Run
from genoplrp.relevance.propagation.cuts import Cut, Cuts, Decisions
from genoplrp.relevance.propagation.layer import Layer
from genoplrp.relevance.pruning.policy import SEARCHES, Pruning
from genoplrp.relevance.tracing.guards import autograd_on, is_out_of_memory
from genoplrp.relevance.tracing.tracer import Tracer

OUTPUT = ""
"""Name under which the explained output stands among the layers."""


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
        without passing through another of the layers. `OUTPUT` is one group above all.
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
        with autograd_on():
            run = Run(batch=len(x), cuts=Cuts(self._is_wanted), decisions=Decisions())
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


class Passes:
    """The backward passes of one traced batch: the whole one, made at once, and those of its parts.

    Parameters
    ----------
    run
        With cuts and decisions.
    leaf, shadow, output
        The input and the explained numbers in the graph.
    """

    def __init__(self, run: Run, leaf: Tensor, shadow: Tensor | None, output: Tensor) -> None:
        assert run.cuts is not None
        self.run, self.cuts = run, run.cuts
        self.leaf = leaf
        self.inputs = [leaf] if shadow is None else [leaf, shadow]
        self.output = output
        order = {layer.name: layer.index for layer in run.layers}
        # Layer name -> its outputs that carry relevance, each with the multiplier that arrived; in forward order.
        self.arrived: dict[str, list[tuple[Cut, Tensor]]] = {}
        every = [
            (name, cut)
            for name in sorted(self.cuts.found, key=order.__getitem__)
            for cut in self.cuts.found[name]
        ]
        grads = self._back([output], [None], [cut.after for _, cut in every])
        for (name, cut), g in zip(every, grads[2:], strict=True):
            if g is not None:
                self.arrived.setdefault(name, []).append((cut, g))
                if len(cut.before) != run.batch:
                    raise AmbiguousBatchError("the model moves the batch off its first axis")
        self.whole = self._map(*grads[:2])
        layers = {name: pairs[0][0].layer for name, pairs in self.arrived.items()}
        self.widths = {
            name: int(layer.weight.shape[-1])
            for name, layer in layers.items()
            if layer.map.kind == "convolution"
        }

    def channels(self) -> dict[str, Tensor]:
        """Return the relevance of the channels of each layer, (rows, C), and of the bases, (rows, L)."""
        found = {
            "channels/" + name: torch.stack([_by_channel(cut, g) for cut, g in pairs]).sum(dim=0)
            for name, pairs in self.arrived.items()
        }
        return found | {"whole": self.whole}

    def relevance(self, name: str) -> Tensor:
        """Return the relevance at a layer's output, (rows, C, positions)."""
        values = [_channels_first(cut.layer, cut.before.detach() * g) for cut, g in self.arrived[name]]
        return torch.stack(values).sum(dim=0)

    def parts(self, groups: Mapping[str, Tensor], n: int, repeats: int) -> dict[str, Tensor]:
        """Return edges and maps of all groups; row ``q n + i`` is the q-th repeat of sequence i."""
        names = list(self.arrived)
        edges, skipped = self._direct([self.output], [None], groups)
        found = {f"edge/{OUTPUT}->{low}": value[:, None] for low, value in edges.items()}
        found[f"skipped/{OUTPUT}"] = skipped[:, None]
        for name in names:
            of_channel = groups[name].to(self.leaf.device)
            count = int(of_channel.max()) + 1
            rows: dict[str, list[Tensor]] = {}
            for first in range(0, count, repeats):
                here = torch.arange(first, min(first + repeats, count), device=self.leaf.device)
                # Group of each row; repeats beyond the last group carry nothing.
                wanted = torch.full((repeats,), -1, device=self.leaf.device)
                wanted[: len(here)] = here
                mask = wanted.repeat_interleave(n)[:, None] == of_channel
                starts = [cut.before for cut, _ in self.arrived[name]]
                sent = [g * _like_channels(cut.layer, mask, g) for cut, g in self.arrived[name]]
                edges, skipped = self._direct(starts, sent, groups)
                values = {f"edge/{name}->{low}": value for low, value in edges.items()}
                values |= {
                    f"skipped/{name}": skipped,
                    f"map/{name}": self._map(*self._back(starts, sent, [])),
                }
                for key, value in values.items():
                    split = value.reshape(repeats, n, *value.shape[1:])[: len(here)]
                    rows.setdefault(key, []).append(split.transpose(0, 1))
            found |= {key: torch.cat(value, dim=1) for key, value in rows.items()}
        return found

    def send(self, name: str, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Send a part of a layer's relevance down to the bases.

        Parameters
        ----------
        name
            The layer.
        mask
            (rows, C, positions): which part.

        Returns
        -------
        tuple of Tensor
            (rows, 4, L) relevance, and (rows, L) whether a base could have had any (also where there is none).
        """
        pairs = self.arrived[name]
        g, direct = self._back([cut.before for cut, _ in pairs], [v * mask for _, v in pairs], [])[:2]
        g = torch.zeros_like(self.leaf) if g is None else g
        direct = torch.zeros_like(self.leaf) if direct is None else direct
        return self.leaf.detach() * g + direct, (g != 0).any(dim=1) | (direct != 0).any(dim=1)

    def _direct(
        self, starts: list[Tensor], sent: list[Any], groups: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return what arrives through no other layer: at the groups of the layers, (rows, G), and at the bases."""
        every = [(name, cut) for name, pairs in self.arrived.items() for cut, _ in pairs]
        cuts, has_input = self._next(starts, every)
        self.cuts.closed = True
        try:
            after = [cut.after for _, cut in cuts]
            grads = self._back(starts, sent, after, with_input=has_input)
        finally:
            self.cuts.closed = False
        skipped = self._map(*grads[:2]) if has_input else torch.zeros_like(self.whole)
        found: dict[str, Tensor] = {}
        for (name, cut), g in zip(cuts, grads[2 if has_input else 0 :], strict=True):
            if g is None:
                continue
            values = _by_channel(cut, g)
            of_channel = groups[name].to(values.device)
            count = int(of_channel.max()) + 1
            pooled = values.new_zeros(len(values), count).index_add_(1, of_channel, values)
            found[name] = found[name] + pooled if name in found else pooled
        return found, skipped

    def _next(self, starts: list[Tensor], every: list[tuple[str, Cut]]) -> tuple[list[tuple[str, Cut]], bool]:
        """Return the cuts below some tensors with none between, and whether the input is reached so, too.

        Only they are asked for: the engine would send zeros through all that lies behind the others.
        """
        gates = {id(cut.after.grad_fn): k for k, (_, cut) in enumerate(every)}
        closed = {id(cut.after.grad_fn) for cuts in self.cuts.found.values() for cut in cuts}
        reached, has_input = set(), False
        seen: dict[int, Any] = {}
        stack: list[Any] = [t.grad_fn for t in starts]
        while stack:
            node = stack.pop()
            if node is None or id(node) in seen:
                continue
            seen[id(node)] = node  # alive, so that its number stays its own
            if id(node) in gates:
                reached.add(gates[id(node)])
            variable = getattr(node, "variable", None)
            has_input = has_input or any(variable is t for t in self.inputs)
            if id(node) not in closed:
                stack.extend(parent for parent, _ in node.next_functions)
        return [every[k] for k in sorted(reached)], has_input

    def _back(
        self, starts: list[Tensor], sent: list[Any], more: list[Tensor], *, with_input: bool = True
    ) -> list[Any]:
        """Return the gradients at the input (always two entries) and at further tensors; None where none came."""
        inputs = self.inputs if with_input else []
        ones = [torch.ones_like(s) if g is None else g for s, g in zip(starts, sent, strict=True)]
        grads = torch.autograd.grad(starts, [*inputs, *more], ones, retain_graph=True, allow_unused=True)
        if not with_input:
            return list(grads)
        head = list(grads[: len(inputs)]) + [None] * (2 - len(inputs))
        return [*head, *grads[len(inputs) :]]

    def _map(self, g: Tensor | None, direct: Tensor | None) -> Tensor:
        total = torch.zeros_like(self.leaf) if g is None else self.leaf.detach() * g
        total = total if direct is None else total + direct
        return total.detach().sum(dim=1)


def _repeat(x: Tensor, repeats: int) -> Tensor:
    return x.repeat(repeats, *[1] * (x.dim() - 1))


def _channels_first(layer: Layer, values: Tensor) -> Tensor:
    """Return values at a layer's output as (rows, C, positions)."""
    axis = 1 if layer.map.kind == "convolution" else values.dim() - 1
    return values.movedim(axis, 1).flatten(2) if values.dim() > 2 else values[:, :, None]


def _like_channels(layer: Layer, mask: Tensor, values: Tensor) -> Tensor:
    """Return a mask (rows, C) in the shape that multiplies values at a layer's output."""
    ones = [1] * (values.dim() - 2)
    shape = (len(mask), -1, *ones) if layer.map.kind == "convolution" else (len(mask), *ones, -1)
    return mask.reshape(shape).to(values.dtype)


def _by_channel(cut: Cut, g: Tensor) -> Tensor:
    return _channels_first(cut.layer, cut.before.detach() * g).sum(dim=2)
