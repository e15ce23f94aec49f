"""The elementwise arithmetic of a rule in one pass over memory: what a linear layer sends back through its weights.

The torch form is the definition; on the CPU a compiled loop does the same without a temporary tensor.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from genoplrp.relevance import devices
from genoplrp.relevance.deferred import holds

Outputs = Literal["all", "positive", "negative"]
_WHICH = {"all": 0, "positive": 1, "negative": -1}


def signal(
    g: Tensor,
    z: Tensor,
    denominator: Tensor | None,
    epsilon: float,
    outputs: Outputs = "all",
    coefficient: float = 1.0,
    *,
    spent: bool = False,
) -> tuple[Tensor, bool]:
    """Return ``c g_j z_j / stab(d_j)`` for the outputs of one sign, 0 for the others.

    Parameters
    ----------
    g, z
        Multiplier and pre-activation of the outputs, of one shape.
    denominator
        ``d``; its memory is used for the result. None where it is ``z`` itself: with ``epsilon = 0`` the result is
        then ``c g`` also where ``z`` is 0.
    epsilon
        Stabilizer.
    outputs
        Which outputs count, by the sign of ``z`` (zero counts as positive).
    coefficient
        ``c``.
    spent
        Whether the memory of ``z`` may be used for the result.

    Returns
    -------
    tuple
        The result (0 where the denominator is 0), and whether an output of the other sign has a multiplier.
    """
    if _is_on_gpu(g, z, denominator):
        like = [z if t is None else _laid_out_like(t.detach(), z) for t in (g, denominator)]
        out, others = _triton().signal(
            like[0], z, None if denominator is None else like[1], epsilon, _WHICH[outputs], coefficient
        )
        return out, others is not None and holds("other outputs", others)
    compiled = _kernel()
    if compiled is not None and _is_plain(g, z, denominator):
        return compiled(g, z, denominator, epsilon, _WHICH[outputs], coefficient, spent)  # type: ignore[no-any-return]
    return signal_reference(g, z, denominator, epsilon, outputs, coefficient)


def signal_reference(
    g: Tensor, z: Tensor, denominator: Tensor | None, epsilon: float, outputs: Outputs, coefficient: float
) -> tuple[Tensor, bool]:
    """Return what `signal` returns, by torch operations; parameters as there."""
    if denominator is None:
        size = z.abs()
        h = g if epsilon == 0 else g * (size / (size + epsilon))
    else:
        sign = torch.where(denominator < 0, -1.0, 1.0).to(z.dtype)
        h = g * z / (denominator + epsilon * sign)
        h = torch.where(denominator == 0, torch.zeros_like(h), h)
    if coefficient != 1.0:
        h = h * coefficient
    if outputs == "all":
        return h, False
    chosen = (z >= 0) if outputs == "positive" else (z < 0)
    return torch.where(chosen, h, torch.zeros_like(h)), holds("other outputs", (~chosen & (g != 0)).any())


def renormalised(h: Tensor, before: Tensor, after: Tensor, cap: float) -> Tensor:
    """Return ``h * ratio``, where ``ratio = before / after`` is held between 1 and ``cap``, and 0 where ``after`` is 0.

    Parameters
    ----------
    h
        What is sent back.
    before, after
        A column's sum over all and over the kept inputs; the memory of ``after`` is used for the result.
    cap
        Largest ratio.
    """
    if _kernel() is not None and _is_plain(h, before, after):
        h, after = _laid_out_like(h, before), _laid_out_like(after, before)
        _rescale()(_flat(h), _flat(before), _flat(after), _flat(before).dtype.type(cap))
        return after
    if _is_on_gpu(h, before, after):
        h, after = _laid_out_like(h.detach(), before), _laid_out_like(after.detach(), before)
        found: Tensor = _triton().renormalised(h, before, after, cap)
        return found
    return h * _ratio(before, after, cap)


def renormalised_sides(
    h: Tensor,
    total: Tensor,
    bias: Tensor | None,
    before: Tensor,
    after: tuple[Tensor, Tensor],
    scale: tuple[float, float],
    cap: float,
) -> tuple[Tensor, Tensor]:
    """Return what `renormalised` does for both sides of a column, the negative one's sum by difference.

    Parameters
    ----------
    h
        What is sent back, 0 wherever ``total`` is not the column's true sum.
    total, bias
        Pre-activation, and the bias in it (C,): ``total - bias = positive sum + negative sum`` of the plain weights.
    before
        Sum of the positive side.
    after
        Sums of both sides over the kept inputs; their memory is used for the results.
    scale
        What the sides' weights are multiplied by.
    cap
        Largest ratio.

    Notes
    -----
    The difference is exact to rounding in the column's largest sum, which is what the result is added to.
    """
    positive, negative = after
    runs = _channel_runs(total)
    if _kernel() is not None and _is_plain(h, total, before) and runs is not None:
        h, before = _laid_out_like(h, total), _laid_out_like(before, total)
        positive, negative = _laid_out_like(positive, total), _laid_out_like(negative, total)
        kind = _flat(total).dtype.type
        constant = torch.zeros(total.shape[1], dtype=total.dtype) if bias is None else bias.contiguous()
        arrays = [_flat(t) for t in (h, total, constant, before, positive, negative)]
        _rescale_sides()(*arrays, runs, kind(scale[0]), kind(scale[1]), kind(cap))
        return positive, negative
    if runs is not None and _is_on_gpu(h, total, before) and _is_on_gpu(positive, total, negative):
        given = [_laid_out_like(t.detach(), total) for t in (h, before, positive, negative)]
        bias = None if bias is None else bias.contiguous()
        sides: tuple[Tensor, Tensor] = _triton().renormalised_sides(
            given[0], total, bias, given[1], (given[2], given[3]), scale, cap, runs
        )
        return sides
    if bias is not None:
        total = total - bias.reshape(-1, *[1] * (total.dim() - 2))
    difference = (scale[1] * (total - before / scale[0])).clamp(max=0)
    return h * _ratio(before, positive, cap), h * _ratio(difference, negative, cap)


def sum_where_kept(a: Tensor, b: Tensor | None, kept: Tensor, x: Tensor) -> Tensor:
    """Return ``a + b`` where the input ``x`` is kept, else 0, in the memory of ``a``.

    Parameters
    ----------
    a, b
        Multipliers; ``b`` may be missing.
    kept
        The inputs, 0 where they are pruned.
    x
        The inputs. Those that are 0 are never pruned.
    """
    second = a if b is None else b
    if _kernel() is not None and _is_plain(a, x, kept) and _is_plain(second, x, None):
        a, second, kept = (_laid_out_like(t, x) for t in (a, second, kept))
        _add_kept()(_flat(a), _flat(second), _flat(kept), _flat(x), b is not None)
        return a
    if _is_on_gpu(a, x, kept) and _is_on_gpu(second, x, None):
        a, second, kept = (_laid_out_like(t.detach(), x) for t in (a, second, kept))
        total: Tensor = _triton().sum_where_kept(a, None if b is None else second, kept, x)
        return total
    total = a if b is None else a.add_(b)
    return total.masked_fill_((kept == 0) & (x != 0), 0)


def _ratio(before: Tensor, after: Tensor, cap: float) -> Tensor:
    return torch.where(after == 0, torch.zeros_like(after), (before / after).clamp(min=1, max=cap))


def _channel_runs(x: Tensor) -> int | None:
    """Return how many entries of one channel lie side by side in a dense tensor's memory."""
    if x.dim() == 2 and x.is_contiguous():
        return 1
    if x.dim() == 3:
        return x.shape[2] if x.is_contiguous() else 1
    return None


