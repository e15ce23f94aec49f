"""The propagation rules of LRP, each written as its formula; the machinery that applies them is in `propagation`.

A rule says how the relevance of a linear layer's outputs goes to its inputs. Nearly all rules have one shape:

    R_i = sum over parts of  c * sum_j  x_i v_ij / stab(sum_i x_i v_ij + v_bj) * R_j

where ``v`` is the weight with its positive and negative entries scaled (`Blend`), possibly another one for
positive and for negative inputs, and a part may speak for the outputs of one sign only. Such a rule is a list of
`Part`. The rules that do not look at the input's value (flat, w-square) or at more than its product with a weight
(z-box) return relevance directly.

References
----------
Bach et al. 2015, PLOS ONE 10(7), e0130140: epsilon, alpha-beta.
Montavon et al. 2017, Pattern Recognition 65: z-plus, w-square, z-box (deep Taylor decomposition).
Montavon et al. 2019, in *Explainable AI*, LNCS 11700: gamma, composites.
Lapuschkin et al. 2019, Nature Communications 10: flat.
Andeol et al. 2021, NeurIPS workshop: gamma for inputs of either sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, get_args

import torch
from torch import Tensor

from genoplrp.errors import InputError

Place = Literal["input", "convolution", "dense"]
"""Where a layer stands; a preset has a rule for each."""

BiasConvention = Literal["follow", "raw", "ignore", "share"]
"""What a bias does: its share is absorbed, its value scaled like a weight (``"follow"``) or left (``"raw"``);
it is left out of the denominator (``"ignore"``); or its share goes in equal parts to the non-zero inputs
(``"share"``)."""


@dataclass(frozen=True)
class Blend:
    """A weight with its signs scaled apart: ``raw * w + plus * max(w, 0) + minus * min(w, 0)``."""

    raw: float = 1.0
    plus: float = 0.0
    minus: float = 0.0

    def __call__(self, w: Tensor) -> Tensor:
        """Return the blended weight; the weight itself where nothing is scaled."""
        if self == IDENTITY:
            return w
        out = w * self.raw if self.raw else torch.zeros_like(w)
        if self.plus:
            out = out + self.plus * w.clamp(min=0)
        if self.minus:
            out = out + self.minus * w.clamp(max=0)
        return out


IDENTITY = Blend()
POSITIVE = Blend(raw=0.0, plus=1.0)
NEGATIVE = Blend(raw=0.0, minus=1.0)


@dataclass(frozen=True)
class Part:
    """One term of a rule.

    Parameters
    ----------
    positive, negative
        The weight that meets inputs >= 0 (and the bias) and the weight that meets inputs < 0.
    outputs
        The outputs this part speaks for, by the sign of their true pre-activation (zero counts as positive).
    coefficient
        The factor ``c``.
    """

    positive: Blend = IDENTITY
    negative: Blend = IDENTITY
    outputs: Literal["all", "positive", "negative"] = "all"
    coefficient: float = 1.0


class RuledMap(Protocol):
    """A map that is linear in input and weight, as a direct rule uses it."""

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return ``W x + b``."""

    def transpose(self, g: Tensor, weight: Tensor, x: Tensor) -> Tensor:
        """Return ``W^T g``, in the shape of ``x`` (whose values are not used)."""


class RuledLayer(Protocol):
    """What a direct rule sees of a layer: ``z = map.forward(x, weight, bias)``."""

    @property
    def map(self) -> RuledMap:
        """The convolution or matrix product."""

    @property
    def x(self) -> Tensor:
        """The layer's input."""

    @property
    def weight(self) -> Tensor:
        """Its weight, a merged normalisation included."""

    def bias_squared(self) -> Tensor | None:
        """Return the bias as the w-square rule wants it."""


@dataclass(frozen=True)
class Rule:
    """Base class. Your own rule overrides `parts` (most), or `relevance` with ``direct = True``.

    Raises
    ------
    InputError
        If it has a negative ``epsilon`` or ``gamma``, or a ``bias`` that is no `BiasConvention`.
    """

    direct: ClassVar[bool] = False
    """True where the rule returns relevance itself instead of terms proportional to the input."""

    def __post_init__(self) -> None:
        for name in ("epsilon", "gamma"):
            if not getattr(self, name, 0.0) >= 0:
                raise InputError(f"{type(self).__name__}({name}={getattr(self, name)!r}): needs {name} >= 0")
        conventions, bias = get_args(BiasConvention), getattr(self, "bias", "follow")
        if bias not in conventions:
            raise InputError(
                f"{type(self).__name__}(bias={bias!r}): choose one of {', '.join(map(repr, conventions))}"
            )

    def parts(self) -> tuple[Part, ...]:
        """Return the terms of the rule."""
        raise InputError(f"{type(self).__name__} has no parts: a rule defines parts() or relevance()")

    def relevance(self, layer: RuledLayer, relevance: Tensor) -> Tensor:
        """Return the inputs' relevance from the outputs' (only where ``direct`` is True)."""
        raise InputError(
            f"{type(self).__name__} is marked direct: it must define relevance(layer, relevance)"
        )


@dataclass(frozen=True)
class Epsilon(Rule):
    """``z_ij = x_i w_ij``, denominator ``z_j + epsilon * sign(z_j)`` (Bach et al. 2015).

    Parameters
    ----------
    epsilon
        Stabilizer, >= 0, in units of the pre-activation. With 0 the rule is gradient times input.
    gauge
        At the input layer on one-hot DNA: subtract from each filter position its mean over the four bases, and let
        the bias have it. The network computes the same; its map no longer depends on an arbitrary offset.
    bias
        What biases do, see `BiasConvention`.
    """

    epsilon: float = 1e-6
    gauge: bool = False
    bias: BiasConvention = "follow"

    def parts(self) -> tuple[Part, ...]:
        """One part, the weights as they are."""
        return (Part(),)


