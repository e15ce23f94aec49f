"""What to prune where, and how the pruned relevance goes back: the user's `Pruning` and what it means for one layer.

Not here: how a threshold is found (`thresholds`, `kernel`).

References
----------
Yanez Sarmiento et al. 2024, ECML PKDD, "Sparse Explanations of Neural Networks Using Pruned Layer-Wise Relevance
Propagation": pruning per layer, PLRP-lambda, PLRP-M.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from genoplrp.errors import InputError
from genoplrp.relevance.deferred import holds
from genoplrp.relevance.presets import is_named
from genoplrp.relevance.pruning.prune import kept_inputs, prune_multipliers
from genoplrp.relevance.pruning.thresholds import PruneStats
from genoplrp.relevance.rules import Place

Method = Literal["lambda", "M", "M-literal"]
Scope = Literal["sample", "position", "filter"]
Policy = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Your own policy: relevance (N, entries) -> shares (p+, p-), float64 tensors of shape (N,)."""


class PrunableLayer(Protocol):
    """What a plan needs to know of a layer."""

    name: str
    place: Place


FAITHFUL = "faithful"
AUTOMATIC = ("auto", "mean", "effective", "gain", FAITHFUL)
SAFE_P = 0.25
SEARCHES: dict[str, Callable[..., Any]] = {}
"""Choices of p for whole maps rather than layers: name -> function of an explainer and the arguments of its call."""
_POLICIES: dict[str, Policy] = {}