def is_nonnegative(x: Tensor) -> bool:
    """Return whether no entry is negative."""
    compiled = _kernel()
    if compiled is not None and _is_plain(x, x, None):
        return not _scan()(_flat(x))
    if x.numel() == 0:
        return True
    return holds("not negative", x.amin() >= 0)  # amin: one pass, and NaN is no number >= 0


def row_products(a: Tensor, b: Tensor) -> Tensor | None:
    """Return the float64 sum of ``a b`` over all but the first axis, (N,), on a GPU in parts, (N, parts).

    None where there is no compiled form.
    """
    if a.dim() >= 2 and _is_on_gpu(a, b, None):
        a = _laid_out_like(a.detach(), b)
        total: Tensor = _triton().row_products(*(_ordered(t).reshape(len(b), -1) for t in (a, b)))
        return total
    if _kernel() is None or not _is_plain(a, b, None) or a.dim() < 2:
        return None
    a = _laid_out_like(a.detach(), b)
    out = torch.empty(len(b), dtype=torch.float64)
    _products()(_flat(a).reshape(len(b), -1), _flat(b).reshape(len(b), -1), out.numpy())
    return out


def _is_plain(g: Tensor, z: Tensor, denominator: Tensor | None) -> bool:
    return z.dtype in (torch.float32, torch.float64) and _are_alike("cpu", g, z, denominator)


