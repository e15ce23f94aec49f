"""How a model responds when windows of a sequence are resampled, and how faithful a map is to that.

Two maps of a sequence may both be plausible; the model itself says which of them describes it better. Windows, placed
where the maps have their relevance, are replaced by what a shuffled copy of the sequence has there, and a map's sum
over each window is correlated with the fall of the output. Not here: what follows from it (`consensus`, `copies`).

References
----------
Ancona et al. 2018, ICLR, arXiv 1711.06104 (sensitivity-n, with sets of any place); Alvarez-Melis and Jaakkola 2018,
NeurIPS, arXiv 1806.07538 (the correlation as faithfulness).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genoplrp.relevance.explainer import Explainer, Target
from genoplrp.relevance.joining import unit_of
from genoplrp.relevance.methods.invariance import shuffled
from genoplrp.relevance.methods.outputs import explained_outputs

#: Windows of each sequence; with a sample of 32 sequences 512 forward passes in all.
WINDOWS = 16
WIDTHS = (4, 8, 16)
#: Windows are filled from so many shuffled copies in turn, others than the references of `copies`.
FILLS, FIRST_SEED = 4, 1000
#: One map is more faithful than another if its mean correlation is higher by so much, and by so many standard errors.
LEAST, CLEARLY = 0.1, 2.0
#: Of fewer sequences two standard errors say little, and nothing is asked.
FEWEST = 8


class Responses(NamedTuple):
    """A model's responses to resampled windows.

    Attributes
    ----------
    start, width : torch.Tensor, shape (n, K), int64
        First base and bases of each window.
    fall : torch.Tensor, shape (n, K), float64
        The output for the sequence less that with the window resampled.
    """

    start: Int[Tensor, "n k"]
    width: Int[Tensor, "n k"]
    fall: Float[Tensor, "n k"]

    def faithfulness(self, maps: Float[Tensor, "n length"]) -> Float[Tensor, " n"]:
        """Return how faithful each map is to its sequence's responses (the faithfulness correlation).

        Parameters
        ----------
        maps
            (n, L) of the sequences that were asked about.

        Returns
        -------
        Tensor, shape (n,), float64
            Correlation over windows of a map's sum with the fall of the output; 0 where either does not vary.

        Examples
        --------
        >>> one = Responses(torch.tensor([[0, 1]]), torch.tensor([[1, 2]]), torch.tensor([[3.0, 5.0]]))
        >>> one.faithfulness(torch.tensor([[1.0, 1.0, 1.0]])).tolist()
        [1.0]
        """
        total = torch.nn.functional.pad(maps.double().cumsum(dim=1), (1, 0))
        sums = total.gather(1, self.start + self.width) - total.gather(1, self.start)
        a, b = (values.double() - values.double().mean(dim=1, keepdim=True) for values in (sums, self.fall))
        norm = (a.square().sum(dim=1) * b.square().sum(dim=1)).sqrt()
        return (a * b).sum(dim=1) / torch.where(norm > 0, norm, 1.0)


def ask_about_windows(
    explainer: Explainer,
    X: Float[Tensor, "n 4 length"],
    target: Target = 0,
    *,
    maps: Sequence[Float[Tensor, "n length"]],
    args: Sequence[Tensor] | None = None,
) -> Responses:
    """Ask a model about sequences of which a window is resampled.

    Parameters
    ----------
    explainer
        Holds the model.
    X
        (n, 4, L) one-hot sequences.
    target, args
        As in a call of the explainer.
    maps
        (n, L) each, what is to be compared: a window holds a base drawn in proportion to their mean size, each map in
        units of its positive mass.

    Returns
    -------
    Responses
        16 windows of 4, 8 or 16 bases a sequence (of short sequences at most a third).

    Examples
    --------
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv1d(4, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(48, 1))
    >>> X = torch.eye(4)[torch.randint(4, (2, 10))].mT
    >>> ask_about_windows(Explainer(model), X, maps=[torch.ones(2, 10)]).fall.shape
    torch.Size([2, 16])
    """
    n, _, length = X.shape
    random = torch.Generator().manual_seed(0)
    size = sum((m.double().abs() / unit_of(m.double()) for m in maps), torch.zeros(n, length).double())
    size = torch.where(size.sum(dim=1, keepdim=True) > 0, size, 1.0)
    centre = torch.multinomial(size, WINDOWS, replacement=True, generator=random)
    widths = torch.tensor(WIDTHS).clamp(max=max(length // 3, 1))
    width = widths[torch.randint(len(WIDTHS), (n, WINDOWS), generator=random)]
    before = (torch.rand(n, WINDOWS, generator=random) * width).long()
    start = (centre - before).clamp(min=0).minimum(length - width)
    at = torch.arange(length)
    fills = [shuffled(X, FIRST_SEED + k) for k in range(FILLS)]
    plain = explained_outputs(explainer, X, target, args=args).double()
    fall = torch.empty(n, WINDOWS, dtype=torch.float64)
    for k in range(WINDOWS):
        inside = (at >= start[:, k : k + 1]) & (at < (start + width)[:, k : k + 1])
        drawn = torch.where(inside.unsqueeze(1).to(X.device), fills[k % FILLS], X)
        fall[:, k] = plain - explained_outputs(explainer, drawn, target, args=args).double()
    return Responses(start, width, fall)


def in_words(faithfulness: Mapping[str, float]) -> str:
    """Return the note of an explanation on the mean faithfulness of several maps, by name.

    Examples
    --------
    >>> in_words({"views": 0.512, "copies": 0.7})
    'correlation of each map with how far the output falls when windows are replaced: views 0.51, copies 0.70'
    """
    said = ", ".join(f"{name} {value:.2f}" for name, value in faithfulness.items())
    return f"correlation of each map with how far the output falls when windows are replaced: {said}"


def more_faithful(one: Float[Tensor, " n"], other: Float[Tensor, " n"]) -> bool:
    """Return whether one map is clearly more faithful than another, both as by `Responses.faithfulness`.

    The mean difference over the sequences, paired, has to be above .1 and above two standard errors; of fewer than
    eight sequences nothing is clear.

    Examples
    --------
    >>> one, other = torch.tensor([0.8, 0.9, 0.7, 0.8]), torch.tensor([0.4, 0.6, 0.3, 0.5])
    >>> more_faithful(one.repeat(2), other.repeat(2)), more_faithful(one, other)
    (True, False)
    """
    difference = one - other
    if len(difference) < FEWEST:
        return False
    return bool(difference.mean() > max(LEAST, CLEARLY * float(difference.std()) / len(difference) ** 0.5))
