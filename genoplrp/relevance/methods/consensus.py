"""A map that several views of a sequence agree on: shifted, on the other strand, by several mechanisms.

What one pass of relevance propagation says about a base depends on where the sequence lies in the pooling grid, on the
strand, and on the rules. What it says of noise depends on the mechanism: relevance shares out an output, with another
rule at the input also what the other three bases would have done, and DeepLIFT a difference from no sequence at all. So
a few passes are spread over such views, and what they agree on is kept (`agreement`). Not here: how one map is made
(`explainer`, `deeplift`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genoplrp.errors import InputError, UnsupportedOperationError
from genoplrp.relevance.axes import Layout
from genoplrp.relevance.explainer import Explainer, Target
from genoplrp.relevance.explanation import Explanation
from genoplrp.relevance.methods.agreement import Agreement, together
from genoplrp.relevance.methods.copies import COPIES, differences, explain_by_copies
from genoplrp.relevance.methods.deeplift import DeepLift
from genoplrp.relevance.methods.gradients import GradientTimesInput
from genoplrp.relevance.methods.invariance import Invariance, measure_invariance, of_rows, sample_rows
from genoplrp.relevance.methods.responses import FEWEST, ask_about_windows, in_words, more_faithful
from genoplrp.relevance.methods.views import MECHANISMS, PASSES, Mechanism, View, consensus_views
from genoplrp.relevance.presets import rule_book
from genoplrp.relevance.pruning.policy import Pruning
from genoplrp.relevance.rules import ZBox

References = Literal["uniform", "shuffled"]
#: How much a mechanism's maps count at equal noise: the box rule ranks bases best, but leaves most mass outside sites.
_COUNTS: dict[Mechanism, float] = {"relevance": 1.0, "box": 0.5, "difference": 1.0}


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
    ask: bool = True,
    mechanisms: Sequence[Mechanism] = MECHANISMS,
    references: References | None = None,
    batch_size: int = 64,
    device: str | torch.device | None = None,
    layout: Layout | None = None,
    args: Sequence[Tensor] | None = None,
    progress: bool = False,
) -> Explanation:
    """Keep what maps of a few views of each sequence agree on: shifted, reversed, by three mechanisms.

    Sites in regulatory DNA do not depend on a shift by a few bases or on the strand, and mechanisms agree on sites, but
    not on noise. What pruning removes from one map, disagreement removes from several, without taking from weak sites.
    It costs ``passes`` forward and backward passes, and another forward pass for each view by DeepLIFT. On at most 32
    of the sequences, it first tests how the model responds to views and to resampled windows: 25 forward passes each
    and, where a view is allowed, eight by DeepLIFT. With fewer than eight sequences the second test is omitted.

    Parameters
    ----------
    model
        Any `torch.nn.Module`, explained with the rules ``"gamma"`` and ``"gamma-all"`` in turn; or an `Explainer` with
        rules, pruning, batch size and device of your own (a `DeepLift` or `GradientTimesInput` makes all views
        itself).
    X
        (N, 4, L) one-hot DNA, channels A C G T; columns of zeros (N) are allowed.
    target
        As in a call of the explainer: an index, one index per sequence, or a function of the output.
    pruning
        How each view is pruned. None: not at all, but p = .25 where no shift or other strand is allowed. Not with an
        `Explainer`, which has its own.
    views
        The views, for full control, without testing the model; by default `consensus_views` chooses them.
    passes, mechanisms
        See `consensus_views`. A model with an operation that DeepLIFT has no rule for is explained without those views,
        which the notes say.
    max_shift, both_strands
        The most that is tried: what the model's own outputs on some of the sequences do not allow is left out, as the
        notes and ``settings["invariance"]`` say (`measure_invariance`).
    references
        The references of differences. ``"uniform"`` columns are one view of three (what follows under *Returns*).
        ``"shuffled"``: sequences are explained by differences from eight shuffled copies, and half as much by
        relevance (`explain_by_copies`). None: shuffled where nothing may be moved, or where they are clearly
        more faithful to the model's responses to resampled windows (`genoplrp.relevance.methods.responses`).
    ask
        False: take ``max_shift``, ``both_strands``, ``mechanisms`` and ``references`` as said, without asking the
        model (as for the batches of a scan, whose windows are to have the same views).
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
        as they are. ``settings["form"]``: the keywords by which, with ``ask=False``, other sequences are explained
        alike.

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
    explainer = _explainer(model, pruning, batch_size, device, layout)
    x = _sequences(X)
    if references not in (None, *get_args(References)):
        raise InputError(f'references={references!r}: choose "uniform" or "shuffled", or leave it out')
    if views is not None:
        return _by_views(explainer, x, target, views, args, progress)
    # Options are checked before the model is asked.
    views = consensus_views(passes, max_shift=max_shift, both_strands=both_strands, mechanisms=mechanisms)
    if passes == 1 or not len(x):
        return _by_views(explainer, x, target, _by_rules(views, own), args, progress)
    found: Invariance | None = None
    if ask:
        found = measure_invariance(
            explainer, x, target, max_shift=max_shift, both_strands=both_strands, args=args
        )
        max_shift, both_strands = found.allowed(max_shift)
    choose = partial(consensus_views, max_shift=max_shift, both_strands=both_strands)
    views, copies = (
        _by_rules(choose(passes, mechanisms=mechanisms), own),
        choose(4, mechanisms=["difference"]),
    )
    moved = max_shift > 0 or both_strands
    comparison = _Comparison()
    if references is None and moved and ask and len(x) >= FEWEST:
        comparison = _compare(explainer, x, target, views, copies, args)
    if references is None:
        references = "uniform" if moved and not comparison.copies_say_more else "shuffled"
    if references == "shuffled":
        e = explain_by_copies(
            explainer, x, target, passes, mechanisms, own=own, views=copies, ask=ask, args=args
        )
    else:
        e = _by_views(explainer, x, target, views, args, progress, comparison.seen)
    form = {
        "max_shift": max_shift,
        "both_strands": both_strands,
        "mechanisms": e.settings.get("mechanisms", tuple(mechanisms)),
        "references": references,
    }
    e.notes.append(f"invariance: {found or 'not asked'}" + ("" if moved else "; explained as they lie"))
    e.notes += [] if comparison.note is None else [comparison.note]
    return replace(e, settings=e.settings | {"invariance": found, "form": form})


