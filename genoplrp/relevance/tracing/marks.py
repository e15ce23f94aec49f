"""What the tracer remembers of a tensor: where it came from, as the operations after it need to know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from genoplrp.relevance.propagation.layer import Layer


@dataclass
class Marks:
    """What the tracer knows of a tensor beside its graph.

    Attributes
    ----------
    is_input
        The tensor is the model's input, moved about at most.
    shadow
        For the input: a zero tensor moved the same way; relevance of direct rules returns through it.
    gate
        The tensor came through a sigmoid or softmax: in a product it carries no relevance.
    logit
        Gives the tensor before the final sigmoid or softmax.
    affine
        The linear layer that made the tensor, for a normalisation that follows.
    order
        Where the axes of that layer's output went since, if they were turned.
    batch_axis
        The axis of the sequences where it is known not to be the first.
    """

    is_input: bool = False
    shadow: Tensor | None = None
    gate: bool = False
    logit: Callable[[], Tensor] | None = None
    affine: tuple[Tensor, Layer] | None = None
    order: tuple[int, ...] | None = None
    batch_axis: int | None = None

    @property
    def channel_axis(self) -> int | None:
        """The axis along which the layer that made the tensor has its outputs."""
        if self.affine is None:
            return None
        _, layer = self.affine
        axis: int = 1 if layer.map.kind == "convolution" else layer.z.dim() - 1
        return axis if self.order is None else self.order.index(axis)
