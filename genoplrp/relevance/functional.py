"""LRP and PLRP as one function call: a model and sequences in, a tensor of relevance out.

References
----------
Bach et al. 2015, PLOS ONE 10(7), e0130140 (LRP); Yanez Sarmiento et al. 2024, ECML PKDD (PLRP).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genoplrp.relevance.axes import Layout
from genoplrp.relevance.explainer import Explainer, Target
from genoplrp.relevance.presets import DEFAULT_PRESET, Rules
from genoplrp.relevance.pruning.policy import Method, Pruning


def lrp(
    model: nn.Module,
    X: Float[Tensor, "n 4 length"],
    target: Target = 0,
    *,
    rules: Rules = DEFAULT_PRESET,
    args: Sequence[Tensor] | None = None,
    batch_size: int = 64,
    device: str | torch.device | None = None,
    layout: Layout | None = None,
    progress: bool = False,
) -> Float[Tensor, "n 4 length"]:
    """Layer-wise relevance propagation: the relevance of every base for one output of a model.

    Parameters
    ----------
    model
        Any `torch.nn.Module`; it is not modified.
    X
        (N, 4, L) one-hot sequences, channels A C G T.
    target
        Output index, one index per sequence, or a function of the output that returns one number per sequence.
    rules
        Preset, rule or mapping, see `genoplrp.relevance.rule_book`.
    args
        Further inputs of the model, (N, ...) each; they absorb relevance.
    batch_size
        Sequences per batch; halved automatically when memory runs out.
    device
        Where to compute; None for where the model is. On another device a copy of the model runs.
    layout
        The order of axes that the model takes, e.g. ``"NLC"`` for (N, L, 4), see `adapt_model`; None to detect it.
    progress
        Show a progress bar.

    Returns
    -------
    Tensor
        (N, 4, L), on the CPU, in units of the explained output (the logit where the model ends in a sigmoid or
        softmax).

    Raises
    ------
    InputError
        If an argument is wrong.
    UnsupportedOperationError
        If the model uses an operation that has no rule.

    References
    ----------
    Bach et al. 2015, PLOS ONE 10(7), e0130140.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv1d(4, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(48, 1))
    >>> X = torch.eye(4)[torch.randint(4, (2, 10))].mT
    >>> lrp(model, X).shape
    torch.Size([2, 4, 10])
    """
    settings: dict[str, Any] = {
        "batch_size": batch_size,
        "device": device,
        "layout": layout,
        "diagnostics": False,
    }
    explainer = Explainer(model, rules, None, **settings)
    return explainer(X, target, args=args, progress=progress).relevance


def plrp(
    model: nn.Module,
    X: Float[Tensor, "n 4 length"],
    target: Target = 0,
    p: float | str | Sequence[float] | Mapping[str, float] = 0.25,
    *,
    p_neg: float | None = None,
    method: Method = "lambda",
    rules: Rules = DEFAULT_PRESET,
    args: Sequence[Tensor] | None = None,
    batch_size: int = 64,
    device: str | torch.device | None = None,
    layout: Layout | None = None,
    progress: bool = False,
) -> Float[Tensor, "n 4 length"]:
    """Pruned layer-wise relevance propagation: sparse relevance of every base for one output of a model.

    Parameters
    ----------
    model, X, target, rules, args, batch_size, device, layout, progress
        As in `lrp`.
    p, p_neg, method
        Share of the positive and negative relevance to prune at each layer, and how its mass is returned; see
        `Pruning`.

    Returns
    -------
    Tensor
        (N, 4, L), on the CPU, in units of the explained output.

    Raises
    ------
    InputError
        If an argument is wrong.
    UnsupportedOperationError
        If the model uses an operation that has no rule.

    References
    ----------
    Yanez Sarmiento et al. 2024, ECML PKDD, arXiv 2404.14271.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv1d(4, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(48, 1))
    >>> X = torch.eye(4)[torch.randint(4, (2, 10))].mT
    >>> torch.equal(plrp(model, X, p=0), lrp(model, X))
    True
    """
    pruning = Pruning(p=p, p_neg=p_neg, method=method)
    settings: dict[str, Any] = {
        "batch_size": batch_size,
        "device": device,
        "layout": layout,
        "diagnostics": False,
    }
    explainer = Explainer(model, rules, pruning, **settings)
    return explainer(X, target, args=args, progress=progress).relevance
