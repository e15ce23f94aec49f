"""PLRP-M: propagation through a matrix whose rows of pruned inputs are struck out and whose columns keep their sums.

Not here: which inputs are kept (`pruning`).

References
----------
Yanez Sarmiento et al. 2024, ECML PKDD: PLRP-M.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genoplrp.relevance.propagation.arithmetic import renormalised, renormalised_sides, sum_where_kept
from genoplrp.relevance.propagation.layer import Layer, part_sum, signals_of
from genoplrp.relevance.rules import Part, stabilize

CAP = 10.0
"""No column's part is raised by more than this factor."""


def renormalise_columns(layer: Layer, g: Tensor, kept: Tensor, *, whole: bool) -> Tensor:
    """Propagate again with the rows of pruned inputs struck out and every column given back its sum.

    Parameters
    ----------
    layer, g
        The layer and the multiplier at its output.
    kept
        The layer's input, 0 where it is pruned.
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
    terms = []
    # Taken off the lists one by one: nothing is kept alive that is sent back already.
    signals = list(signals_of(layer, g))
    while signals:
        part, h = signals.pop(0)
        if whole:
            ratio = part_sum(layer, part, layer.x) / stabilize(part_sum(layer, part, kept), 1e-6)
            terms.append(
                _transpose_part(layer, h * ratio, layer.weights(part.positive), layer.weights(part.negative))
            )
            continue
        sides = _by_sides(layer, part, h, kept)
        del h
        while sides:
            weights, signal = sides.pop(0)
            terms.append(_transpose_part(layer, signal, *weights))
            del signal
            if len(terms) > 2:
                terms[-2:] = [terms[-2].add_(terms[-1])]
    if not terms:
        return torch.zeros_like(layer.x)
    return sum_where_kept(terms[0], terms[1] if len(terms) > 1 else None, kept, layer.x)


def _by_sides(
    layer: Layer, part: Part, h: Tensor, kept: Tensor
) -> list[tuple[tuple[Tensor, Tensor], Tensor]]:
    """Return the weights of each sign of the columns, and what is sent back through them."""
    up, down = layer.side(part, 1), layer.side(part, -1)
    sides = [side for side in (up, down) if side is not None]
    if up is not None and down is not None and _difference_is_sum(layer, part):
        before = _sum_of_side(layer, layer.x, up)
        after = _sum_of_side(layer, kept, up), _sum_of_side(layer, kept, down)
        scale = 1 + part.positive.plus, 1 + part.positive.minus
        signals = renormalised_sides(h, layer.z, layer.bias, before, after, scale, CAP)
        return list(zip(sides, signals, strict=True))
    out = []
    for side in sides:
        before, after_side = _sum_of_side(layer, layer.x, side), _sum_of_side(layer, kept, side)
        out.append((side, renormalised(h, before, after_side, CAP)))
    return out


def _difference_is_sum(layer: Layer, part: Part) -> bool:
    """Return whether the negative side's sum is what the pre-activation lacks to the positive side's."""
    is_batch = layer.z.dim() == layer.weight.dim()
    return is_batch and layer.has_nonnegative_input and not layer.is_gauge_fixed and part.positive.raw == 1


def _transpose_part(layer: Layer, h: Tensor, on_positive: Tensor, on_negative: Tensor) -> Tensor:
    term = layer.map.transpose(h, on_positive, layer.x)
    if layer.has_nonnegative_input:
        return term
    return torch.where(layer.x < 0, layer.map.transpose(h, on_negative, layer.x), term)


def _sum_of_side(layer: Layer, x: Tensor, side: tuple[Tensor, Tensor]) -> Tensor:
    on_positive, on_negative = side
    if layer.has_nonnegative_input:  # then the kept inputs are not negative either
        return layer.map.forward(x, on_positive)
    return layer.map.forward(x.clamp(min=0), on_positive) + layer.map.forward(x.clamp(max=0), on_negative)
