"""PLRP-M: propagation through a matrix whose rows of pruned inputs are struck out and whose columns keep their sums.

Not here: which inputs are kept (`pruning`, `thresholds`).

References
----------
Yanez Sarmiento et al. 2024, ECML PKDD: PLRP-M.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genoplrp.relevance.elementwise import renormalised
from genoplrp.relevance.propagation import Layer, part_signals, part_sum
from genoplrp.relevance.rules import stabilize

CAP = 10.0
"""No column's part is raised by more than this factor."""


def renormalise_columns(layer: Layer, g: Tensor, keep: Tensor, *, whole: bool) -> Tensor:
    """Propagate again with the rows of pruned inputs struck out and every column given back its sum.

    Parameters
    ----------
    layer, g
        The layer and the multiplier at its output.
    keep
        Bool, like the layer's input.
    whole
        True: the column as a whole, ``z_ij (sum_i z_ij) / (sum_{i in K} z_ij)``, the paper's form (with the bias's
        share as it was, so that p = 0 is LRP). False: the same for the positive and the negative part of each column
        apart, raised at most `CAP` times: neither can cancel or change sign.

    Returns
    -------
    Tensor
        The multiplier of the layer's input, 0 where it is pruned. A column (part) with no kept input absorbs its
        relevance.
    """
    x, kept = layer.x, layer.x * keep
    total: Tensor | None = None
    for part, h in part_signals(layer, g):
        if whole:
            ratio = part_sum(layer, part, x) / stabilize(part_sum(layer, part, kept), 1e-6)
            term = _transpose_part(
                layer, h * ratio, layer.weights(part.positive), layer.weights(part.negative)
            )
            total = term if total is None else total + term
            continue
        for sign in (1, -1):
            on_positive = layer.weights(part.positive).clamp(**_side(sign))
            on_negative = layer.weights(part.negative).clamp(**_side(-sign))
            if not (bool(on_positive.any()) or bool(on_negative.any())):
                continue  # z-plus and its like have one side only
            before = _sum_of_sides(layer, x, on_positive, on_negative)
            after = _sum_of_sides(layer, kept, on_positive, on_negative)
            term = _transpose_part(layer, renormalised(h, before, after, CAP), on_positive, on_negative)
            total = term if total is None else total.add_(term)
    return torch.zeros_like(x) if total is None else total.mul_(keep)


def _transpose_part(layer: Layer, h: Tensor, on_positive: Tensor, on_negative: Tensor) -> Tensor:
    term = layer.map.transpose(h, on_positive, layer.x)
    if layer.has_nonnegative_input:
        return term
    return torch.where(layer.x < 0, layer.map.transpose(h, on_negative, layer.x), term)


def _sum_of_sides(layer: Layer, x: Tensor, on_positive: Tensor, on_negative: Tensor) -> Tensor:
    if layer.has_nonnegative_input:  # then the kept inputs are not negative either
        return layer.map.forward(x, on_positive)
    return layer.map.forward(x.clamp(min=0), on_positive) + layer.map.forward(x.clamp(max=0), on_negative)


def _side(sign: int) -> dict[str, Any]:
    return {"min": 0} if sign > 0 else {"max": 0}
