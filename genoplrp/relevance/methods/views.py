"""Ways to look at a sequence: shifted, on the other strand, by several mechanisms; nothing is explained here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from genoplrp.errors import InputError

PASSES = 12
NEUTRAL = 0.25
Mechanism = Literal["relevance", "box", "difference"]
MECHANISMS: tuple[Mechanism, ...] = get_args(Mechanism)
#: Shift in bases and strand of each view, and its rules; the first is the sequence as it is. With epsilon in the dense
#: layers (gamma) relevance is more specific to the class, with gamma there it survives a saturated head.
_PLACES = ((0, False, "gamma"), (1, True, "gamma-all"), (2, False, "gamma-all"), (-2, True, "gamma"))


@dataclass(frozen=True)
class View:
    """One way to look at a sequence.

    Attributes
    ----------
    shift : int
        Bases that it is moved to the right (negative: to the left); columns of 0.25 enter at the free end.
    reverse : bool
        Whether the reverse complement is explained (after the shift).
    by : {"relevance", "box", "difference"}
        Whether the output's relevance is asked for; the same with the box rule at the input, which counts what the
        other bases would have done; or by DeepLIFT the contributions to the difference from the output of uniform
        columns.
    rules : str, optional
        Preset of propagation rules; None for those of the explainer. Of no effect on ``"difference"``.
    """

    shift: int = 0
    reverse: bool = False
    by: Mechanism = "relevance"
    rules: str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the sequence is shown as it is."""
        return self.shift == 0 and not self.reverse

    def apply(self, x: Float[Tensor, "n 4 length"]) -> Float[Tensor, "n 4 length"]:
        """Return the sequences as this view shows them."""
        shown = _moved(x, self.shift, NEUTRAL)
        return shown.flip(1, 2) if self.reverse else shown

    def undo(self, maps: Float[Tensor, "n length"]) -> Float[Tensor, "n length"]:
        """Return maps of the view in the sequence's own coordinates; 0 where it was shifted out of sight."""
        return _moved(maps.flip(1) if self.reverse else maps, -self.shift, 0.0)


def consensus_views(
    passes: int = PASSES,
    *,
    max_shift: int = 3,
    both_strands: bool = True,
    mechanisms: Sequence[Mechanism] = MECHANISMS,
) -> tuple[View, ...]:
    """Choose the views of `consensus`.

    Parameters
    ----------
    passes
        How many, at least 1; with a multiple of twelve every mechanism sees both strands equally often.
    max_shift
        Largest shift in bases, 0 or more. 0 where the output belongs to a position of the sequence.
    both_strands
        Half of the views on the reverse complement. False for models of one strand (RNA, stranded output).
    mechanisms
        ``by`` of the views, in turn.

    Returns
    -------
    tuple of View
        The first is the sequence as it is.

    Raises
    ------
    InputError
        If a number is out of range, or there is no such mechanism.

    Examples
    --------
    >>> [view.by[:3] for view in consensus_views(6)]
    ['rel', 'box', 'dif', 'rel', 'box', 'dif']
    >>> [view.shift for view in consensus_views(4, mechanisms=["relevance"])]
    [0, 1, 2, -2]
    """
    if isinstance(passes, bool) or not isinstance(passes, int) or passes < 1:
        raise InputError(f"passes={passes!r}: must be a whole number of at least 1")
    if isinstance(max_shift, bool) or not isinstance(max_shift, int) or max_shift < 0:
        raise InputError(f"max_shift={max_shift!r}: must be a whole number of bases, 0 or more")
    unknown = [by for by in mechanisms if by not in MECHANISMS]
    if unknown or not mechanisms:
        raise InputError(f"mechanisms={list(mechanisms)!r}: name one or more of {', '.join(MECHANISMS)}")
    views = []
    for k in range(passes):
        count = k // len(mechanisms)
        shift, reverse, rules = _PLACES[count % len(_PLACES)]
        # A second round starts further out, or it would see what the first has seen.
        beyond = count // len(_PLACES)
        shift = max(-max_shift, min(max_shift, shift + (beyond if shift >= 0 else -beyond)))
        by = mechanisms[k % len(mechanisms)]
        views.append(View(shift, reverse and both_strands, by, None if by == "difference" else rules))
    return tuple(views)


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
