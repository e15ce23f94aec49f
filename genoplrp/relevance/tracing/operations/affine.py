"""A factor or a summand for each channel, behind a layer: it merges into the layer, as a normalisation does.

Keras adds a layer's bias and scales by a normalisation in this way, also across a transpose; so do hand-written
layers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genoplrp.relevance.tracing.operations.linear import merge_affine
from genoplrp.relevance.tracing.tracer import Tracer


def scaled_by_channel(tracer: Tracer, a: object, b: object) -> Tensor | None:
    """Return ``a * b`` as the layer that made one of them, scaled; None where it is not of that kind."""
    z, constant = _layer_and_constant(tracer, a, b)
    if z is None:
        return None
    return merge_affine(tracer, z, constant.detach().reshape(-1), None)


def shifted_by_channel(tracer: Tracer, a: object, b: object, sign: float = 1.0) -> Tensor | None:
    """Return ``a + sign * b`` as the layer that made ``a`` (or, of a sum, ``b``), with that bias; or None."""
    z, constant = _layer_and_constant(tracer, a, b)
    if z is None or (sign < 0 and z is not a):
        return None
    return merge_affine(tracer, z, None, sign * constant.detach().reshape(-1))


def _layer_and_constant(tracer: Tracer, a: object, b: object) -> tuple[Tensor, Tensor] | tuple[None, Tensor]:
    """Return the layer's output and the constant, which varies along the layer's channels alone."""
    nothing = None, torch.empty(0)
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        return nothing
    z, constant = (a, b) if tracer.is_traced(a) else (b, a)
    axis = tracer.marks_of(z).channel_axis
    if tracer.is_traced(constant) or axis is None or not constant.is_floating_point():
        return nothing
    if constant.dim() > z.dim() or constant.numel() != z.shape[axis] or constant.dim() < z.dim() - axis:
        return nothing
    if constant.dtype != z.dtype or constant.shape[axis - z.dim()] != constant.numel():
        return nothing
    return z, constant
