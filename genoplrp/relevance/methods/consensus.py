"""A map that several views of a sequence agree on: shifted, on the other strand, by several mechanisms.

What one pass of relevance propagation says about a base depends on where the sequence lies in the pooling grid, on the
strand, and on the rules. What it says of noise depends on the mechanism: relevance shares out an output, with another
rule at the input also what the other three bases would have done, and DeepLIFT a difference from no sequence at all. So
a few passes are spread over such views, and what they agree on is kept (`agreement`). Not here: how one map is made
(`explainer`, `deeplift`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genoplrp.errors import InputError, UnsupportedOperationError
from genoplrp.relevance.explainer import Explainer, Target
from genoplrp.relevance.explanation import Explanation
from genoplrp.relevance.methods.agreement import Agreement, together
from genoplrp.relevance.methods.deeplift import DeepLift
from genoplrp.relevance.methods.gradients import GradientTimesInput
from genoplrp.relevance.presets import rule_book
from genoplrp.relevance.pruning.policy import Pruning
from genoplrp.relevance.rules import ZBox

PASSES = 12
NEUTRAL = 0.25
Mechanism = Literal["relevance", "box", "difference"]
MECHANISMS: tuple[Mechanism, ...] = get_args(Mechanism)
#: How much a mechanism's maps count at equal noise: the box rule ranks bases best, but leaves most mass outside sites.
_COUNTS: dict[Mechanism, float] = {"relevance": 1.0, "box": 0.5, "difference": 1.0}
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


def consensus(
    model: nn.Module | Explainer,
    X: Float[Tensor, "n 4 length"],
    target: Target = 0,
    *,
    pruning: Pruning | None = None,
    views: Sequence[View] | None = None,
    passes: int = PASSES,
    max_shift: int = 3,
    both_strands: bool = True,
    mechanisms: Sequence[Mechanism] = MECHANISMS,
    batch_size: int = 64,
    device: str | torch.device | None = None,
    layout: str | None = None,
    args: Sequence[Tensor] | None = None,
    progress: bool = False,
) -> Explanation:
    """Keep what maps of a few views of each sequence agree on: shifted, reversed, by three mechanisms.

    It explains the model's answers to the same question asked in several ways: for a model of regulatory DNA, sites do
    not depend on a shift by a few bases or on the strand, and mechanisms agree on sites, but not on noise. What pruning
    removes from one map, disagreement removes from several, without taking from weak sites. It costs ``passes`` forward
    and backward passes, and another forward pass for each view by DeepLIFT.

    Parameters
    ----------
    model
        Any `torch.nn.Module`, explained with the rules ``"gamma"`` and ``"gamma-all"`` in turn; or an `Explainer` with
        rules, pruning, batch size and device of one's own (a `DeepLift` or `GradientTimesInput` makes all views
        itself).
    X
        (N, 4, L) one-hot DNA, channels A C G T; columns of zeros (N) are allowed.
    target
        As in a call of the explainer: an index, one index per sequence, or a function of the output. It should not
        belong to a position or a strand of the sequence; else pass ``max_shift=0`` and ``both_strands=False``.
    pruning
        How each view is pruned; None for not at all. Not with an `Explainer`, which has its own.
    views
        The views, for full control; else `consensus_views` chooses them from the next four.
    passes, max_shift, both_strands, mechanisms
        See `consensus_views`. A model with an operation that DeepLIFT has no rule for is explained without those views,
        which the notes say.
    batch_size, device, layout
        As in `Explainer`; not with one.
    args
        Further inputs of the model, the same in every view.
    progress
        Show a progress bar.

    Returns
    -------
    Explanation
        ``relevance`` (N, 4, L), in units of the explained output, at the base that is there (0 for N). Of every
        mechanism's maps the mean over the views that show a base, each by how much it keeps of what the output has
        above that of uniform columns, shrunk by its standard error (`genoplrp.relevance.methods.agreement`); of these
        the mean, weighted by how little a mechanism contradicts itself on the sequence (the box rule half), scaled to
        the positive mass of the differences. It does not add up to the output. ``prediction`` is that of the sequences
        as they are.

    Raises
    ------
    InputError
        If the sequences are not (N, 4, L), there is no view, or an `Explainer` is given what it has itself.
    UnsupportedOperationError
        If the model has an operation without a rule (for DeepLIFT: if there is no other view).

    References
    ----------
    Smilkov et al., arXiv 1706.03825 (averaging over copies); James and Stein 1961 (shrinkage); Montavon et al. 2017,
    Pattern Recognition 65 (the box rule); Shrikumar, Greenside and Kundaje 2017, ICML (DeepLIFT); Yanez Sarmiento et
    al. 2024 (pruning). That they share the same few passes is ours; what each contributes is measured in
    docs/results/ideas.md.

    Examples
    --------
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv1d(4, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(48, 1))
    >>> X = torch.eye(4)[torch.randint(4, (2, 10))].mT
    >>> consensus(model, X).relevance.shape
    torch.Size([2, 4, 10])
    """
    own = isinstance(model, Explainer)
    if own and not (pruning is None and device is None and layout is None):
        raise InputError(
            "pruning, device and layout are the explainer's own: set them there, or pass the model"
        )
    explainer = (
        model
        if isinstance(model, Explainer)
        else Explainer(
            model, "gamma", pruning, batch_size=batch_size, device=device, layout=layout, diagnostics=False
        )
    )
    if views is None:
        views = consensus_views(passes, max_shift=max_shift, both_strands=both_strands, mechanisms=mechanisms)
        if own:
            views = tuple(replace(view, rules=None) for view in views)
    chosen = tuple(views)
    if not chosen:
        raise InputError("views=(): give at least one view")
    x = torch.as_tensor(X)
    if x.dim() != 3 or x.shape[1] != 4:
        raise InputError(f"a consensus needs one-hot DNA of shape (N, 4, L); got {tuple(x.shape)}")
    x = x if x.is_floating_point() else x.to(torch.get_default_dtype())
    explain = _Explainers(explainer)
    made: list[tuple[View, Tensor, Tensor]] = []
    first: Explanation | None = None
    baseline: Tensor | None = None
    refused: UnsupportedOperationError | None = None
    for view in _progress(chosen, progress):
        if view.by == "difference" and refused is not None:
            continue
        try:
            e = explain(view)(view.apply(x), target, args=args)
        except UnsupportedOperationError as error:
            if view.by != "difference":
                raise
            refused = error
            continue
        made.append((view, e.prediction, e.per_nucleotide))
        baseline = e.baseline if baseline is None else baseline
        first = e if first is None else first
    if first is None:
        assert refused is not None
        raise refused
    prediction = next((output for view, output, _ in made if view.is_plain), None)
    if prediction is None:
        prediction = explainer(x, target, args=args).prediction
    agreements = {by: Agreement(len(x), x.shape[2]) for by in MECHANISMS}
    for view, output, values in made:
        seen = View(view.shift).undo(torch.ones(1, x.shape[2]))[0] > 0
        agreements[view.by].add(view.undo(values), seen, share_kept(output, prediction, baseline))
    parts = [(a, _COUNTS[by] * a.maps) for by, a in agreements.items() if a.maps]
    notes = [*first.notes, f"what {len(made)} views of each sequence agree on"]
    if refused is not None:
        notes.append(f"no view by DeepLIFT: {refused}")
    return Explanation(
        relevance=together(parts, agreements["difference"]).to(first.relevance.dtype).unsqueeze(1) * x.cpu(),
        prediction=prediction,
        target=first.target,
        notes=notes,
        settings=first.settings | {"views": chosen},
    )


def share_kept(
    output: Float[Tensor, " n"], plain: Float[Tensor, " n"], baseline: Float[Tensor, " n"] | None
) -> Float[Tensor, " n"]:
    """Return how much a view keeps of what the output has above that of no sequence, from 0 to 1: how much it counts.

    On the other strand of a model of one strand there may be nothing to explain, and its map is noise.

    Parameters
    ----------
    output, plain
        (N,) outputs for the view, and for the sequences as they are.
    baseline
        (N,) output for uniform columns; None where it is not known, and every view counts the same.

    Returns
    -------
    Tensor, shape (N,), float64
        1 where the sequence's own output is not above the baseline.

    Examples
    --------
    >>> share_kept(torch.tensor([2.0, -1.0, 0.0]), torch.tensor([4.0, 4.0, -1.0]), torch.zeros(3)).tolist()
    [0.5, 0.0, 1.0]
    """
    if baseline is None:
        return torch.ones(len(plain), dtype=torch.float64)
    excess = plain.double() - baseline.double()
    kept = (output.double() - baseline.double()) / torch.where(excess > 0, excess, 1.0)
    return torch.where(excess > 0, kept.clamp(0, 1), 1.0)


class _Explainers:
    """What explains each kind of view of one model; made once."""

    def __init__(self, explainer: Explainer) -> None:
        self._given = explainer
        self._made: dict[tuple[Mechanism, str | None], Explainer] = {}

    def __call__(self, view: View) -> Explainer:
        given = self._given
        if isinstance(given, DeepLift | GradientTimesInput) or (
            view.by == "relevance" and view.rules is None
        ):
            return given
        key = view.by, None if view.by == "difference" else view.rules
        if key not in self._made:
            settings: dict[str, Any] = {"batch_size": given.batch_size, "diagnostics": False}
            if view.by == "difference":
                self._made[key] = DeepLift(given._runner, given.pruning, references="uniform", **settings)
            else:
                book = given.rules if view.rules is None else rule_book(view.rules)
                if view.by == "box":
                    book = replace(book, preset=replace(book.preset, input=ZBox(0.0, 1.0)))
                self._made[key] = Explainer(given._runner, book, given.pruning, **settings)
        return self._made[key]


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