def _is_on_gpu(g: Tensor, z: Tensor, denominator: Tensor | None) -> bool:
    return z.dtype == torch.float32 and _are_alike("cuda", g, z, denominator) and _triton() is not None


def _are_alike(device: str, g: Tensor, z: Tensor, denominator: Tensor | None) -> bool:
    tensors = [t for t in (g, z, denominator) if t is not None]
    same = all(devices.kind_of(t) == device and t.shape == z.shape and t.dtype == z.dtype for t in tensors)
    return same and z.numel() > 0 and _is_dense(z)


def _is_dense(x: Tensor) -> bool:
    return x.is_contiguous() or (x.dim() == 3 and x.transpose(1, 2).is_contiguous())


def _flat(x: Tensor) -> np.ndarray[Any, Any]:
    """Return the memory of a dense tensor as a vector."""
    array: np.ndarray[Any, Any] = _ordered(x).reshape(-1).numpy()
    return array


def _ordered(x: Tensor) -> Tensor:
    """Return a dense tensor with its axes as they lie in memory."""
    return x if x.is_contiguous() else x.transpose(1, 2)


def _laid_out_like(x: Tensor, like: Tensor) -> Tensor:
    if x.stride() == like.stride() or (_is_dense(x) and x.is_contiguous() == like.is_contiguous()):
        return x
    return torch.empty_like(like).copy_(x)


@functools.cache
def _triton() -> Any:
    """Return the module of the Triton forms, or None where Triton is missing."""
    try:
        from genoplrp.relevance.propagation import triton_arithmetic
    except ImportError:
        return None
    return triton_arithmetic


@functools.cache
def _kernel() -> Any:
    """Return the compiled form of `signal`, or None where numba is missing."""
    try:
        from genoplrp.relevance.pruning.compiling import compiled
    except ImportError:
        return None

    @compiled
    def loop(g, z, d, out, epsilon, which, coefficient):  # type: ignore[no-untyped-def]
        others = 0
        for i in range(len(g)):
            positive = z[i] >= 0
            chosen = (which == 0) | (positive == (which > 0))
            stable = d[i] + (epsilon if d[i] >= 0 else -epsilon)
            value = coefficient * g[i] * z[i] / stable
            out[i] = value if chosen & (d[i] != 0) else 0
            others |= (not chosen) & (g[i] != 0)
        return others

    @compiled
    def damp(g, z, out, epsilon, which, coefficient):  # type: ignore[no-untyped-def]
        # In blocks by way of memory of their own: out may be z, and loops over memory that overlaps are slow.
        others = 0
        block = np.empty(2048, out.dtype)
        for begin in range(0, len(g), 2048):
            g_block, z_block = g[begin : begin + 2048], z[begin : begin + 2048]
            for i in range(len(g_block)):
                positive = z_block[i] >= 0
                chosen = (which == 0) | (positive == (which > 0))
                size = abs(z_block[i])
                ratio = size / (size + epsilon) if epsilon > 0 else 1
                block[i] = coefficient * g_block[i] * ratio if chosen else 0
                others |= (not chosen) & (g_block[i] != 0)
            out[begin : begin + 2048] = block[: len(g_block)]
        return others

    def run(
        g: Tensor,
        z: Tensor,
        denominator: Tensor | None,
        epsilon: float,
        which: int,
        coefficient: float,
        spent: bool,
    ) -> tuple[Tensor, bool]:
        kind = np.float32 if z.dtype == torch.float32 else np.float64
        g = _laid_out_like(g.detach(), z)
        if denominator is None:
            out = z if spent else torch.empty_like(z)
            others = damp(_flat(g), _flat(z), _flat(out), kind(epsilon), which, kind(coefficient))
        else:
            out = _laid_out_like(denominator, z)
            memory = _flat(out)
            others = loop(_flat(g), _flat(z), memory, memory, kind(epsilon), which, kind(coefficient))
        return out, bool(others)

    return run


