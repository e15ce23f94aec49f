"""Explaining sequences by their differences from shuffled copies of themselves, pruned, and by relevance beside them.

Where nothing may be moved, the noise that views would show is that of the comparison; and where a model answers to
uniform columns as to nothing that it knows, copies say more. Not here: when that is so (`consensus`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from genoplrp.errors import UnsupportedOperationError
from genoplrp.relevance.explainer import Explainer, Target
from genoplrp.relevance.explanation import Explanation
from genoplrp.relevance.joining import unit_of
from genoplrp.relevance.methods.agreement import Agreement
from genoplrp.relevance.methods.deeplift import DeepLift
from genoplrp.relevance.methods.gradients import GradientTimesInput
from genoplrp.relevance.methods.invariance import of_rows, sample_rows, shuffled
from genoplrp.relevance.methods.responses import FEWEST, ask_about_windows, in_words, more_faithful
from genoplrp.relevance.methods.views import Mechanism, View
from genoplrp.relevance.pruning.policy import Pruning

#: Share that is pruned unless told otherwise: with one site there is none to lose.
P = 0.25
#: Shuffled copies at the most; of twelve passes two thirds.
COPIES = 8
#: How much relevance counts beside the differences, both in units of their positive mass.
RELEVANCE_COUNTS = 0.5
AS_IT_LIES = (View(),)


def explain_by_copies(
    explainer: Explainer,
    x: Float[Tensor, "n 4 length"],
    target: Target,
    passes: int,
    mechanisms: Sequence[Mechanism],
    *,
    own: bool,
    views: Sequence[View] = AS_IT_LIES,
    ask: bool = False,
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
    views
        Where copies are compared, in turn: shift and strand. Relevance is that of the sequence as it is.
    ask
        Leave relevance out where the differences are clearly more faithful to the model's responses,
        on some of the sequences (`responses`), if there are eight.

    Returns
    -------
    Explanation
        In units of the mean difference's positive mass; it does not add up to the output. ``settings["mechanisms"]``
        has what was used, ``settings["faithfulness"]`` that of each, if it was measured.
    """
    if own and isinstance(explainer, DeepLift | GradientTimesInput):
        return explainer(x, target, args=args)
    pruning = explainer.pruning if own or explainer.pruning is not None else Pruning(p=P)
    relevance = Explainer(
        explainer.network, explainer.rules, pruning, batch_size=explainer.batch_size, diagnostics=False
    )
    plain = relevance(x, target, args=args)
    plain.settings["mechanisms"] = tuple(mechanisms)
    copies = min(COPIES, 2 * passes // 3) if "difference" in mechanisms else 0
    if not copies:
        return plain
    try:
        maps = differences(explainer, pruning, x, target, copies, views, args=args)
    except UnsupportedOperationError as error:
        plain.notes.append(f"no view by DeepLIFT: {error}")
        return plain
    notes = [f"relevance, and differences from {copies} shuffled copies of each sequence"]
    settings = dict(plain.settings)
    unit = unit_of(maps)
    with_relevance = "relevance" in mechanisms or "box" in mechanisms
    other = plain.per_nucleotide.double()
    if with_relevance and ask and len(x) >= FEWEST:
        faithfulness = _faithfulness(explainer, x, target, {"difference": maps, "relevance": other}, args)
        settings["faithfulness"] = {name: float(values.mean()) for name, values in faithfulness.items()}
        with_relevance = not more_faithful(faithfulness["difference"], faithfulness["relevance"])
        notes.append(in_words(settings["faithfulness"]))
    if with_relevance:
        maps = (maps + RELEVANCE_COUNTS * unit * other / unit_of(other)) / (1 + RELEVANCE_COUNTS)
    else:
        notes[0] = f"differences from {copies} shuffled copies of each sequence"
        settings["mechanisms"] = ("difference",)
    return Explanation(
        relevance=maps.to(plain.relevance.dtype).unsqueeze(1) * x.cpu(),
        prediction=plain.prediction,
        target=plain.target,
        notes=[*plain.notes, *notes],
        settings=settings,
    )


def differences(
    explainer: Explainer,
    pruning: Pruning | None,
    x: Float[Tensor, "n 4 length"],
    target: Target,
    copies: int,
    views: Sequence[View] = AS_IT_LIES,
    *,
    args: Sequence[Tensor] | None = None,
) -> Float[Tensor, "n length"]:
    """Average contributions to the differences from shuffled copies, compared in each of the views in turn.

    No more copies are compared at once than fit a batch.
    """
    agreement = Agreement(len(x), x.shape[2])
    for k, view in enumerate(views):
        seeds = range(k, copies, len(views))
        shown, there = view.apply(x), View(view.shift).undo(torch.ones(1, x.shape[2]))[0] > 0
        for first in range(0, len(seeds), explainer.batch_size):
            some = seeds[first : first + explainer.batch_size]
            lift = DeepLift(
                explainer.network,
                pruning,
                references=partial(_copies, seeds=some),
                batch_size=explainer.batch_size,
                diagnostics=False,
            )
            values = view.undo(lift(shown, target, args=args).per_nucleotide)
            agreement.add(values, there, torch.full((len(x),), float(len(some))))
    return agreement.mean


def _faithfulness(
    explainer: Explainer,
    x: Tensor,
    target: Target,
    maps: dict[str, Tensor],
    args: Sequence[Tensor] | None,
) -> dict[str, Tensor]:
    """Return how faithful each map is to the model's responses, on some of the sequences."""
    rows = sample_rows(len(x))
    theirs, extra = of_rows(rows, target, args)
    some = {name: values[rows] for name, values in maps.items()}
    responses = ask_about_windows(explainer, x[rows], theirs, maps=list(some.values()), args=extra)
    return {name: responses.faithfulness(values) for name, values in some.items()}


def _copies(x: Tensor, seeds: Sequence[int]) -> Tensor:
    return torch.stack([shuffled(x, seed) for seed in seeds], dim=1)
