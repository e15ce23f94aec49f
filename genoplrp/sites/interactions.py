"""Which sites work together: what a network loses with one site, with another and with both, and what relevance says.

Sites are taken out by putting bases of dinucleotide shuffles of the sequence in their place. Not here: which sites
there are (`genoplrp.sites.calling`), the pictures (`genoplrp.plotting.interactions`).

References
----------
Greenside, Shimko, Fordyce and Kundaje 2018, *Discovering epistatic feature interactions from neural network models of
regulatory DNA sequences*, Bioinformatics 34 (relevance of one feature while another is mutated).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Literal, get_args

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from genoplrp.errors import InputError
from genoplrp.relevance import Explainer, Pruning, Target
from genoplrp.relevance.inputs import OneTarget, check_input, check_target
from genoplrp.relevance.methods.outputs import explained_outputs
from genoplrp.sequence import shuffle_codes
from genoplrp.sites.calling import q_values
from genoplrp.sites.given import GivenSites, check_sites
from genoplrp.sites.pairs import PAIR_COLUMNS, Interactions, described_pairs

Scale = Literal["output", "probability"]
_ROUNDING = 1e-6
_BASES = np.vstack([np.eye(4, dtype=np.float32), np.zeros((1, 4), np.float32)])


def interactions(
    model: nn.Module | Explainer,
    X: Float[Tensor, "n 4 length"],
    sites: GivenSites,
    target: Target = 0,
    *,
    fills: int = 4,
    scale: Scale = "output",
    relevance: bool = True,
    most: int = 12,
    args: Sequence[Tensor] | None = None,
    batch_size: int = 256,
    seed: int = 0,
    progress: bool = False,
) -> Interactions:
    """Remove sites, alone and in pairs, and report which pairs do more or less than the sum of their parts.

    Parameters
    ----------
    model : Module or Explainer
        A module is explained with the default rules and ``Pruning(p=0.15)``.
    X : Tensor, (N, 4, L) or (4, L)
        Sequences.
    sites : DataFrame or sequence of (start, end)
        ``sequence`` (row of X), ``start``, ``end``, and, where they are known, ``motif`` and ``strand``.
    target
        As in a call of the explainer.
    fills : int
        Number of shuffles that replace a site. There is no null with fewer than 2.
    scale : {"output", "probability"}
        Scale on which effects add up: the explained output (a logit), or its logistic function. Two sites that
        are both needed for a label may simply add up on the scale of the logit.
    relevance : bool
        Also explain the sequences without one site, for the change of the relevance of the others.
    most : int
        Maximum number of sites per sequence; those with the strongest relevance are used.
    args, progress
        As in a call of the explainer.
    batch_size : int
        Sequences per batch.
    seed : int
        Seed of the shuffles.

    Returns
    -------
    Interactions

    Raises
    ------
    InputError
        If an argument makes no sense or a site lies outside its sequence.

    Notes
    -----
    With f the output, ``effect_a = f - f_a`` and ``interaction = f - f_a - f_b + f_ab``, means over the fills: above 0
    where the two do more together than each for itself (both are needed), below 0 where one is enough, or one undoes
    the other. A sequence with S sites and P pairs costs fills x (S + P) forward passes and fills x S backward passes.

    The null is what one fill makes of a pair against another: the interaction's contrasts between fills have the same
    noise and no interaction in them. ``q_value`` is the false-discovery rate at which a pair is called, as in
    `q_values`; few pairs cannot have a small one (with 4 fills it is at least 1 / (3 x pairs)).

    Examples
    --------
    >>> class Product(nn.Module):
    ...     def forward(self, x):
    ...         return (x[:, 0, 2:6].sum(dim=1) * x[:, 0, 10:14].sum(dim=1))[:, None]
    >>> X = torch.eye(4)[torch.tensor([[1, 2] + [0] * 4 + [3, 1, 2, 1] + [0] * 4 + [2, 3, 1, 3, 2, 1]])].mT
    >>> found = interactions(Product(), X, [(2, 6), (10, 14)], relevance=False)
    >>> bool(found.pairs["interaction"][0] > 0)
    True
    """
    _check(fills, scale, most, batch_size)
    explain = model if isinstance(model, Explainer) else Explainer(model, pruning=Pruning(p=0.15))
    x, extra = check_input(X[None] if getattr(X, "ndim", 0) == 2 else X, args, explain.network)
    if x.dim() != 3 or x.shape[1] != 4:
        raise InputError(f"X has shape {tuple(x.shape)}: expected DNA, (N, 4, L)")
    work = _Work(explain, x, extra, check_target(target, len(x)), scale, batch_size, progress)
    table = check_sites(sites, *x.shape[::2])
    notes: list[str] = []
    if len(table) == 0:
        notes.append("there are no sites: nothing is taken out")
        return Interactions(table, pd.DataFrame(columns=PAIR_COLUMNS), scale, notes)
    whole = work.relevance_of([(int(row), -1, -1, 0) for row in np.unique(table["sequence"])], None)
    table["relevance"] = _on_sites(table, dict(zip(np.unique(table["sequence"]), whole, strict=True)))
    table = _strongest(table, most, notes)
    pairs = _pairs_of(table, notes)
    work.prepare(table, fills, seed)
    before = work.outputs([(row, -1, -1, 0) for row in range(len(x))], "whole")
    numbers = table["sequence"].to_numpy()
    singles = [(numbers[a], a, -1, k) for k in range(fills) for a in range(len(table))]
    without = work.outputs(singles, "one site out").reshape(fills, -1)
    both = [(numbers[a], a, b, k) for k in range(fills) for a, b in pairs]
    without_both = work.outputs(both, "two sites out").reshape(fills, -1)
    table["effect"] = before[numbers] - without.mean(axis=0)
    first, second = (np.array([pair[i] for pair in pairs], dtype=np.int64) for i in (0, 1))
    found = described_pairs(table, pairs)
    found["effect_a"], found["effect_b"] = (table["effect"].to_numpy()[i] for i in (first, second))
    _add_interactions(found, before, without, without_both, (numbers[first], first, second))
    if relevance and pairs:
        maps = _Changes(table, work.relevance_of(singles, "relevance"), fills)
        found["change_a"], found["change_b"] = maps.of(first, second), maps.of(second, first)
        found["relevance_change"] = 0.5 * (found["change_a"] + found["change_b"])
    return Interactions(table, found.reindex(columns=PAIR_COLUMNS), scale, notes)


def _add_interactions(
    found: pd.DataFrame,
    before: Float[np.ndarray, " n"],
    without: Float[np.ndarray, "fills sites"],
    without_both: Float[np.ndarray, "fills pairs"],
    pairs: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Add to each pair (row of X, first site, second site) its interaction: of both sites less that of either."""
    row, first, second = pairs
    found["effect_both"] = before[row] - without_both.mean(axis=0)
    each = before[row] - without[:, first] - without[:, second] + without_both
    # What is rounding is no interaction.
    each[np.abs(each) < _ROUNDING * max(np.abs(before).max(), np.abs(without).max())] = 0.0
    found["interaction"] = each.mean(axis=0)
    found["sd"] = each.std(axis=0, ddof=1) if len(each) > 1 else np.nan
    found["q_value"] = _q_values(each)