def _by_rules(views: Sequence[View], own: bool) -> tuple[View, ...]:
    """Return the views, with the rules of the explainer where it is the user's own."""
    return tuple(replace(view, rules=None) for view in views) if own else tuple(views)


def _by_views(
    explainer: Explainer,
    x: Tensor,
    target: Target,
    views: Sequence[View],
    args: Sequence[Tensor] | None,
    progress: bool,
    seen: _Seen | None = None,
) -> Explanation:
    """Explain by what the views agree on; ``seen``, if they have been explained already."""
    if not views:
        raise InputError("views=(): give at least one view")
    if seen is None or len(seen.maps[0][1]) < len(x):
        seen = _explain_views(explainer, x, target, views, args, progress)
    prediction = next((output for view, output, _ in seen.maps if view.is_plain), None)
    if prediction is None:
        prediction = explainer(x, target, args=args).prediction
    return Explanation(
        relevance=_agreed(seen, prediction).to(seen.first.relevance.dtype).unsqueeze(1) * x.cpu(),
        prediction=prediction,
        target=seen.first.target,
        notes=_notes(seen),
        settings=seen.first.settings | {"views": tuple(views), "invariance": None},
    )


class _Comparison(NamedTuple):
    """Whether differences from copies are more faithful to the model's responses than what the views agree on.

    ``seen`` has the views of the sequences that were asked about.
    """

    copies_say_more: bool = False
    seen: _Seen | None = None
    note: str | None = None


def _compare(
    explainer: Explainer,
    x: Tensor,
    target: Target,
    views: Sequence[View],
    copies: Sequence[View],
    args: Sequence[Tensor] | None,
) -> _Comparison:
    """Ask the model about some of the sequences, explained in both ways."""
    rows = sample_rows(len(x))
    some, (theirs, extra) = x[rows], of_rows(rows, target, args)
    seen = _explain_views(explainer, some, theirs, views, extra, progress=False)
    differs = any(view.by == "difference" for view, _, _ in seen.maps)
    if not differs or isinstance(explainer, DeepLift | GradientTimesInput):
        return _Comparison(seen=seen)
    agreed = _agreed(seen, seen.maps[0][1])
    lifted = differences(explainer, explainer.pruning, some, theirs, COPIES, copies, args=extra)
    responses = ask_about_windows(explainer, some, theirs, maps=[agreed, lifted], args=extra)
    by_views, by_copies = responses.faithfulness(agreed), responses.faithfulness(lifted)
    return _Comparison(
        more_faithful(by_copies, by_views),
        seen,
        in_words({"views": float(by_views.mean()), "copies": float(by_copies.mean())}),
    )


