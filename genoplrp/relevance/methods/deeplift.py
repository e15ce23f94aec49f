"""DeepLIFT with pruning: contributions to the difference between a sequence and references, pruned on the way down.

The engine runs on differences: a linear layer hands its output's multipliers to the differences at its input, there
they are pruned and rescaled like relevance. With p = 0 the result is DeepLIFT (rescale rule), averaged over references
DeepLIFT/SHAP.

References
----------
Shrikumar, Greenside and Kundaje 2017, ICML (DeepLIFT); Lundberg and Lee 2017, NeurIPS (DeepLIFT/SHAP).
Yanez Sarmiento et al. 2024, ECML PKDD, arXiv 2404.14271 (pruning, and the outlook to other methods).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from genoplrp.errors import InputError
from genoplrp.relevance.axes import Layout
from genoplrp.relevance.explainer import Explainer, Target
from genoplrp.relevance.explanation import Explanation
from genoplrp.relevance.inputs import OneTarget, check_input
from genoplrp.relevance.methods.difference_operations import DIFFERENCE_HANDLERS
from genoplrp.relevance.methods.differences import DifferenceTracer, Reference
from genoplrp.relevance.propagation.backward import Run
from genoplrp.relevance.propagation.ledger import Ledger
from genoplrp.relevance.pruning.policy import Pruning
from genoplrp.relevance.rules import Epsilon
from genoplrp.relevance.tracing.registry import Handler
from genoplrp.relevance.tracing.tracer import Tracer

References = str | Tensor | Callable[[Tensor], Tensor]
BACKGROUNDS = {"uniform": 0.25, "zeros": 0.0}


class DeepLift(Explainer):
    """Explains by DeepLIFT (rescale rule) against one or several references, pruned on the way down.

    Parameters
    ----------
    model, pruning, batch_size, device, layout, diagnostics, keep_intermediate, keep_multiplier
        As in `Explainer`; a batch counts sequences times references. ``keep_multiplier`` keeps the hypothetical
        contributions of all four bases.
    references
        ``"uniform"``: .25 in every entry; ``"zeros"``; a tensor (4, L) or (R, 4, L) for all sequences, or (N, R, 4, L);
        or a function from the sequences (N, 4, L) to (N, R, 4, L), shuffles of each, say.

    Notes
    -----
    `Explanation.relevance` is the contribution of each base that is there: where a column of X sums to 1 the
    contributions of the column's entries, the reference's among them, stand at that base, as in tangermeme. They add up
    to the output less the references' mean output (`Explanation.baseline`), which `Explanation.check` tests.
    Every rule adds up exactly: activations by their secant, products and quotients by midpoints (softmax, attention and
    normalisations are made of those), maxima by the winner. Recurrent layers and fused multi-head attention are
    refused.
    A model that ends in a sigmoid or softmax is explained at the logit.

    Raises
    ------
    InputError
        If the references do not fit the sequences.

    References
    ----------
    Shrikumar, Greenside and Kundaje 2017, ICML; Lundberg and Lee 2017, NeurIPS.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv1d(4, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(48, 1))
    >>> X = torch.eye(4)[torch.randint(4, (2, 10))].mT
    >>> e = DeepLift(model, Pruning(p=0.1), references=lambda X: X.flip(2)[:, None])(X)
    >>> bool(e.check().holds)
    True
    """

    def __init__(
        self,
        model: nn.Module,
        pruning: Pruning | None = None,
        *,
        references: References = "uniform",
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
        if isinstance(references, str) and references not in BACKGROUNDS:
            raise InputError(
                f"references={references!r}: choose one of {', '.join(map(repr, BACKGROUNDS))}, or give a tensor or a "
                "function"
            )
        self.references = references

    def _explain(
        self,
        X: object,
        target: Target,
        args: Sequence[Tensor] | None,
        prunings: list[Pruning | None],
        progress: bool,
        batch_size: int | None = None,
    ) -> list[Explanation]:
        x, extra = check_input(X, args, self._runner)
        if len(x) == 0:
            return super()._explain(X, target, args, prunings, progress)
        references = self._references_of(x)
        size = max(1, (batch_size or self.batch_size) // references.shape[1])
        return super()._explain(x, target, [*extra, references], prunings, progress, size)

    def _references_of(self, x: Tensor) -> Tensor:
        """Return the references, (N, R, ...)."""
        given = self.references
        if isinstance(given, str):
            return torch.full_like(x, BACKGROUNDS[given])[:, None]
        tensor = given(x) if callable(given) else given
        if not isinstance(tensor, Tensor):
            raise InputError(f"references are a {type(tensor).__name__}: a tensor is needed")
        tensor = tensor.detach().to(x)
        if tensor.dim() == x.dim() - 1:
            tensor = tensor[None]
        if tensor.dim() == x.dim() and not callable(given):
            tensor = tensor.expand(len(x), *tensor.shape)
        if tensor.dim() != x.dim() + 1 or tensor.shape[0] != len(x) or tensor.shape[2:] != x.shape[1:]:
            raise InputError(
                f"references have shape {tuple(tensor.shape)}, the input {tuple(x.shape)}: give (N, R, 4, L), R "
                "references for each sequence (or, not from a function, (R, 4, L) for all of them)"
            )
        if tensor.shape[1] == 0:
            raise InputError("references: at least one for each sequence is needed")
        if not bool(torch.isfinite(tensor).all()):
            raise InputError("references hold NaN or infinity: give numbers")
        return tensor

    def _inputs_beside(self, extra: list[Tensor]) -> Sequence[Tensor]:
        return extra[:-1]

    def _batch(
        self, x: Tensor, extra: list[Tensor], target: OneTarget, prunings: list[Pruning | None]
    ) -> list[Explanation]:
        count = extra[-1].shape[1]

        def repeated(t: Any) -> Any:
            return t.repeat_interleave(count, dim=0) if isinstance(t, Tensor) else t

        inputs = [*map(repeated, extra[:-1]), extra[-1].flatten(0, 1)]
        results = super()._batch(repeated(x), inputs, repeated(target), prunings)
        return [_mean_over_references(e, count, target) for e in results]

    def _forward(
        self, x: Tensor, extra: list[Tensor], target: OneTarget, run: Run
    ) -> tuple[Tensor, Tensor | None, Tensor, Tracer]:
        *extra, references = extra
        run.reference = Reference(references)
        notes = Run(batch=run.batch, reference=run.reference)
        _, _, output, _ = super()._forward(references, extra, target, notes)
        run.reference.output = output.detach()
        return super()._forward(x, extra, target, run)

    def _tracer(self, run: Run) -> Tracer:
        return _DeepLiftTracer(run, self.rules, *self._names())

    def _backward(
        self, output: Tensor, leaf: Tensor, shadow: Tensor | None, run: Run, *, retain: bool
    ) -> tuple[Tensor, Tensor | None]:
        _, g = super()._backward(output, leaf, shadow, run, retain=retain)
        assert g is not None
        x, reference = leaf.detach(), run.reference.x
        hypothetical = g - (g * reference).sum(dim=1, keepdim=True)
        is_base = x.sum(dim=1, keepdim=True) == 1
        return torch.where(is_base, x * hypothetical, (x - reference) * g), hypothetical

    def _settings(self, pruning: Pruning | None, tracer: Tracer) -> dict[str, Any]:
        return super()._settings(pruning, tracer) | {"baseline": tracer.run.reference.output.cpu()}


@dataclass(eq=False)
class _DeepLiftTracer(DifferenceTracer):
    handlers: Mapping[str, Handler] = field(default_factory=lambda: DIFFERENCE_HANDLERS)


def _mean_over_references(e: Explanation, count: int, target: OneTarget) -> Explanation:
    def mean(t: Tensor) -> Tensor:
        wide = t if t.is_floating_point() else t.double()
        return wide.reshape(-1, count, *t.shape[1:]).mean(dim=1)

    ledgers = []
    for first, ledger in e.ledgers:
        rows = {
            name: {k: mean(v) if isinstance(v, Tensor) else v for k, v in row.items()}
            for name, row in ledger.rows.items()
        }
        absorbed = {name: mean(value) for name, value in ledger.absorbed.items()}
        ledgers.append((first, Ledger(rows, absorbed, ledger.operations)))
    settings = dict(e.settings)
    return replace(
        e,
        relevance=mean(e.relevance),
        prediction=e.prediction[::count],
        target=target if isinstance(target, Tensor) else e.target,
        multiplier=None if e.multiplier is None else mean(e.multiplier),
        intermediate={name: mean(value) for name, value in e.intermediate.items()},
        settings=settings,
        ledgers=ledgers,
        baseline=mean(settings.pop("baseline")),
    )
