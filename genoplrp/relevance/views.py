"""A map that several views of a sequence agree on: shifted, on the other strand, with random halves knocked out.

What one pass of relevance propagation says about a base depends on where the sequence lies in the pooling grid, on the
strand, and on what else is there: a saturated network pays a site only where a stronger one is missing. So a few passes
are spread over such views, and their maps are averaged in the sequence's own coordinates. Not here: how one map is made
(`explainer`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from genoplrp.errors import InputError
from genoplrp.relevance.explainer import Explainer, Target
from genoplrp.relevance.explanation import Explanation
from genoplrp.relevance.pruning import Pruning

PASSES = 8
#: Share of the mass that is pruned over the whole depth.
CONSENSUS_P = 0.3
CONSENSUS_RULES = "gamma-all"
#: Length of the blocks that are knocked out, in bases: about that of a motif.
WIDTH = 10
NEUTRAL = 0.25
#: Shift in bases and strand of each view; the first is the sequence as it is.
_WHOLE = ((0, False), (1, True), (2, False), (-2, True))
_HALVES = ((0, False), (1, True), (-3, False), (0, True))


@dataclass(frozen=True)
class View:
    """One way to look at a sequence.

    Attributes
    ----------
    shift : int
        Bases that it is moved to the right (negative: to the left); columns of 0.25 enter at the free end.
    reverse : bool
        Whether the reverse complement is explained (after the shift).
    half : int, optional
        Number of the random half of the sequence that is there, columns of 0.25 in place of the rest: 0 and 1 are each
        the complement of the other, and so are 2 and 3, ...; None for the whole sequence.
    """

    shift: int = 0
    reverse: bool = False
    half: int | None = None

    def apply(
        self, x: Float[Tensor, "n 4 length"], kept: Bool[Tensor, " length"] | None = None
    ) -> Float[Tensor, "n 4 length"]:
        """Return the sequences as this view shows them, of which only the positions ``kept`` are there."""
        shown = x if kept is None else torch.where(kept.to(x.device), x, torch.full_like(x, NEUTRAL))
        shown = _moved(shown, self.shift, NEUTRAL)
        return shown.flip(1, 2) if self.reverse else shown

    def undo(self, maps: Float[Tensor, "n length"]) -> Float[Tensor, "n length"]:
        """Return maps of the view in the sequence's own coordinates; 0 where it was shifted out of sight."""
        return _moved(maps.flip(1) if self.reverse else maps, -self.shift, 0.0)


