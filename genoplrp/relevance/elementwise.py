"""The elementwise arithmetic of a rule in one pass over memory: what a linear layer sends back through its weights.

The torch form is the definition; on the CPU a compiled loop does the same without a temporary tensor.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

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
    return torch.where(chosen, h, torch.zeros_like(h)), bool((~chosen & (g != 0)).any())


def renormalised(h: Tensor, before: Tensor, after: Tensor, cap: float) -> Tensor:
    """Return ``h * min(before / after, cap)``, 0 where ``after`` is 0.

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
    ratio = before / torch.where(after == 0, 1, after)
    return h * torch.where(after == 0, torch.zeros_like(ratio), ratio.clamp(max=cap))


def is_nonnegative(x: Tensor) -> bool:
    """Return whether no entry is negative."""
    compiled = _kernel()
    if compiled is not None and _is_plain(x, x, None):
        return not _scan()(_flat(x))
    return bool((x >= 0).all())


def row_products(a: Tensor, b: Tensor) -> Tensor | None:
    """Return the float64 sum of ``a b`` over all but the first axis, (N,); None where there is no compiled form."""
    if _kernel() is None or not _is_plain(a, b, None) or a.dim() < 2:
        return None
    a = _laid_out_like(a.detach(), b)
    out = torch.empty(len(b), dtype=torch.float64)
    _products()(_flat(a).reshape(len(b), -1), _flat(b).reshape(len(b), -1), out.numpy())
    return out


def _is_plain(g: Tensor, z: Tensor, denominator: Tensor | None) -> bool:
    tensors = [t for t in (g, z, denominator) if t is not None]
    return (
        all(t.device.type == "cpu" and t.shape == z.shape and t.dtype == z.dtype for t in tensors)
        and z.dtype in (torch.float32, torch.float64)
        and z.numel() > 0
        and _is_dense(z)
    )


def _is_dense(x: Tensor) -> bool:
    return x.is_contiguous() or (x.dim() == 3 and x.transpose(1, 2).is_contiguous())


def _flat(x: Tensor) -> np.ndarray[Any, Any]:
    """Return the memory of a dense tensor as a vector."""
    ordered = x if x.is_contiguous() else x.transpose(1, 2)
    array: np.ndarray[Any, Any] = ordered.reshape(-1).numpy()
    return array


def _laid_out_like(x: Tensor, like: Tensor) -> Tensor:
    if x.stride() == like.stride() or (_is_dense(x) and x.is_contiguous() == like.is_contiguous()):
        return x
    return torch.empty_like(like).copy_(x)


@functools.cache
def _kernel() -> Any:
    """Return the compiled form of `signal`, or None where numba is missing."""
    try:
        from genoplrp.relevance.compiling import compiled
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
    from genoplrp.relevance.compiling import compiled

    @compiled
    def rescale(h, before, after, cap):  # type: ignore[no-untyped-def]
        for i in range(len(h)):
            ratio = min(before[i] / after[i], cap)
            after[i] = h[i] * ratio if after[i] != 0 else 0

    return rescale


@functools.cache
def _scan() -> Any:
    from genoplrp.relevance.compiling import compiled

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
    from genoplrp.relevance.compiling import compiled

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