@dataclass(frozen=True)
class Pruning:
    """How much relevance is pruned at the input of each convolution and linear layer, and how its mass is returned.

    Parameters
    ----------
    p
        Share of the positive relevance mass to prune, in [0, 1). One number; a sequence, one number per layer in the
        order of the forward pass; a mapping from layer name (wildcards allowed) to number, all others 0;
        or an automatic choice made for each layer and sequence: ``"auto"`` (= ``"mean"``: entries below the mean over
        all entries, zeros included), ``"effective"`` (keep the effective number of entries,
        ``(sum r)^2 / sum r^2``), ``"gain"`` (the knee of the sparsity gain, strong), or a registered policy.
        ``"faithful"`` chooses one p per sequence for all layers, the largest that keeps the share ``faithfulness`` of
        the unpruned map's faithfulness (`genoplrp.relevance.most_pruned`); it costs about fifty forward passes.
    p_neg
        The same for the negative relevance; None stands for ``p / 2``, as in the paper. Where ``p`` is a mapping,
        for the layers to which it gives more than 0.
    method
        ``"lambda"``: the kept entries of a sign are scaled by one factor; ``"M"``: each column of the propagation
        matrix is renormalised over the kept inputs, its positive and its negative part apart (stable);
        ``"M-literal"``: the column as a whole, as the paper writes it (it can explode where a column nearly cancels).
    input
        Whether the input of the network is also pruned.
    layers
        Names (wildcards allowed) of the layers to prune; None for all.
    scope
        ``"sample"``: one threshold per sequence (the paper); ``"position"``: one per position, over its channels;
        ``"filter"``: one per channel, over its positions. Layers without positions take ``"sample"``.
    total
        If True, ``p`` (and ``p_neg``) is the share to prune over the whole network: each of L layers gets
        ``1 - (1 - p)^(1/L)``.
    faithfulness
        For ``p="faithful"``: share of the unpruned map's faithfulness to keep, in (0, 1].

    Raises
    ------
    InputError
        If a share lies outside [0, 1) or a name is unknown.

    Examples
    --------
    >>> Pruning(p=0.1).with_p(0.05).p
    0.05
    """

    p: float | str | Sequence[float] | Mapping[str, float] = 0.25
    p_neg: float | None = None
    method: Method = "lambda"
    input: bool = False
    layers: Sequence[str] | None = None
    scope: Scope = "sample"
    total: bool = False
    faithfulness: float = 0.95

    def __post_init__(self) -> None:
        _choice("method", self.method, ("lambda", "M", "M-literal"))
        _choice("scope", self.scope, ("sample", "position", "filter"))
        if isinstance(self.p, str):
            if self.p not in (*AUTOMATIC, *_POLICIES):
                names = ", ".join(map(repr, (*AUTOMATIC, *_POLICIES)))
                raise InputError(f"p = {self.p!r}: give a number in [0, 1), or one of {names}")
            if self.total:
                raise InputError(
                    f"Pruning(p={self.p!r}, total=True): an automatic p has no total; leave total out"
                )
            if self.p_neg is not None and self.p != "faithful":
                raise InputError(
                    f"Pruning(p={self.p!r}, p_neg={self.p_neg!r}): an automatic p chooses for both signs; leave "
                    "p_neg out"
                )
        else:
            values = _numbers(self.p)
            for value in values:
                _share("p", value)
            if any(value > SAFE_P for value in values) and not self.total:
                warnings.warn(
                    f"p = {max(values):g}: above {SAFE_P} a layer's weaker motif instances tend to vanish and their "
                    "mass goes to the strongest one; compare with a smaller p, or give the total over the depth "
                    "(total=True)",
                    stacklevel=3,
                )
        if self.p_neg is not None:
            _share("p_neg", self.p_neg)
        if not 0 < self.faithfulness <= 1:
            raise InputError(
                f"faithfulness={self.faithfulness!r}: the share to keep must be a number in (0, 1]"
            )

    def with_p(self, p: float) -> Pruning:
        """Return the same pruning with another p, without a second warning."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return replace(self, p=p)

    def plan(self, layers: Sequence[PrunableLayer]) -> dict[str, LayerPruning]:
        """Return what to prune at each layer's input.

        Raises
        ------
        InputError
            If a name matches no layer, a sequence of p has another length than there are layers to prune, or p is to be
            chosen by faithfulness (which is no matter of layers).
        """
        self._check_names([layer.name for layer in layers])
        if self.p == FAITHFUL:
            raise InputError(
                "p='faithful' is chosen by calling an explainer, not for a sweep or a single layer"
            )
        chosen = [layer for layer in layers if self._prunes(layer)]
        if isinstance(self.p, Sequence) and not isinstance(self.p, str) and len(self.p) != len(chosen):
            raise InputError(
                f"Pruning(p=...) has {len(self.p)} values, the model has {len(chosen)} layers to prune "
                f"({', '.join(layer.name for layer in chosen)}): give one p for each, in this order"
            )
        plan = {}
        for position, layer in enumerate(chosen):
            at_layer = self._at_layer(position, layer.name, len(chosen))
            if at_layer is not None:
                plan[layer.name] = at_layer
        return plan

    def _at_layer(self, position: int, name: str, count: int) -> LayerPruning | None:
        """Return what to prune at one of a number of layers; None for nothing."""
        share = self._share_at(position, name, count)
        if isinstance(share, str):
            return LayerPruning(0.0, 0.0, self.method, self.scope, share)
        negative = share / 2 if self.p_neg is None else self._at_one_layer(self.p_neg, count)
        if share == 0 and isinstance(self.p, Mapping):
            negative = 0.0  # what a mapping leaves out is not pruned at all
        if share > 0 or negative > 0:
            return LayerPruning(share, negative, self.method, self.scope)
        return None

    def _prunes(self, layer: PrunableLayer) -> bool:
        if layer.place == "input" and not self.input:
            return False
        return self.layers is None or any(is_named(layer.name, pattern) for pattern in self.layers)

    def _share_at(self, position: int, name: str, count: int) -> float | str:
        p = self.p
        if isinstance(p, str):
            return p
        if isinstance(p, Mapping):
            share: float = next((v for pattern, v in p.items() if is_named(name, pattern)), 0.0)
        elif isinstance(p, Sequence):
            share = float(p[position])
        else:
            share = p
        return self._at_one_layer(share, count)

    def _at_one_layer(self, share: float, count: int) -> float:
        return 1 - (1 - share) ** (1 / count) if self.total else float(share)

    def _check_names(self, names: Sequence[str]) -> None:
        patterns = [*(self.layers or ()), *(self.p if isinstance(self.p, Mapping) else ())]
        for pattern in patterns:
            if not any(is_named(name, pattern) for name in names):
                raise InputError(f"Pruning names the layer {pattern!r}; the model has {', '.join(names)}")


@dataclass(frozen=True)
class LayerPruning:
    """What is pruned at one layer's input; the numbers are final."""

    p_pos: float
    p_neg: float
    method: Method
    scope: Scope
    policy: str = "mass"

    def rescale(self, x: Tensor | None, g_x: Tensor, batch: int) -> tuple[Tensor, PruneStats]:
        """Return the pruned multiplier, its kept entries scaled by lambda, and the masses.

        Parameters
        ----------
        x
            The layer's input; None where ``g_x`` is relevance (a direct rule).
        g_x
            The multiplier at the layer's input; its memory is used again.
        batch
            Number of sequences; the first axis, unless it is 1.
        """
        grouped = _Groups(g_x, batch, self.scope)
        a, m = grouped.split(torch.ones_like(g_x) if x is None else x), grouped.split(g_x)
        p_pos, p_neg, policy = self._shares(a, m)
        pruned, stats = prune_multipliers(a, m, p_pos, p_neg, policy=policy, out=m)
        return grouped.join(pruned), grouped.per_sample(stats)

    def keep(self, x: Tensor, g_x: Tensor, batch: int) -> tuple[Tensor | None, PruneStats]:
        """Return the layer's input with its pruned entries 0, None where nothing is pruned, and the masses."""
        grouped = _Groups(g_x, batch, self.scope)
        a, m = grouped.split(x), grouped.split(g_x)
        p_pos, p_neg, policy = self._shares(a, m)
        kept, stats = kept_inputs(a, m, p_pos, p_neg, policy=policy)
        lost = stats.n_positive + stats.n_negative - stats.n_positive_kept - stats.n_negative_kept
        is_whole = holds("nothing pruned", ~lost.any())
        return None if is_whole else grouped.join(kept), grouped.per_sample(stats)

    def _shares(self, a: Tensor, m: Tensor) -> tuple[float | Tensor, float | Tensor, str]:
        if self.policy == "mass":
            return self.p_pos, self.p_neg, "mass"
        if self.policy in ("auto", "mean"):
            return 0.0, 0.0, "mean"
        if self.policy == "effective":
            return 0.0, 0.0, "effective"
        chosen = sparsity_gain if self.policy == "gain" else _POLICIES[self.policy]
        p_pos, p_neg = chosen((a * m).reshape(a.shape[0], -1))
        return p_pos, p_neg, "mass"