def consensus_views(
    passes: int = PASSES, *, max_shift: int = 3, both_strands: bool = True, halves: bool = True
) -> tuple[View, ...]:
    """Choose the views of `consensus`.

    Parameters
    ----------
    passes
        How many, at least 1; a multiple of 4 uses both complements of every half.
    max_shift
        Largest shift in bases, 0 or more. 0 where the output belongs to a position of the sequence.
    both_strands
        Half of the views on the reverse complement. False for models of one strand (RNA, stranded output).
    halves
        Half of the views with one half of the sequence knocked out.

    Returns
    -------
    tuple of View
        Two views of the whole sequence, the first of them as it is, then two complementary halves, and so on.

    Raises
    ------
    InputError
        If a number is out of range.

    Examples
    --------
    >>> [view.half for view in consensus_views(8)]
    [None, None, 0, 1, None, None, 2, 3]
    """
    if isinstance(passes, bool) or not isinstance(passes, int) or passes < 1:
        raise InputError(f"passes={passes!r}: must be a whole number of at least 1")
    if isinstance(max_shift, bool) or not isinstance(max_shift, int) or max_shift < 0:
        raise InputError(f"max_shift={max_shift!r}: must be a whole number of bases, 0 or more")
    views: list[View] = []
    for k in range(passes):
        knocked = halves and (k // 2) % 2 == 1
        count = sum((view.half is not None) == knocked for view in views)
        places = _HALVES if knocked else _WHOLE
        shift, reverse = places[count % len(places)]
        # A second round starts further out, or it would see what the first has seen.
        beyond = count // len(places)
        shift = max(-max_shift, min(max_shift, shift + (beyond if shift >= 0 else -beyond)))
        views.append(View(shift, reverse and both_strands, count if knocked else None))
    return tuple(views)


def consensus(
    model: nn.Module | Explainer,
    X: Float[Tensor, "n 4 length"],
    target: Target = 0,
    *,
    views: Sequence[View] | None = None,
    passes: int = PASSES,
    max_shift: int = 3,
    both_strands: bool = True,
    halves: bool = True,
    seed: int = 0,
    args: Sequence[Tensor] | None = None,
    progress: bool = False,
) -> Explanation:
    """Average the pruned relevance of a few views of each sequence: shifted, reversed, by halves.

    It explains the model's answers to the same question asked in several ways: for a model of regulatory DNA, sites do
    not depend on a shift by a few bases or on the strand, and a site that the network needs only where a stronger one
    is missing is paid in the half without it. It costs ``passes`` forward and backward passes.

    Parameters
    ----------
    model
        Any `torch.nn.Module`, explained with the rules ``"gamma-all"`` and ``Pruning(p=0.3, total=True)``, 30 % of the
        mass over the whole depth; or an `Explainer` with rules, pruning, batch size and device of one's own.
    X
        (N, 4, L) one-hot DNA, channels A C G T; columns of zeros (N) are allowed.
    target
        As in a call of the explainer: an index, one index per sequence, or a function of the output. It should not
        belong to a position or a strand of the sequence; else pass ``max_shift=0`` and ``both_strands=False``.
    views
        The views, for full control; else `consensus_views` chooses them from the next four.
    passes, max_shift, both_strands, halves
        See `consensus_views`.
    seed
        Seed of the halves (blocks of ten bases, each kept or knocked out), which are the same for every sequence: a
        sequence's map does not depend on its batch.
    args
        Further inputs of the model, the same in every view.
    progress
        Show a progress bar.

    Returns
    -------
    Explanation
        ``relevance`` (N, 4, L), in units of the explained output, at the base that is there (0 for N): for every base
        the mean over the views that show it, those that show half of the sequence counting twice. It does not add up
        to the output. ``prediction`` is that of the sequences as they are.

    Raises
    ------
    InputError
        If the sequences are not (N, 4, L), or there is no view.

    References
    ----------
    Yanez Sarmiento et al. 2024 (pruning); Banzhaf, Rutgers Law Review 19 (1965) (the value of a player over random
    halves of the others); Smilkov et al., arXiv 1706.03825 (averaging over copies). That they share the same few passes
    is ours; what each contributes is measured in docs/results.md.

    Examples
    --------
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv1d(4, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(48, 1))
    >>> X = torch.eye(4)[torch.randint(4, (2, 10))].mT
    >>> consensus(model, X).relevance.shape
    torch.Size([2, 4, 10])
    """
    if views is None:
        views = consensus_views(passes, max_shift=max_shift, both_strands=both_strands, halves=halves)
    chosen = tuple(views)
    if not chosen:
        raise InputError("views=(): give at least one view")
    x = torch.as_tensor(X)
    if x.dim() != 3 or x.shape[1] != 4:
        raise InputError(f"a consensus needs one-hot DNA of shape (N, 4, L); got {tuple(x.shape)}")
    x = x if x.is_floating_point() else x.to(torch.get_default_dtype())
    if isinstance(model, Explainer):
        explainer = model
    else:
        pruning = Pruning(p=CONSENSUS_P, total=True)
        explainer = Explainer(model, CONSENSUS_RULES, pruning, diagnostics=False)
    contexts = _contexts(x.shape[2], chosen, seed)
    total = torch.zeros(len(x), x.shape[2], dtype=torch.float64)
    weight = torch.zeros(x.shape[2], dtype=torch.float64)
    prediction: Tensor | None = None
    for view in _progress(chosen, progress):
        kept = None if view.half is None else contexts[view.half]
        e = explainer(view.apply(x, kept), target, args=args)
        once = torch.ones(x.shape[2], dtype=torch.float64) if kept is None else 2.0 * kept.double()
        once = once * View(view.shift).undo(torch.ones(1, x.shape[2], dtype=torch.float64))[0]
        total += once * view.undo(e.per_nucleotide.to(torch.float64))
        weight += once
        if view == View():
            prediction = e.prediction
    if prediction is None:
        prediction = explainer(x, target, args=args).prediction
    mean = (total / torch.where(weight > 0, weight, 1.0)).to(e.relevance.dtype)
    return Explanation(
        relevance=mean.unsqueeze(1) * x.cpu(),
        prediction=prediction,
        target=e.target,
        notes=[*e.notes, f"mean over {len(chosen)} views of each sequence"],
        settings=e.settings | {"views": chosen, "seed": seed},
    )


def knockout_contexts(length: int, count: int, width: int, seed: int) -> Bool[np.ndarray, "count length"]:
    """Draw which positions are kept: blocks at a random offset, each kept with probability one half.

    Parameters
    ----------
    length
        Length L of the sequences.
    count
        How many contexts.
    width
        Length of a block.
    seed
        Seed.

    Returns
    -------
    numpy.ndarray, shape (count, L), bool

    Examples
    --------
    >>> knockout_contexts(6, 2, 3, seed=0).shape
    (2, 6)
    """
    rng = np.random.default_rng(seed)
    offsets = rng.integers(0, width, size=(count, 1))
    blocks = (np.arange(length) + offsets) // width
    draws = rng.random((count, length // width + 2)) < 0.5
    kept: np.ndarray = np.take_along_axis(draws, blocks, axis=1)
    return kept


def _contexts(length: int, views: Sequence[View], seed: int) -> dict[int, Tensor]:
    numbers = sorted({view.half for view in views if view.half is not None})
    if not numbers:
        return {}
    drawn = torch.as_tensor(knockout_contexts(length, max(numbers) // 2 + 1, WIDTH, seed))
    return {k: drawn[k // 2] if k % 2 == 0 else ~drawn[k // 2] for k in numbers}


def _moved(values: Tensor, shift: int, fill: float) -> Tensor:
    """Move along the last axis; what leaves is lost, and the fill enters."""
    if shift == 0:
        return values
    moved = torch.full_like(values, fill)
    if abs(shift) < values.shape[-1]:
        if shift > 0:
            moved[..., shift:] = values[..., :-shift]
        else:
            moved[..., :shift] = values[..., -shift:]
    return moved


def _progress(views: Sequence[View], progress: bool) -> Any:
    from tqdm import tqdm

    return tqdm(views, desc="views", unit="pass", disable=None if progress else True)
