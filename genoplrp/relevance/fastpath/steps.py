"""The steps of the fast path: each computes its operation and, in the backward pass, carries relevance to its input.

What is carried back is ``g = R / a``, as in `propagation`; rules, pruning and ledger are its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from genoplrp.relevance.fastpath.nodes import LayerCall, Node, NormCall, filled
from genoplrp.relevance.fastpath.pooling import rectified_pool, unpool, unpool_ratio
from genoplrp.relevance.fastpath.reading import NotAChain
from genoplrp.relevance.fastpath.weights import PreparedLayers, Wanted
from genoplrp.relevance.propagation.arithmetic import signal
from genoplrp.relevance.propagation.backward import Run, close_layer
from genoplrp.relevance.propagation.layer import Layer, multiplier_of, part_denominator
from genoplrp.relevance.rules import Epsilon, Gamma, Part, ZPlus
from genoplrp.relevance.tracing.operations.linear import gauge_axis


@dataclass(eq=False)
class Gradients:
    """Number of a node -> the multiplier that has reached it, and whether its memory is ours to change."""

    values: dict[int, tuple[Tensor, bool]] = field(default_factory=dict)

    def add(self, node: int, g: Tensor, *, owned: bool) -> None:
        """Add what another consumer of the node sends back."""
        if node not in self.values:
            self.values[node] = (g, owned)
            return
        before, is_ours = self.values[node]
        total = g.add_(before) if owned else before.add_(g) if is_ours else before + g
        self.values[node] = (total, True)

    def take(self, node: int) -> tuple[Tensor, bool] | None:
        """Return what has reached a node, and forget it."""
        return self.values.pop(node, None)


@dataclass(eq=False)
class LayerStep:
    """A convolution or linear map with the normalisation, ReLU and max pooling that follow it."""

    call: LayerCall
    source: int
    out: int
    index: int
    norm: NormCall | None = None
    rectified: bool = False
    pooled: int = 0
    is_output: bool = False
    source_is_nonnegative: bool = False
    layer: Layer = field(init=False)
    winner: Tensor | None = field(default=None, init=False)
    length: int = field(default=0, init=False)

    @property
    def sources(self) -> tuple[int, ...]:
        """Nodes whose results it takes."""
        return (self.source,)

    @property
    def wanted(self) -> Wanted:
        """The layer, with what merges into it."""
        return Wanted(self.call, self.norm, self.index)

    def forward(self, values: Mapping[int, Tensor], run: Run, prepared: PreparedLayers) -> Tensor:
        """Return the step's result."""
        x = values[self.source]
        layer = prepared.layer(self.wanted, x, x)
        z = layer.map.forward(x, layer.weight, layer.bias)
        layer.gauge_axis = gauge_axis(self.call.identity, self.call.map, x, layer.weight)
        if self.source_is_nonnegative:
            layer.nonnegative = True
        if self.pooled:
            self.length = z.shape[2]
            z, self.winner = rectified_pool(z, self.pooled, rectify=self.rectified)
        elif self.rectified:
            z.relu_()
        # Where an output is not positive nothing comes back, so the rectified value serves as pre-activation.
        layer.z, layer.rectified = z, self.rectified
        self.layer = layer
        run.layers.append(layer)
        return z

    def backward(self, g: Tensor, grads: Gradients, run: Run, *, last: bool) -> Tensor | None:
        """Send the multiplier back; return the relevance itself where the rule is a direct one."""
        layer = self.layer
        rule = layer.rule
        spent = last and self.rectified and not self.is_output and not self.pooled
        if type(rule) is Epsilon and rule.bias in ("follow", "raw") and not self._needs_whole(run):
            g_in = self._epsilon(g, rule.epsilon, spent=spent and run.ledger is None)
            g_x = layer.map.transpose(self._whole(g_in), layer.weights(rule.parts()[0].positive), layer.x)
            g_x = close_layer(run, layer, g, layer.x, g_x)
            grads.add(self.source, g_x, owned=True)
            return None
        part = self._merged_part(run)
        if part is not None:
            assert self.winner is not None
            denominator = part_denominator(layer, part)
            h = unpool_ratio(g, layer.z, self.winner, denominator, rule.epsilon, self.pooled)  # type: ignore[attr-defined]
            g_x = layer.map.transpose(h, layer.weights(part.positive), layer.x)
            grads.add(self.source, close_layer(run, layer, g, layer.x, g_x), owned=True)
            return None
        layer, g = self._unpooled(g)
        if rule.direct:
            return close_layer(run, layer, g, None, rule.relevance(layer, g * layer.z))
        grads.add(
            self.source,
            close_layer(run, layer, g, layer.x, multiplier_of(layer, g, again=self._needs_whole(run))),
            owned=True,
        )
        return None

    def release(self) -> None:
        """Let go of what the backward pass needed."""
        del self.layer
        self.winner = None

    def _needs_whole(self, run: Run) -> bool:
        """Return whether pruning will ask for the layer's full-size output again."""
        return run.goes_twice(self.layer.name)

    def _merged_part(self, run: Run) -> Part | None:
        """Return the one part of gamma or z-plus that counts behind ReLU and pooling, where its fast form applies."""
        layer, rule = self.layer, self.layer.rule
        applies = (
            type(rule) in (Gamma, ZPlus)
            and rule.bias in ("follow", "raw")  # type: ignore[attr-defined]
            and rule.epsilon > 0  # type: ignore[attr-defined]
            and self.rectified
            and self.winner is not None
            and self.winner.dtype == torch.uint8
            and not self._needs_whole(run)
            and layer.has_nonnegative_input
        )
        return rule.parts()[0] if applies else None

    def _epsilon(self, g: Tensor, epsilon: float, *, spent: bool) -> Tensor:
        z = self.layer.z
        if epsilon == 0 and self.rectified:
            return torch.where(z > 0, g, 0)
        return signal(g, z, None, epsilon, spent=spent)[0]

    def _whole(self, value: Tensor) -> Tensor:
        if self.winner is None:
            return value
        return unpool(value, self.winner, self.length, self.pooled)

    def _unpooled(self, g: Tensor) -> tuple[Layer, Tensor]:
        """Return layer and multiplier as if there were no pooling, nothing coming back to what is not positive."""
        layer = self.layer
        if self.rectified and getattr(layer.rule, "epsilon", 0.0) <= 0:
            g = torch.where(layer.z > 0, g, 0)
        if self.winner is None:
            return layer, g
        return replace(layer, z=self._whole(layer.z)), self._whole(g)


