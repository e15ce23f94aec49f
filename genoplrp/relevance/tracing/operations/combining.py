"""Sums, concatenations and assignments: they share relevance by contribution; the constants among them absorb theirs.

What a constant brings in (a positional encoding, say) is recorded in the ledger.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genoplrp.relevance.tracing.calls import Args, Call, Kwargs, call_with, tensors_in, without_in_place
from genoplrp.relevance.tracing.marks import Marks
from genoplrp.relevance.tracing.operations.affine import shifted_by_channel
from genoplrp.relevance.tracing.registry import handles
from genoplrp.relevance.tracing.tracer import Tracer

COMBINATIONS = """
    add sub rsub subtract cat concat concatenate stack hstack vstack where index_add
    scatter_add index_copy dstack column_stack masked_scatter index_put scatter
    sum_to_size
""".split()


ASSIGNMENTS = ("setitem", "copy")
SUMS = frozenset("add sub rsub subtract".split())
JOINS = frozenset("cat concat concatenate stack hstack vstack".split())


@handles(*COMBINATIONS, linear=True)
def combine(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Any:
    """Sums and concatenations share relevance by contribution; the constants among them absorb theirs."""
    name = func.__name__.strip("_")
    if name == "where" and len(args) > 1 and tracer.is_traced(args[0]):
        raise tracer.refuse("where with a condition that carries relevance")
    if name in SUMS and len(args) == 2 and not kwargs:
        first, second = args if name != "rsub" else args[::-1]
        merged = shifted_by_channel(tracer, first, second, 1.0 if name == "add" else -1.0)
        if merged is not None:
            tracer.count("neutral", name)
            return merged
    tracer.count("neutral", name)
    everything = list(tensors_in(args, kwargs))
    traced = [t for t in everything if tracer.is_traced(t)]
    out_of_place = without_in_place(func)
    if len(everything) > len(traced) or _adds_a_number(args, kwargs):
        out = tracer.watch(name, traced, lambda ts: call_with(out_of_place, args, kwargs, traced, ts))
    else:
        out = out_of_place(*args, **kwargs)
    _mark_combination(tracer, name, func, args, kwargs, everything, out)
    return out


def _adds_a_number(args: Args, kwargs: Kwargs) -> bool:
    return any(isinstance(a, int | float) and a for a in (*args[:2], kwargs.get("other")))


def _mark_combination(
    tracer: Tracer, name: str, func: Call, args: Args, kwargs: Kwargs, everything: list[Tensor], out: Any
) -> None:
    """Remember where the sequences' axis went, and that inputs beside each other are an input still."""
    if name == "stack" and kwargs.get("dim", args[1] if len(args) > 1 else 0) in (0, -out.dim()):
        tracer.mark(out, Marks(batch_axis=1))
    elif name in JOINS and all(tracer.marks_of(t).is_input for t in everything if tracer.is_traced(t)):
        # Further tracks beside the sequence, or both strands in one batch: what follows is an input layer still.
        tracer.mark(out, Marks(is_input=True, shadow=_joined_shadows(tracer, func, args, kwargs, everything)))


@handles("lerp", "addcmul")
def sum_with_product(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Any:
    """Sums that contain a product have no rule in one piece."""
    raise tracer.refuse(func.__name__.strip("_"), remedy="write it as a sum and a product")


def _joined_shadows(
    tracer: Tracer, func: Call, args: Args, kwargs: Kwargs, everything: list[Tensor]
) -> Tensor | None:
    shadows = [tracer.marks_of(t).shadow for t in everything]
    if all(s is None for s in shadows):
        return None
    present = [s for s in shadows if s is not None]

    def joined(ts: list[Tensor]) -> Tensor:
        rest = iter(ts)
        given = [
            torch.zeros_like(t) if s is None else next(rest) for t, s in zip(everything, shadows, strict=True)
        ]
        out: Tensor = call_with(func, args, kwargs, everything, given)
        return out

    return tracer.watch_shadows(func.__name__, present, joined)


@handles("logaddexp")
def logaddexp(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``log(exp(a) + exp(b))`` like `torch.logsumexp`: its gradient; the constant term is absorbed."""
    tracer.count("ruled", "logaddexp")
    traced = [t for t in tensors_in(args, kwargs) if tracer.is_traced(t)]
    return tracer.watch("logaddexp", traced, lambda ts: call_with(func, args, kwargs, traced, ts))


@handles(*ASSIGNMENTS, linear=True)
def assign(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``x[index] = y`` and ``x.copy_(y)`` on a copy: what was overwritten loses its relevance, rightly."""
    name = func.__name__.strip("_")
    target = args[0]
    value = args[2] if name == "setitem" else args[1]
    tracer.count("neutral", name)

    def assigned(ts: list[Tensor]) -> Tensor:
        given = {id(old): new for old, new in zip(inputs, ts, strict=True)}
        out: Tensor = given[id(target)].clone() if id(target) in given else target.clone()
        source: Any = given.get(id(value), value)
        out[args[1] if name == "setitem" else ...] = source
        return out

    inputs = [t for t in (target, value) if tracer.is_traced(t)]
    return tracer.watch(name, inputs, assigned)
