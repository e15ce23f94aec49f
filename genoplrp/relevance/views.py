"""A map that several views of a sequence agree on: shifted, on the other strand, faded, pruned or not.

What one pass of relevance propagation says about a base depends on where the sequence lies in the pooling grid, on the
strand, and on whether the network saturates; most of that is noise. A real site stays through all of it. So a few
passes are spread over such views, and their maps are averaged in the sequence's own coordinates. Not here: how one map
is made (`explainer`).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genoplrp.errors import InputError
from genoplrp.relevance.explainer import Explainer, Target
from genoplrp.relevance.explanation import Explanation
from genoplrp.relevance.pruning import Pruning

PASSES = 8
#: Share of the mass that is pruned over the whole depth, where a view is pruned.
CONSENSUS_P = 0.25
NEUTRAL = 0.25
#: Shift in bases and strand of each view; the first is the sequence as it is. Small shifts of either sign, and one of
#: more than a site's half width, half of them on the other strand.
_PLACES = ((0, False), (1, True), (2, False), (3, True), (-3, False), (0, True), (-2, True), (5, False))
#: How much of the sequence is there, the rest uniform; in turn.
_SHARES = (1.0, 1.0, 1.0, 0.75)


@dataclass(frozen=True)
class View:
    """One way to look at a sequence.

    Attributes
    ----------
    shift : int
        Bases that it is moved to the right (negative: to the left); columns of 0.25 enter at the free end.
    reverse : bool
        Whether the reverse complement is explained (after the shift).
    share : float
        The mixture ``0.25 + share * (x - 0.25)`` is explained: 1 is the sequence, 0 says nothing.
    pruned : bool
        Whether relevance is pruned in this view.
    """

    shift: int = 0
    reverse: bool = False
    share: float = 1.0
    pruned: bool = False

    def apply(self, x: Float[Tensor, "n 4 length"]) -> Float[Tensor, "n 4 length"]:
        """Return the sequences as this view shows them."""
        shown = NEUTRAL + self.share * (x - NEUTRAL)
        shown = _moved(shown, self.shift, NEUTRAL)
        return shown.flip(1, 2) if self.reverse else shown

    def undo(self, maps: Float[Tensor, "n length"]) -> Float[Tensor, "n length"]:
        """Return maps of the view in the sequence's own coordinates; 0 where the view did not show the base."""
        return _moved(maps.flip(1) if self.reverse else maps, -self.shift, 0.0)


