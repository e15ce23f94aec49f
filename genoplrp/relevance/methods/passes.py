"""The backward passes of one traced batch: the whole one, and those that send parts of its relevance on.

Not here: which parts those are, and what becomes of what arrives (`conditional`, `filter_windows`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from genoplrp.relevance.propagation.backward import AmbiguousBatchError, Run
from genoplrp.relevance.propagation.cuts import Cut
from genoplrp.relevance.propagation.layer import Layer

OUTPUT = ""
"""Name under which the explained output stands among the layers."""


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
        self, starts: list[Tensor], sent: Sequence[Tensor | None], groups: Mapping[str, Tensor]
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
        self,
        starts: list[Tensor],
        sent: Sequence[Tensor | None],
        more: list[Tensor],
        *,
        with_input: bool = True,
    ) -> Sequence[Tensor | None]:
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
