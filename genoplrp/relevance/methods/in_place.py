"""Explaining sequences as they lie, where a model's answer is bound to a place and a strand.

Where nothing may be moved, the noise that views would show is that of the comparison: DeepLIFT from several shuffled
copies, pruned on the way down, and pruned relevance beside it. Not here: when that is so (`invariance`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from genoplrp.errors import UnsupportedOperationError
from genoplrp.relevance.explainer import Explainer, Target, unit_of
from genoplrp.relevance.explanation import Explanation
from genoplrp.relevance.methods.deeplift import DeepLift
from genoplrp.relevance.methods.gradients import GradientTimesInput
from genoplrp.relevance.methods.invariance import shuffled
from genoplrp.relevance.methods.views import Mechanism
from genoplrp.relevance.pruning.policy import Pruning

#: Share that is pruned unless told otherwise: with one site there is none to lose.
P = 0.25
#: Shuffled copies at the most; of twelve passes two thirds.
COPIES = 8
#: How much relevance counts beside the differences, both in units of their positive mass.
RELEVANCE_COUNTS = 0.5


def explain_in_place(
    explainer: Explainer,
    x: Tensor,
    target: Target,
    passes: int,
    mechanisms: Sequence[Mechanism],
    *,
    own: bool,
    args: Sequence[Tensor] | None = None,
) -> Explanation:
    """Average DeepLIFT from shuffled copies and relevance, both pruned, each in units of its positive mass.

    Parameters
    ----------
    explainer
        With its rules and its pruning; p = .25 where it has none and is not the user's ``own``. A `DeepLift` or
        `GradientTimesInput` explains alone.
    x, target, args
        As in its call.
    passes, mechanisms
        Two thirds of the passes, eight at the most, go to shuffled copies, if differences are asked for.
    own
        Whether the explainer is the user's.

    Returns
    -------
    Explanation
        In units of the mean difference's positive mass; it does not add up to the output.
    """
    if own and isinstance(explainer, DeepLift | GradientTimesInput):
        return explainer(x, target, args=args)
    pruning = explainer.pruning if own or explainer.pruning is not None else Pruning(p=P)
    relevance = Explainer(
        explainer.network, explainer.rules, pruning, batch_size=explainer.batch_size, diagnostics=False
    )
    plain = relevance(x, target, args=args)
    copies = min(COPIES, 2 * passes // 3) if "difference" in mechanisms else 0
    if not copies:
        return plain
    try:
        maps = _differences(explainer, pruning, x, target, copies, args)
    except UnsupportedOperationError as error:
        plain.notes.append(f"no view by DeepLIFT: {error}")
        return plain
    unit = unit_of(maps)
    if "relevance" in mechanisms or "box" in mechanisms:
        other = plain.per_nucleotide.double()
        maps = (maps + RELEVANCE_COUNTS * unit * other / unit_of(other)) / (1 + RELEVANCE_COUNTS)
    return Explanation(
        relevance=maps.to(plain.relevance.dtype).unsqueeze(1) * x.cpu(),
        prediction=plain.prediction,
        target=plain.target,
        notes=[*plain.notes, f"relevance, and differences from {copies} shuffled copies of each sequence"],
        settings=plain.settings,
    )


def _differences(
    explainer: Explainer,
    pruning: Pruning | None,
    x: Tensor,
    target: Target,
    copies: int,
    args: Sequence[Tensor] | None,
) -> Tensor:
    """Average contributions to the differences from shuffled copies, no more of them at once than fit a batch."""
    size = min(copies, explainer.batch_size)
    total = torch.zeros(len(x), x.shape[2], dtype=torch.float64)
    for first in range(0, copies, size):
        seeds = range(first, min(first + size, copies))
        lift = DeepLift(
            explainer.network,
            pruning,
            references=partial(_copies, seeds=seeds),
            batch_size=explainer.batch_size,
            diagnostics=False,
        )
        total += len(seeds) * lift(x, target, args=args).per_nucleotide.double()
    return total / copies


def _copies(x: Tensor, seeds: Sequence[int]) -> Tensor:
    return torch.stack([shuffled(x, seed) for seed in seeds], dim=1)