class _Work:
    """Computes outputs and maps of sequences with sites taken out, a batch at a time."""

    def __init__(
        self,
        explain: Explainer,
        x: Tensor,
        extra: list[Tensor],
        wanted: Callable[[int, int], OneTarget],
        scale: str,
        batch_size: int,
        progress: bool,
    ) -> None:
        self.explain, self.x, self.extra, self.wanted = explain, x, extra, wanted
        self.scale, self.batch_size, self.progress = scale, batch_size, progress
        self.fills: Float[np.ndarray, "fills n 4 length"] | None = None
        self.spans: list[tuple[int, int]] = []

    def prepare(self, table: pd.DataFrame, fills: int, seed: int) -> None:
        """Draw what stands where a site was: dinucleotide shuffles of the sequences."""
        hot = self.x.cpu().numpy()
        codes = np.where(hot.any(axis=1), hot.argmax(axis=1), 4).astype(np.uint8)
        drawn = shuffle_codes(np.repeat(codes, fills, axis=0), np.random.default_rng(seed))
        self.fills = _encoded(drawn).reshape(len(codes), fills, *hot.shape[1:]).swapaxes(0, 1)
        self.spans = list(zip(table["start"], table["end"], strict=True))

    def outputs(self, variants: list[tuple[int, int, int, int]], what: str) -> Float[np.ndarray, " v"]:
        """Return the output of each variant (sequence, site, site, fill); -1 is no site."""
        parts = [
            explained_outputs(self.explain, x, target, args=extra).double()
            for x, target, extra in self._batches(variants, what)
        ]
        values = torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)
        out: np.ndarray = (values.sigmoid() if self.scale == "probability" else values).numpy()
        return out

    def relevance_of(
        self, variants: list[tuple[int, int, int, int]], what: str | None
    ) -> Float[np.ndarray, "v length"]:
        """Return the relevance of the bases of each variant."""
        parts = [
            self.explain(x, target, args=extra).per_nucleotide.double().numpy()
            for x, target, extra in self._batches(variants, what)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.x.shape[2]))

    def _batches(
        self, variants: list[tuple[int, int, int, int]], what: str | None
    ) -> Iterator[tuple[Tensor, OneTarget, list[Tensor]]]:
        from tqdm import tqdm

        hidden = None if self.progress and what else True
        with tqdm(total=len(variants), desc=what, unit="seq", disable=hidden) as bar:
            for first in range(0, len(variants), self.batch_size):
                part = variants[first : first + self.batch_size]
                rows = torch.tensor([row for row, *_ in part])
                x = self.x[rows.to(self.x.device)].clone()
                for k, (row, *out, fill) in enumerate(part):
                    for site in out:
                        if site >= 0 and self.fills is not None:
                            start, end = self.spans[site]
                            piece = torch.from_numpy(self.fills[fill, row, :, start:end])
                            x[k, :, start:end] = piece.to(x)
                target = self.wanted(0, len(self.x))
                target = target[rows] if isinstance(target, Tensor) else target
                yield x, target, [a[rows.to(a.device)] for a in self.extra]
                bar.update(len(part))


