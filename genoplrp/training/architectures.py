"""Reference architectures by name: listing and building them; their layers are in ``networks``."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch

from genoplrp.errors import InputError
from genoplrp.training.networks import Basset, BPNet, DeepBind, DeepSTARR, Koo, KooExp, ResidualBind
from genoplrp.training.profile_network import BPNetProfile
from genoplrp.training.sequence_model import SequenceModel, initialise

MIN_LENGTH = 12
"""Shortest input (bp) that the architectures accept."""


def list_architectures() -> dict[str, str]:
    """Names of the architectures, each with one line on what it is.

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> from genoplrp.training import list_architectures
    >>> "koo" in list_architectures()
    True
    """
    return {name: (inspect.getdoc(cls) or "").splitlines()[0] for name, cls in ARCHITECTURES.items()}


def build_architecture(
    name: str, *, length: int, n_tasks: int = 1, seed: int = 0, **parameters: object
) -> SequenceModel:
    """Make an untrained network, its weights drawn from a generator of its own.

    Parameters
    ----------
    name
        One of :func:`list_architectures`.
    length
        Length of the input, in base pairs. Pooling adapts to short inputs.
    n_tasks
        Number of outputs.
    seed
        Seed of the initial weights. The global random state is neither read nor changed.
    **parameters
        Parameters of the architecture's own (filters, kernel sizes, dropout, ...).

    Returns
    -------
    SequenceModel
        A ``torch.nn.Module`` from (N, 4, length) to (N, n_tasks), of a profile (N, n_tasks, 1 + length); outputs are
        logits. In training mode.

    Raises
    ------
    InputError
        If the name, a parameter, the length or the number of tasks is not known or too small.

    Examples
    --------
    >>> import torch
    >>> from genoplrp.training import build_architecture
    >>> model = build_architecture("koo", length=60, n_tasks=3).eval()
    >>> model(torch.zeros(2, 4, 60)).shape
    torch.Size([2, 3])
    """
    cls = ARCHITECTURES.get(name)
    if cls is None:
        raise InputError(f"There is no architecture {name!r}; choose one of {', '.join(ARCHITECTURES)}.")
    if length < MIN_LENGTH:
        raise InputError(f"Sequences of {length} bp are too short for {name!r}: at least {MIN_LENGTH} bp.")
    if n_tasks < 1:
        raise InputError(f"n_tasks={n_tasks}: a model needs at least one output.")
    known = {n: p for n, p in inspect.signature(cls).parameters.items() if n not in ("length", "n_tasks")}
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise InputError(f"Architecture {name!r} has no parameter {unknown[0]!r}; it has {', '.join(known)}.")
    for key, value in parameters.items():
        usual = known[key].default
        if isinstance(usual, tuple | list) and not isinstance(value, tuple | list):
            raise InputError(
                f"Architecture {name!r}: {key}={value!r} is one number, and {key} takes several (by default "
                f"{','.join(map(str, usual))})."
            )
    try:
        with torch.device("meta"):  # nothing is drawn here: the weights come from our own generator below
            model = cls(length, n_tasks, **parameters)
    except (TypeError, ValueError, RuntimeError) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in parameters.items())
        usual = ", ".join(f"{key}={known[key].default!r}" for key in parameters)
        raise InputError(
            f"Architecture {name!r} cannot be built with {given or 'its defaults'}: {error}"
            + (f". By default {usual}." if usual else "")
        ) from error
    model = model.to_empty(device="cpu")
    initialise(model, torch.Generator().manual_seed(seed), model.gains)
    return model


ARCHITECTURES: dict[str, Callable[..., SequenceModel]] = {
    "koo": Koo,
    "koo_exp": KooExp,
    "bpnet": BPNet,
    "bpnet_profile": BPNetProfile,
    "deepbind": DeepBind,
    "basset": Basset,
    "deepstarr": DeepSTARR,
    "residualbind": ResidualBind,
}
"""Classes of the architectures by name."""
