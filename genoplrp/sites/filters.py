"""First-layer filters ranked by the relevance that they carried, each with the motif that excites it; no drawing.

References
----------
Koo and Ploenzke, *Improving representations of genomic sequence motifs in convolutional networks with exponential
activations*, Nature Machine Intelligence 3, 2021: the motif of a filter is made of the windows that give it at least
half of its largest activation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from genoplrp.errors import InputError
from genoplrp.relevance import Explainer, Pruning, Rules, Target, channel_relevance
from genoplrp.sites.motifs import FoundMotif

SHARE = 0.5


@dataclass(frozen=True, eq=False)
class FilterView:
    """What the filters of a network's first layer look for, and how much each mattered.

    Attributes
    ----------
    layer : str
        Name of the layer.
    table : DataFrame
        ``filter`` (number), ``relevance`` (signed sum over all sequences), ``share`` (of the absolute relevance),
        ``windows`` (that excite it), ``consensus``; the strongest first.
    motifs : list of FoundMotif
        In the table's order, without filters that nothing excites; named ``filter_<number>``.
    """

    layer: str
    table: pd.DataFrame
    motifs: list[FoundMotif]


def filter_view(
    model: nn.Module,
    X: Float[Tensor, "n 4 length"],
    target: Target = 0,
    *,
    rules: Rules = "gamma",
    pruning: Pruning | None = None,
    batch_size: int = 64,
    device: str | None = None,
    progress: bool = False,
) -> FilterView:
    """Rank the filters of the first convolution by the relevance that arrives at its output.

    Parameters
    ----------
    model, X, target, rules, pruning, batch_size, device, progress
        As in `genoplrp.Explainer` and its call.

    Raises
    ------
    InputError
        If the first layer is no convolution of DNA.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv1d(4, 3, 5), nn.ReLU(), nn.Conv1d(3, 1, 3), nn.Flatten(), nn.LazyLinear(1))
    >>> X = torch.eye(4)[torch.randint(4, (20, 30))].mT
    >>> _ = model(X)
    >>> len(filter_view(model, X).table)
    3
    """
    first = channel_relevance(Explainer(model, rules, pruning, device=device), X[:2], target).layers[0]
    weight = _weight(model, first)
    explainer = Explainer(model, rules, pruning, batch_size=batch_size, device=device, diagnostics=False)
    found = channel_relevance(explainer, X, target, layers=[first], progress=progress)
    carried = found.channels[first].double().numpy()
    total = np.abs(carried).sum(axis=0)
    order = np.argsort(-total, kind="stable")
    rows, motifs = [], []
    for f in order:
        motif = _motif(weight[f], X, f"filter_{f}")
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
    return FilterView(first, pd.DataFrame(rows), motifs)


def _weight(model: nn.Module, layer: str) -> Tensor:
    weight = dict(model.named_parameters()).get(f"{layer}.weight")
    if weight is None or weight.dim() != 3 or weight.shape[1] != 4:
        raise InputError(f"the first layer, {layer!r}, is no one-dimensional convolution of the four bases")
    return weight.detach().float().cpu()


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
