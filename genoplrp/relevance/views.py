"""A map that several views of a sequence agree on: shifted, on the other strand, by two mechanisms, with parts missing.

What one pass of relevance propagation says about a base depends on where the sequence lies in the pooling grid, on the
strand, and on what else is there: a saturated network pays a site only where a stronger one is missing. What it says of
noise depends on the mechanism: relevance shares out an output, DeepLIFT a difference from a shuffled sequence. So a few
passes are spread over such views, and their maps are averaged in the sequence's own coordinates. Not here: how one map
is made (`explainer`, `deeplift`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from genoplrp.errors import InputError, UnsupportedOperationError
from genoplrp.relevance.deeplift import DeepLift
from genoplrp.relevance.explainer import Explainer, Target, unit_of
from genoplrp.relevance.explanation import Explanation
from genoplrp.relevance.gradients import GradientTimesInput
from genoplrp.relevance.knockouts import PARTS, knockout_parts, shuffled
from genoplrp.relevance.pruning import Pruning

PASSES = 12
#: Share of the mass that is pruned over the whole depth.
CONSENSUS_P = 0.15
CONSENSUS_RULES = "gamma-all"
#: Length of the blocks that are knocked out, in bases: about that of a motif.
WIDTH = 10
NEUTRAL = 0.25
#: Shift in bases and strand of each view; the first is the sequence as it is.
_WHOLE = ((0, False), (1, True), (2, False), (-2, True))
_PARTLY = ((0, False), (1, True), (-3, False), (0, True))

Mechanism = Literal["relevance", "difference"]


@dataclass(frozen=True)
class View:
    """One way to look at a sequence.

    Attributes
    ----------
    shift : int
        Bases that it is moved to the right (negative: to the left); columns of 0.25 enter at the free end.
    reverse : bool
        Whether the reverse complement is explained (after the shift).
    without : int, optional
        Number of the random quarter of the sequence that is not there, columns of 0.25 in its place: quarters 0 to 3
        together are the whole sequence, and so are 4 to 7, ...; None where nothing is missing.
    by : {"relevance", "difference"}
        Whether the output's relevance is asked for, or by DeepLIFT the contributions to its difference from the output
        of a dinucleotide shuffle of the sequence (another one in each such view).
    """

    shift: int = 0
    reverse: bool = False
    without: int | None = None
    by: Mechanism = "relevance"

    @property
    def is_plain(self) -> bool:
        """Whether the sequence is shown as it is."""
        return self.shift == 0 and not self.reverse and self.without is None

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
    passes: int = PASSES,
    *,
    max_shift: int = 3,
    both_strands: bool = True,
    knockouts: bool = True,
    differences: bool = True,
) -> tuple[View, ...]:
    """Choose the views of `consensus`.

    Parameters
    ----------
    passes
        How many, at least 1; with a multiple of 12 (of 6 without differences) every base is knocked out equally often.
    max_shift
        Largest shift in bases, 0 or more. 0 where the output belongs to a position of the sequence.
    both_strands
        Half of the views on the reverse complement. False for models of one strand (RNA, stranded output).
    knockouts
        Two of three views by relevance without a quarter of the sequence.
    differences
        Every second view by DeepLIFT against a shuffle.

    Returns
    -------
    tuple of View
        In turn one by relevance and one by DeepLIFT; the first is the sequence as it is.

    Raises
    ------
    InputError
        If a number is out of range.

    Examples
    --------
    >>> [view.without for view in consensus_views(6)]
    [None, None, 0, None, 1, None]
    >>> [view.by[:3] for view in consensus_views(6)]
    ['rel', 'dif', 'rel', 'dif', 'rel', 'dif']
    """
    if isinstance(passes, bool) or not isinstance(passes, int) or passes < 1:
        raise InputError(f"passes={passes!r}: must be a whole number of at least 1")
    if isinstance(max_shift, bool) or not isinstance(max_shift, int) or max_shift < 0:
        raise InputError(f"max_shift={max_shift!r}: must be a whole number of bases, 0 or more")
    kinds = ["whole", "partly", "partly"] if knockouts else ["whole"]
    if differences:
        kinds = [kind for by_relevance in kinds for kind in (by_relevance, "difference")]
    made = dict.fromkeys(kinds, 0)
    views: list[View] = []
    for k in range(passes):
        kind = kinds[k % len(kinds)]
        count = made[kind]
        made[kind] += 1
        places = _PARTLY if kind == "partly" else _WHOLE
        shift, reverse = places[count % len(places)]
        # A second round starts further out, or it would see what the first has seen.
        beyond = count // len(places)
        shift = max(-max_shift, min(max_shift, shift + (beyond if shift >= 0 else -beyond)))
        views.append(
            View(
                shift,
                reverse and both_strands,
                count if kind == "partly" else None,
                "difference" if kind == "difference" else "relevance",
            )
        )
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
    knockouts: bool = True,
    differences: bool = True,
    seed: int = 0,
    args: Sequence[Tensor] | None = None,
    progress: bool = False,
) -> Explanation:
    """Average pruned maps of a few views of each sequence: shifted, reversed, with parts missing, by two mechanisms.

    It explains the model's answers to the same question asked in several ways: for a model of regulatory DNA, sites do
    not depend on a shift by a few bases or on the strand, a site that the network needs only where a stronger one is
    missing is paid in the view without that, and two mechanisms agree on sites, but not on noise. It costs ``passes``
    forward and backward passes, and another forward pass for each view by DeepLIFT.

    Parameters
    ----------
    model
        Any `torch.nn.Module`, explained with the rules ``"gamma-all"`` and ``Pruning(p=0.15, total=True)``, 15 % of the
        mass over the whole depth; or an `Explainer` with rules, pruning, batch size and device of one's own (a
        `DeepLift` or `GradientTimesInput` makes all views itself).
    X
        (N, 4, L) one-hot DNA, channels A C G T; columns of zeros (N) are allowed.
    target
        As in a call of the explainer: an index, one index per sequence, or a function of the output. It should not
        belong to a position or a strand of the sequence; else pass ``max_shift=0`` and ``both_strands=False``.
    views
        The views, for full control; else `consensus_views` chooses them from the next five.
    passes, max_shift, both_strands, knockouts, differences
        See `consensus_views`. A model with an operation that DeepLIFT has no rule for is explained without those views,
        which the notes say.
    seed
        Seed of the quarters (of blocks of ten bases), which are the same for every sequence, and of the shuffles: a
        sequence's map does not depend on its batch.
    args
        Further inputs of the model, the same in every view.
    progress
        Show a progress bar.

    Returns
    -------
    Explanation
        ``relevance`` (N, 4, L), in units of the explained output, at the base that is there (0 for N). For every base
        the mean over the views that show it, of relevance and of differences apart, those without a quarter counting
        4/3, and each by how much it keeps of what the output has above that of the shuffles; both means in units of
        their positive mass, weighted by their numbers of views, scaled to the positive mass of the differences. It does
        not add up to the output. ``prediction`` is that of the sequences as they are.

    Raises
    ------
    InputError
        If the sequences are not (N, 4, L), or there is no view.
    UnsupportedOperationError
        If the model has an operation without a rule (for DeepLIFT: if there is no other view).

    References
    ----------
    Yanez Sarmiento et al. 2024 (pruning); Shrikumar, Greenside and Kundaje 2017, ICML (DeepLIFT); Castro, Gomez and
    Tejada, Computers and Operations Research 36 (2009) (a player's value without some of the others); Smilkov et al.,
    arXiv 1706.03825 (averaging over copies). That they share the same few passes is ours; what each contributes is
    measured in docs/results.md.

    Examples
    --------
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv1d(4, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(48, 1))
    >>> X = torch.eye(4)[torch.randint(4, (2, 10))].mT
    >>> consensus(model, X).relevance.shape
    torch.Size([2, 4, 10])
    """
    if views is None:
        views = consensus_views(
            passes,
            max_shift=max_shift,
            both_strands=both_strands,
            knockouts=knockouts,
            differences=differences,
        )
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
    kept = _kept(x.shape[2], chosen, seed)
    made: list[tuple[View, Tensor | None, Tensor, Tensor]] = []
    baselines: list[Tensor] = []
    first: Explanation | None = None
    refused: UnsupportedOperationError | None = None
    for number, view in enumerate(_progress(chosen, progress)):
        if view.by == "difference" and refused is not None:
            continue
        try:
            explain = (
                explainer
                if view.by == "relevance"
                else _differences(explainer, view, x, kept[number], (seed, number))
            )
            e = explain(view.apply(x, kept[number]), target, args=args)
        except UnsupportedOperationError as error:
            if view.by == "relevance":
                raise
            refused = error
            continue
        made.append((view, kept[number], e.prediction, e.per_nucleotide))
        if e.baseline is not None:
            baselines.append(e.baseline)
        first = e if first is None else first
    if first is None:
        assert refused is not None
        raise refused
    prediction = next((output for view, _, output, _ in made if view.is_plain), None)
    if prediction is None:
        prediction = explainer(x, target, args=args).prediction
    baseline = torch.stack(baselines).double().mean(dim=0) if baselines else None
    means = {kind: _Mean(len(x), x.shape[2]) for kind in ("relevance", "difference")}
    for view, there, output, per_nucleotide in made:
        means[view.by].add(view, per_nucleotide, there, share_kept(output, prediction, baseline))
    notes = [*first.notes, f"mean over {len(made)} views of each sequence"]
    if refused is not None:
        notes.append(f"no view by DeepLIFT: {refused}")
    return Explanation(
        relevance=_together(**means).to(first.relevance.dtype).unsqueeze(1) * x.cpu(),
        prediction=prediction,
        target=first.target,
        notes=notes,
        settings=first.settings | {"views": chosen, "seed": seed},
    )


def share_kept(
    output: Float[Tensor, " n"], plain: Float[Tensor, " n"], baseline: Float[Tensor, " n"] | None
) -> Float[Tensor, " n"]:
    """Return how much a view keeps of what the output has above the shuffles' one, from 0 to 1: how much it counts.

    Where a rule binds two sites, a view without one of them answers another question, and its map is noise; so does
    the other strand of a model of one strand.

    Parameters
    ----------
    output, plain
        (N,) outputs for the view, and for the sequences as they are.
    baseline
        (N,) mean output of the shuffles; None where there are none, and every view counts the same.

    Returns
    -------
    Tensor, shape (N,), float64
        1 where the sequence's own output is not above that of its shuffles.

    Examples
    --------
    >>> share_kept(torch.tensor([2.0, -1.0, 0.0]), torch.tensor([4.0, 4.0, -1.0]), torch.zeros(3)).tolist()
    [0.5, 0.0, 1.0]
    """
    if baseline is None:
        return torch.ones(len(plain), dtype=torch.float64)
    excess = plain.double() - baseline
    kept = (output.double() - baseline) / torch.where(excess > 0, excess, 1.0)
    return torch.where(excess > 0, kept.clamp(0, 1), 1.0)


class _Mean:
    """The running mean of maps over the views of one mechanism, (N, L), float64."""

    def __init__(self, n: int, length: int) -> None:
        self.total = torch.zeros(n, length, dtype=torch.float64)
        self.weight = torch.zeros(n, length, dtype=torch.float64)
        self.views = 0

    def add(self, view: View, maps: Tensor, kept: Tensor | None, share: Tensor) -> None:
        """Add a view's maps; what it does not show counts nothing, what it shows instead counts more."""
        length = self.weight.shape[1]
        once = View(view.shift).undo(torch.ones(1, length, dtype=torch.float64))[0]
        if kept is not None:
            once = once * kept.double() * PARTS / (PARTS - 1)
        once = share.unsqueeze(1) * once
        self.total += once * view.undo(maps.to(torch.float64))
        self.weight += once
        self.views += 1

    @property
    def value(self) -> Tensor:
        return self.total / torch.where(self.weight > 0, self.weight, 1.0)


def _together(relevance: _Mean, difference: _Mean) -> Tensor:
    """Return both means as one, in units of the second: relevance has no unit of its own to hold on to."""
    if not difference.views or not relevance.views:
        return (difference if difference.views else relevance).value
    contributions = difference.value
    shares = relevance.views * relevance.value / unit_of(relevance.value)
    shares = shares + difference.views * contributions / unit_of(contributions)
    together = shares * unit_of(contributions) / (relevance.views + difference.views)
    return torch.where((contributions != 0).any(dim=1, keepdim=True), together, relevance.value)


def _differences(
    explainer: Explainer, view: View, x: Tensor, kept: Tensor | None, seed: tuple[int, int]
) -> Explainer:
    """Return what explains a view's difference from a shuffle, in the explainer's way."""
    if isinstance(explainer, DeepLift | GradientTimesInput):
        return explainer
    return DeepLift(
        explainer._runner,
        explainer.pruning,
        references=view.apply(shuffled(x, *seed), kept)[:, None],
        batch_size=explainer.batch_size,
        diagnostics=False,
    )


def _kept(length: int, views: Sequence[View], seed: int) -> list[Tensor | None]:
    """Return for each view the positions that are there; None for all."""
    rounds = 1 + max((view.without for view in views if view.without is not None), default=-1) // PARTS
    parts = torch.from_numpy(knockout_parts(length, rounds, WIDTH, seed))
    return [
        None if view.without is None else parts[view.without // PARTS] != view.without % PARTS
        for view in views
    ]


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
