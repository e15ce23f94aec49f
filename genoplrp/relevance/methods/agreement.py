"""How maps of the same bases become one: shrunk by their disagreement, mechanisms weighed by theirs.

Sites are where maps agree, noise is where they do not. Of the maps of one mechanism a base keeps its mean, less what
the mean's own standard error could have made of nothing; of several mechanisms the one that contradicts itself least
says most. Not here: where the maps come from (`views`).

References
----------
James and Stein 1961, *Estimation with quadratic loss* (shrinkage by the ratio of error to signal), in the positive-part
form of Baranchik 1964. That one number is estimated for each base, from few maps, is ours, and so is the fourth power:
docs/results/ideas.md has what each contributes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from genoplrp.relevance.joining import unit_of

#: How much less a mechanism says that contradicts itself more: the power of its noise.
POWER = 4
#: Below this noise mechanisms count as equally sure.
LEAST_NOISE = 0.05


class Agreement:
    """The maps of one mechanism, taken in one after the other.

    Parameters
    ----------
    n, length
        Sequences, and bases of each.
    """

    def __init__(self, n: int, length: int) -> None:
        shape = (n, length)
        self.maps = 0
        self._weight, self._squares_of_weights = (torch.zeros(shape, dtype=torch.float64) for _ in range(2))
        self._total, self._squares = (torch.zeros(shape, dtype=torch.float64) for _ in range(2))

    def add(
        self,
        values: Float[Tensor, "n length"],
        seen: Bool[Tensor, " length"],
        share: Float[Tensor, " n"],
    ) -> None:
        """Take in a map.

        Parameters
        ----------
        values
            (N, L) the map.
        seen
            (L,) bases that it says something about.
        share
            (N,) how much it counts, from 0 to 1.
        """
        weight = share.double().unsqueeze(1) * seen.double()
        weighted = weight * values.double()
        self._weight += weight
        self._squares_of_weights += weight.square()
        self._total += weighted
        self._squares += weighted * values.double()
        self.maps += 1

    @property
    def mean(self) -> Float[Tensor, "n length"]:
        """Weighted mean of the maps, 0 where none says anything."""
        return self._total / torch.where(self._weight > 0, self._weight, 1.0)

    @property
    def variance(self) -> Float[Tensor, "n length"]:
        """Weighted variance of the maps."""
        squares = self._squares / torch.where(self._weight > 0, self._weight, 1.0)
        return (squares - self.mean.square()).clamp(min=0)

    @property
    def shrunk(self) -> Float[Tensor, "n length"]:
        """``m max(0, 1 - v / (k m^2))`` for mean m, variance v and k effective maps, scaled to the mean's mass."""
        k = self._weight.square() / torch.where(self._weight > 0, self._squares_of_weights, 1.0)
        signal = k * self.mean.square()
        factor = 1 - self.variance / torch.where(signal > 0, signal, 1.0)
        kept = self.mean * factor.clamp(min=0)
        return torch.where(
            (kept != 0).any(dim=1, keepdim=True), kept / unit_of(kept) * unit_of(self.mean), kept
        )

    @property
    def noise(self) -> Float[Tensor, " n"]:
        """Sum of the standard deviations over the sum of the means' sizes, of each sequence; at least `LEAST_NOISE`."""
        size = self.mean.abs().sum(dim=1)
        noise = self.variance.sqrt().sum(dim=1) / torch.where(size > 0, size, 1.0)
        return noise.clamp(min=LEAST_NOISE)


def together(parts: Sequence[tuple[Agreement, float]], unit: Agreement) -> Float[Tensor, "n length"]:
    """Return the mean of the mechanisms' shrunk maps, each in units of its positive mass.

    Parameters
    ----------
    parts
        Each mechanism, and how much it counts at equal noise: ``weight / noise**POWER`` in all.
    unit
        The mechanism whose positive mass the result has (or the first one's that has any).

    Returns
    -------
    Tensor, shape (N, L), float64
    """
    total, weights, scale = (torch.zeros((), dtype=torch.float64) for _ in range(3))
    for part, weight in sorted(parts, key=lambda entry: entry[0] is not unit):
        values = part.shrunk
        there = (values != 0).any(dim=1, keepdim=True)
        mass = unit_of(values)
        count = there * weight / part.noise.unsqueeze(1) ** POWER
        total = total + count * values / mass
        weights = weights + count
        scale = torch.where((scale == 0) & there, mass, scale)
    return total * scale / torch.where(weights > 0, weights, 1.0)
