"""Gradient times input with pruning: the paper's outlook, that pruning serves other backpropagated explanations too.

The gradient is the model's own. What the pruning cuts is, at the input of each convolution and linear layer, the
product of the layer's input and the gradient there; kept entries are rescaled so that each sign keeps its sum. With
p = 0 the result is gradient times input, whatever the model consists of.

References
----------
Shrikumar et al. 2016, arXiv 1605.01713 (gradient times input).
Yanez Sarmiento et al. 2024, ECML PKDD, arXiv 2404.14271 (pruning, and the outlook to other methods).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from genoplrp.relevance.axes import Layout
from genoplrp.relevance.explainer import Explainer
from genoplrp.relevance.methods.difference_operations import (
    LINEAR_MAPS,
    PROBABILITIES,
    REARRANGEMENTS,
)
from genoplrp.relevance.propagation.backward import Run
from genoplrp.relevance.pruning.policy import Pruning
from genoplrp.relevance.rules import Epsilon
from genoplrp.relevance.tracing.calls import Args, Call, Kwargs, run_out_of_place
from genoplrp.relevance.tracing.marks import Marks
from genoplrp.relevance.tracing.names import function_name
from genoplrp.relevance.tracing.operations.products import constant_matrix
from genoplrp.relevance.tracing.registry import HANDLERS, Handler
from genoplrp.relevance.tracing.tracer import Tracer


class GradientTimesInput(Explainer):
    """Explains by gradient times input, pruned on the way down; used like `Explainer`.

    Parameters
    ----------
    model, pruning, batch_size, device, layout, diagnostics, keep_intermediate, keep_multiplier
        As in `Explainer`. ``keep_multiplier`` keeps the (pruned) gradient.

    Notes
    -----
    A model that ends in a sigmoid or softmax is explained at the logit, as by `Explainer`; what the model detaches is a
    constant. Gradient times input does not add up to the output in general: `Explanation.check` says by how much.

    References
    ----------
    Shrikumar et al. 2016, arXiv 1605.01713; Yanez Sarmiento et al. 2024, ECML PKDD.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv1d(4, 8, 5), nn.GELU(), nn.Flatten(), nn.Linear(48, 1))
    >>> X = torch.eye(4)[torch.randint(4, (2, 10))].mT
    >>> explain = GradientTimesInput(model, Pruning(p=0.1))
    >>> explain(X).relevance.shape
    torch.Size([2, 4, 10])
    """

    def __init__(
        self,
        model: nn.Module,
        pruning: Pruning | None = None,
        *,
        batch_size: int = 64,
        device: str | torch.device | None = None,
        layout: Layout | None = None,
        diagnostics: bool = True,
        keep_intermediate: bool | str | Iterable[str] = False,
        keep_multiplier: bool = False,
    ) -> None:
        super().__init__(
            model, Epsilon(0.0), pruning, batch_size=batch_size, device=device, layout=layout,
            diagnostics=diagnostics, keep_intermediate=keep_intermediate, keep_multiplier=keep_multiplier,
        )  # fmt: skip

    def _tracer(self, run: Run) -> Tracer:
        return _GradientTracer(run, self.rules, *self._names())


def _ordinary(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Any:
    """Run an operation as it is, on a new tensor where it would change one in place."""
    tracer.count("neutral", function_name(func)[0])
    return run_out_of_place(func, args, kwargs)


def _probability(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Any:
    out = _ordinary(tracer, func, args, kwargs)
    z = args[0] if args else kwargs["input"]
    tracer.mark(out, Marks(logit=lambda: z))
    return out


def _matrix_product(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Any:
    a, b = args[0], args[1] if len(args) > 1 else kwargs["other"]
    swapped = function_name(func)[0] == "rmatmul"
    layer = constant_matrix(tracer, *((b, a) if swapped else (a, b)))
    return _ordinary(tracer, func, args, kwargs) if layer is None else layer


def _detach(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    out: Tensor = args[0].detach()
    return out


class _Gradients(Mapping[str, Handler]):
    """What to do with each torch function: linear maps are layers, all else has its ordinary gradient."""

    same = LINEAR_MAPS | REARRANGEMENTS | frozenset({"batch_norm", "pad", "constant_pad_nd"})
    own: ClassVar[dict[str, Handler]] = {
        "detach": _detach,
        **dict.fromkeys(PROBABILITIES | {"softmax", "log_softmax"}, _probability),
        **dict.fromkeys(("matmul", "rmatmul", "mm"), _matrix_product),
    }

    def __getitem__(self, name: str) -> Handler:
        return HANDLERS[name] if name in self.same else self.own.get(name, _ordinary)

    def __iter__(self) -> Iterator[str]:
        return iter(HANDLERS)

    def __len__(self) -> int:
        return len(HANDLERS)


@dataclass(eq=False)
class _GradientTracer(Tracer):
    handlers: Mapping[str, Handler] = field(default_factory=_Gradients)

    def is_neutral(self, name: str) -> bool:
        """A gradient is a gradient."""
        return True

    def known(self, tensor: Tensor) -> bool:
        """A gradient is a gradient, also through code that torch functions do not show."""
        return True

    def watch(self, name: str, inputs: list[Tensor], output: Callable[[list[Tensor]], Tensor]) -> Tensor:
        """A gradient absorbs nothing that could be recorded."""
        return output(inputs)
