"""Max pooling without overlap on channels-last sequences, with what follows and precedes it in the same pass.

Rectifying and pooling may change places, so a layer that is rectified and pooled never has its full-size result kept:
the pooled values and, in a byte each, the winners' places are all that the backward pass needs.
What pooling does with relevance is defined in `tracing.operations.pooling`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genoplrp.relevance import devices
from genoplrp.relevance.propagation.layout import is_channels_last
from genoplrp.relevance.pruning.compiling import compiled


def can_pool(z: Tensor) -> bool:
    """Return whether the compiled passes take this tensor: float32, (N, C, L), channels-last, on the CPU."""
    return z.dtype == torch.float32 and devices.kind_of(z) == "cpu" and is_channels_last(z)


def rectified_pool(z: Tensor, width: int, *, rectify: bool) -> tuple[Tensor, Tensor]:
    """Return the maximum of each ``width`` positions (rectified), and which of them it was.

    Parameters
    ----------
    z
        (N, C, L); fast where `can_pool`.
    width
        Positions pooled together, at most 255; what is left over at the end is dropped.
    rectify
        Whether negative maxima become 0.

    Returns
    -------
    tuple of Tensor
        (N, C, L // width) channels-last, and the winners' places for `unpool`; the first wins a tie.
    """
    if not can_pool(z):
        out, places = F.max_pool1d(z, width, return_indices=True)
        return out.relu() if rectify else out, places
    n, channels, length = z.shape
    out = torch.empty(n, length // width, channels)
    winner = torch.empty(n, length // width, channels, dtype=torch.uint8)
    arrays = z.transpose(1, 2).contiguous().numpy(), out.numpy(), winner.numpy()
    _over_rows(run_pool, arrays, width, rectify)
    return out.transpose(1, 2), winner


def unpool(value: Tensor, winner: Tensor, length: int, width: int) -> Tensor:
    """Return (N, C, length), channels-last: each value in its winner's place, all else 0.

    Parameters
    ----------
    value
        (N, C, L // width).
    winner, width
        From `rectified_pool`.
    length
        L.
    """
    n, channels, _ = value.shape
    if winner.dtype != torch.uint8:
        return value.new_zeros(n, channels, length).scatter_(2, winner, value)
    values = value.transpose(1, 2)
    out = torch.empty(n, length, channels)
    arrays = values.contiguous().numpy(), winner.numpy(), out.numpy()
    _over_rows(run_unpool, arrays, width)
    return out.transpose(1, 2)


def unpool_ratio(
    g: Tensor, a: Tensor, winner: Tensor, denominator: Tensor, epsilon: float, width: int
) -> Tensor:
    """Return ``g a / stab(d)`` in the winners' places, all else 0, in the memory of ``d`` where it lies channels-last.

    Parameters
    ----------
    g, a
        (N, C, L // width): multiplier and pooled value.
    winner, width
        From `rectified_pool`.
    denominator
        ``d``, (N, C, L).
    epsilon
        Stabilizer, > 0.
    """
    out = denominator.transpose(1, 2).contiguous()
    products = (g * a).transpose(1, 2).contiguous()
    _over_rows(run_unpool_ratio, (products.numpy(), winner.numpy(), out.numpy()), np.float32(epsilon), width)
    return out.transpose(1, 2)


def _over_rows(kernel: Any, arrays: tuple[np.ndarray[Any, Any], ...], *settings: Any) -> None:
    """Run a kernel over the first axis, in as many threads as torch uses."""
    from genoplrp.relevance.pruning.kernel import over_rows

    entries = max(array.size for array in arrays)
    over_rows(
        len(arrays[0]), entries, lambda start, stop: kernel(*(a[start:stop] for a in arrays), *settings)
    )


@compiled
def run_pool(z, out, winner, width, rectify):  # type: ignore[no-untyped-def]
    """Fill maxima and places of (N, L, C) rows."""
    for n in range(len(z)):
        for p in range(out.shape[1]):
            best, place = out[n, p], winner[n, p]
            first = z[n, p * width]
            for c in range(len(best)):
                best[c] = first[c]
                place[c] = 0
            for k in range(1, width):
                row, this = z[n, p * width + k], np.uint8(k)
                for c in range(len(best)):
                    wins = (row[c] > best[c]) | (row[c] != row[c])
                    best[c] = row[c] if wins else best[c]
                    place[c] = this if wins else place[c]
            if rectify:
                for c in range(len(best)):
                    best[c] = np.float32(0) if best[c] < 0 else best[c]


@compiled
def run_unpool(value, winner, out, width):  # type: ignore[no-untyped-def]
    """Fill (N, L, C) rows from values and places."""
    for n in range(len(out)):
        for p in range(value.shape[1]):
            source, place = value[n, p], winner[n, p]
            for k in range(width):
                row, this = out[n, p * width + k], np.uint8(k)
                for c in range(len(source)):
                    row[c] = source[c] if place[c] == this else np.float32(0)
        for i in range(value.shape[1] * width, out.shape[1]):
            out[n, i] = 0


@compiled
def run_unpool_ratio(product, winner, out, epsilon, width):  # type: ignore[no-untyped-def]
    """Replace denominators (N, L, C) by what `unpool_ratio` returns."""
    zero = np.float32(0)
    for n in range(len(out)):
        for p in range(product.shape[1]):
            source, place = product[n, p], winner[n, p]
            for k in range(width):
                row, this = out[n, p * width + k], np.uint8(k)
                for c in range(len(source)):
                    d = row[c]
                    stable = d + (epsilon if d >= 0 else -epsilon)
                    row[c] = source[c] / stable if (place[c] == this) & (d != 0) else zero
        for i in range(product.shape[1] * width, out.shape[1]):
            out[n, i] = 0
