"""The backward half of LRP: the node that stands in the graph for each linear layer, and what the nodes share.

A node applies its layer's rule, prunes, and keeps the conservation ledger; taps record the relevance that flows by. Not
here: the rule's arithmetic (`layer`), which entries are pruned (`pruning`).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from genoplrp.relevance.deferred import Questions
from genoplrp.relevance.propagation.arithmetic import row_products
from genoplrp.relevance.propagation.cuts import Cuts, Decisions
from genoplrp.relevance.propagation.layer import Layer, multiplier_of
from genoplrp.relevance.propagation.ledger import Ledger
from genoplrp.relevance.propagation.renormalisation import renormalise_columns
from genoplrp.relevance.pruning.policy import LayerPruning
from genoplrp.relevance.pruning.thresholds import PruneStats


class AmbiguousBatchError(Exception):
    """The sequences of a batch cannot be told apart, or treated alike: explain one at a time; says why."""


class EqualLengthError(AmbiguousBatchError):
    """The batch changes places with an axis of its own length: shapes tell them apart in a smaller batch."""


@dataclass(eq=False)
class Run:
    """What one explanation shares between the nodes of its graph; never outlives the call.

    Attributes
    ----------
    batch
        Number of sequences.
    layers
        The linear layers in the order of the forward pass.
    pruning
        Layer name -> what to prune there; filled between forward and backward, and anew for each p of a sweep.
    ledger
        The conservation ledger, or None.
    keep
        Names of the layers whose input relevance is kept, or None for none, ``"all"`` for all.
    intermediate
        Layer name -> relevance at the layer's input.
    cuts
        The layers at whose outputs relevance can be taken and sent on in parts; None: nowhere.
    decisions
        What pruning decided in the pass from the output, for passes that begin below it; None: pruned afresh each time.
    reference
        A `genoplrp.relevance.methods.differences.Reference` for explanations of a difference; else None.
    questions
        What this batch asks of a GPU.
    """

    batch: int
    layers: list[Layer] = field(default_factory=list)
    pruning: dict[str, LayerPruning] = field(default_factory=dict)
    ledger: Ledger | None = None
    keep: set[str] | Literal["all"] | None = None
    intermediate: dict[str, Tensor] = field(default_factory=dict)
    cuts: Cuts | None = None
    decisions: Decisions | None = None
    reference: Any = None
    questions: Questions | None = None

    def open_questions(self) -> AbstractContextManager[None]:
        """Let what a GPU is asked in the block count as this batch's: autograd goes back in threads of its own."""
        return nullcontext() if self.questions is None else self.questions.open()

    def goes_twice(self, name: str) -> bool:
        """Return whether pruning will ask once more for what a layer sends back (PLRP-M)."""
        pruning = self.pruning.get(name)
        return pruning is not None and pruning.method != "lambda"

    def per_sample(self, tensor: Tensor) -> Tensor:
        """Return the tensor as (N, entries): one row per sequence."""
        if self.batch == 1:
            return tensor.reshape(1, -1)
        if tensor.dim() == 0 or tensor.shape[0] != self.batch:
            raise AmbiguousBatchError("the model moves the batch off its first axis")
        return tensor.reshape(self.batch, -1)

    def for_ledger(self, tensor: Tensor, axis: int | None) -> Tensor:
        """Return the same where the batch may be the only axis of its length, or is known to be another."""
        axes = [i for i, size in enumerate(tensor.shape) if size == self.batch]
        if axis is None and len(axes) == 1:
            axis = axes[0]
        return self.per_sample(tensor if axis is None or self.batch == 1 else tensor.movedim(axis, 0))


class RelevanceNode(torch.autograd.Function):
    """Stands in the graph for one linear layer; its backward is the layer's rule, then pruning."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shadow: Tensor | None, z: Tensor, layer: Layer, run: Run) -> Tensor:
        """Return the layer's result, which has been computed already."""
        ctx.layer, ctx.run = layer, run
        return z.view_as(z)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        """Return the multiplier of ``x``, or, for a direct rule, the relevance that goes to ``shadow``."""
        (g,) = grads
        layer: Layer = ctx.layer
        run: Run = ctx.run
        with run.open_questions():
            if layer.rule.direct:
                relevance = layer.rule.relevance(layer, g * layer.z)
                relevance = close_layer(run, layer, g, None, relevance)
                return torch.zeros_like(layer.x), relevance, None, None, None
            g_x = multiplier_of(layer, g, again=run.goes_twice(layer.name))
            return close_layer(run, layer, g, layer.x, g_x), None, None, None, None


