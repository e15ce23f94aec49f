"""Relevance in parts: where a backward pass can be interrupted, and how pruning stays additive when it begins again.

LRP is linear in what is sent back, so that the parts of a layer's relevance, each sent down on its own, add up to the
whole. Pruning is not: a part would be pruned by thresholds of its own. So the pass from the output decides, and parts
are pruned as the whole was. Not here: which parts are sent (`genoplrp.relevance.methods.conditional`).

References
----------
Achtibat et al. 2023, Nature Machine Intelligence 5: concept relevance propagation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from genoplrp.relevance.propagation.renormalisation import renormalise_columns

if TYPE_CHECKING:
    from genoplrp.relevance.propagation.layer import Layer
    from genoplrp.relevance.pruning.policy import LayerPruning


class Cut(NamedTuple):
    """The output of one layer in the graph: relevance arrives at `after`, and goes down from `before`."""

    layer: Layer
    before: Tensor
    after: Tensor


@dataclass(eq=False)
class Cuts:
    """The outputs of layers at which a graph can be taken apart; a context, which lets go of the graph at its end.

    A cut holds tensors, these hold the graph, and the nodes of the graph hold the cuts: a circle through C++ that
    Python's collector does not see, so that every batch would stay in memory.

    Attributes
    ----------
    wanted
        Whether a layer, by its name, is one of them.
    edit
        What becomes of the output of a layer of that name in the forward pass; None: it stays.
    found
        Layer name -> its outputs (two, where a normalisation was merged: one of them is mostly unused).
    closed
        While True, nothing that arrives at a cut goes on below it.
    """

    wanted: Callable[[str], bool] = lambda _: True
    edit: Callable[[Layer, Tensor], Tensor] | None = None
    found: dict[str, list[Cut]] = field(default_factory=dict)
    closed: bool = False

    def __enter__(self) -> Cuts:
        return self

    def __exit__(self, *error: object) -> None:
        self.found.clear()

    def cut(self, layer: Layer, z: Tensor) -> Tensor:
        """Return a layer's output for what comes after it."""
        if not self.wanted(layer.name):
            return z
        after: Tensor = _Gate.apply(z if self.edit is None else self.edit(layer, z), self)
        self.found.setdefault(layer.name, []).append(Cut(layer, z, after))
        return after


class _Gate(torch.autograd.Function):
    """Passes a tensor on, and its gradient as long as the cuts are open."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, cuts: Cuts) -> Tensor:
        """Return ``z``."""
        ctx.cuts = cuts
        return z.view_as(z)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None]:
        """Return the multiplier unchanged, or nothing."""
        return (None if ctx.cuts.closed else grads[0]), None


@dataclass(eq=False)
class Decisions:
    """What pruning kept, and by how much it raised it, at each layer of a whole pass.

    The first time that relevance comes to a layer it is pruned, and how is remembered; from then on the same is done
    again, whatever comes.
    """

    factors: dict[Layer, Tensor] = field(default_factory=dict)
    kept: dict[Layer, Tensor | None] = field(default_factory=dict)

    def pruned(
        self, pruning: LayerPruning, layer: Layer, g: Tensor, x: Tensor | None, g_x: Tensor, batch: int
    ) -> Tensor:
        """Return the pruned multiplier, as `genoplrp.relevance.propagation.backward` does without a memory."""
        if pruning.method == "lambda" or x is None:
            if layer not in self.factors:
                before = g_x.clone()
                after, _ = pruning.rescale(x, g_x, batch)
                self.factors[layer] = torch.where(before == 0, 1.0, after / before)
                return after
            return g_x * self.factors[layer]
        if layer not in self.kept:
            self.kept[layer] = pruning.keep(x, g_x, batch)[0]
        kept = self.kept[layer]
        if kept is None:
            layer.forget_signals()
            return g_x
        return renormalise_columns(layer, g, kept, whole=pruning.method == "M-literal")
