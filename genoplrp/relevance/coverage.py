"""Which operations of a model have a relevance rule: all of a forward pass, counted, before anything is explained.

An explanation stops at the first operation without a rule; here the pass goes on and names them all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genoplrp.errors import UnsupportedOperationError
from genoplrp.relevance.axes import Layout, adapt_model
from genoplrp.relevance.explainer import Explainer
from genoplrp.relevance.inputs import check_input
from genoplrp.relevance.presets import DEFAULT_PRESET, Rules
from genoplrp.relevance.propagation.backward import Run
from genoplrp.relevance.tracing.calls import Args, Call, Kwargs, run_out_of_place
from genoplrp.relevance.tracing.guards import autograd_on, evaluation_mode
from genoplrp.relevance.tracing.names import function_name, qualified_name
from genoplrp.relevance.tracing.plainly import plainly
from genoplrp.relevance.tracing.registry import HANDLERS, Handler
from genoplrp.relevance.tracing.tracer import Tracer, one_explanation

if TYPE_CHECKING:
    import pandas as pd


def coverage(
    model: nn.Module,
    X: Float[Tensor, "n 4 length"],
    *,
    rules: Rules = DEFAULT_PRESET,
    args: Sequence[Tensor] | None = None,
    layout: Layout | None = None,
) -> pd.DataFrame:
    """Run a model once and say of each operation that touches relevance whether it is ruled, neutral or refused.

    Parameters
    ----------
    model, rules, args, layout
        As in `Explainer`.
    X
        A few sequences, (N, 4, L); what the model does with them is what is counted.

    Returns
    -------
    DataFrame
        ``module, operation, kind, calls, reason``, in the order of the first call. ``kind`` is ``"ruled"`` (an LRP
        rule acts there), ``"neutral"`` (its ordinary gradient is the rule) or ``"refused"`` (`Explainer` raises there,
        for the ``reason``).

    Raises
    ------
    InputError, UnsupportedModelError
        If the model or X cannot be used at all.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv1d(4, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(48, 1))
    >>> X = torch.eye(4)[torch.randint(4, (2, 10))].mT
    >>> coverage(model, X)["kind"].tolist()
    ['ruled', 'neutral', 'neutral', 'ruled']
    """
    import pandas as pd

    runner = adapt_model(Explainer(model, rules).model, layout, X=torch.as_tensor(X))
    x, extra = check_input(X, args, runner)
    surveyor = _Surveyor(runner, rules)
    with one_explanation(), evaluation_mode(runner), plainly(), autograd_on():
        tracer = surveyor.trace(x, extra)
    rows = [(*key, calls, tracer.reasons.get(key, "")) for key, calls in tracer.seen.items()]
    return pd.DataFrame(rows, columns=["module", "operation", "kind", "calls", "reason"])


class _Surveyor(Explainer):
    def trace(self, x: Tensor, extra: list[Tensor]) -> _SurveyTracer:
        run = Run(batch=len(x))
        tracer = _SurveyTracer(run, self.rules, *self._names())
        leaf = x.detach().clone().requires_grad_(True)
        tracer.leaf(leaf, is_input=True, shadow=leaf.detach().clone().zero_().requires_grad_(True))
        with tracer:
            self._called(leaf, *extra)
        return tracer


class _Forgiving(Mapping[str, Handler]):
    """The handlers, each followed by the plain operation where it refuses; and the plain one where there is none."""

    def __getitem__(self, name: str) -> Handler:
        known = HANDLERS.get(name)

        def handler(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Any:
            assert isinstance(tracer, _SurveyTracer)
            try:
                if known is None:
                    raise tracer.refuse(qualified_name(func))
                return known(tracer, func, args, kwargs)
            except UnsupportedOperationError as error:
                tracer.refused(function_name(func)[0], str(error))
                return run_out_of_place(func, args, kwargs)

        return handler

    def get(self, name: str, default: Any = None) -> Handler:
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(HANDLERS)

    def __len__(self) -> int:
        return len(HANDLERS)


@dataclass(eq=False)
class _SurveyTracer(Tracer):
    handlers: Mapping[str, Handler] = field(default_factory=_Forgiving)
    seen: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    reasons: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def count(self, kind: str, name: str) -> None:
        """Count an operation by its module."""
        super().count(kind, name)
        self.seen[self.where(), name, kind] += 1

    def refused(self, name: str, why: str) -> None:
        """Count an operation that has no rule."""
        key = (self.where(), name, "refused")
        self.seen[key] += 1
        self.reasons.setdefault(key, why)

    def _check_known(self, traced: list[Tensor], name: str) -> None:
        try:
            super()._check_known(traced, name)
        except UnsupportedOperationError as error:
            hidden = next(t for t in traced if not self.known(t))
            self.refused(type(hidden.grad_fn).__name__, str(error))
            self._nodes[id(hidden.grad_fn)] = hidden.grad_fn
