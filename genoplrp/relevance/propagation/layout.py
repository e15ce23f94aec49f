"""One-dimensional convolutions in the memory layout that CPU kernels like: channels last.

A (N, C, L) tensor is seen as (N, C, 1, L) in `torch.channels_last`; elementwise operations and pooling keep the
layout, so that a chain of convolutions converts once. The gradient with respect to the input is a forward convolution
with flipped, transposed weights where that is possible. Nothing here changes a value beyond rounding.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genoplrp.relevance import devices
from genoplrp.relevance.propagation.folding import can_fold, folded_conv1d, folded_conv1d_input

NEAREST_CACHE = 48 * 1024
"""Bytes; measured: with 64 channels a convolution of dilation 256 takes twice as long as one of 128."""


def prefers_channels_last(x: Tensor, groups: int) -> bool:
    """Return whether a one-dimensional convolution of this input runs faster channels-last."""
    is_theirs = devices.kind_of(x) in devices.CHANNELS_LAST
    return is_theirs and x.dtype == torch.float32 and x.dim() == 3 and groups == 1


def widen(x: Tensor) -> Tensor:
    """Return (N, C, L) as (N, C, 1, L) channels-last; a view where the layout is right already."""
    return x.unsqueeze(2).contiguous(memory_format=torch.channels_last)


def is_channels_last(x: Tensor) -> bool:
    """Return whether a (N, C, L) tensor lies channels-last in memory (and not also the other way)."""
    return x.dim() == 3 and x.stride(1) == 1 and x.shape[1] > 1 and not x.is_contiguous()


class KeepLayout(torch.autograd.Function):
    """The identity; its backward hands the gradient on in the layout of the tensor.

    What leaves the sequence axis (a mean, a flattening) returns gradients in another layout, and every elementwise
    operation behind it would mix the two.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Return ``x``."""
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """Return the gradient channels-last."""
        return widen(grads[0]).squeeze(2)


def keep_layout(x: Any) -> Any:
    """Return a channels-last tensor behind a `KeepLayout`; anything else as it is."""
    if isinstance(x, Tensor) and is_channels_last(x) and prefers_channels_last(x, 1):
        return KeepLayout.apply(x)
    return x


def conv1d(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, dilation: int
) -> Tensor:
    """Return ``F.conv1d`` of (N, C, L), laid out channels-last.

    Parameters
    ----------
    x
        (N, C, L).
    weight, bias
        (F, C, K) and (F,) or None.
    stride, padding, dilation
        As in ``F.conv1d``.
    """
    if can_fold(weight.shape[0], stride, padding, dilation):
        return folded_conv1d(x, weight, bias, padding)
    if has_far_taps(x, weight.shape[2], stride, padding, dilation):
        return tap_by_tap(x, weight, bias, dilation)
    wide = F.conv2d(widen(x), widen(weight), bias, (1, stride), (0, padding), (1, dilation))
    return wide.squeeze(2)


def conv1d_input(g: Tensor, weight: Tensor, length: int, stride: int, padding: int, dilation: int) -> Tensor:
    """Return the gradient of ``F.conv1d`` with respect to its input, (N, C, length), laid out channels-last.

    Parameters
    ----------
    g
        (N, F, L'): gradient with respect to the output.
    weight
        (F, C, K).
    length
        L, length of the input.
    stride, padding, dilation
        Those of the convolution.
    """
    mirrored = dilation * (weight.shape[2] - 1) - padding
    if can_fold(weight.shape[1], stride, mirrored, dilation):
        return folded_conv1d_input(g, weight, padding)
    if has_far_taps(g, weight.shape[2], stride, mirrored, dilation):
        return tap_by_tap(g, weight.transpose(0, 1).flip(2), None, dilation)
    if stride == 1 and mirrored >= 0:
        flipped = weight.transpose(0, 1).flip(2)
        return F.conv2d(widen(g), widen(flipped), None, 1, (0, mirrored), (1, dilation)).squeeze(2)
    # Only the shape and layout of the input matter here, not its values.
    like = g.new_empty(1).expand(g.shape[0], weight.shape[1], 1, length)
    wide: Tensor = torch.ops.aten.convolution_backward(
        widen(g), like, widen(weight), None, [1, stride], [0, padding], [1, dilation],
        False, [0, 0], 1, [True, False, False],
    )[0]  # fmt: skip
    return wide.squeeze(2)


def has_far_taps(x: Tensor, width: int, stride: int, padding: int, dilation: int) -> bool:
    """Return whether the taps of a convolution that keeps the length lie farther apart than the nearest cache holds.

    Parameters
    ----------
    x
        (N, C, L): input.
    width
        K.
    stride, padding, dilation
        Those of the convolution.
    """
    is_centred = stride == 1 and width % 2 == 1 and 2 * padding == dilation * (width - 1)
    apart = dilation * x.shape[1] * x.element_size()
    return is_centred and 1 < width <= 5 and apart >= NEAREST_CACHE and padding < x.shape[2]


def tap_by_tap(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    """Return a convolution that keeps the length as a sum of matrix products, one a tap; laid out channels-last.

    Parameters
    ----------
    x
        (N, C, L).
    weight, bias
        (F, C, K), K odd, and (F,) or None.
    dilation
        Distance of the taps.
    """
    n, channels, length = x.shape
    rows = widen(x).squeeze(2).transpose(1, 2)
    taps = weight.permute(2, 1, 0).contiguous()
    middle = len(taps) // 2
    flat = rows.reshape(-1, channels)
    first = flat @ taps[middle] if bias is None else torch.addmm(bias, flat, taps[middle])
    out = first.reshape(n, length, -1)
    for k, tap in enumerate(taps):
        offset = (k - middle) * dilation
        if offset == 0:
            continue
        to, start = slice(max(0, -offset), length - max(0, offset)), max(0, offset)
        for row, source in zip(out, rows, strict=True):
            row[to].addmm_(source[start : start + length - abs(offset)], tap)
    return out.transpose(1, 2)