def _explainer(
    model: nn.Module | Explainer,
    pruning: Pruning | None,
    batch_size: int,
    device: str | torch.device | None,
    layout: Layout | None,
) -> Explainer:
    """Return the explainer that was given, or one of the model."""
    if not isinstance(model, Explainer):
        return Explainer(
            model, "gamma", pruning, batch_size=batch_size, device=device, layout=layout, diagnostics=False
        )
    if not (pruning is None and device is None and layout is None):
        raise InputError(
            "pruning, device and layout are the explainer's own: set them there, or pass the model"
        )
    return model


def _sequences(X: object) -> Tensor:
    x = torch.as_tensor(X)
    if x.dim() != 3 or x.shape[1] != 4:
        raise InputError(f"a consensus needs one-hot DNA of shape (N, 4, L); got {tuple(x.shape)}")
    return x if x.is_floating_point() else x.to(torch.get_default_dtype())


class _Seen(NamedTuple):
    """What the views gave.

    Attributes
    ----------
    maps
        (view, its outputs (N,), its map (N, L) as the view shows the sequences).
    first
        The explanation of the first view.
    baseline
        (N,) outputs for uniform columns, where a view by DeepLIFT found them.
    refused
        Why there is no view by DeepLIFT.
    """

    maps: list[tuple[View, Tensor, Tensor]]
    first: Explanation
    baseline: Tensor | None
    refused: UnsupportedOperationError | None


def _explain_views(
    explainer: Explainer,
    x: Tensor,
    target: Target,
    views: Sequence[View],
    args: Sequence[Tensor] | None,
    progress: bool,
) -> _Seen:
    """Explain every view; leave those by DeepLIFT out where the model has an operation that it has no rule for."""
    from tqdm import tqdm

    explain = _Explainers(explainer)
    maps: list[tuple[View, Tensor, Tensor]] = []
    first: Explanation | None = None
    baseline: Tensor | None = None
    refused: UnsupportedOperationError | None = None
    for view in tqdm(views, desc="views", unit="pass", disable=None if progress else True):
        if view.by == "difference" and refused is not None:
            continue
        try:
            e = explain(view)(view.apply(x), target, args=args)
        except UnsupportedOperationError as error:
            if view.by != "difference":
                raise
            refused = error
            continue
        maps.append((view, e.prediction, e.per_nucleotide))
        baseline = e.baseline if baseline is None else baseline
        first = e if first is None else first
    if first is None:
        assert refused is not None
        raise refused
    return _Seen(maps, first, baseline, refused)


def _notes(seen: _Seen) -> list[str]:
    notes = [*seen.first.notes, f"what {len(seen.maps)} views of each sequence agree on"]
    return notes + ([] if seen.refused is None else [f"no view by DeepLIFT: {seen.refused}"])


def _agreed(seen: _Seen, prediction: Tensor) -> Tensor:
    """Return what the views agree on, (N, L)."""
    n, length = len(prediction), seen.maps[0][2].shape[1]
    agreements = {by: Agreement(n, length) for by in MECHANISMS}
    for view, output, values in seen.maps:
        shown = View(view.shift).undo(torch.ones(1, length))[0] > 0
        agreements[view.by].add(view.undo(values), shown, share_kept(output, prediction, seen.baseline))
    parts = [(a, _COUNTS[by] * a.maps) for by, a in agreements.items() if a.maps]
    return together(parts, agreements["difference"])


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
                self._made[key] = DeepLift(given.network, given.pruning, references="uniform", **settings)
            else:
                book = given.rules if view.rules is None else rule_book(view.rules)
                if view.by == "box":
                    book = replace(book, preset=replace(book.preset, input=ZBox(0.0, 1.0)))
                self._made[key] = Explainer(given.network, book, given.pruning, **settings)
        return self._made[key]