def consensus_views(
    passes: int = PASSES, *, max_shift: int = 5, both_strands: bool = True
) -> tuple[View, ...]:
    """Choose the views of `consensus`.

    Parameters
    ----------
    passes
        How many, at least 1. The first is the sequence as it is, without pruning.
    max_shift
        Largest shift in bases, 0 or more. 0 where the output belongs to a position of the sequence.
    both_strands
        Half of the views on the reverse complement. False for models of one strand (RNA, stranded output).

    Returns
    -------
    tuple of View
        Every fourth view fades the sequence (share 0.75), every second pair of views is pruned.

    Raises
    ------
    InputError
        If a number is out of range.

    Examples
    --------
    >>> [view.shift for view in consensus_views(4, max_shift=2)]
    [0, 1, 2, 2]
    """
    if isinstance(passes, bool) or not isinstance(passes, int) or passes < 1:
        raise InputError(f"passes={passes!r}: must be a whole number of at least 1")
    if isinstance(max_shift, bool) or not isinstance(max_shift, int) or max_shift < 0:
        raise InputError(f"max_shift={max_shift!r}: must be a whole number of bases, 0 or more")
    views = []
    for k in range(passes):
        shift, reverse = _PLACES[k % len(_PLACES)]
        # A second round starts one base further on, or it would see what the first has seen.
        shift += k // len(_PLACES) if shift >= 0 else -(k // len(_PLACES))
        shift = max(-max_shift, min(max_shift, shift))
        pruned = (k // 2) % 2 == 1
        views.append(View(shift, reverse and both_strands, _SHARES[k % len(_SHARES)], pruned))
    return tuple(views)


def consensus(
    model: nn.Module | Explainer,
    X: Float[Tensor, "n 4 length"],
    target: Target = 0,
    *,
    views: Sequence[View] | None = None,
    passes: int = PASSES,
    max_shift: int = 5,
    both_strands: bool = True,
    args: Sequence[Tensor] | None = None,
    progress: bool = False,
) -> Explanation:
    """Average the relevance of a few views of each sequence: shifted, reversed, faded, with and without pruning.

    It is the explanation of the model's mean answer over the views, which for a model of regulatory DNA is the same
    question asked again: sites do not depend on a shift by a few bases or on the strand. It costs ``passes`` forward
    and backward passes. No random number is drawn; a sequence's map does not depend on its batch.

    Parameters
    ----------
    model
        Any `torch.nn.Module`, or an `Explainer` with rules, batch size and device of one's own; its pruning is used in
        every second pair of views (None: ``Pruning(p=0.25, total=True)``, a quarter of the mass over the whole depth).
    X
        (N, 4, L) one-hot DNA, channels A C G T; columns of zeros (N) are allowed.
    target
        As in a call of the explainer: an index, one index per sequence, or a function of the output. It should not
        belong to a position or a strand of the sequence; else pass ``max_shift=0`` and ``both_strands=False``.
    views
        The views, for full control; else `consensus_views` chooses them from the next three.
    passes, max_shift, both_strands
        See `consensus_views`.
    args
        Further inputs of the model, the same in every view.
    progress
        Show a progress bar.

    Returns
    -------
    Explanation
        ``relevance`` (N, 4, L), in units of the explained output, at the base that is there (0 for N);
        ``prediction`` for the sequences as they are.

    Raises
    ------
    InputError
        If the sequences are not (N, 4, L), or there is no view.

    References
    ----------
    Sundararajan, Taly and Yan, ICML 2017 (fading in from a baseline); Smilkov et al., arXiv 1706.03825 (averaging over
    copies); Yanez Sarmiento et al. 2024 (pruning). That the three are spread over the same few passes is ours; what
    each contributes is measured in docs/results.md.

    Examples
    --------
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv1d(4, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(48, 1))
    >>> X = torch.eye(4)[torch.randint(4, (2, 10))].mT
    >>> consensus(model, X).relevance.shape
    torch.Size([2, 4, 10])
    """
    chosen = (
        consensus_views(passes, max_shift=max_shift, both_strands=both_strands)
        if views is None
        else tuple(views)
    )
    if not chosen:
        raise InputError("views=(): give at least one view")
    x = torch.as_tensor(X)
    if x.dim() != 3 or x.shape[1] != 4:
        raise InputError(f"a consensus needs one-hot DNA of shape (N, 4, L); got {tuple(x.shape)}")
    x = x.to(torch.get_default_dtype()) if not x.is_floating_point() else x
    explainer = model if isinstance(model, Explainer) else Explainer(model, diagnostics=False)
    pruning = explainer.pruning or Pruning(p=CONSENSUS_P, total=True)
    plain, pruned = copy.copy(explainer), copy.copy(explainer)
    plain.pruning, pruned.pruning = None, pruning
    total = torch.zeros(len(x), x.shape[2], dtype=torch.float64)
    shown = torch.zeros(x.shape[2], dtype=torch.float64)
    everywhere = torch.ones(1, x.shape[2], dtype=torch.float64)
    first: Explanation | None = None
    for view in _progress(chosen, progress):
        e = (pruned if view.pruned else plain)(view.apply(x), target, args=args)
        total += view.undo(e.per_nucleotide.to(torch.float64))
        shown += View(view.shift).undo(everywhere)[0]
        first = e if first is None and view == View(pruned=view.pruned) else first
    prediction = (first or plain(x, target, args=args)).prediction
    mean = (total / shown.clamp(min=1)).to(e.relevance.dtype)
    return Explanation(
        relevance=mean.unsqueeze(1) * x.cpu(),
        prediction=prediction,
        target=e.target,
        notes=[*e.notes, f"mean over {len(chosen)} views of each sequence"],
        settings=e.settings | {"pruning": pruning, "views": chosen},
    )


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
