"""Explaining one block of windows: what every engine does to it, in this process or in a worker; no files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from genoplrp.errors import InputError, NonFiniteError
from genoplrp.relevance import Explainer, Explanation, Pruning, Rules, consensus
from genoplrp.relevance.targets import OneOutput, Term
from genoplrp.sequence import codes_to_one_hot


@dataclass(frozen=True)
class Task:
    """All that a block's values depend on beside its bases; it can be sent to another process.

    Attributes
    ----------
    model : torch.nn.Module
        The model.
    target : int or callable
        What is explained.
    rules, pruning
        As in `genoplrp.Explainer`.
    batch_size : int
        Windows explained at once.
    device : str or None
        Where to compute.
    values, hypothetical, dtype
        What is kept, see `genoplrp.scan.scan`.
    units : str
        Of the explained number: of a ``"logit"`` what the model returns is kept beside it.
    consensus : dict or None
        Explain by `genoplrp.consensus`, with these keywords.
    """

    model: torch.nn.Module
    target: OneOutput
    rules: Rules | None
    pruning: Pruning | None
    batch_size: int
    device: str | None
    values: str
    hypothetical: bool
    dtype: str
    units: str = "output"
    consensus: dict[str, Any] | None = None

    def explainer(self) -> Explainer:
        """Return what explains; to be made once a process."""
        return Explainer(
            self.model,
            self.rules or "gamma",
            self.pruning,
            batch_size=self.batch_size,
            device=self.device,
            diagnostics=False,
            keep_multiplier=self.hypothetical,
        )

    def explain(self, explainer: Explainer, codes: UInt8[np.ndarray, "n length"]) -> Explanation:
        """Explain some windows with an explainer that `explainer` made."""
        X = _one_hot(codes, explainer)
        if self.consensus is None:
            return explainer(X, self.target)
        if self.rules is not None:
            return consensus(explainer, X, self.target, **self.consensus)
        return consensus(
            explainer.network,  # where it computes already
            X,
            self.target,
            pruning=self.pruning,
            batch_size=self.batch_size,
            **self.consensus,
        )


def explain_block(
    task: Task,
    explainer: Explainer,
    codes: UInt8[np.ndarray, "n length"],
    first: int,
    names: Sequence[str],
    done: Callable[[int], object] = lambda windows: None,
) -> dict[str, np.ndarray]:
    """Explain the windows of a block, batch by batch.

    Parameters
    ----------
    task : Task
        What to do.
    explainer : Explainer
        Made by ``task.explainer()``.
    codes : array, (n, L), uint8
        Base numbers.
    first : int
        Number of the first window in the whole scan.
    names : sequence of str
        Names of the windows, for messages.
    done : callable
        Told how many windows were explained, after each batch.

    Returns
    -------
    dict of str to array
        ``sequence, relevance, prediction`` and, where they are kept, ``output`` and ``hypothetical``, as they stand in
        the store.

    Raises
    ------
    NonFiniteError
        If the model returns NaN or infinity; the message names the windows.
    InputError
        If values do not fit the precision asked for, or the rules give no hypothetical scores.
    """
    parts = []
    for start in range(0, len(codes), task.batch_size):
        stop = min(start + task.batch_size, len(codes))
        parts.append(_batch(task, explainer, codes[start:stop], first + start, names[start:stop]))
        done(stop - start)
    return joined(parts)


def joined(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Join the arrays of batches, in their order."""
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def explained_units(
    task: Task, explainer: Explainer, codes: UInt8[np.ndarray, "n length"], names: Sequence[str]
) -> tuple[str, str]:
    """Explain the first windows, and say in what units.

    Parameters
    ----------
    task, explainer
        As in `explain_block`.
    codes : array, (1 or 2, L), uint8
        Base numbers.
    names : sequence of str
        Names of the windows.

    Returns
    -------
    tuple of str
        Units of the explained number, ``"logit"`` or ``"output"``; and what the model itself returns, ``"probability"``
        or ``"output"``.

    Raises
    ------
    GenoplrpError
        If these windows cannot be explained as the task says.
    """
    codes = np.resize(codes, (2, codes.shape[1]))  # a forward pass that squeezes its output needs two
    _batch(task, explainer, codes, 0, [*names, *names][:2])
    X = torch.from_numpy(codes_to_one_hot(codes))
    units = explainer(X, task.target).units
    one_entry = isinstance(task.target, int) or (
        isinstance(task.target, Term) and None not in task.target.indices
    )
    if units == "output" or not one_entry:
        return units, "output"
    y = explainer.output(X, task.target)
    return units, "probability" if bool(((y >= 0) & (y <= 1)).all()) else "output"


def _one_hot(codes: np.ndarray, explainer: Explainer) -> torch.Tensor:
    """Return base numbers as one-hot; for a GPU made there, of a byte a base."""
    device = explainer.device
    if device.type == "cpu":
        return torch.from_numpy(codes_to_one_hot(codes))
    bases = torch.arange(4, dtype=torch.uint8, device=device)[:, None]
    return (torch.from_numpy(codes).to(device, non_blocking=True)[:, None] == bases).float()


def _batch(
    task: Task, explainer: Explainer, codes: np.ndarray, first: int, names: Sequence[str]
) -> dict[str, np.ndarray]:
    try:
        e = task.explain(explainer, codes)
    except NonFiniteError as error:
        raise NonFiniteError(
            f"windows {first} to {first + len(codes) - 1} ({names[0]} ... {names[-1]}): {error}. What was explained "
            "before them is kept: correct the model or leave these windows out"
        ) from error
    relevance = e.relevance if task.values == "full" else e.per_nucleotide
    arrays: dict[str, Any] = {"sequence": codes, "relevance": relevance, "prediction": e.prediction}
    if task.units == "logit":
        arrays["output"] = explainer.output(torch.from_numpy(codes_to_one_hot(codes)), task.target)
    if task.hypothetical:
        if e.multiplier is None:
            raise InputError(
                f"the rules {task.rules!r} have no multiplier at the input: hypothetical scores cannot be kept"
            )
        arrays["hypothetical"] = e.multiplier
    kinds = {"sequence": "uint8", "prediction": "float32", "output": "float32"}
    return {
        key: _as(np.asarray(value), np.dtype(kinds.get(key, task.dtype)), key)
        for key, value in arrays.items()
    }


def _as(values: np.ndarray, dtype: np.dtype[Any], name: str) -> np.ndarray:
    if dtype == np.float16 and np.abs(values).max(initial=0) > 65504:
        raise InputError(
            f"{name} of {np.abs(values).max():g} does not fit into float16 (largest 65504): keep float32"
        )
    return values.astype(dtype)
