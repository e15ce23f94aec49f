"""Channels-last convolutions and the compiled arithmetic give what torch gives."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from genoplrp.relevance.propagation.arithmetic import is_nonnegative, signal, signal_reference
from genoplrp.relevance.propagation.layout import (
    conv1d,
    conv1d_input,
    has_far_taps,
    is_channels_last,
    keep_layout,
    prefers_channels_last,
    widen,
)
from genoplrp.relevance.propagation.linear_maps import convolution_map


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize("padding", [0, 2, 5])
@pytest.mark.parametrize("kernel", [1, 4, 7])
def test_channels_last_convolution_and_its_transpose_equal_torch(stride, dilation, padding, kernel):
    generator = torch.Generator().manual_seed(kernel)
    x = torch.randn(3, 4, 40, generator=generator)
    w = torch.randn(6, 4, kernel, generator=generator)
    b = torch.randn(6, generator=generator)
    expected = F.conv1d(x, w, b, stride, padding, dilation)
    torch.testing.assert_close(conv1d(x, w, b, stride, padding, dilation), expected, rtol=1e-4, atol=1e-5)
    g = torch.randn(expected.shape, generator=generator)
    wanted = torch.nn.grad.conv1d_input(x.shape, w, g, stride, padding, dilation)
    got = conv1d_input(g, w, 40, stride, padding, dilation)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("length", [401, 900])
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_with_far_taps_and_its_transpose_equal_torch(kernel, length, bias):
    random = torch.Generator().manual_seed(kernel)
    dilation, channels = 200, 64
    padding = dilation * (kernel - 1) // 2
    x = torch.randn(2, channels, length, generator=random)
    assert has_far_taps(x, kernel, 1, padding, dilation) == (padding < length)
    w = torch.randn(48, channels, kernel, generator=random) / 10
    b = torch.randn(48, generator=random) if bias else None
    exact = torch.nn.functional.conv1d(
        x.double(), w.double(), None if b is None else b.double(), 1, padding, dilation
    )
    got = conv1d(x, w, b, 1, padding, dilation)
    torch.testing.assert_close(got.double(), exact, rtol=1e-5, atol=1e-4)
    g = torch.randn(2, 64, length, generator=random)
    v = torch.randn(64, channels, kernel, generator=random) / 10
    back = torch.nn.grad.conv1d_input(x.shape, v.double(), g.double(), 1, padding, dilation)
    got = conv1d_input(g, v, length, 1, padding, dilation)
    torch.testing.assert_close(got.double(), back, rtol=1e-5, atol=1e-4)
    assert is_channels_last(got)


def test_same_padding_with_an_even_kernel_is_that_of_torch():
    x, w = torch.randn(2, 4, 21), torch.randn(5, 4, 6)
    for dtype in (torch.float32, torch.float64):
        described = convolution_map(w, 1, "same", 1, 1)
        wanted = F.conv1d(x.to(dtype), w.to(dtype), padding="same")
        torch.testing.assert_close(described.forward(x.to(dtype), w.to(dtype)), wanted, rtol=1e-4, atol=1e-5)


def test_a_convolution_on_a_channels_last_tensor_is_not_converted_again():
    z = conv1d(torch.randn(2, 4, 30), torch.randn(8, 4, 3), None, 1, 1, 1)
    assert is_channels_last(z)
    assert widen(z.relu()).data_ptr() != 0
    assert is_channels_last(z.relu())
    assert widen(z).data_ptr() == z.data_ptr()


def transposed(x):
    return x.transpose(1, 2).contiguous().transpose(1, 2)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (transposed(torch.zeros(3, 2, 5)), True),
        (torch.zeros(3, 2, 5), False),
        (transposed(torch.zeros(3, 1, 5)), False),  # one channel lies both ways
        (transposed(torch.zeros(3, 2, 5))[:, :1], False),  # cut out of two
        (transposed(torch.zeros(3, 2, 1)), False),  # one position, too
        (torch.zeros(3, 5, 2)[:, :, ::2], False),
        (torch.zeros(3, 2, 4, 5).contiguous(memory_format=torch.channels_last), False),
    ],
)
def test_channels_last_is_what_lies_so_and_not_the_other_way_too(x, expected):
    assert is_channels_last(x) is expected
    # Nothing is put behind what need not be turned.
    assert (keep_layout(x) is x) is not expected


def test_only_plain_convolutions_of_sequences_in_single_precision_on_a_cpu_run_channels_last():
    x = transposed(torch.zeros(3, 2, 5))
    assert prefers_channels_last(x, 1)
    assert not prefers_channels_last(x, 2)
    for other in (x.double(), x[0], x[:, :, None], x.to("meta")):
        assert not prefers_channels_last(other, 1)
    assert keep_layout(x.double()).grad_fn is None and keep_layout("not a tensor") == "not a tensor"
    wide = x.double().requires_grad_()
    assert keep_layout(wide) is wide


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"width": 5, "padding": 400}, True),
        ({"stride": 2}, False),
        ({"width": 4, "padding": 300}, False),  # no middle
        ({"padding": 201}, False),
        ({"width": 1, "padding": 0}, False),
        ({"width": 7, "padding": 600}, False),
        ({"dilation": 192, "padding": 192}, True),  # 48 kB apart
        ({"dilation": 191, "padding": 191}, False),
        ({"channels": 61}, False),
        ({"length": 201}, True),
        ({"length": 200}, False),  # the outer taps never meet a base
    ],
)
def test_far_taps_are_those_of_a_convolution_that_keeps_the_length(changed, expected):
    case = {"channels": 64, "length": 900, "width": 3, "stride": 1, "padding": 200, "dilation": 200} | changed
    x = torch.empty(2, case["channels"], case["length"])
    assert has_far_taps(x, case["width"], case["stride"], case["padding"], case["dilation"]) is expected


def test_a_mean_returns_its_gradient_in_the_layout_of_the_tensor():
    z = conv1d(torch.randn(2, 4, 30), torch.randn(8, 4, 3), None, 1, 1, 1).requires_grad_()
    seen = []
    kept = keep_layout(z)
    z.register_hook(seen.append)
    kept.mean(-1).sum().backward()
    assert is_channels_last(seen[0])
    torch.testing.assert_close(seen[0], torch.full_like(z, 1 / 30))


@given(
    seed=st.integers(0, 10_000),
    outputs=st.sampled_from(["all", "positive", "negative"]),
    epsilon=st.sampled_from([0.0, 1e-6, 0.1]),
    own=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    last=st.booleans(),
)
def test_compiled_signal_equals_its_definition(seed, outputs, epsilon, own, dtype, last):
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 5, 7)

    def draw():
        t = torch.randn(shape, generator=generator, dtype=dtype)
        t[torch.rand(shape, generator=generator) < 0.2] = 0
        return t.transpose(1, 2).contiguous().transpose(1, 2) if last else t

    g, z = draw(), draw()
    d = draw() if own else None
    wanted = signal_reference(g, z, None if d is None else d.clone(), epsilon, outputs, 0.5)
    got = signal(g, z, d, epsilon, outputs, 0.5)
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    torch.testing.assert_close(got[0], wanted[0], rtol=tolerance, atol=tolerance)
    assert got[1] == wanted[1]


def test_signal_leaves_the_multiplier_and_pre_activation_alone():
    g, z = torch.randn(3, 4, 5), torch.randn(3, 4, 5)
    before = g.clone(), z.clone()
    signal(g, z, torch.randn(3, 4, 5), 1e-6)
    signal(g, z, None, 1e-6)
    assert torch.equal(g, before[0])
    assert torch.equal(z, before[1])


@pytest.mark.parametrize("bad", [-1e-30, -1.0, float("nan")])
def test_one_negative_entry_anywhere_is_found(bad):
    x = torch.rand(2, 3, 5000)
    assert is_nonnegative(x)
    x[1, 2, 4999] = bad
    assert not is_nonnegative(x)
