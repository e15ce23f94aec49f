"""The live widget for a model and its sequences: a sweep over p when a sequence is looked at; ``report`` draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Bool, Float

from genoplrp.errors import InputError, MissingDependencyError, check_columns
from genoplrp.pipeline.report import METHODS, RULES, SHARES
from genoplrp.relevance.axes import Layout
from genoplrp.scores import shown_in

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from genoplrp.relevance.explainer import Target
    from genoplrp.report.widget import RelevanceWidget, Sweep


def explore(
    model: torch.nn.Module,
    X: Float[torch.Tensor, "n 4 length"] | Float[np.ndarray, "n 4 length"],
    target: Target = 0,
    *,
    p: Sequence[float] = SHARES,
    rules: Sequence[str] = RULES,
    methods: Sequence[str] = METHODS,
    names: Sequence[str] | None = None,
    instances: pd.DataFrame | None = None,
    mask: Bool[np.ndarray, "n length"] | None = None,
    args: Sequence[torch.Tensor] | None = None,
    device: str | None = None,
    layout: Layout | None = None,
    scheme: str = "classic",
) -> RelevanceWidget:
    """Show a logo with a slider for p in a notebook; needs the extra ``notebook``.

    Parameters
    ----------
    model : torch.nn.Module
        The model, as in `genoplrp.Explainer`.
    X : tensor or array, shape (N, 4, L)
        One-hot sequences.
    target : int, (N,) ints, or callable
        What is explained, as in `genoplrp.Explainer`.
    p : sequence of float
        Stops of the slider, ascending; by default 0, 0.05, ... 0.95.
    rules, methods : sequence of str
        Presets of rules and pruning methods (``"lambda"``, ``"M"``) to offer.
    names : sequence of str, optional
        Names of the sequences; by default their numbers.
    instances : DataFrame, optional
        Sites to mark: ``sequence`` (0 to N - 1), ``start``, ``end`` and ``motif``, ``strand`` and ``role``.
    mask : array, shape (N, L), bool, optional
        Positions that matter; if given, scores are also shown.
    args : sequence of tensors, optional
        Further inputs of the model.
    device : str, optional
        Where to compute.
    layout : str, optional
        The order of axes that the model takes, see `genoplrp.adapt_model`.
    scheme : {"classic", "colorblind"}
        Colours of the bases.

    Returns
    -------
    RelevanceWidget
        ``sequence``, ``p``, ``rules`` and ``method`` can be read and set; ``relevance`` is the map that is shown.

    Raises
    ------
    MissingDependencyError
        If anywidget is not installed.
    InputError
        If there is no sequence, or what is handed in does not fit together.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Conv1d(4, 1, 3), torch.nn.Flatten(), torch.nn.Linear(6, 1))
    >>> widget = explore(model, torch.eye(4).repeat(2, 1, 2), p=[0, 0.5])  # doctest: +SKIP
    """
    import torch

    from genoplrp.evaluation import METRICS, score
    from genoplrp.evaluation.sparsity import gini
    from genoplrp.relevance import Explainer, Pruning
    from genoplrp.sequence import one_hot_decode

    try:
        from genoplrp.report.widget import RelevanceWidget, Sweep
    except ImportError as error:
        raise MissingDependencyError(
            "the live widget needs anywidget: pip install 'genoplrp[notebook]'"
        ) from error

    X = torch.as_tensor(X)
    _check(X, p, rules, methods, names, mask)
    explainers = {
        (rule, method): Explainer(
            model, rule, Pruning(method=cast(Any, method)), device=device, layout=layout, diagnostics=False
        )
        for rule in rules
        for method in methods
    }

    metrics = [name for name in shown_in("widget") if name in METRICS]

    def sweep(sequence: int, rule: str, method: str) -> Sweep:
        row = slice(sequence, sequence + 1)
        wanted = target if isinstance(target, int) or callable(target) or target is None else target[row]
        extra = None if args is None else [a[row] for a in args]
        found = [e for _, e in explainers[rule, method].sweep(X[row], wanted, p, args=extra)]
        maps = np.concatenate([e.per_nucleotide.numpy() for e in found])
        if mask is None:
            scores = {"gini": gini(maps)}
        else:
            table = score(maps, np.repeat(np.asarray(mask[row], dtype=bool), len(maps), axis=0))
            scores = {metric: table[metric].to_numpy() for metric in metrics}
        return Sweep(maps, float(found[0].prediction[0]), scores)

    return RelevanceWidget(
        sweep,
        names=[str(i) for i in range(len(X))] if names is None else [str(name) for name in names],
        letters=one_hot_decode(X.numpy()),
        instances=_instances(instances, len(X)),
        stops=[float(share) for share in p],
        presets=list(rules),
        methods=list(methods),
        p=0.1,
        scheme=scheme,
    )


def _check(
    X: torch.Tensor,
    p: Sequence[float],
    rules: Sequence[str],
    methods: Sequence[str],
    names: Sequence[str] | None,
    mask: np.ndarray | None,
) -> None:
    if X.ndim != 3 or X.shape[1] != 4 or 0 in X.shape:
        raise InputError(f"X must have shape (N, 4, L) with N and L at least 1; got {tuple(X.shape)}")
    if not (len(p) and len(rules) and len(methods)):
        raise InputError("the widget needs at least one p, one preset of rules and one method")
    if list(p) != sorted(set(p)):
        raise InputError(f"p must ascend, each value once; got {list(p)}")
    if names is not None and len(names) != len(X):
        raise InputError(f"names needs one entry per sequence; got {len(names)} for {len(X)}")
    if mask is not None and np.shape(mask) != (X.shape[0], X.shape[2]):
        raise InputError(f"mask must have shape {(X.shape[0], X.shape[2])}; got {np.shape(mask)}")


def _instances(table: pd.DataFrame | None, n: int) -> list[list[list[object]]]:
    from genoplrp.report.page import instance_lists

    if table is None:
        return [[] for _ in range(n)]
    check_columns("the table of instances", table.columns, ("sequence", "start", "end"))
    rows = table.assign(**{c: "" for c in ("motif", "strand") if c not in table.columns})
    if len(rows) and not rows["sequence"].between(0, n - 1).all():
        raise InputError(f"instances name sequences beyond 0 to {n - 1}; select those of X first")
    return instance_lists(rows, n)
