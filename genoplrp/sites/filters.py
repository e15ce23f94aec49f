"""Channels of a layer ranked by the relevance that they carried, each with the motif that excites it; no drawing.

References
----------
Koo and Ploenzke, *Improving representations of genomic sequence motifs in convolutional networks with exponential
activations*, Nature Machine Intelligence 3, 2021: the motif of a filter is made of the windows that give it at least
half of its largest activation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from genoplrp.errors import InputError
from genoplrp.relevance import Explainer, GradientTimesInput, Pruning, Rules, Target, channel_relevance
from genoplrp.sites.fields import ReceptiveField, activations, receptive_fields
from genoplrp.sites.motifs import FoundMotif

SHARE = 0.5
MOTIF_SIZED = 6
"""Narrowest receptive field, in bp, that can show a motif."""
_LEAST_BITS = 0.05


@dataclass(frozen=True, eq=False)
class FilterView:
    """What the channels of one of a network's convolutions look for, and how much each mattered.

    Attributes
    ----------
    layer : str
        Name of the layer.
    table : DataFrame
        ``filter`` (number), ``relevance`` (signed sum over all sequences), ``share`` (of the absolute relevance),
        ``windows`` (that excite it), ``consensus``; the strongest first.
    motifs : list of FoundMotif
        In the table's order, without filters that nothing excites; named ``filter_<number>``.
    width : int
        Receptive field of one position of the layer, in bp.
    """

    layer: str
    table: pd.DataFrame
    motifs: list[FoundMotif]
    width: int


def filter_view(
    model: nn.Module,
    X: Float[Tensor, "n 4 length"],
    target: Target = 0,
    *,
    layer: str | None = None,
    rules: Rules = "gamma",
    pruning: Pruning | None = None,
    batch_size: int = 64,
    device: str | None = None,
    progress: bool = False,
) -> FilterView:
    """Rank the channels of a convolution by the relevance that arrives at its output.

    Parameters
    ----------
    model, X, target, rules, pruning, batch_size, device, progress
        As in `genoplrp.Explainer` and its call.
    layer : str, optional
        Name of the convolution (of a Keras layer its own); by default the first one whose receptive field is as wide as
        a motif, six bp or more (the widest, if there is none).

    Raises
    ------
    InputError
        If there is no such convolution, or a position of it sees the whole sequence.

    Notes
    -----
    The motif of a channel of the first layer comes from its weights. That of a later layer is made of the windows, as
    wide as the receptive field (see `receptive_fields`), where its activation is at least half way from its mean to its
    largest; ends that say less than a twentieth of a bit are cut off.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv1d(4, 3, 6), nn.ReLU(), nn.Conv1d(3, 1, 3), nn.Flatten(), nn.LazyLinear(1))
    >>> X = torch.eye(4)[torch.randint(4, (20, 30))].mT
    >>> _ = model(X)
    >>> len(filter_view(model, X).table)
    3
    """
    plain = GradientTimesInput(model, batch_size=batch_size, device=device, diagnostics=False)
    plain(X[:2], target)  # the order of the axes is known from now on
    names = channel_relevance(plain, X[:2], target).convolutions
    first, known = _chosen(receptive_fields(plain, X.shape[-1], names, target), X.shape[-1], layer)
    explainer = Explainer(model, rules, pruning, batch_size=batch_size, device=device, diagnostics=False)
    found = channel_relevance(explainer, X, target, layers=[first], progress=progress)
    carried = found.channels[first].double().numpy()
    total = np.abs(carried).sum(axis=0)
    order = np.argsort(-total, kind="stable")
    weight = _weight(model, first) if first == names[0] else None
    X = X.cpu()
    active = activations(plain, first, X, target) if weight is None else X
    rows, motifs = [], []
    for f in order:
        name = f"filter_{f}"
        motif = _excited(active[:, f], X, known, name) if weight is None else _motif(weight[f], X, name)
        rows.append(
            {
                "filter": int(f),
                "relevance": float(carried[:, f].sum()),
                "share": float(total[f] / (total.sum() or 1.0)),
                "windows": 0 if motif is None else len(motif.instances),
                "consensus": "" if motif is None else motif.motif().consensus(),
            }
        )
        if motif is not None:
            motifs.append(motif)
    return FilterView(first, pd.DataFrame(rows), motifs, known.width)


def _chosen(
    fields: Mapping[str, ReceptiveField], length: int, layer: str | None
) -> tuple[str, ReceptiveField]:
    """The layer to show, and its receptive field."""
    if not fields:
        raise InputError(
            "the model has no one-dimensional convolution over the sequence: it has no filters to show"
        )
    # The layers of a Keras file stand behind the name of the model in it.
    short = {name.rpartition(".")[2]: name for name in fields}
    there = "; ".join(f"{name} ({one.width} bp)" for name, one in fields.items())
    named = layer if layer is None or layer in fields else short.get(layer)
    if layer is not None and named is None:
        raise InputError(f"there is no convolution {layer!r}; there are {there}")
    first = named or next((name for name, one in fields.items() if one.width >= MOTIF_SIZED), None)
    if first is None:
        first = max(fields, key=lambda name: fields[name].width)
    if fields[first].width >= length:
        raise InputError(
            f"a position of {first!r} sees all {length} bp: that is no motif. Name a layer before it: {there}"
        )
    return first, fields[first]


def _weight(model: nn.Module, layer: str) -> Tensor | None:
    """Weights of a convolution of the four bases; None for a later layer."""
    weight = dict(model.named_parameters()).get(f"{layer}.weight")
    if weight is None or weight.dim() != 3 or weight.shape[1] != 4:
        return None
    module = dict(model.named_modules()).get(layer)
    if not isinstance(module, nn.Conv1d) or module.dilation != (1,) or module.groups != 1:
        return None
    return weight.detach().float().cpu()


def _excited(
    active: Float[Tensor, "n positions"], X: Tensor, known: ReceptiveField, name: str
) -> FoundMotif | None:
    """Frequencies of the bases where a channel of a later layer is most active; None if it is nowhere."""
    answer = active.numpy() - float(active.mean())
    if answer.max(initial=0.0) <= 0:
        return None
    sequence, position = np.nonzero(answer >= SHARE * answer.max())
    start = known.start + known.stride * position
    inside = (start >= 0) & (start + known.width <= X.shape[-1])
    sequence, start = sequence[inside], start[inside]
    if len(start) == 0:
        return None
    columns = start[:, None] + np.arange(known.width)
    pieces = X.numpy()[sequence[:, None], :, columns].transpose(0, 2, 1).astype(np.float64)
    pwm = pieces.mean(axis=0) + 1e-6
    pwm /= pwm.sum(axis=0)
    bits = 2 + (pwm * np.log2(pwm)).sum(axis=0)
    said = np.flatnonzero(bits >= _LEAST_BITS)
    low, high = (0, known.width) if len(said) == 0 else (int(said[0]), int(said[-1]) + 1)
    table = pd.DataFrame(
        {"motif": name, "sequence": sequence, "start": start + low, "end": start + high, "strand": "+"}
    )
    gained = np.log2(pwm * 4)[:, low:high]
    return FoundMotif(name, pwm[:, low:high], gained, table)


def _motif(weight: Tensor, X: Tensor, name: str) -> FoundMotif | None:
    """Frequencies of the bases in the windows that excite a filter; None if nothing does."""
    with torch.no_grad():
        answer = F.conv1d(X.float(), weight[None])[:, 0].numpy()
    # What excites it beyond a base of no preference: the sum of the filter's column means is its zero.
    answer = answer - float(weight.mean(dim=0).sum())
    if answer.max(initial=0.0) <= 0:
        return None
    sequence, start = np.nonzero(answer >= SHARE * answer.max())
    width = weight.shape[1]
    columns = start[:, None] + np.arange(width)
    pieces = X.numpy()[sequence[:, None], :, columns].transpose(0, 2, 1).astype(np.float64)
    known = pieces.sum(axis=(1, 2)) == width
    if not known.any():
        return None
    table = pd.DataFrame(
        {"motif": name, "sequence": sequence, "start": start, "end": start + width, "strand": "+"}
    )[known]
    pwm = pieces[known].mean(axis=0) + 1e-6
    return FoundMotif(
        name, pwm / pwm.sum(axis=0), weight.numpy().astype(np.float64), table.reset_index(drop=True)
    )