@dataclass(eq=False)
class PointwiseStep:
    """Anything without weights: sums, means, pooling, reshapes."""

    node: Node
    out: int
    kept: Any = field(default=None, init=False)

    @property
    def sources(self) -> tuple[int, ...]:
        """Nodes whose results it takes."""
        return self.node.inputs

    def forward(self, values: Mapping[int, Tensor], run: Run, prepared: PreparedLayers) -> Tensor:
        """Return the step's result."""
        inputs = [values[i] for i in self.node.inputs]
        match self.node.kind:
            case "add":
                return inputs[0] + inputs[1]
            case "relu":
                self.kept = inputs[0].relu()
                return self.kept  # type: ignore[no-any-return]
            case "mean":
                self.kept = inputs[0].shape
                return inputs[0].mean(dim=2)
            case "pool":
                out, winner = rectified_pool(inputs[0], self.node.about, rectify=False)
                self.kept = (winner, inputs[0].shape[2])
                return out
        func, template = self.node.about
        with torch.enable_grad():
            leaves = [x.detach().requires_grad_(True) for x in inputs]
            # A model may view what it thinks is contiguous.
            given = [x.contiguous() for x in leaves] if len(leaves) == 1 else leaves
            args, kwargs = filled(template, given)
            out = func(*args, **kwargs)
        self.kept = (leaves, out)
        plain: Tensor = out.detach()
        return plain

    def backward(self, g: Tensor, grads: Gradients, run: Run, *, last: bool) -> None:
        """Send the multiplier back."""
        inputs = self.node.inputs
        match self.node.kind:
            case "add":
                for i in inputs:
                    grads.add(i, g, owned=False)
            case "relu":
                grads.add(inputs[0], torch.where(self.kept > 0, g, 0), owned=True)
            case "mean":
                length = self.kept[2]
                grads.add(inputs[0], (g / length).unsqueeze(2).expand(self.kept), owned=False)
            case "pool":
                winner, length = self.kept
                grads.add(inputs[0], unpool(g, winner, length, self.node.about), owned=True)
            case _:
                leaves, out = self.kept
                back = torch.autograd.grad(out, leaves, g, retain_graph=not last)
                for i, value in zip(inputs, back, strict=True):
                    grads.add(i, value, owned=False)

    def release(self) -> None:
        """Let go of what the backward pass needed."""
        self.kept = None


Step = LayerStep | PointwiseStep


def steps_of(nodes: list[Node], outputs: Iterable[int]) -> list[Step]:
    """Return the steps for the nodes of a reading, each layer with what merges into it.

    Raises
    ------
    NotAChain
        If a layer is used with and without its normalisation.
    """
    follower = _Followers(nodes, frozenset(outputs))
    steps: list[Step] = []
    nonnegative: set[int] = set()
    layers = 0
    for i, node in enumerate(nodes):
        if i in follower.merged or node.kind in ("input", "gate"):
            continue
        if node.kind == "norm":
            raise NotAChain("a layer that is used with and without its normalisation")
        if node.kind == "layer":
            step = LayerStep(node.about, node.inputs[0], i, layers)
            step.source_is_nonnegative = step.source in nonnegative
            follower.merge_into(step)
            if step.rectified:
                nonnegative.add(step.out)
            steps.append(step)
            layers += 1
            continue
        steps.append(PointwiseStep(node, i))
        if node.kind == "relu" or nonnegative.issuperset(node.inputs):
            nonnegative.add(i)
    return steps


class _Followers:
    """What alone takes a node's result, and so can be done in the node's own step.

    Attributes
    ----------
    merged
        Numbers of the nodes that were merged into a step.
    """

    def __init__(self, nodes: list[Node], outputs: frozenset[int]) -> None:
        self._nodes, self._outputs = nodes, outputs
        self._users: dict[int, list[int]] = {}
        for i, node in enumerate(nodes):
            for source in node.inputs:
                self._users.setdefault(source, []).append(i)
        self.merged: set[int] = set()

    def merge_into(self, step: LayerStep) -> None:
        """Merge the normalisation, the ReLU and the pooling that follow a layer, the last two in either order."""
        norm = self._next(step, "norm")
        if norm is not None:
            step.norm = norm.about
        for _ in range(2):
            if not step.rectified and self._next(step, "relu"):
                step.rectified = True
            elif not step.pooled and (pool := self._next(step, "pool")):
                step.pooled = pool.about
        step.is_output = step.out in self._outputs

    def _next(self, step: LayerStep, kind: str) -> Node | None:
        """Return the only node behind a step, now merged into it, if it is of a kind; None if it is not."""
        following = self._users.get(step.out, [])
        if len(following) != 1 or step.out in self._outputs or self._nodes[following[0]].kind != kind:
            return None
        step.out = following[0]
        self.merged.add(step.out)
        return self._nodes[step.out]