@functools.cache
def _rescale() -> Any:
    from genoplrp.relevance.pruning.compiling import compiled

    @compiled
    def rescale(h, before, after, cap):  # type: ignore[no-untyped-def]
        for i in range(len(h)):
            ratio = max(min(before[i] / after[i], cap), 1)
            after[i] = h[i] * ratio if after[i] != 0 else 0

    return rescale


@functools.cache
def _rescale_sides() -> Any:
    from genoplrp.relevance.pruning.compiling import compiled

    @compiled
    def rescale_sides(h, total, bias, before, positive, negative, runs, up, down, cap):  # type: ignore[no-untyped-def]
        # Rows of one channel each, or of all channels side by side.
        length = len(bias) if runs == 1 else runs
        constant = bias.copy() if runs == 1 else np.empty(length, bias.dtype)
        one, zero = bias.dtype.type(1), bias.dtype.type(0)
        for row in range(len(h) // length):
            begin = row * length
            if runs > 1:
                constant[:] = bias[row % len(bias)]
            h_row, total_row = h[begin : begin + length], total[begin : begin + length]
            before_row = before[begin : begin + length]
            positive_row, negative_row = positive[begin : begin + length], negative[begin : begin + length]
            for i in range(length):
                ratio = max(min(before_row[i] / positive_row[i], cap), one)
                positive_row[i] = h_row[i] * ratio if positive_row[i] != 0 else zero
            for i in range(length):
                difference = down * (total_row[i] - constant[i] - before_row[i] / up)
                ratio = max(min(difference / negative_row[i], cap), one)
                negative_row[i] = h_row[i] * ratio if negative_row[i] != 0 else zero

    return rescale_sides


@functools.cache
def _add_kept() -> Any:
    from genoplrp.relevance.pruning.compiling import compiled

    @compiled
    def add_kept(a, b, kept, x, has_second):  # type: ignore[no-untyped-def]
        for i in range(len(a)):
            total = a[i] + (b[i] if has_second else 0)
            a[i] = total if (kept[i] != 0) | (x[i] == 0) else 0

    return add_kept


@functools.cache
def _scan() -> Any:
    from genoplrp.relevance.pruning.compiling import compiled

    @compiled
    def any_negative(x):  # type: ignore[no-untyped-def]
        for start in range(0, len(x), 4096):
            found = 0
            for i in range(start, min(start + 4096, len(x))):
                found |= not (x[i] >= 0)
            if found:
                return True
        return False

    return any_negative


@functools.cache
def _products() -> Any:
    from genoplrp.relevance.pruning.compiling import compiled

    @compiled
    def products(a, b, out):  # type: ignore[no-untyped-def]
        # Sixteen sums side by side: the order of a float64 sum is not for the compiler to change.
        lanes = np.zeros(16)
        for n in range(len(a)):
            x, y = a[n], b[n]
            lanes[:] = 0
            whole = len(x) // 16 * 16
            for i in range(0, whole, 16):
                for j in range(16):
                    lanes[j] += np.float64(x[i + j]) * np.float64(y[i + j])
            total = lanes.sum()
            for i in range(whole, len(x)):
                total += np.float64(x[i]) * np.float64(y[i])
            out[n] = total

    return products
