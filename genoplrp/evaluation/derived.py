"""Methods that are made of a name: LRP and PLRP with their parameters, knock-out averages, and controls.

The engine is `genoplrp.relevance`; this only reads its settings off a name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from genoplrp.errors import InputError
from genoplrp.evaluation.blocks import real_positions
from genoplrp.evaluation.controls import sharpen_at_gini, threshold_at_gini, weight_by_contiguity
from genoplrp.evaluation.job import Job, Method, per_nucleotide
from genoplrp.evaluation.maps import Maps
from genoplrp.evaluation.robustness import reverse_strand, shift
from genoplrp.evaluation.sparsity import gini

if TYPE_CHECKING:
    from torch import Tensor

    from genoplrp.relevance import Pruning

LRP_NAME = re.compile(
    r"(?:lrp|plrp-(?P<kind>lambda|M-literal|M|auto|effective|total|average)(?:-(?P<p>[\d.e-]*\d))?(?P<input>-input)?)"
    r"@(?P<preset>[\w-]+)"
)
CONSENSUS_NAME = re.compile(r"consensus(?:-(?P<p>[\d.e-]*\d))?(?:@(?P<preset>[\w-]+))?")
#: Shift in bases, going round, and whether the other strand is explained.
VIEWS = ((0, False), (1, True), (2, False), (3, True))
_TAKES_MIXTURES = ("gradient-x-input", "gradient-x-input-corrected", "integrated-gradients", "smoothgrad")


def lrp_method(name: str, matched: re.Match[str]) -> Method:
    """Make a method of the engine's, from a name that `LRP_NAME` took apart."""
    kind, share, prunes_input, preset = matched.group("kind", "p", "input", "preset")
    p = None if share is None else float(share)
    if (kind in ("lambda", "M", "M-literal", "total")) != (p is not None):
        raise InputError(
            f"{name!r}: write plrp-lambda-0.15, plrp-M-0.15 or plrp-total-0.25, but plrp-auto without p"
        )
    if p is not None and not 0 <= p < 1:
        raise InputError(f"{name!r}: p must lie in [0, 1); got {p:g}")

    def explain(job: Job) -> np.ndarray | Tensor:
        import torch

        from genoplrp.relevance import Explainer

        pruning = None if kind is None else _pruning(kind, p, prunes_input is not None)
        explainer = Explainer(job.model, preset, pruning, batch_size=job.batch_size, diagnostics=False)
        X = torch.as_tensor(job.X)
        explanation = explainer.average(X, job.target) if kind == "average" else explainer(X, job.target)
        return explanation.relevance

    return Method(name, "LRP" if kind is None else "PLRP", explain)


def consensus_method(name: str, matched: re.Match[str]) -> Method:
    """Make a consensus of views, from a name that `CONSENSUS_NAME` took apart."""
    share, preset = matched.group("p", "preset")
    p = 0.0 if share is None else float(share)
    if not 0 <= p < 1:
        raise InputError(f"{name!r}: p must lie in [0, 1); got {share}")

    def explain(job: Job) -> np.ndarray | Tensor:
        import torch

        from genoplrp.relevance import Explainer, consensus

        settings: dict[str, Any] = {"pruning": _pruning("total", p, False) if p else None}
        settings["batch_size"] = job.batch_size
        X = torch.as_tensor(job.X)
        if preset is None:
            return consensus(job.model, X, job.target, **settings).relevance
        explainer = Explainer(job.model, preset, diagnostics=False, **settings)
        return consensus(explainer, X, job.target).relevance

    return Method(name, "PLRP" if p else "LRP", explain)


