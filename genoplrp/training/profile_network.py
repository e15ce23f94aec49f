"""A network with a value for every base, and what of its output to explain; its loss is in ``kinds``."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genoplrp.training.networks import DilatedNetwork


class BPNetProfile(DilatedNetwork):
    """BPNet's trunk with two heads: how many reads a sequence has, and how they are spread over its bases.

    Its output is (N, T, 1 + L): for each task the log of the total (relative to the mean of the training part), then
    one logit a base, whose softmax is the shape of the profile.

    References
    ----------
    Avsec et al. 2021, *Base-resolution models of transcription-factor binding reveal soft motif syntax*,
    Nature Genetics 53.
    """

    def __init__(
        self,
        length: int,
        n_tasks: int,
        *,
        filters: int = 64,
        kernel: int = 19,
        layers: int = 4,
        dilated_kernel: int = 3,
        profile_kernel: int = 25,
    ) -> None:
        super().__init__(
            length=length, n_tasks=n_tasks, filters=filters, kernel=kernel, layers=layers,
            dilated_kernel=dilated_kernel, padding="same", profile_kernel=profile_kernel,
        )  # fmt: skip
        self.output = nn.ModuleDict(
            {
                "total": nn.Linear(filters, n_tasks),
                "shape": nn.Conv1d(filters, n_tasks, profile_kernel, padding="same"),
            }
        )

    def forward(self, x: Float[Tensor, "n 4 length"]) -> Float[Tensor, "n n_tasks values"]:
        """Log totals and logits."""
        x = self.trunk(x)
        total = self.output["total"](x.mean(dim=2))
        return torch.cat([total[:, :, None], self.output["shape"](x)], dim=2)


def total_of(task: int = 0) -> Callable[[Float[Tensor, "n n_tasks values"]], Float[Tensor, " n"]]:
    """Make the target of an explanation: the log of how many reads a sequence has.

    Parameters
    ----------
    task
        Number of the task.

    Examples
    --------
    >>> import torch
    >>> total_of()(torch.tensor([[[2.0, 0.5, 0.1]]])).tolist()
    [2.0]
    """
    return lambda output: output[:, task, 0]


def shape_of(task: int = 0) -> Callable[[Float[Tensor, "n n_tasks values"]], Float[Tensor, " n"]]:
    """Make the target of an explanation: how far the reads are spread unevenly, whatever their number.

    It is the sum over the bases of the logits, less their mean, weighted by the shape that they give; the weights count
    as constants.

    Parameters
    ----------
    task
        Number of the task.

    References
    ----------
    Avsec et al. 2021, Nature Genetics 53, Methods (contribution scores of a profile head).

    Examples
    --------
    >>> import torch
    >>> shape_of()(torch.tensor([[[2.0, 1.0, 1.0]], [[2.0, 50.0, 0.0]]])).tolist()
    [0.0, 25.0]
    """

    def target(output: Float[Tensor, "n n_tasks values"]) -> Float[Tensor, " n"]:
        logits = output[:, task, 1:]
        weights = logits.detach().softmax(dim=1)
        return ((weights - 1 / logits.shape[1]) * logits).sum(dim=1)

    return target
