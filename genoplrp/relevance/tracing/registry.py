"""The registry of operations: what each torch function does with relevance, and what kind of function it is.

One entry serves every explanation: LRP takes the handler; DeepLIFT takes it too where the operation is linear, and the
secant where it works entry by entry; gradients pass by both. Not here: the handlers (package `operations`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genoplrp.relevance.tracing.tracer import Tracer

Handler = Callable[["Tracer", Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]

HANDLERS: dict[str, Handler] = {}
"""Name of a torch function, without its namespace and in-place underscore, -> what to do where it meets relevance."""

NEUTRAL: set[str] = set()
"""Names of those that are linear or homogeneous in one tensor: their ordinary gradient is the rule."""

LINEAR: set[str] = set()
"""Names of those that are linear (or add a constant): they do with a difference what they do with relevance."""

ELEMENTWISE: set[str] = set()
"""Names of functions of one tensor, entry by entry: the multiplier of a difference is the slope of the secant."""

DIFFERENCES: dict[str, Handler] = {}
"""Name of a function that DeepLIFT handles in a way of its own -> what it does with the difference."""

FROM_OUTSIDE: set[str] = set()
"""Names that `register_operation` was given: what their handlers return is compared with the function's own result."""


def handles(
    *names: str, linear: bool = False, elementwise: bool = False, neutral: bool = False
) -> Callable[[Handler], Handler]:
    """Register a handler for torch functions by name, and say of what kind they are."""

    def register(handler: Handler) -> Handler:
        for name in names:
            _add(name, handler, linear=linear, elementwise=elementwise, neutral=neutral)
            FROM_OUTSIDE.discard(name)
        return handler

    return register


def register_operation(
    name: str,
    handler: Handler,
    *,
    linear: bool = False,
    elementwise: bool = False,
    neutral: bool = False,
    difference: Handler | None = None,
) -> None:
    """Say what a torch function does with relevance where the engine does not know it.

    Parameters
    ----------
    name
        Bare name of the function, as the error that refuses it says it: ``"cosine_similarity"``, for
        `torch.special.erfc` ``"special_erfc"``.
    handler
        ``handler(tracer, func, args, kwargs)`` returns the function's result built from torch operations whose
        gradient is the rule: relevance is carried as ``R / a``, so whatever is linear and homogeneous can be called as
        it is, and a factor that carries no relevance is detached. A result that differs from the function's own is
        refused when a model is explained.
    linear
        The function is linear in what carries relevance (a constant may be added): the handler serves DeepLIFT too.
    elementwise
        It is a function of one tensor, entry by entry: DeepLIFT takes the slope of its secant. Of an operation that is
        neither, and has no `difference`, DeepLIFT says that it has no rule.
    neutral
        Its ordinary gradient is the rule whatever its arguments are: it may be called under ``vmap``, which hides them.
    difference
        Handler for DeepLIFT, where it is neither: the gradient of what it returns is the multiplier of the difference
        between input and reference. ``tracer.pair(name, x)`` gives both sides
        (`genoplrp.relevance.methods.differences.Pair`).

    Examples
    --------
    >>> def handler(tracer, func, args, kwargs):
    ...     return func(*args, **kwargs)
    >>> register_operation("my_linear_map", handler, linear=True)
    """
    _add(name, handler, linear=linear, elementwise=elementwise, neutral=neutral)
    FROM_OUTSIDE.add(name)
    if difference is not None:
        DIFFERENCES[name] = difference


def _add(name: str, handler: Handler, *, linear: bool, elementwise: bool, neutral: bool) -> None:
    HANDLERS[name] = handler
    for kind, is_of_it in ((LINEAR, linear), (ELEMENTWISE, elementwise), (NEUTRAL, neutral)):
        if is_of_it:
            kind.add(name)
