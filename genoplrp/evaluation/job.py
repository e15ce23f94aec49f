"""What a method of explanation is handed, and what a method is; no method is implemented here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from genoplrp.evaluation.maps import Maps

if TYPE_CHECKING:
    from torch import Tensor, nn

    from genoplrp.synthetic import Motif

Family = Literal["baseline", "oracle", "gradient", "perturbation", "LRP", "PLRP", "control", "user"]


@dataclass(frozen=True)
class Job:
    """What a method is asked to explain.

    Attributes
    ----------
    model : torch.nn.Module
        From (n, 4, L) to (n, T) outputs, in evaluation mode; one that takes other axes is put behind
        `genoplrp.adapt_model`.
    X : numpy.ndarray, shape (N, 4, L)
        One-hot sequences, float32.
    target : int
        The output to explain.
    seed : int
        Seed of a method that is random.
    motifs : tuple
        The planted motifs that matter for the target (for the oracle only).
    batch_size : int
        Sequences at a time.
    lengths : numpy.ndarray, shape (N,), optional
        Real positions of each sequence, from the left, where they are padded to L; None: all are L long.
    """

    model: nn.Module
    X: np.ndarray
    target: int = 0
    seed: int = 0
    motifs: tuple[Motif, ...] = ()
    batch_size: int = 64
    lengths: np.ndarray | None = None

    def __post_init__(self) -> None:
        import torch

        from genoplrp.relevance import adapt_model

        taken = adapt_model(self.model, X=torch.as_tensor(np.asarray(self.X[:1], dtype=np.float32)))
        object.__setattr__(self, "model", taken)


Explain: TypeAlias = "Callable[[Job], np.ndarray | Tensor]"
"""From a `Job` to a map (N, L), or to relevance (N, 4, L)."""


@dataclass(frozen=True)
class Method:
    """A method under its name.

    Attributes
    ----------
    name : str
        As it stands in tables.
    family : str
        What kind of method it is.
    explain : callable
        From a `Job`, or from the maps of the methods it is made from and the ``lengths`` of their sequences, to the map
        (N, L).
    needs : tuple of str
        Names of the methods whose maps a control is made from; their maps come in this order.
    packages : tuple of str
        Other packages that compute it: their versions are part of what its maps are made of.
    origin : callable, optional
        What a user registered, whose code is part of it too.
    """

    name: str
    family: Family
    explain: Callable[..., Maps | Tensor]
    needs: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    origin: Explain | None = None


def per_nucleotide(relevance: np.ndarray | Tensor) -> Float[np.ndarray, "n length"]:
    """Make a map (N, L) of relevance (N, 4, L), array or tensor; a map stays what it is.

    Examples
    --------
    >>> per_nucleotide(np.ones((1, 4, 2))).tolist()
    [[4.0, 4.0]]
    """
    if hasattr(relevance, "detach"):
        relevance = relevance.detach().cpu().double().numpy()
    values: np.ndarray = np.asarray(relevance, dtype=np.float64)
    return values.sum(axis=1) if values.ndim == 3 else values
