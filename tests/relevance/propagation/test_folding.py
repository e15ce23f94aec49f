from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genoplrp.relevance.propagation.folding import can_fold, folded_conv1d, folded_conv1d_input


def gradient(g: Tensor, weight: Tensor, length: int, padding: int) -> Tensor:
    like = g.new_zeros(len(g), weight.shape[1], length)
    out: Tensor = torch.ops.aten.convolution_backward(
        g, like, weight, None, [1], [padding], [1], False, [0], 1, [True, False, False]
    )[0]
    return out


def channels_last(x: Tensor) -> Tensor:
    return x.transpose(1, 2).contiguous().transpose(1, 2)


@given(
    batch=st.integers(1, 3),
    few=st.integers(1, 8),
    many=st.integers(1, 20),
    width=st.integers(1, 20),
    more=st.integers(0, 40),
    data=st.data(),
)
@settings(max_examples=150)
def test_folding_changes_nothing(
    batch: int, few: int, many: int, width: int, more: int, data: st.DataObject
) -> None:
    padding = data.draw(st.integers(0, width - 1))
    length = max(1, width - 2 * padding) + more
    x = torch.randn(batch, many, length, dtype=torch.float64)
    weight, bias = torch.randn(few, many, width, dtype=torch.float64), torch.randn(few, dtype=torch.float64)
    assert can_fold(few, 1, padding, 1)
    z = F.conv1d(x, weight, bias, padding=padding)
    torch.testing.assert_close(folded_conv1d(x, weight, bias, padding), z)
    torch.testing.assert_close(folded_conv1d(x, weight, None, padding), F.conv1d(x, weight, padding=padding))
    # And the gradient at an input of few channels.
    weight, g = weight.transpose(0, 1), torch.randn(batch, many, z.shape[2], dtype=torch.float64)
    expected = gradient(g, weight, length, padding)
    torch.testing.assert_close(folded_conv1d_input(g, weight, padding), expected)


def test_padding_wider_than_the_filter_is_folded_too() -> None:
    x, weight = torch.randn(2, 6, 30), torch.randn(2, 6, 3)
    torch.testing.assert_close(folded_conv1d(x, weight, None, 7), F.conv1d(x, weight, padding=7))


@pytest.mark.parametrize("length", [200, 201, 203, 2114])
@pytest.mark.parametrize("layout", ["contiguous", "channels last"])
def test_single_precision_agrees_to_rounding(length: int, layout: str) -> None:
    weight, g = torch.randn(32, 4, 19), torch.randn(2, 32, length)
    g = channels_last(g) if layout == "channels last" else g
    expected = gradient(g, weight, length, 9)
    torch.testing.assert_close(folded_conv1d_input(g, weight, 9), expected, rtol=1e-4, atol=1e-4)


def test_result_lies_channels_last() -> None:
    out = folded_conv1d(torch.randn(2, 6, 32), torch.randn(4, 6, 3), None, 1)
    assert out.stride() == channels_last(out).stride()


@pytest.mark.parametrize(
    ("filters", "stride", "padding", "dilation"), [(9, 1, 0, 1), (4, 2, 0, 1), (4, 1, -1, 1), (4, 1, 0, 2)]
)
def test_other_convolutions_are_not_folded(filters: int, stride: int, padding: int, dilation: int) -> None:
    assert not can_fold(filters, stride, padding, dilation)