def register_policy(name: str, policy: Policy) -> None:
    """Make ``Pruning(p=name)`` call your own policy.

    Parameters
    ----------
    name
        The name; not one of the built-in ones.
    policy
        Function from relevance (N, entries) to the shares (p+, p-) of each of the N rows, float64 tensors (N,).

    Raises
    ------
    InputError
        If the name is taken by a built-in choice.

    Examples
    --------
    >>> import torch
    >>> def tenth(relevance):
    ...     p = torch.full((len(relevance),), 0.1, dtype=torch.float64)
    ...     return p, p / 2
    >>> register_policy("tenth", tenth)
    >>> Pruning(p="tenth").p
    'tenth'
    """
    if name in AUTOMATIC:
        raise InputError(f"{name!r} is a built-in choice of p; take another name")
    _POLICIES[name] = policy


def sparsity_gain(relevance: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each row the p at which the Gini index gains most over the mass given away: the knee of Gini(p).

    Parameters
    ----------
    relevance
        (N, entries).

    Returns
    -------
    tuple of Tensor
        (p+, p-), each (N,), p- = p+ / 2.

    Notes
    -----
    Pruning the share p of the positive part leaves the entries above the Lorenz curve's value p; the Gini index of
    what is left is read off the sorted masses for p = 0, .05, ..., .95, and p maximises the gain less p.
    """
    grid = torch.arange(0, 0.96, 0.05, dtype=torch.float64)
    s = relevance.to(torch.float64).clamp(min=0).sort(dim=1).values
    mass = s.sum(dim=1, keepdim=True)
    lorenz = s.cumsum(dim=1) / mass.clamp(min=torch.finfo(torch.float64).tiny)
    ginis = torch.stack([_gini_sorted(torch.where(lorenz <= p, 0.0, s)) for p in grid.tolist()], dim=1)
    best = (ginis - ginis[:, :1] - grid).argmax(dim=1)
    p_pos = grid[best.cpu()].to(relevance.device)
    return p_pos, p_pos / 2


class _Groups:
    """Splits a tensor into the rows that get a threshold of their own, and joins them again."""

    def __init__(self, like: Tensor, batch: int, scope: Scope) -> None:
        self.batch = batch
        self.shape = like.shape
        has_positions = like.dim() >= 3 and like.shape[0] == batch
        self.scope = scope if has_positions else "sample"

    def split(self, tensor: Tensor) -> Tensor:
        if self.scope == "position":
            return tensor.movedim(1, -1).reshape(-1, self.shape[1])
        if self.scope == "filter":
            return tensor.reshape(self.shape[0] * self.shape[1], -1)
        return tensor.reshape(1, *self.shape) if self.batch == 1 else tensor

    def join(self, rows: Tensor) -> Tensor:
        if self.scope == "position":
            moved = (self.shape[0], *self.shape[2:], self.shape[1])
            return rows.reshape(moved).movedim(-1, 1)
        return rows.reshape(self.shape)

    def per_sample(self, stats: PruneStats) -> PruneStats:
        if all(value.shape == (self.batch,) for value in stats):
            return stats
        return PruneStats(*(value.reshape(self.batch, -1).sum(dim=1) for value in stats))


def _gini_sorted(s: Tensor) -> Tensor:
    s = s.sort(dim=1).values
    n = s.shape[1]
    ranks = torch.arange(1, n + 1, dtype=s.dtype, device=s.device)
    mass = s.sum(dim=1)
    return (2 * (s * ranks).sum(dim=1) / (n * mass.clamp(min=torch.finfo(s.dtype).tiny))) - (n + 1) / n


def _numbers(p: float | Sequence[float] | Mapping[str, float]) -> list[float]:
    if isinstance(p, Mapping):
        return list(p.values())
    return list(p) if isinstance(p, Sequence) else [p]


def _share(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise InputError(f"{name} = {value!r}: the share of relevance to prune must be a number in [0, 1)")


def _choice(name: str, value: object, choices: Sequence[str]) -> None:
    if value not in choices:
        raise InputError(f"Pruning({name}={value!r}): choose one of {', '.join(map(repr, choices))}")