class _Changes:
    """How much less relevance a site has without another."""

    def __init__(self, table: pd.DataFrame, maps: Float[np.ndarray, "v length"], fills: int) -> None:
        sums = np.concatenate([np.zeros((len(maps), 1)), np.cumsum(maps, axis=1)], axis=1)
        self.sums = sums.reshape(fills, len(table), -1)
        self.start, self.end = table["start"].to_numpy(), table["end"].to_numpy()
        self.relevance = table["relevance"].to_numpy()

    def of(self, site: np.ndarray, out: np.ndarray) -> Float[np.ndarray, " pairs"]:
        """Return the relevance of each site less what it has with the other one taken out."""
        left = self.sums[:, out, self.end[site]] - self.sums[:, out, self.start[site]]
        changes: np.ndarray = self.relevance[site] - left.mean(axis=0)
        return changes


def _q_values(each: Float[np.ndarray, "fills pairs"]) -> Float[np.ndarray, " pairs"]:
    """Return q-values of the mean over fills, against contrasts of one half of the fills with the other."""
    even = len(each) // 2 * 2
    if even == 0 or each.shape[1] == 0:
        return np.full(each.shape[1], np.nan)
    halves = [half for half in combinations(range(even), even // 2) if 0 in half]
    signs = np.where([[k in half for k in range(even)] for half in halves], 1.0, -1.0)
    # Of the same variance as the mean of all fills.
    null = np.abs(signs @ each[:even]) / np.sqrt(even * len(each))
    return q_values(np.abs(each.mean(axis=0)), null.ravel(), 1.0 / len(signs))


def _strongest(table: pd.DataFrame, most: int, notes: list[str]) -> pd.DataFrame:
    rank = table["relevance"].abs().groupby(table["sequence"]).rank(ascending=False, method="first")
    left_out = int((rank > most).sum())
    if left_out:
        full = table.loc[rank > most, "sequence"].nunique()
        notes.append(
            f"sequences with more sites than {most}: {full}; their {left_out} of the weakest relevance are left out "
            "(most= takes more)"
        )
    return table[rank <= most].reset_index(drop=True)


def _pairs_of(table: pd.DataFrame, notes: list[str]) -> list[tuple[int, int]]:
    """Return the pairs of sites of each sequence that do not overlap."""
    start, end = table["start"].to_numpy(), table["end"].to_numpy()
    first = np.flatnonzero(np.diff(table["sequence"], prepend=-1))
    blocks = zip(first, [*first[1:], len(table)], strict=True)
    every = [pair for low, high in blocks for pair in combinations(range(low, high), 2)]
    apart = [(a, b) for a, b in every if end[a] <= start[b]]
    if len(apart) < len(every):
        notes.append(
            f"pairs that overlap and are left out, as one is not taken out without the other: {len(every) - len(apart)}"
        )
    if not every:
        notes.append("no sequence has two sites: there are effects of single sites only")
    return apart


def _on_sites(table: pd.DataFrame, maps: dict[int, np.ndarray]) -> list[float]:
    return [
        float(maps[row][start:end].sum())
        for row, start, end in zip(table["sequence"], table["start"], table["end"], strict=True)
    ]


def _encoded(codes: UInt8[np.ndarray, "n length"]) -> Float[np.ndarray, "n 4 length"]:
    hot: np.ndarray = _BASES[codes].transpose(0, 2, 1)
    return hot


def _check(fills: int, scale: str, most: int, batch_size: int) -> None:
    if fills < 1 or most < 1 or batch_size < 1:
        raise InputError(f"fills={fills}, most={most}, batch_size={batch_size}: each at least 1")
    if scale not in get_args(Scale):
        raise InputError(f"scale={scale!r}: choose one of {', '.join(get_args(Scale))}")
