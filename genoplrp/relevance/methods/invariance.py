"""Which views of a sequence a model allows: what its outputs make of a shift, and of the other strand.

A model of regulatory DNA answers alike when sites move a little or turn round; one that was trained on splice sites or
translation starts, in their place, does not, and a map of a moved sequence says nothing about the one that is there. Of
each the model's own outputs are asked. Not here: what is done with the answer (`consensus`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genoplrp.relevance.explainer import Explainer, Target
from genoplrp.relevance.methods.outputs import explained_outputs
from genoplrp.relevance.methods.views import View

SAMPLE = 32
#: At least so many shuffled copies are asked, however few the sequences.
CONTROLS = 16
LEAST_CORRELATION, LEAST_EXCESS = 0.8, 0.9


class Kept(NamedTuple):
    """What a model's outputs keep when sequences are shown in another way.

    Attributes
    ----------
    correlation : float
        Of outputs before and after, over the sequences and shuffled copies of them, which count as much together.
    excess : float
        Share of what the sequences' mean output has above that of the copies; NaN where it has nothing above it.
    error : float
        Standard error of ``excess``.
    """

    correlation: float
    excess: float
    error: float

    @property
    def allowed(self) -> bool:
        """Whether the outputs agree: correlation .8 or more, and excess no less than .9 within its error."""
        return self.correlation >= LEAST_CORRELATION and not self.excess + self.error < LEAST_EXCESS

    def __str__(self) -> str:
        kept = f"{self.excess:.0%} kept" if self._measured else "share kept not measurable"
        return f"{'yes' if self.allowed else 'no'} (r {self.correlation:.2f}, {kept})"

    @property
    def _measured(self) -> bool:
        """Whether the excess can be read as a share, which needs sequences clearly above their copies."""
        return self.error <= 0.5 and -1 <= self.excess <= 2


class Invariance(NamedTuple):
    """What outputs keep under a shift and on the other strand; None where it was not asked.

    Examples
    --------
    >>> print(Invariance(Kept(0.97, 1.0, 0.02), Kept(0.1, 0.05, 0.1)))
    shift yes (r 0.97, 100% kept), strand no (r 0.10, 5% kept)
    """

    shift: Kept | None
    strand: Kept | None

    def __str__(self) -> str:
        parts = [f"{name} {kept}" for name, kept in self._asdict().items() if kept is not None]
        return ", ".join(parts) or "not asked"

    def allowed(self, max_shift: int) -> tuple[int, bool]:
        """Return by how many bases sequences may be moved, and whether the other strand may be shown."""
        return (
            max_shift if self.shift is not None and self.shift.allowed else 0,
            self.strand is not None and self.strand.allowed,
        )


def measure_invariance(
    explainer: Explainer,
    X: Float[Tensor, "n 4 length"],
    target: Target = 0,
    *,
    max_shift: int = 3,
    both_strands: bool = True,
    args: Sequence[Tensor] | None = None,
) -> Invariance:
    """Ask a model about moved and reversed copies of some of the sequences, and of shuffled ones.

    Parameters
    ----------
    explainer
        Holds the model.
    X
        (N, 4, L) one-hot sequences; at most 32 of them, evenly spaced, are asked about.
    target
        The explained output, as in a call of the explainer.
    max_shift
        Bases to move by, either way (the worse of the two counts); 0: not asked.
    both_strands
        Whether the reverse complement is asked about.
    args
        Further inputs of the model, the same for all copies of a sequence.

    Returns
    -------
    Invariance

    Examples
    --------
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv1d(4, 8, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    >>> X = torch.eye(4)[torch.randint(4, (20, 60))].mT
    >>> measure_invariance(Explainer(model), X, max_shift=0).shift is None
    True
    """
    rows = sample_rows(len(X))
    copies = max(1, -(-CONTROLS // len(rows)))
    rows = torch.cat([rows, rows.repeat(copies)])
    n = len(rows) // (copies + 1)
    shown = X[rows].clone()
    for copy in range(copies):
        of = slice(n * (copy + 1), n * (copy + 2))
        shown[of] = shuffled(shown[of], seed=copy)
    theirs, extra = of_rows(rows, target, args)

    def output(view: View) -> Tensor:
        return explained_outputs(explainer, view.apply(shown), theirs, args=extra).double()

    plain = output(View())
    shift = strand = None
    if max_shift:
        both = [_kept(plain, output(View(by)), n) for by in (max_shift, -max_shift)]
        shift = min(both, key=lambda kept: (kept.allowed, kept.excess, kept.correlation))
    if both_strands:
        strand = _kept(plain, output(View(reverse=True)), n)
    return Invariance(shift, strand)


def sample_rows(n: int) -> Int[Tensor, " rows"]:
    """Return which of n sequences a model is asked about: at most 32, evenly spaced."""
    return torch.linspace(0, n - 1, min(n, SAMPLE)).round().long()


def of_rows(
    rows: Int[Tensor, " rows"], target: Target, args: Sequence[Tensor] | None
) -> tuple[Target, list[Tensor] | None]:
    """Return the target and the further inputs of some of the sequences."""
    several = isinstance(target, Sequence) or (isinstance(target, Tensor) and target.dim() == 1)
    return (
        torch.as_tensor(target)[rows] if several else target,
        None if args is None else [torch.as_tensor(a)[rows] for a in args],
    )


def shuffled(x: Float[Tensor, "n 4 length"], seed: int) -> Float[Tensor, "n 4 length"]:
    """Return the sequences with their positions in random order, all in the same: none depends on its batch."""
    order = torch.randperm(x.shape[2], generator=torch.Generator().manual_seed(seed))
    return x[..., order.to(x.device)]


def _kept(plain: Tensor, view: Tensor, n: int) -> Kept:
    """Compare outputs for n sequences and for shuffled copies of them, which come behind."""
    weight = torch.full_like(plain, 0.5 / (len(plain) - n))
    weight[:n] = 0.5 / n
    a, b = plain - (weight * plain).sum(), view - (weight * view).sum()
    norm = ((weight * a * a).sum() * (weight * b * b).sum()).sqrt()
    correlation = float((weight * a * b).sum() / norm) if norm > 0 else float(torch.allclose(plain, view))
    above = plain[:n].mean() - plain[n:].mean()
    if above <= 0:
        return Kept(correlation, float("nan"), 0.0)
    change = view - plain
    spread = change[:n].std() if n > 1 else change.std()
    return Kept(
        correlation, float((view[:n].mean() - plain[n:].mean()) / above), float(spread / n**0.5 / above)
    )
