"""The hand-driven pass over one batch: read the model, compute, go back once for each pruning."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from genoplrp.relevance import devices
from genoplrp.relevance.fastpath.nodes import Node, frozen
from genoplrp.relevance.fastpath.reading import NotAChain, Reader, readable_constants
from genoplrp.relevance.fastpath.steps import Gradients, LayerStep, Step, steps_of
from genoplrp.relevance.fastpath.weights import PreparedLayers
from genoplrp.relevance.propagation.backward import Run
from genoplrp.relevance.propagation.layout import prefers_channels_last, widen
from genoplrp.relevance.tracing.tracer import LOGIT, Tracer


@dataclass(eq=False)
class Chains:
    """What an explainer keeps of its model as a chain: the prepared layers, and whether it turned out to be none.

    Attributes
    ----------
    declined
        Why the model is not read any more; empty while it is.
    """

    prepared: PreparedLayers = field(default_factory=PreparedLayers)
    declined: str = ""

    def forget(self) -> None:
        """Let go of what was made of the model's weights."""
        self.prepared = PreparedLayers()

    def start(
        self, model: nn.Module, call: Callable[[Tensor], Any], x: Tensor, run: Run, tracer: Tracer
    ) -> ChainPass | None:
        """Read the model on a batch and compute it; None where autograd is to do it (``run`` is untouched then).

        Parameters
        ----------
        model
            In evaluation mode.
        call
            Calls it; what it raises there is the model's own.
        x
            (N, 4, L) or as the model takes it; not changed.
        run, tracer
            New ones, of this batch.
        """
        found = self._read(model, call, x, tracer)
        if found is None:
            return None
        _, structure, steps = found
        chain = ChainPass(steps, structure, run, self.prepared)
        chain.forward(x)
        return chain

    def signature(
        self, model: nn.Module, call: Callable[[Tensor], Any], x: Tensor, tracer: Tracer
    ) -> Hashable | None:
        """Return all that the chain of a batch is but values; None where there is none. Parameters as in `start`."""
        found = self._read(model, call, x, tracer)
        return None if found is None else frozen(found[:2])

    def _read(
        self, model: nn.Module, call: Callable[[Tensor], Any], x: Tensor, tracer: Tracer
    ) -> tuple[list[Node], Any, list[Step]] | None:
        """Return nodes, structure of the output and steps; None, and why, where the model is no chain."""
        if (
            self.declined
            or x.device.type not in devices.HAND_DRIVEN
            or x.dtype not in (torch.float32, torch.float64)
        ):
            return None
        constants = readable_constants(model)
        if constants is None:
            return None
        reader = Reader(tracer, constants, x.dtype)
        try:
            structure = _read(reader, call, x)
            outputs = _flat(structure)
            gates = {i for i in outputs if reader.nodes[i].kind == "gate"}
            if gates:
                tracer.note(LOGIT)
            structure = _replaced(
                structure, {i: reader.nodes[i].inputs[0] if i in gates else i for i in outputs}
            )
            steps = steps_of(reader.nodes, _flat(structure))
        except NotAChain as reason:
            self.declined = reader.declined or str(reason)
            return None
        if not any(isinstance(step, LayerStep) for step in steps):
            self.declined = "no convolution or linear layer"
            return None
        return reader.nodes, structure, steps


@dataclass(eq=False)
class ChainPass:
    """One batch on its way through a chain.

    Attributes
    ----------
    output
        The model's output, of leaves that take gradients.
    """

    steps: list[Step]
    structure: Any
    run: Run
    prepared: PreparedLayers
    output: Any = None
    _x: Tensor = field(init=False)
    _leaves: dict[int, Tensor] = field(default_factory=dict)

    @property
    def leaves(self) -> Sequence[Tensor]:
        """The tensors that ``output`` is made of."""
        return tuple(self._leaves.values())

    def forward(self, x: Tensor) -> None:
        """Compute the model."""
        final = set(_flat(self.structure))
        last_use = {source: i for i, step in enumerate(self.steps) for source in step.sources}
        with torch.no_grad():
            self._x = x.detach()
            if x.dim() == 3 and prefers_channels_last(x, 1):
                self._x = widen(self._x).squeeze(2)
            self.prepared.check(step.wanted for step in self.steps if isinstance(step, LayerStep))
            values: dict[int, Tensor] = {0: self._x}
            for i, step in enumerate(self.steps):
                values[step.out] = step.forward(values, self.run, self.prepared)
                for source in step.sources:
                    if last_use[source] == i and source not in final:
                        values.pop(source, None)
        self._leaves = {i: values[i].detach().requires_grad_(True) for i in sorted(final)}
        self.output = _replaced(self.structure, self._leaves)

    def backward(self, explained: Tensor, *, last: bool) -> tuple[Tensor, Tensor | None]:
        """Go back once.

        Parameters
        ----------
        explained
            (N,), made from ``output``.
        last
            Whether no further pass follows: memory is reused and let go.

        Returns
        -------
        tuple
            Relevance like the input; the multiplier, or None where the input's rule has none.
        """
        with torch.enable_grad():
            back = torch.autograd.grad(explained.sum(), self.leaves, retain_graph=not last, allow_unused=True)
        grads = Gradients()
        direct: Tensor | None = None
        with torch.no_grad():
            for i, g in zip(self._leaves, back, strict=True):
                if g is not None:
                    grads.add(i, g, owned=False)
            for step in reversed(self.steps):
                taken = grads.take(step.out)
                if taken is not None:
                    relevance = step.backward(taken[0], grads, self.run, last=last)
                    if relevance is not None:
                        direct = relevance if direct is None else direct + relevance
                del taken
                if last:
                    step.release()
            at_input = grads.take(0)
            g = torch.zeros_like(self._x) if at_input is None else at_input[0]
            if direct is None:
                return (self._x * g).contiguous(), g.contiguous()
            relevance = direct if at_input is None else self._x * g + direct
            return relevance.contiguous(), None


def _read(reader: Reader, call: Callable[[Tensor], Any], x: Tensor) -> Any:
    """Run the model's forward on a stand-in and return the structure of its output."""
    with reader:
        y = call(reader.stand_in(Node("input", (), tuple(x.shape))))
    structure = reader.structure(y)
    del y
    if reader.declined:  # the model caught it
        raise NotAChain(reader.declined)
    if reader.is_kept():
        raise reader.decline("the model keeps a tensor of its forward pass")
    if 0 in _flat(structure):
        raise reader.decline("the model returns its input")
    return structure


def _flat(structure: Any) -> list[int]:
    if isinstance(structure, int):
        return [structure]
    return [i for part in structure for i in _flat(part)]


def _replaced(structure: Any, by: dict[int, Any]) -> Any:
    if isinstance(structure, int):
        return by[structure]
    return type(structure)(_replaced(part, by) for part in structure)
