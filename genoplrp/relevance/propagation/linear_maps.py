"""Linear operations as pairs of maps (forward and transpose), so that a rule can be written once for all of them.

Not here: what a rule does with them (`rules`), and how relevance flows (`propagation`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from genoplrp.relevance.propagation import layout


class LinearMap(Protocol):
    """A map that is linear in ``x`` and in ``weight``."""

    @property
    def kind(self) -> Literal["convolution", "dense"]:
        """The place in a preset of a layer with this map, unless it is an input layer."""

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return ``W x + b``."""

    def transpose(self, g: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        """Return ``W^T g``, in the shape of ``x`` (whose values are not used)."""

    def scale_outputs(self, weight: Tensor, scale: Tensor) -> Tensor:
        """Return the weight with its output channels multiplied by ``scale`` (merged normalisation)."""


@dataclass(frozen=True)
class Convolution:
    """A convolution over 1, 2 or 3 spatial dimensions, plain or transposed.

    Parameters
    ----------
    stride, padding, dilation, output_padding
        One number a spatial dimension, as in `torch.convolution`.
    groups
        Number of channel groups.
    transposed
        True for ``conv_transpose``.
    excess
        Zeros to add on the right of each spatial dimension before the convolution:
        ``padding="same"`` with an even kernel is asymmetric.
    """

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1
    transposed: bool = False
    output_padding: tuple[int, ...] = (0,)
    excess: tuple[int, ...] = ()

    kind: ClassVar[Literal["convolution"]] = "convolution"

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the convolution of ``x``, (N, C, ...) -> (N, F, ...)."""
        if self._runs_channels_last(x):
            return layout.conv1d(x, weight, bias, self.stride[0], self.padding[0], self.dilation[0])
        return torch.convolution(
            self._padded(x), weight, bias, self.stride, self.padding, self.dilation,
            self.transposed, self._output_padding, self.groups,
        )  # fmt: skip

    def transpose(self, g: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        """Return the gradient of the convolution with respect to its input, in the shape of ``x``."""
        if self._runs_channels_last(x):
            return layout.conv1d_input(
                g, weight, x.shape[2], self.stride[0], self.padding[0], self.dilation[0]
            )
        padded = self._padded(x)
        out: Tensor = torch.ops.aten.convolution_backward(
            g, padded, weight, None, self.stride, self.padding, self.dilation,
            self.transposed, self._output_padding, self.groups, [True, False, False],
        )[0]  # fmt: skip
        if self._is_asymmetric:
            for axis, (size, right) in enumerate(zip(x.shape[2:], self.excess, strict=True), start=2):
                out = out.narrow(axis, 0, size) if right else out
        return out

    def scale_outputs(self, weight: Tensor, scale: Tensor) -> Tensor:
        """Scale each filter; a transposed convolution keeps its filters, by group, on the second axis."""
        if not self.transposed:
            return weight * scale.reshape(-1, *[1] * (weight.dim() - 1))
        rows = weight.reshape(self.groups, -1, *weight.shape[1:])
        scaled = rows * scale.reshape(self.groups, 1, weight.shape[1], *[1] * (weight.dim() - 2))
        return scaled.reshape(weight.shape)

    @property
    def _output_padding(self) -> tuple[int, ...]:
        return self.output_padding if self.transposed else (0,) * len(self.stride)

    def _runs_channels_last(self, x: Tensor) -> bool:
        return (
            not self.transposed and not self._is_asymmetric and layout.prefers_channels_last(x, self.groups)
        )

    @property
    def _is_asymmetric(self) -> bool:
        return any(self.excess)

    def _padded(self, x: Tensor) -> Tensor:
        if not self._is_asymmetric:
            return x
        widths = [w for right in reversed(self.excess) for w in (0, right)]
        return F.pad(x, widths)


@dataclass(frozen=True)
class Dense:
    """A fully connected layer on the last axis: ``x W^T + b``, weight (O, I)."""

    kind: ClassVar[Literal["dense"]] = "dense"

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return ``x W^T + b``, (..., I) -> (..., O)."""
        return F.linear(x, weight, bias)

    def transpose(self, g: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        """Return ``g W``, (..., O) -> (..., I)."""
        return g @ weight

    def scale_outputs(self, weight: Tensor, scale: Tensor) -> Tensor:
        """Scale each row."""
        return weight * scale.reshape(-1, 1)


def convolution_map(
    weight: Tensor,
    stride: int | Sequence[int],
    padding: int | str | Sequence[int],
    dilation: int | Sequence[int],
    groups: int,
) -> Convolution:
    """Describe a call of ``F.conv1d`` / ``F.conv2d`` / ``F.conv3d``.

    Parameters
    ----------
    weight
        (F, C / groups, ...) tensor; gives the number of spatial dimensions and the kernel's size.
    stride, padding, dilation, groups
        As in the call; ``padding`` may be ``"same"`` or ``"valid"``.
    """
    dimensions = weight.dim() - 2
    strides, dilations = per_dimension(stride, dimensions), per_dimension(dilation, dimensions)
    if not isinstance(padding, str):
        return Convolution(strides, per_dimension(padding, dimensions), dilations, groups)
    if padding == "valid":
        return Convolution(strides, (0,) * dimensions, dilations, groups)
    totals = [d * (k - 1) for d, k in zip(dilations, weight.shape[2:], strict=True)]
    return Convolution(
        strides, tuple(t // 2 for t in totals), dilations, groups, excess=tuple(t % 2 for t in totals)
    )


def per_dimension(value: int | Sequence[int], dimensions: int) -> tuple[int, ...]:
    """Repeat a single number for every spatial dimension."""
    if isinstance(value, int):
        return (value,) * dimensions
    values = tuple(int(v) for v in value)
    return values * dimensions if len(values) == 1 else values
