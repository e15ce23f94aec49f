"""The elementwise arithmetic of a rule on a GPU, in Triton: one pass over memory each; defined in `arithmetic`."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024


def signal(
    g: Tensor, z: Tensor, denominator: Tensor | None, epsilon: float, which: int, coefficient: float
) -> tuple[Tensor, Tensor | None]:
    """Return what `arithmetic.signal` returns; whether others have a multiplier as 0 or 1 on the device.

    Parameters
    ----------
    g, z, denominator
        Float32, of one shape and one dense memory layout; None where the denominator is ``z``.
    epsilon, coefficient
        As there.
    which
        0: all outputs, 1: positive ones, -1: negative ones.
    """
    out = torch.empty_like(z)
    others = torch.zeros(1, dtype=torch.int32, device=z.device) if which else None
    n = z.numel()
    _signal[(triton.cdiv(n, _BLOCK),)](
        g, z, z if denominator is None else denominator, out, out if others is None else others, n,
        epsilon, coefficient, denominator is not None, epsilon > 0, which, _BLOCK, num_warps=4,
    )  # fmt: skip
    return out, others


def row_products(a: Tensor, b: Tensor) -> Tensor:
    """Return float64 sums of ``a b`` over parts of each of the (N, M) rows, (N, parts); both contiguous float32."""
    rows, entries = a.shape
    chunk = 16 * _BLOCK
    parts = torch.empty(rows, triton.cdiv(entries, chunk), dtype=torch.float64, device=a.device)
    _products[(parts.shape[1], rows)](a, b, parts, entries, chunk, parts.shape[1], _BLOCK, num_warps=4)
    return parts


def renormalised(h: Tensor, before: Tensor, after: Tensor, cap: float) -> Tensor:
    """Do what `arithmetic.renormalised` does, in the memory of ``after``; float32, of one shape and dense layout."""
    n = after.numel()
    _rescale[(triton.cdiv(n, _BLOCK),)](h, before, after, n, cap, _BLOCK, num_warps=4)
    return after


def renormalised_sides(
    h: Tensor,
    total: Tensor,
    bias: Tensor | None,
    before: Tensor,
    after: tuple[Tensor, Tensor],
    scale: tuple[float, float],
    cap: float,
    runs: int,
) -> tuple[Tensor, Tensor]:
    """Do the same for both sides as `arithmetic.renormalised_sides`; ``runs`` entries of a channel lie side by side."""
    n = total.numel()
    _rescale_sides[(triton.cdiv(n, _BLOCK),)](
        h, total, total if bias is None else bias, before, *after, n, runs, total.shape[1], *scale, cap,
        bias is not None, _BLOCK, num_warps=4,
    )  # fmt: skip
    return after


def sum_where_kept(a: Tensor, b: Tensor | None, kept: Tensor, x: Tensor) -> Tensor:
    """Do what `arithmetic.sum_where_kept` does, in the memory of ``a``; float32, of one shape and dense layout."""
    n = a.numel()
    _add_kept[(triton.cdiv(n, _BLOCK),)](
        a, a if b is None else b, kept, x, n, b is not None, _BLOCK, num_warps=4
    )
    return a


@triton.jit
def _ratio(before, after, cap):
    """Return their ratio, held between 1 and the cap."""
    ratio = tl.div_rn(before, tl.where(after == 0, 1.0, after))
    return tl.minimum(tl.maximum(ratio, 1.0), cap)


@triton.jit
def _rescale(h_ptr, before_ptr, after_ptr, n, cap, BLOCK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    is_in = place < n
    h = tl.load(h_ptr + place, mask=is_in, other=0.0)
    before = tl.load(before_ptr + place, mask=is_in, other=0.0)
    after = tl.load(after_ptr + place, mask=is_in, other=0.0)
    tl.store(after_ptr + place, tl.where(after == 0, 0.0, h * _ratio(before, after, cap)), mask=is_in)


@triton.jit
def _rescale_sides(
    h_ptr, total_ptr, bias_ptr, before_ptr, up_ptr, down_ptr, n, runs, channels, up_scale, down_scale, cap,
    HAS_BIAS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    is_in = place < n
    h = tl.load(h_ptr + place, mask=is_in, other=0.0)
    total = tl.load(total_ptr + place, mask=is_in, other=0.0)
    before = tl.load(before_ptr + place, mask=is_in, other=0.0)
    up = tl.load(up_ptr + place, mask=is_in, other=0.0)
    down = tl.load(down_ptr + place, mask=is_in, other=0.0)
    if HAS_BIAS:
        total -= tl.load(bias_ptr + place // runs % channels, mask=is_in, other=0.0)
    difference = tl.minimum(down_scale * (total - tl.div_rn(before, tl.zeros_like(before) + up_scale)), 0.0)
    tl.store(up_ptr + place, tl.where(up == 0, 0.0, h * _ratio(before, up, cap)), mask=is_in)
    tl.store(down_ptr + place, tl.where(down == 0, 0.0, h * _ratio(difference, down, cap)), mask=is_in)


@triton.jit
def _add_kept(a_ptr, b_ptr, kept_ptr, x_ptr, n, HAS_SECOND: tl.constexpr, BLOCK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    is_in = place < n
    total = tl.load(a_ptr + place, mask=is_in, other=0.0)
    if HAS_SECOND:
        total += tl.load(b_ptr + place, mask=is_in, other=0.0)
    kept = tl.load(kept_ptr + place, mask=is_in, other=0.0)
    x = tl.load(x_ptr + place, mask=is_in, other=0.0)
    tl.store(a_ptr + place, tl.where((kept != 0) | (x == 0), total, 0.0), mask=is_in)


@triton.jit
def _signal(
    g_ptr, z_ptr, d_ptr, out_ptr, others_ptr, n, epsilon, coefficient,
    HAS_DENOMINATOR: tl.constexpr, HAS_EPSILON: tl.constexpr, WHICH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    is_in = place < n
    g = tl.load(g_ptr + place, mask=is_in, other=0.0)
    z = tl.load(z_ptr + place, mask=is_in, other=0.0)
    if HAS_DENOMINATOR:
        d = tl.load(d_ptr + place, mask=is_in, other=0.0)
        stable = tl.where(d < 0, d - epsilon, d + epsilon)
        value = tl.where(d == 0, 0.0, tl.div_rn(g * z, tl.where(d == 0, 1.0, stable)))
    elif HAS_EPSILON:
        size = tl.abs(z)
        value = g * tl.div_rn(size, size + epsilon)
    else:
        value = g
    value = value * coefficient
    if WHICH != 0:
        is_chosen = (z >= 0) if WHICH > 0 else (z < 0)
        has_others = tl.max((is_in & (is_chosen == 0) & (g != 0)).to(tl.int32), axis=0)
        tl.atomic_max(others_ptr, has_others, mask=has_others > 0, sem="relaxed")
        value = tl.where(is_chosen, value, 0.0)
    tl.store(out_ptr + place, value, mask=is_in)


@triton.jit
def _products(a_ptr, b_ptr, parts_ptr, entries, chunk, parts, BLOCK: tl.constexpr):
    row = tl.program_id(1).to(tl.int64)
    start = tl.program_id(0) * chunk
    total = tl.zeros([BLOCK], tl.float64)
    for i in range(0, chunk, BLOCK):
        place = start + i + tl.arange(0, BLOCK)
        a = tl.load(a_ptr + row * entries + place, mask=place < entries, other=0.0)
        b = tl.load(b_ptr + row * entries + place, mask=place < entries, other=0.0)
        total += a.to(tl.float64) * b.to(tl.float64)
    tl.store(parts_ptr + row * parts + tl.program_id(0), tl.sum(total, axis=0))
