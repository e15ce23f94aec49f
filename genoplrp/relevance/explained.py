"""The explained numbers: found in what a traced model returned, at its logits, and checked."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genoplrp.errors import InputError, NonFiniteError
from genoplrp.relevance.deferred import refuse_unless_finite
from genoplrp.relevance.inputs import OneTarget, select_target
from genoplrp.relevance.presets import is_named
from genoplrp.relevance.propagation.backward import Run
from genoplrp.relevance.targets import Difference, Term
from genoplrp.relevance.tracing.tracer import LOGIT, Tracer


def explained_numbers(y: Any, tracer: Tracer, target: OneTarget, n: int) -> Tensor:
    """Return the explained numbers, (N,), from the model's output at its logits."""
    tracer.in_target = True
    with tracer:
        chosen = select_target(y, target, n)
    output: Tensor = tracer.latest(chosen)
    if not tracer.is_traced(output):
        raise InputError("the explained output does not depend on the model's input: name another output")
    if not tracer.known(output):
        raise tracer.refuse(type(output.grad_fn).__name__, "the output was made by code that cannot be seen")
    check_finite(output, "the model's output")
    _resolve_kept(tracer.run)
    return output


def at_logits(y: Any, tracer: Tracer) -> Any:
    """Replace outputs that end in a sigmoid or softmax by what went into it."""
    if isinstance(y, Tensor):
        logit = tracer.marks_of(y).logit
        if logit is None:
            return y
        tracer.note(LOGIT)
        with tracer:
            out: Tensor = logit()
        return out
    if isinstance(y, tuple | list) and type(y) in (tuple, list):
        return type(y)(at_logits(v, tracer) for v in y)
    if isinstance(y, dict):
        return {k: at_logits(v, tracer) for k, v in y.items()}
    return y


def _resolve_kept(run: Run) -> None:
    """Turn the names and patterns of the layers to keep into layer names."""
    if run.keep is None or run.keep == "all":
        return
    names = [layer.name for layer in run.layers]
    for pattern in run.keep:
        if not any(is_named(name, pattern) for name in names):
            raise InputError(
                f"keep_intermediate names the layer {pattern!r}; the model has {', '.join(names)} (relevance is kept "
                "at the input of convolutions and linear layers)"
            )
    run.keep = {name for name in names if any(is_named(name, pattern) for pattern in run.keep)}


def check_finite(values: Tensor, what: str) -> None:
    """Refuse values, one row a sequence, that hold NaN or infinity."""
    if values.numel() == 0:
        return
    # The largest size of a row is NaN where one of its entries is.
    sizes = torch.linalg.vector_norm(values.detach().reshape(len(values), -1), torch.inf, dim=1)

    def error() -> NonFiniteError:
        bad = ~torch.isfinite(sizes)
        return NonFiniteError(
            f"{what} of sequence {int(bad.nonzero()[0])} of its batch ({int(bad.sum())} of {len(values)}) is not "
            "finite: check the model's weights and the input for NaN, infinity or very large values"
        )

    refuse_unless_finite(sizes, error)


def target_value(target: OneTarget) -> int | str | Tensor | None:
    """Return what an explanation keeps of its target: the indices, or the text of what was asked."""
    if isinstance(target, Tensor):
        return target.cpu()
    if isinstance(target, Term | Difference):
        return target.text
    return getattr(target, "__name__", repr(target)) if callable(target) else target
