"""Explaining further sequences, or filters, as those at hand were: with the rules and the pruning of their file."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

import numpy as np

from genoplrp.errors import InputError
from genoplrp.relevance.inputs import automatic_batch
from genoplrp.sequence import codes_to_one_hot, one_hot_to_codes
from genoplrp.sites.calling import Explain
from genoplrp.sites.filters import FilterView, filter_view

if TYPE_CHECKING:
    from torch import nn

    from genoplrp.formats.explained import Explained
    from genoplrp.relevance import Pruning
    from genoplrp.relevance.explainer import Target

_BASES = 200_000  # for the view of the filters


def explained_target(explained: Explained) -> str:
    """Name of the output that was explained, as its ``meta`` has it."""
    return str(explained.meta.get("target", explained.meta.get("task", 0)))


def explain_alike(
    model: nn.Module,
    explained: Explained,
    target: Target,
    *,
    other: bool = False,
    device: str | None = None,
    batch_size: int | None = None,
) -> Explain:
    """Return a function that explains further sequences as those at hand were.

    Parameters
    ----------
    model : torch.nn.Module
        The model.
    explained : Explained
        Its ``meta`` holds rules and pruning; the first sequences are explained again to see that they agree.
    target : int or callable
        The output that was explained.
    other : bool
        It is another output than the one that was explained: nothing can be compared then.
    device, batch_size
        As in `genoplrp.Explainer`; by default as many as make about 131,072 bases.

    Raises
    ------
    InputError
        If the model does not give the relevance at hand.
    """
    import torch

    from genoplrp.relevance import Explainer, consensus
    from genoplrp.relevance.naming import CONSENSUS_RULES

    rules, made = _settings(explained)
    batch_size = batch_size or automatic_batch(explained.length)
    explainer = Explainer(model, rules, made, device=device, batch_size=batch_size, diagnostics=False)
    views = explained.meta.get("consensus")

    def explain(codes: np.ndarray) -> np.ndarray:
        X = torch.from_numpy(codes_to_one_hot(codes))
        if views is None:
            e = explainer(X, target)
        elif explained.meta["rules"] == CONSENSUS_RULES:
            e = consensus(
                model, X, target, pruning=made, ask=False, device=device, batch_size=batch_size, **views
            )
        else:
            e = consensus(explainer, X, target, ask=False, **views)
        return np.asarray(e.per_nucleotide.numpy())

    if other:
        return explain
    first = next(iter(explained.blocks()))
    few = slice(0, min(4, len(first.X)))
    again, there = explain(one_hot_to_codes(first.X[few])), first.scores[few].sum(axis=1)
    scale = float(np.abs(there).max()) or 1.0
    if float(np.abs(again - there).max()) > 0.01 * scale:
        raise InputError(
            "the model does not give the relevance at hand (it differs by "
            f"{np.abs(again - there).max() / scale:.0%} of the largest value): name the model, and the target, that "
            "were explained"
        )
    return explain


def filters_alike(
    model: nn.Module,
    explained: Explained,
    target: Target,
    *,
    layer: str | None = None,
    device: str | None = None,
    limit: int | None = None,
) -> FilterView:
    """Return `filter_view` of the first sequences, explained as those at hand were.

    Parameters
    ----------
    model, explained, target, device
        As in `explain_alike`.
    layer
        As in `filter_view`.
    limit : int, optional
        Sequences to use; by default as many as have 200,000 bases, between 16 and 1,000.

    Raises
    ------
    InputError
        As `filter_view`.
    """
    import torch

    rules, made = _settings(explained)
    X, _ = held(explained, limit or min(1000, max(16, _BASES // explained.length)))
    batch_size = automatic_batch(explained.length)
    return filter_view(
        model,
        torch.from_numpy(X),
        target,
        layer=layer,
        rules=rules,
        pruning=made,
        batch_size=batch_size,
        device=device,
        progress=True,
    )


def _settings(explained: Explained) -> tuple[Any, Pruning | None]:
    """Rules and pruning as the manifest holds them."""
    from genoplrp.relevance import Pruning
    from genoplrp.relevance.naming import CONSENSUS_RULES

    pruning = explained.meta.get("pruning")
    made = None if pruning is None else Pruning(**{key: _literal(value) for key, value in pruning.items()})
    rules = explained.meta["rules"]
    return "gamma" if rules == CONSENSUS_RULES else rules, made


def held(explained: Explained, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first sequences, (n, 4, L), and their scores."""
    blocks, held = [], 0
    for block in explained.blocks():
        blocks.append(block)
        held += len(block.X)
        if held >= limit:
            break
    X = np.concatenate([block.X for block in blocks])[:limit]
    return X, np.concatenate([block.scores for block in blocks])[:limit]


def _literal(value: object) -> Any:
    """A setting as it was: manifests hold it as text."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value
