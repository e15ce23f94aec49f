"""Outputs of layers, as the engine reads a model: also of layers that are no modules of their own; no relevance."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from genoplrp.relevance.explainer import Explainer, Target
from genoplrp.relevance.inputs import check_input, check_target
from genoplrp.relevance.propagation.backward import Run
from genoplrp.relevance.propagation.cuts import Cuts
from genoplrp.relevance.tracing.guards import autograd_on, evaluation_mode
from genoplrp.relevance.tracing.tracer import Tracer, one_explanation


def layer_outputs(
    explainer: Explainer, X: Float[Tensor, "n 4 length"], layers: Sequence[str], target: Target = 0
) -> tuple[Float[Tensor, "n 4 length"], dict[str, Tensor]]:
    """Run a model once, and return what some of its layers put out.

    Parameters
    ----------
    explainer
        Its order of axes must be known already, see `genoplrp.relevance.channel_relevance`.
    X
        One batch; the bases need not be one-hot.
    layers
        Names of layers, as that function has them.
    target
        As in a call of the explainer.

    Returns
    -------
    leaf, outputs
        The input in the graph, and layer -> its output, before the activation; channels on the second axis where it is
        a convolution. Gradients of them are those of the explainer: plain ones of a `GradientTimesInput`.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv1d(4, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(48, 1))
    >>> X = torch.eye(4)[torch.randint(4, (2, 10))].mT
    >>> bool(torch.equal(layer_outputs(Explainer(model), X, ["0"])[1]["0"], model[0](X)))
    True
    """
    return _Reader.like(explainer).outputs(X, layers, target)


class _Reader(Explainer):
    """An explainer that stops at the output, and hands on what layers put out."""

    _kind: Explainer

    @classmethod
    def like(cls, explainer: Explainer) -> _Reader:
        reader = super().like(explainer)
        reader._kind = explainer
        return reader

    def outputs(self, X: Tensor, layers: Sequence[str], target: Target) -> tuple[Tensor, dict[str, Tensor]]:
        x, _ = check_input(X, None, self.network)
        wanted = check_target(target, len(x))(0, len(x))
        with Cuts(lambda name: name in layers) as cuts:
            run = Run(batch=len(x), cuts=cuts)
            with autograd_on(), one_explanation(), evaluation_mode(self.network):
                leaf = self._forward(x, [], wanted, run)[0]
            return leaf, {name: found[-1].before for name, found in cuts.found.items()}

    def _tracer(self, run: Run) -> Tracer:
        return self._kind._tracer(run)