def pruned_method(name: str, share: str, base: str) -> Method:
    """Make gradient times input, or DeepLIFT/SHAP, pruned on the way down as relevance is."""
    if base not in ("gradient-x-input", "deeplift-shap"):
        raise InputError(
            f"{name!r}: gradient-x-input and deeplift-shap can be pruned; relevance is plrp-lambda-P"
        )
    try:
        p = float(share)
    except ValueError:
        p = -1.0
    if not 0 <= p < 1:
        raise InputError(f"{name!r}: write p, from 0 to below 1, as in pruned-0.15:gradient-x-input")

    def explain(job: Job) -> np.ndarray | Tensor:
        import torch

        from genoplrp.evaluation import rivals
        from genoplrp.relevance import DeepLift, GradientTimesInput

        pruning, X = _pruning("lambda", p, False), torch.as_tensor(job.X)
        if base == "gradient-x-input":
            explainer = GradientTimesInput(job.model, pruning, batch_size=job.batch_size, diagnostics=False)
            return explainer(X, job.target).relevance
        deeplift = DeepLift(
            job.model,
            pruning,
            references=lambda x: rivals.shuffles(x, job.seed),
            batch_size=job.batch_size * 4,
            diagnostics=False,
        )
        return deeplift(X, job.target).relevance

    return Method(name, "PLRP", explain)


def viewed_method(name: str, base: Method, *, shrink: bool) -> Method:
    """Make the average of a method over four shifts, two of them on the other strand; shrunk as a consensus or not."""
    if base.needs:
        raise InputError(f"{name!r}: {base.name} is made from other maps; take the views of those")

    def explain(job: Job) -> Maps:
        import torch

        from genoplrp.relevance.methods.agreement import Agreement

        n, length = len(job.X), job.X.shape[2]
        agreement = Agreement(n, length)
        for by, other_strand in VIEWS:
            changes = [shift(by, lengths=job.lengths)] + [reverse_strand(lengths=job.lengths)] * other_strand
            X = job.X
            for change in changes:
                X = change.apply(X, np.random.default_rng(0))
            maps = per_nucleotide(base.explain(replace(job, X=np.ascontiguousarray(X))))
            for change in reversed(changes):
                maps = change.undo(maps)
            values = torch.from_numpy(np.ascontiguousarray(maps))
            agreement.add(values, torch.ones(length, dtype=torch.bool), torch.ones(n))
        averaged: Maps = (agreement.shrunk if shrink else agreement.mean).numpy()
        return averaged

    return Method(name, "control", explain)


def averaged_method(name: str, kind: str, base: Method) -> Method:
    """Make the average of a method over knock-out contexts, or over the path from the uniform column."""
    if base.needs or (base.name not in _TAKES_MIXTURES and base.family not in ("LRP", "PLRP", "user")):
        raise InputError(f"{name!r}: {base.name} cannot be asked about a sequence with neutral columns")

    def explain(job: Job) -> Maps:
        from genoplrp.evaluation.contexts import average_over_knockouts, average_over_path

        def explain_partial(X: np.ndarray) -> Maps:
            return per_nucleotide(base.explain(replace(job, X=X)))

        if kind == "path":
            return average_over_path(explain_partial, job.X)
        return average_over_knockouts(explain_partial, job.X, seed=job.seed)

    return Method(name, base.family, explain)


def _pruning(kind: str, p: float | None, with_input: bool) -> Pruning:
    from genoplrp.relevance import Pruning

    if kind in ("auto", "effective"):
        return Pruning(p=kind, input=with_input)
    if kind in ("M", "M-literal"):
        base = Pruning(p=0.0, method=kind, input=with_input)  # type: ignore[arg-type]
    else:
        base = Pruning(p=0.0, input=with_input, total=kind == "total")
    # Set afterwards: a sweep goes beyond the p that a user is warned of, on purpose.
    return base.with_p(p or 0.0)


def _as_sparse(
    control: Callable[..., Maps], plain: Maps, pruned: Maps, *, lengths: np.ndarray | None = None
) -> Maps:
    return control(plain, gini(np.maximum(pruned, 0.0), lengths=lengths), lengths=lengths)


def mean_of_shares(*maps: Maps, lengths: np.ndarray | None = None) -> Maps:
    """Average maps, each divided by its own positive mass (a map without any is taken as it is)."""
    total = np.zeros_like(maps[0])
    real = real_positions(lengths, (len(total), total.shape[1]))
    for values in maps:
        mass = np.where(real, np.maximum(values, 0.0), 0.0).sum(axis=1, keepdims=True)
        total += values / np.where(mass > 0, mass, 1.0) / len(maps)
    return total


CONTROLS: dict[str, Callable[..., Maps]] = {
    "threshold": partial(_as_sparse, threshold_at_gini),
    "sharpen": partial(_as_sparse, sharpen_at_gini),
    "contiguity": weight_by_contiguity,
}
