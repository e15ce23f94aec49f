"""What speaks for one output and not for others: a target that sets them against each other.

References
----------
Gu, Yang and Tresp 2018, ACCV, arXiv 1812.02100 (contrastive LRP). There maps are subtracted; here outputs are, before
anything is propagated, so that any method of this package can be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from genoplrp.errors import InputError

#: Of .25, .5 and 1 the one that leaves other sites least and loses no ranking (docs/results.md).
WEIGHT = 0.5


def contrast(
    target: int, against: int | Sequence[int] | None = None, *, weight: float = WEIGHT
) -> Callable[[Any], Tensor]:
    """Make a target of one output minus a share of others: ``y[target] - weight * mean(y[against])``.

    Where tasks share features, relevance of one output also lies on sites of the others, which raise it a little
    because they often occur beside its own sites. Relevance of the contrast does not.

    Parameters
    ----------
    target
        Index of the output that is explained.
    against
        Index or indices of the outputs to subtract; None for all others.
    weight
        Their weight. Use 1 for the classes of a softmax, where only differences of the inputs matter.

    Returns
    -------
    callable
        Pass it as ``target=``: from outputs (N, T) to (N,). Relevance is in units of that difference.

    Raises
    ------
    InputError
        If an index is negative, the target is set against itself, or the weight is not above 0. When it is called: if
        the output has no such columns.

    Examples
    --------
    >>> import torch
    >>> contrast(0, 1)(torch.tensor([[3.0, 2.0, 9.0]]))
    tensor([2.])
    >>> from torch import nn
    >>> from genoplrp.relevance import lrp
    >>> model = nn.Sequential(nn.Conv1d(4, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3))
    >>> X = torch.eye(4)[torch.randint(4, (2, 10))].mT
    >>> lrp(model, X, target=contrast(0)).shape
    torch.Size([2, 4, 10])
    """
    others = None if against is None else [against] if isinstance(against, int) else list(against)
    for index in (target, *(others or ())):
        if isinstance(index, bool) or not isinstance(index, int) or index < 0:
            raise InputError(f"contrast: {index!r} is not an index of an output; give whole numbers from 0")
    if others is not None and (target in others or not others):
        raise InputError(f"contrast({target}, against={against!r}): name one or more other outputs")
    if not weight > 0:
        raise InputError(f"contrast(weight={weight!r}): must be above 0")

    def difference(output: Any) -> Tensor:
        if not isinstance(output, Tensor) or output.dim() != 2:
            got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise InputError(
                f"contrast needs outputs (N, T); the model gives {got}: write a function of your own"
            )
        count = output.shape[1]
        chosen = [k for k in range(count) if k != target] if others is None else others
        if max(target, *chosen, 0) >= count or not chosen:
            raise InputError(
                f"contrast({target}, against={against!r}): the model has {count} outputs, numbered from 0"
            )
        total = sum((output[:, k] for k in chosen[1:]), start=output[:, chosen[0]])
        value: Tensor = output[:, target] - (weight / len(chosen)) * total
        return value

    difference.__name__ = f"contrast({target}, against={'all others' if others is None else against})"
    return difference
