"""The explanations of batches and of several p as one: brought to the CPU, joined, averaged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from genoplrp.errors import InputError
from genoplrp.relevance.explanation import Explanation


def join(parts: list[Explanation]) -> Explanation:
    """Return one explanation of all the sequences of several."""
    first = parts[0]
    if len(parts) == 1:
        return first
    ledgers, offset = [], 0
    for part in parts:
        ledgers += [(offset + start, ledger) for start, ledger in part.ledgers]
        offset += len(part)
    targets = [p.target for p in parts if isinstance(p.target, Tensor)]
    return replace(
        first,
        relevance=torch.cat([p.relevance for p in parts]),
        prediction=torch.cat([p.prediction for p in parts]),
        target=_joined(targets) if targets else first.target,
        multiplier=_joined(p.multiplier for p in parts),
        intermediate={k: torch.cat([p.intermediate[k] for p in parts]) for k in first.intermediate},
        notes=list(dict.fromkeys(note for p in parts for note in p.notes)),
        ledgers=ledgers,
        baseline=_joined(p.baseline for p in parts),
    )


def _joined(parts: Iterable[Tensor | None]) -> Tensor | None:
    present = [part for part in parts if part is not None]
    return torch.cat(present) if present else None


def averaged(explanations: Iterable[Explanation], p: Sequence[float]) -> Explanation:
    """Return the average over several p of the same sequences' maps, each in units of its positive mass.

    The result is scaled to the positive mass of the first map.
    """
    total: Tensor | None = None
    first: Explanation | None = None
    for e in explanations:
        share = e.relevance / unit_of(e.relevance)
        total = share if total is None else total + share
        first = e if first is None else first
    if first is None or total is None:
        raise InputError("average(p=[]): give at least one p")
    return Explanation(
        relevance=total * unit_of(first.relevance) / len(p),
        prediction=first.prediction,
        target=first.target,
        notes=[*first.notes, f"average over p = {', '.join(f'{v:g}' for v in p)}"],
        settings=first.settings | {"average": list(p)},
    )


def unit_of(relevance: Tensor) -> Tensor:
    """Return the positive mass of each map; where there is none, the negative one; 1 for an empty map."""
    flat = relevance.flatten(1)
    positive, negative = flat.clamp(min=0).sum(dim=1), flat.clamp(max=0).abs().sum(dim=1)
    unit = torch.where(positive > 0, positive, negative)
    return torch.where(unit > 0, unit, 1.0).reshape(-1, *[1] * (relevance.dim() - 1))


def opened(e: Explanation) -> Explanation:
    """Return an explanation whose lists and ledgers are its own."""
    ledgers = [(first, ledger.opened()) for first, ledger in e.ledgers]
    return replace(e, notes=list(e.notes), ledgers=ledgers)


def on_host(e: Explanation) -> Explanation:
    """Return an explanation in the CPU's memory."""
    for _, ledger in e.ledgers:
        ledger.close()
    return replace(
        e,
        relevance=e.relevance.cpu(),
        prediction=e.prediction.cpu(),
        multiplier=None if e.multiplier is None else e.multiplier.cpu(),
        intermediate={name: value.cpu() for name, value in e.intermediate.items()},
    )