def close_layer(run: Run, layer: Layer, g: Tensor, x: Tensor | None, g_x: Tensor) -> Tensor:
    """Prune what the layer hands to its input, record it in the ledger, keep it if asked to."""
    pruning = run.pruning.get(layer.name)
    stats = None
    incoming = None if run.ledger is None else _relevance(run, g, layer.z)
    handed = None if run.ledger is None else _relevance(run, g_x, x)
    if pruning is not None and run.decisions is not None:
        g_x = run.decisions.pruned(pruning, layer, g, x, g_x, run.batch)
    elif pruning is not None:
        g_x, stats = _pruned(pruning, layer, g, x, g_x, run.batch)
    if run.ledger is not None:
        after = handed if pruning is None else _relevance(run, g_x, x)
        assert incoming is not None and handed is not None and after is not None
        run.ledger.enter_layer(
            layer, incoming, handed, after, stats, None if stats is not None else (x, g_x), run.batch
        )
    if run.keep is not None and (run.keep == "all" or layer.name in run.keep):
        relevance = (g_x if x is None else x * g_x).detach()
        # There already where the layer is used with and without its normalisation.
        before = run.intermediate.get(layer.name)
        run.intermediate[layer.name] = relevance if before is None else before + relevance
    return g_x


def _pruned(
    pruning: LayerPruning, layer: Layer, g: Tensor, x: Tensor | None, g_x: Tensor, batch: int
) -> tuple[Tensor, PruneStats]:
    """Return the pruned multiplier, by rescaling (PLRP-lambda) or by going back once more (PLRP-M), and the masses."""
    if pruning.method == "lambda" or x is None:
        return pruning.rescale(x, g_x, batch)
    kept, stats = pruning.keep(x, g_x, batch)
    if kept is None:
        layer.forget_signals()
        return g_x, stats
    return renormalise_columns(layer, g, kept, whole=pruning.method == "M-literal"), stats


def _relevance(run: Run, g: Tensor, x: Tensor | None) -> Tensor:
    """Return the relevance ``g x`` (``g`` where there is no ``x``) of each sequence, or its parts, in one pass."""
    if x is not None and len(g) == run.batch:
        total = row_products(g, x)
        if total is not None:
            return total
    return sum_of(run.per_sample(g), None if x is None else run.per_sample(x))


def sum_of(a: Tensor, b: Tensor | None) -> Tensor:
    """Return the float64 sum of ``a`` (times ``b``) over each row."""
    if b is None:
        return a.sum(dim=1, dtype=torch.float64)
    return (a.to(torch.float64) * b.to(torch.float64)).sum(dim=1)


class Tap(torch.autograd.Function):
    """Passes a tensor on unchanged and records the relevance that flows through it in the ledger."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, run: Run, key: int, sign: float, axis: int | None) -> Tensor:
        """Return ``x``."""
        ctx.run, ctx.key, ctx.sign, ctx.axis = run, key, sign, axis
        ctx.save_for_backward(x)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        """Return the multiplier unchanged."""
        (g,) = grads
        (x,) = ctx.saved_tensors
        run: Run = ctx.run
        if run.ledger is not None:
            # A masked score is -inf with multiplier 0: it carries nothing.
            x = torch.where(g == 0, torch.zeros_like(x), x)
            rows = run.for_ledger(g, ctx.axis), run.for_ledger(x, ctx.axis)
            run.ledger.enter_operation(ctx.key, ctx.sign * sum_of(*rows))
        return g, None, None, None, None


class ShadowTap(torch.autograd.Function):
    """The same for a shadow, whose gradient is relevance itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, run: Run, key: int, sign: float) -> Tensor:
        """Return ``x``."""
        ctx.run, ctx.key, ctx.sign = run, key, sign
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        """Return the relevance unchanged."""
        (relevance,) = grads
        run: Run = ctx.run
        if run.ledger is not None:
            run.ledger.enter_operation(ctx.key, ctx.sign * sum_of(run.for_ledger(relevance, None), None))
        return relevance, None, None, None
