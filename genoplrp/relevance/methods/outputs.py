"""The explained number of each sequence, without an explanation: what an `Explainer` would start from."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from genoplrp.relevance.explainer import Explainer, Target
from genoplrp.relevance.explanation import Explanation
from genoplrp.relevance.inputs import OneTarget
from genoplrp.relevance.propagation.backward import Run
from genoplrp.relevance.pruning.policy import Pruning
from genoplrp.relevance.tracing.guards import autograd_on


def explained_outputs(
    explainer: Explainer,
    X: Float[Tensor, "n 4 length"],
    target: Target = 0,
    *,
    args: Sequence[Tensor] | None = None,
) -> Float[Tensor, " n"]:
    """Return the explained output (the logit, where the model ends in a sigmoid or softmax) by forward passes alone.

    Parameters
    ----------
    explainer, X, target, args
        As in a call of the explainer.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv1d(4, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(48, 1), nn.Sigmoid())
    >>> X = torch.eye(4)[torch.randint(4, (2, 10))].mT
    >>> bool(torch.allclose(explained_outputs(Explainer(model), X).sigmoid(), model(X)[:, 0]))
    True
    """
    return _Forward.like(explainer)._explain(X, target, args, [None], progress=False)[0].prediction


class _Forward(Explainer):
    """An explainer that stops at the output."""

    def _batch(
        self, x: Tensor, extra: list[Tensor], target: OneTarget, prunings: list[Pruning | None]
    ) -> list[Explanation]:
        with autograd_on():
            run = Run(batch=len(x))
            forward = self._by_fast_path(x, extra, target, run) or self._by_autograd(x, extra, target, run)
        return [Explanation(x, forward.output.detach().cpu(), target=None)]
