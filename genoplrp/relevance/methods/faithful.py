"""The largest p that keeps a stated share of faithfulness, for each sequence: what ``Pruning(p="faithful")`` does.

Faithfulness of a map is measured on the model: positions are removed, the most relevant first, and the explained
output is read; the mean fall is the area above the deletion curve. p grows along a grid for as long as the pruned map's
fall is at least the stated share of the unpruned map's, and the last p before it is not is taken.

References
----------
Samek et al. 2017, IEEE TNNLS 28 (deletion curves).
Yanez Sarmiento et al. 2024, ECML PKDD, arXiv 2404.14271 (p by an acceptable loss).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from genoplrp.errors import InputError
from genoplrp.relevance.explainer import Explainer, Target
from genoplrp.relevance.explanation import Explanation
from genoplrp.relevance.inputs import OneTarget, check_input
from genoplrp.relevance.methods.gradients import GradientTimesInput
from genoplrp.relevance.propagation.backward import Run
from genoplrp.relevance.propagation.ledger import Ledger
from genoplrp.relevance.pruning.policy import FAITHFUL, SEARCHES, Pruning
from genoplrp.relevance.tracing.guards import autograd_on

GRID = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
REMOVED = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
"""Shares of the positions that are removed."""


def most_pruned(
    explainer: Explainer,
    X: Float[Tensor, "n 4 length"],
    target: Target = 0,
    *,
    p: Sequence[float] = GRID,
    args: Sequence[Tensor] | None = None,
    progress: bool = False,
) -> Explanation:
    """Explain each sequence with the largest p of a grid up to which faithfulness stays within the stated share.

    Parameters
    ----------
    explainer
        With a `Pruning` whose ``faithfulness`` states the share to keep; its p does not matter.
    X, target, args, progress
        As in a call of the explainer.
    p
        The grid, ascending, from 0.

    Returns
    -------
    Explanation
        ``settings["p"]``: (N,) the p of each sequence; ``settings["faithfulness"]``: (N, len(p)) the mean fall of the
        output at each p, as a share of that at p = 0 (NaN where it was not tried any more).

    Raises
    ------
    InputError
        If the grid does not ascend from 0.

    Notes
    -----
    A position is removed by giving all its channels their mean share, .25 on one-hot DNA, 0 where columns do not sum
    to 1. Where even the unpruned map's most relevant positions do not make the output fall, nothing is pruned, and a
    note says so.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Conv1d(4, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(48, 1))
    >>> X = torch.eye(4)[torch.randint(4, (2, 10))].mT
    >>> e = Explainer(model, pruning=Pruning(p="faithful", faithfulness=0.9))(X)
    >>> e.settings["p"].shape
    torch.Size([2])
    """
    grid = [float(value) for value in p]
    if not grid or grid[0] != 0 or any(a >= b for a, b in pairwise(grid)):
        raise InputError(f"p={list(p)}: a grid that ascends from 0 is needed")
    pruning = explainer.pruning or Pruning()
    x, extra = check_input(X, args, explainer.network)
    prunings: list[Pruning | None] = [pruning.with_p(value) for value in grid]
    explanations = explainer._explain(X, target, args, prunings, progress)
    if len(x) == 0:
        return explanations[0]
    falls = torch.full((len(x), len(grid)), math.nan, dtype=torch.float64)
    falls[:, 0] = _fall(explainer, explanations[0], x, extra, target, torch.arange(len(x)))
    falling = falls[:, 0] > 0
    active, chosen = falling.clone(), torch.zeros(len(x), dtype=torch.int64)
    for k in range(1, len(grid)):
        rows = active.nonzero().flatten()
        if len(rows) == 0:
            break
        falls[rows, k] = _fall(explainer, explanations[k], x, extra, target, rows)
        enough = falls[rows, k] >= pruning.faithfulness * falls[rows, 0]
        chosen[rows[enough]] = k
        active[rows[~enough]] = False
    out = _select(explanations, chosen)
    out.settings["pruning"] = pruning
    out.settings["p"] = torch.tensor(grid, dtype=torch.float64)[chosen]
    out.settings["faithfulness"] = falls / torch.where(falling, falls[:, 0], math.nan)[:, None]
    low, middle, high = (float(f(out.settings["p"])) for f in (torch.min, torch.median, torch.max))
    out.notes.append(
        f"p was chosen for each sequence to keep {pruning.faithfulness:.0%} of faithfulness: {low:g} to {high:g}, "
        f"median {middle:g}"
    )
    if not bool(falling.all()):
        out.notes.append(
            f"{int((~falling).sum())} sequences are not pruned: the output does not fall when their most relevant "
            "positions are removed"
        )
    return out


def _fall(
    explainer: Explainer, e: Explanation, x: Tensor, extra: list[Tensor], target: Target, rows: Tensor
) -> Tensor:
    """Return the mean fall of the output over the shares removed, (rows,) float64."""
    rows_here = rows.to(x.device)
    here = x[rows_here]
    positions = here[0, 0].numel()
    ranks = (
        e.relevance[rows].sum(dim=1).flatten(1).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    )
    total = here.sum(dim=1, keepdim=True)
    blank = torch.where(total == 1, total / here.shape[1], torch.zeros_like(total)).expand_as(here)
    counts = sorted({max(1, round(share * positions)) for share in REMOVED})
    value = torch.zeros(len(rows), dtype=torch.float64)
    for count in counts:
        gone = (ranks < count).reshape(len(rows), 1, *here.shape[2:]).to(x.device)
        outputs = _predict(
            explainer,
            torch.where(gone, blank, here),
            [a[rows_here] for a in extra],
            target[rows] if isinstance(target, Tensor) and target.dim() else target,
        )
        value += e.prediction[rows].double() - outputs
    return value / len(counts)


def _predict(explainer: Explainer, x: Tensor, extra: list[Tensor], target: Target) -> Tensor:
    """Return the explained output (the logit, where the model ends in a sigmoid), (N,) float64, without relevance."""
    return _Reader.like(explainer)._explain(x, target, extra, [None], False)[0].prediction.double()


class _Reader(GradientTimesInput):
    """Goes forward only; whatever the model consists of."""

    def _batch(
        self, x: Tensor, extra: list[Tensor], target: OneTarget, prunings: list[Pruning | None]
    ) -> list[Explanation]:
        with autograd_on():
            _, _, output, _ = self._forward(x, extra, target, Run(batch=len(x)))
        return [Explanation(x.detach().cpu(), output.detach().cpu(), target=None)]


def _select(explanations: list[Explanation], chosen: Tensor) -> Explanation:
    """Return, for each sequence, the explanation that was chosen."""
    first = explanations[0]
    ledgers, start = [], 0
    for k, (offset, _) in enumerate(first.ledgers):
        stop = first.ledgers[k + 1][0] if k + 1 < len(first.ledgers) else len(first)
        ledgers.append((offset, _select_ledger([e.ledgers[k][1] for e in explanations], chosen[start:stop])))
        start = stop
    multipliers = [e.multiplier for e in explanations if e.multiplier is not None]
    return replace(
        first,
        relevance=_pick([e.relevance for e in explanations], chosen),
        multiplier=_pick(multipliers, chosen) if multipliers else None,
        intermediate={
            name: _pick([e.intermediate[name] for e in explanations], chosen) for name in first.intermediate
        },
        notes=list(first.notes),
        settings=dict(first.settings),
        ledgers=ledgers,
    )


def _select_ledger(variants: list[Ledger], chosen: Tensor) -> Ledger:
    first = variants[0]
    rows = {
        name: {
            key: _pick([v.rows[name][key] for v in variants], chosen) if isinstance(value, Tensor) else value
            for key, value in row.items()
        }
        for name, row in first.rows.items()
    }
    absorbed = {name: _pick([v.absorbed[name] for v in variants], chosen) for name in first.absorbed}
    return Ledger(rows, absorbed, first.operations)


def _pick(values: list[Tensor], chosen: Tensor) -> Tensor:
    at = chosen.to(values[0].device)
    return torch.stack(values)[at, torch.arange(len(at), device=at.device)]


SEARCHES[FAITHFUL] = most_pruned