@dataclass(frozen=True)
class Gamma(Rule):
    """Favour what pulls in the output's direction: ``x_i (w_ij + gamma max(w_ij, 0))`` (Montavon et al. 2019).

    Inputs of either sign take the four-term form (Andeol et al. 2021): for a positive output the positive
    *contributions* are raised by gamma, for a negative one the negative contributions; on inputs >= 0 and positive
    outputs that is the formula above. The denominator is never smaller than the pre-activation.

    Parameters
    ----------
    gamma
        >= 0; 0 is the epsilon rule, infinity the z-plus rule.
    epsilon, gauge, bias
        As in `Epsilon`.
    """

    gamma: float = 0.25
    epsilon: float = 1e-6
    gauge: bool = False
    bias: BiasConvention = "follow"

    def parts(self) -> tuple[Part, ...]:
        """Two parts, one a sign of the output."""
        up, down = Blend(plus=self.gamma), Blend(minus=self.gamma)
        return (Part(up, down, "positive"), Part(down, up, "negative"))


@dataclass(frozen=True)
class ZPlus(Rule):
    """Positive contributions only, alpha = 1 and beta = 0 (Montavon et al. 2017).

    An output that no input pushes up has nowhere to send its relevance: it is absorbed.
    """

    epsilon: float = 1e-6
    gauge: bool = False
    bias: BiasConvention = "follow"

    def parts(self) -> tuple[Part, ...]:
        """One part: positive weights meet positive inputs, negative weights negative inputs."""
        return (Part(POSITIVE, NEGATIVE),)


@dataclass(frozen=True)
class AlphaBeta(Rule):
    """``alpha`` times the positive contributions less ``beta`` times the negative ones, alpha - beta = 1.

    Raises
    ------
    InputError
        If ``alpha - beta`` is not 1: relevance would not be conserved.
    """

    alpha: float = 2.0
    beta: float = 1.0
    epsilon: float = 1e-6
    gauge: bool = False
    bias: BiasConvention = "follow"

    def __post_init__(self) -> None:
        super().__post_init__()
        if abs(self.alpha - self.beta - 1.0) > 1e-9 or self.beta < 0:
            raise InputError(
                f"AlphaBeta(alpha={self.alpha:g}, beta={self.beta:g}): needs alpha - beta = 1 and beta >= 0, "
                "e.g. alpha=2, beta=1"
            )

    def parts(self) -> tuple[Part, ...]:
        """Two parts: what pushes the output up, and what pushes it down."""
        return (
            Part(POSITIVE, NEGATIVE, coefficient=self.alpha),
            Part(NEGATIVE, POSITIVE, coefficient=-self.beta),
        )


@dataclass(frozen=True)
class WSquare(Rule):
    """``z_ij = w_ij^2``, whatever the input's value (Montavon et al. 2017); for the input layer."""

    direct: ClassVar[bool] = True
    epsilon: float = 1e-6

    def relevance(self, layer: RuledLayer, relevance: Tensor) -> Tensor:
        """Share each output's relevance by the squared weights."""
        return _by_weight(layer, relevance, layer.weight.square(), self.epsilon, layer.bias_squared())


@dataclass(frozen=True)
class Flat(Rule):
    """``z_ij = 1`` for every connected input (Lapuschkin et al. 2019); for the input layer."""

    direct: ClassVar[bool] = True
    epsilon: float = 1e-6

    def relevance(self, layer: RuledLayer, relevance: Tensor) -> Tensor:
        """Share each output's relevance equally."""
        return _by_weight(layer, relevance, torch.ones_like(layer.weight), self.epsilon, None)


@dataclass(frozen=True)
class ZBox(Rule):
    """``z_ij = x_i w_ij - low max(w_ij, 0) - high min(w_ij, 0)`` for inputs in [low, high] (Montavon et al. 2017).

    Parameters
    ----------
    low, high
        The box; [0, 1] for one-hot DNA.
    """

    direct: ClassVar[bool] = True
    low: float = 0.0
    high: float = 1.0
    epsilon: float = 1e-6

    def relevance(self, layer: RuledLayer, relevance: Tensor) -> Tensor:
        """Share each output's relevance by the distance from the box's worst corner."""
        x, w = layer.x, layer.weight
        terms = [(x, w)]
        if self.low:
            terms.append((torch.full_like(x, -self.low), w.clamp(min=0)))
        if self.high:
            terms.append((torch.full_like(x, -self.high), w.clamp(max=0)))
        # zennit's convention, and ours: a bias is an input that fills its own box, b - b+ - b- = 0.
        z = layer.map.forward(x, w)
        for value, weight in terms[1:]:
            z = z + layer.map.forward(value, weight)
        h = relevance / stabilize(z, self.epsilon)
        return sum(
            (value * layer.map.transpose(h, weight, x) for value, weight in terms), torch.zeros_like(x)
        )


def stabilize(z: Tensor, epsilon: float) -> Tensor:
    """Return ``z + epsilon * sign(z)`` with ``sign(0) = +1``."""
    if epsilon == 0:
        return z
    return z + epsilon * torch.where(z < 0, -1.0, 1.0).to(z.dtype)


def _by_weight(
    layer: RuledLayer, relevance: Tensor, v: Tensor, epsilon: float, bias: Tensor | None
) -> Tensor:
    ones = torch.ones_like(layer.x)
    z = layer.map.forward(ones, v, bias)
    return layer.map.transpose(relevance / stabilize(z, epsilon), v, ones)
