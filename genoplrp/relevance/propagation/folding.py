"""Convolutions that make few channels, at full speed on a CPU: the gradient at a four-channel input, a one-track head.

A CPU's convolution works on 16 output channels at a time, so one that makes four wastes three quarters. Here S
neighbouring positions are computed as S times as many channels of a convolution with stride S, whose filters are the
given ones at S offsets; channels-last, its result *is* the wanted one in memory.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

LANES = 16


def can_fold(filters: int, stride: int, padding: int, dilation: int) -> bool:
    """Return whether folding applies to a convolution with so many output channels, and pays."""
    return filters * 2 <= LANES and stride == 1 and dilation == 1 and padding >= 0


def folded_conv1d(
    x: Float[Tensor, "n channels length"],
    weight: Float[Tensor, "filters channels width"],
    bias: Float[Tensor, " filters"] | None,
    padding: int,
    *,
    folded: Tensor | None = None,
) -> Float[Tensor, "n filters positions"]:
    """Return ``F.conv1d(x, weight, bias, padding=padding)``, laid out channels-last.

    Parameters
    ----------
    x
        (N, C, L); fastest where it lies channels-last.
    weight, bias
        (F, C, K) and (F,) or None, with `can_fold`.
    padding
        Zeros on either side.
    folded
        `folded_filters` of the weight, where they are at hand; of the weight itself only the shape is used then.

    Examples
    --------
    >>> import torch
    >>> x, weight, bias = torch.randn(2, 8, 30), torch.randn(1, 8, 5), torch.randn(1)
    >>> expected = torch.nn.functional.conv1d(x, weight, bias, padding=2)
    >>> torch.allclose(folded_conv1d(x, weight, bias, 2), expected, atol=1e-5)
    True
    """
    filters, _, width = weight.shape
    positions = x.shape[2] + 2 * padding - width + 1
    fold = _fold(filters)
    # Blocks must cover the positions; where they do not, one more is made at either end, and cut off.
    extra = 0 if positions % fold == 0 else fold
    wide = x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
    repeated = None if bias is None else bias.repeat(fold)
    merged = folded_filters(weight) if folded is None else folded
    blocks = F.conv2d(wide, merged, repeated, (1, fold), (0, padding + extra))
    out = blocks.permute(0, 2, 3, 1).reshape(len(x), -1, filters)
    return out[:, extra : extra + positions].transpose(1, 2)


def folded_conv1d_input(
    g: Float[Tensor, "n filters positions"], weight: Float[Tensor, "filters channels width"], padding: int
) -> Float[Tensor, "n channels length"]:
    """Return the gradient of ``F.conv1d(x, weight, padding=padding)`` with respect to ``x``, laid out channels-last.

    Parameters
    ----------
    g
        (N, F, L'): gradient with respect to the output.
    weight
        (F, C, K); ``can_fold(C, stride, K - 1 - padding, dilation)``.
    padding
        Zeros on either side of the input.

    Examples
    --------
    >>> import torch
    >>> x = torch.randn(2, 4, 30, requires_grad=True)
    >>> weight = torch.randn(8, 4, 5)
    >>> z = torch.nn.functional.conv1d(x, weight, padding=2)
    >>> (expected,) = torch.autograd.grad(z.sum(), x)
    >>> torch.allclose(folded_conv1d_input(torch.ones_like(z), weight, 2), expected, atol=1e-5)
    True
    """
    return folded_conv1d(g, weight.transpose(0, 1).flip(2), None, weight.shape[2] - 1 - padding)


def folded_filters(weight: Float[Tensor, "filters channels width"]) -> Tensor:
    """Return the filters (S x F, C, 1, K + S - 1), channels-last, that make S positions at once."""
    filters, channels, width = weight.shape
    fold = _fold(filters)
    folded = weight.new_zeros(fold, filters, channels, width + fold - 1)
    for offset in range(fold):
        folded[offset, :, :, offset : offset + width] = weight
    merged = folded.reshape(fold * filters, channels, 1, width + fold - 1)
    return merged.contiguous(memory_format=torch.channels_last)


def _fold(filters: int) -> int:
    # Measured: a stride of 16 is four times as slow as one of 32.
    return 2 * LANES if filters == 1 else LANES // filters
