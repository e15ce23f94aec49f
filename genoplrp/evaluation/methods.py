"""The methods that are compared, each under one name: rivals through their packages, LRP through the engine.

A method turns a network and sequences into a per-nucleotide map. Nothing is scored here, and no method is tuned here.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from genoplrp.errors import InputError
from genoplrp.evaluation.derived import (
    CONSENSUS_NAME,
    CONTROLS,
    LRP_NAME,
    averaged_method,
    consensus_method,
    lrp_method,
    mean_of_shares,
    pruned_method,
    viewed_method,
)
from genoplrp.evaluation.job import Explain, Job, Method, per_nucleotide
from genoplrp.evaluation.maps import Maps
from genoplrp.evaluation.rivals import RIVALS

if TYPE_CHECKING:
    from torch import nn


DEFAULT_PRESET = "gamma"
SWEEP_P = tuple(round(0.05 * i, 2) for i in range(20))


def get_method(name: str) -> Method:
    """Find a method by its name.

    Parameters
    ----------
    name : str
        One of

        - ``random``, ``pwm-scan`` (the planted motifs, scanned: an oracle that knows the truth's matrices);
        - ``gradient``, ``gradient-x-input``, ``gradient-x-input-corrected``, ``smoothgrad``, ``integrated-gradients``,
          ``deeplift-shap``, ``ism``;
        - ``lrp@PRESET``, ``plrp-lambda-P@PRESET``, ``plrp-M-P@PRESET``, ``plrp-auto@PRESET``,
          ``plrp-effective@PRESET``, ``plrp-total-P@PRESET`` (P stated over the whole depth), ``plrp-average@PRESET``
          (mean over p up to 0.25), each with ``-input`` before the ``@`` to prune the input too; without ``@PRESET``
          the preset is gamma;
        - ``consensus``: `genoplrp.consensus`, what twelve views of each sequence agree on; ``consensus-P``: each view
          pruned by P over the whole depth; ``consensus@PRESET``, ``consensus-P@PRESET``: by the rules of one preset;
        - ``pruned-P:gradient-x-input`` and ``pruned-P:deeplift-shap``: these two, pruned on the way down;
        - ``threshold:NAME`` and ``sharpen:NAME``: the plain LRP map of NAME's preset, brought to the Gini index of the
          positive part of NAME's map; ``contiguity:NAME``: NAME's map weighted by its own running mean;
        - ``knockout:NAME``: NAME averaged over contexts in which random halves of the sequence are neutral (for
          gradients, LRP and PLRP), see `genoplrp.evaluation.average_over_knockouts`; ``path:NAME``: over the path from
          the uniform column, see `genoplrp.evaluation.average_over_path`; ``mean:NAME+NAME``: of maps in units of
          their positive mass; ``views:NAME``: NAME averaged over four shifts, two of them on the other strand, the
          control for what the views of a consensus do for any method; ``agreement:NAME``: the same, shrunk by
          the disagreement of the four as a consensus is;
        - a name given to `register_method`.

    Returns
    -------
    Method

    Raises
    ------
    InputError
        If there is no such method.

    Examples
    --------
    >>> get_method("threshold:plrp-lambda-0.15").needs
    ('lrp@gamma', 'plrp-lambda-0.15@gamma')
    """
    name = full_name(name)
    if name in _FIXED:
        return _FIXED[name]
    prefix, _, rest = name.partition(":")
    derived = _derived(name, prefix, rest) if rest else None
    if derived is not None:
        return derived
    views = CONSENSUS_NAME.fullmatch(name)
    if views is not None:
        return consensus_method(name, views)
    matched = LRP_NAME.fullmatch(name)
    if matched is None:
        raise InputError(
            f"unknown method {name!r}; choose from {', '.join(_FIXED)}, lrp@PRESET, plrp-lambda-0.15@PRESET, "
            "plrp-M-0.15@PRESET, plrp-auto@PRESET, plrp-average@PRESET, consensus, threshold:NAME, "
            "sharpen:NAME, contiguity:NAME, knockout:NAME, path:NAME, views:NAME, agreement:NAME, mean:NAME+NAME, "
            "pruned-P:NAME"
        )
    return lrp_method(name, matched)


def _derived(name: str, prefix: str, rest: str) -> Method | None:
    """Return a method made from others by its prefix; None if there is no such prefix."""
    if prefix in ("knockout", "path"):
        return averaged_method(name, prefix, get_method(rest))
    if prefix.startswith("pruned-"):
        return pruned_method(name, prefix.removeprefix("pruned-"), rest)
    if prefix in ("views", "agreement"):
        return viewed_method(name, get_method(rest), shrink=prefix == "agreement")
    if prefix == "mean":
        parts = tuple(get_method(part).name for part in rest.split("+"))
        return Method(name, "PLRP", mean_of_shares, parts)
    return _control(name, prefix, get_method(rest)) if prefix in CONTROLS else None


def _control(name: str, prefix: str, base: Method) -> Method:
    if prefix == "contiguity":
        return Method(name, "control", CONTROLS[prefix], (base.name,))
    if "@" not in base.name:
        raise InputError(f"{name!r}: only maps made with LRP rules have a plain LRP map to compare with")
    return Method(name, "control", CONTROLS[prefix], (f"lrp@{base.name.rpartition('@')[2]}", base.name))


def full_name(name: str) -> str:
    """Write a method's name in full: with its preset, and p without superfluous zeros.

    Parameters
    ----------
    name : str
        As a user writes it.

    Returns
    -------
    str

    Examples
    --------
    >>> full_name("plrp-lambda-.150"), full_name("sharpen:plrp-auto"), full_name("ism")
    ('plrp-lambda-0.15@gamma', 'sharpen:plrp-auto@gamma', 'ism')
    """
    name = name.strip()
    prefix, colon, rest = name.partition(":")
    if prefix == "mean":
        return "mean:" + "+".join(map(full_name, rest.split("+")))
    if colon:
        return f"{prefix}:{full_name(rest)}"
    if name in _FIXED:
        return name
    if (name == "lrp" or name.startswith("plrp-")) and "@" not in name:
        name = f"{name}@{DEFAULT_PRESET}"
    return re.sub(r"-(\d*\.\d+|\d+)(?=[-@]|$)", lambda m: f"-{float(m.group(1)):g}", name)


def register_method(name: str, explain: Explain) -> Method:
    """Register your own explanation method.

    Parameters
    ----------
    name : str
        Any name that is not taken.
    explain : callable
        From a `Job` to a map (N, L), or to relevance (N, 4, L), which is summed over the bases. For work in several
        processes it must be importable (a function of a module). A benchmark notices when its code, or a value that
        the code uses, is no longer what it was, and makes its maps anew.

    Returns
    -------
    Method

    Raises
    ------
    InputError
        If the name is taken or holds ``:`` or ``@``.

    Examples
    --------
    >>> m = register_method("first-base", lambda job: job.X[:, 0])
    >>> m.family
    'user'
    """
    taken = name in _FIXED and _FIXED[name].family != "user"
    if taken or ":" in name or "@" in name or name.startswith(("lrp", "plrp-", "consensus")):
        raise InputError(
            f"the method name {name!r} is taken or reserved; choose another, without ':' and '@'"
        )
    method = Method(name, "user", lambda job: per_nucleotide(explain(job)), origin=explain)
    _FIXED[name] = method
    return method


def registered_methods() -> dict[str, Explain]:
    """All methods of a user's own, by name: what another process must register first."""
    return {name: method.origin for name, method in _FIXED.items() if method.origin is not None}


def explain_with(name: str, job: Job, *, known: dict[str, Maps] | None = None) -> Maps:
    """Make a method's map.

    Parameters
    ----------
    name : str
        As in `get_method`.
    job : Job
        What to explain.
    known : dict of str to array, optional
        Maps that are there already, by full name; used for controls, and added to.

    Returns
    -------
    numpy.ndarray, shape (N, L), float64

    Raises
    ------
    InputError
        If there is no such method.
    MissingDependencyError
        If its package is not installed.

    Examples
    --------
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Conv1d(4, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 1))
    >>> X = np.eye(4, dtype=np.float32)[[[0, 1, 2, 3]]].transpose(0, 2, 1)
    >>> explain_with("gradient-x-input", Job(net, X)).shape
    (1, 4)
    """
    method = get_method(name)
    known = {} if known is None else known
    for needed in method.needs:
        if needed not in known:
            known[needed] = explain_with(needed, job, known=known)
    if method.needs:
        return per_nucleotide(
            method.explain(*(known[needed] for needed in method.needs), lengths=job.lengths)
        )
    return per_nucleotide(method.explain(job))


def output_function(
    model: nn.Module, target: int = 0, *, batch_size: int = 64
) -> Callable[[np.ndarray], np.ndarray]:
    """Make the callable that faithfulness asks: one output of a network, arrays in and out.

    Parameters
    ----------
    model : torch.nn.Module
        From (n, 4, L) to (n, T), or to (n,); asked in evaluation mode, without gradients.
    target : int
        Which of the T outputs.
    batch_size : int
        Sequences at a time. More are slower on a CPU: what layers hand on no longer fits its cache.

    Returns
    -------
    callable
        From (n, 4, L) float32 to (n,) float64.

    Examples
    --------
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    >>> output_function(net, 1)(np.zeros((3, 4, 4), dtype=np.float32)).shape
    (3,)
    """
    import torch

    from genoplrp.relevance import adapt_model
    from genoplrp.training.model import evaluating

    device = next((p.device for p in model.parameters()), torch.device("cpu"))

    def predict(X: np.ndarray) -> np.ndarray:
        nonlocal model
        first = torch.as_tensor(X[:1], dtype=torch.float32, device=device)
        model = adapt_model(model, X=first)
        with evaluating(model), torch.no_grad():
            parts = [
                model(torch.as_tensor(X[i : i + batch_size], dtype=torch.float32, device=device))
                for i in range(0, len(X), batch_size)
            ]
        output = torch.cat(parts) if parts else torch.zeros(0)
        output = output if output.dim() == 1 else output[:, target]
        values: np.ndarray = output.double().cpu().numpy()
        return values

    return predict


def _random(job: Job) -> Maps:
    # Drawn anew for other sequences, or the map would look robust.
    content = zlib.crc32(np.ascontiguousarray(job.X, dtype=np.float32).tobytes())
    return np.random.default_rng([job.seed, content]).normal(size=(len(job.X), job.X.shape[2]))


def _pwm_scan(job: Job) -> Maps:
    from genoplrp.evaluation.oracle import scan

    return scan(job.X, job.motifs, lengths=job.lengths)


_FIXED: dict[str, Method] = {
    method.name: method
    for method in (
        Method("random", "baseline", _random),
        Method("pwm-scan", "oracle", _pwm_scan),
        *(Method(name, r.family, r.explain, packages=(r.package,)) for name, r in RIVALS.items()),
    )
}


def default_methods(*, quick: bool = False, p: Sequence[float] = (0.05, 0.15, 0.25)) -> list[str]:
    """Names of the methods that a benchmark compares unless told otherwise.

    Parameters
    ----------
    quick : bool
        Leave out what is slow or close to another.
    p : sequence of float
        The shares that PLRP prunes.

    Returns
    -------
    list of str

    Examples
    --------
    >>> "ism" in default_methods(quick=True)
    True
    """
    rivals = ["random", "pwm-scan", "gradient-x-input", "integrated-gradients", "deeplift-shap", "ism"]
    presets = ["gamma", "epsilon"]
    if not quick:
        rivals[2:2] = ["gradient", "gradient-x-input-corrected", "smoothgrad"]
        presets += ["zplus", "zplus-all", "epsilon-plus-flat", "epsilon-gamma-box"]
    names = rivals + [f"lrp@{preset}" for preset in presets]
    middle = p[len(p) // 2]
    for preset in presets[:2]:
        for share in p if preset == "gamma" else (middle,):
            pruned = f"plrp-lambda-{share:g}@{preset}"
            names += [pruned, f"threshold:{pruned}", f"sharpen:{pruned}"]
        names += [f"plrp-M-{middle:g}@{preset}", f"plrp-auto@{preset}"]
    names += ["plrp-average@gamma", "views:lrp@gamma", "agreement:lrp@gamma"]
    names += [
        "lrp@gamma-all",
        f"plrp-lambda-{middle:g}@gamma-all",
        f"sharpen:plrp-lambda-{middle:g}@gamma-all",
    ]
    names += ["consensus", "consensus-0.15"]
    names += [f"contiguity:{name}" for name in ("lrp@gamma", "consensus", *rivals[-3:-1])]
    if not quick:
        names += [f"agreement:{name}" for name in rivals[-3:-1]]
        names += [f"pruned-{middle:g}:{name}" for name in ("gradient-x-input", "deeplift-shap")]
        names += [f"plrp-lambda-{middle:g}@zplus-all", f"sharpen:plrp-lambda-{middle:g}@zplus-all"]
        names += [f"plrp-lambda-{middle:g}-input@gamma", "plrp-total-0.25@gamma", "plrp-effective@gamma"]
    return names
