"""Which stretches of relevance are sites: candidates compared with what the same model gives on shuffled sequences.

The false-discovery rate is estimated by counting: at a score s, chance sites expected over candidates there are, both
with at least s, made monotone in s (Storey and Tibshirani, PNAS 100, 2003). Expected are the candidates of the null per
position where the null has bases of its own, times the positions where no site is; there the share of true nulls comes
in, as the share of the positions that called sites leave. Where the count of the null is small, the threshold with the
luckiest count would be chosen: in its place stands the upper 80 % bound of a Poisson mean, given that count (Garwood,
Biometrika 28, 1936).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, UInt8
from scipy.special import gammaincinv
from torch import Tensor

from genoplrp.errors import InputError, MissingDependencyError
from genoplrp.relevance import Explainer, Explanation, Target
from genoplrp.sequence import codes_to_one_hot, one_hot_to_codes, shuffle_codes
from genoplrp.sites.background import fill_between, strongest
from genoplrp.sites.candidates import WIDTH, Candidates, candidate_sites
from genoplrp.sites.compiled import keep_compiled
from genoplrp.threads import threads_kept

Null = Literal["background", "shuffled"]
Sign = Literal["both", "positive", "negative"]
Explain = Callable[[np.ndarray], np.ndarray]
COLUMNS = ("sequence", "start", "end", "sign", "score", "q_value")
_LEVEL = 0.2  # sites called at this rate leave no room for chance sites, but for this share of them
_POSITIONS = 600_000  # of a null: enough to count one chance site in 10,000 windows
_MOST_SHUFFLES = 4
_BOUND = (
    0.8  # confidence that the null's mean count is below what it is taken for; measured in docs/genome.md
)


Encoded: TypeAlias = np.ndarray | Tensor
"""One-hot (N, 4, L), or base numbers (N, L)."""
Maps: TypeAlias = np.ndarray | Tensor
"""Relevance (N, L), or (N, 4, L)."""


def find_sites(
    explain: Explainer | Explain,
    X: Encoded,
    relevance: Explanation | Maps | None = None,
    *,
    fdr: float = 0.05,
    null: Null = "background",
    n_shuffles: int | None = None,
    sign: Sign = "both",
    width: int = WIDTH,
    target: Target = 0,
    seed: int = 0,
) -> pd.DataFrame:
    """Find the sites of sequences at a false-discovery rate, with a null from the same model.

    Parameters
    ----------
    explain : Explainer or callable
        What made `relevance`; as a callable it takes base numbers (n, L) and returns relevance per position (n, L).
    X : array or tensor, (N, 4, L) or (N, L)
        The sequences, one-hot or as base numbers (uint8).
    relevance : array, (N, L) or (N, 4, L), or Explanation, optional
        Their relevance; by default it is computed.
    fdr : float
        Share of the sites that may be false.
    null : {"background", "shuffled"}
        ``shuffled``: dinucleotide shuffles of the whole sequences. A network often answers to these in another way
        than to sequences with sites: its output is lower, and a chance match then weighs more, so that few sites stand
        out; and the negative relevance beside sites has no counterpart in them, so that most negative sites can be
        false whatever the rate. ``background`` therefore leaves the windows alone that hold 90 % of the sequence's
        relevance of that sign (of either, where sites of both are asked for), see `strongest`, and lays them over
        shuffles of the whole sequence: candidates that lie between them for the larger part are the null. Their number
        is scaled from the positions between the windows to all that sites called at 20 % leave over.
    n_shuffles : int, optional
        Shuffles of each sequence; by default as many as make 600,000 positions, between one and four.
    sign : {"both", "positive", "negative"}
        Which sites; both signs are counted apart, in the same shuffles.
    width : int
        Width of the window that gathers relevance, in bp.
    target : int or callable
        The output that an `Explainer` explains.
    seed : int
        Seed of the shuffles.

    Returns
    -------
    DataFrame
        ``sequence`` (row), ``start, end`` (0-based, half-open), ``sign`` ("+" or "-" of the relevance, not of the
        strand), ``score`` (relevance of the window, signed), ``q_value``; sorted by sequence and start.

    Raises
    ------
    InputError
        If an argument makes no sense.

    Examples
    --------
    >>> codes = np.random.default_rng(0).integers(4, size=(40, 60), dtype=np.uint8)
    >>> site = np.array([0, 2, 1, 3, 3, 0])
    >>> codes[:, 20:26] = site
    >>> found = lambda c: (np.lib.stride_tricks.sliding_window_view(c, 6, axis=1) == site).all(axis=2)
    >>> explain = lambda c: np.array([np.convolve(row, np.ones(6)) for row in found(c)])
    >>> sites = find_sites(explain, codes, fdr=0.1)
    >>> sites["sequence"].nunique()
    40
    """
    codes, explain = as_codes(X), as_function(explain, target)
    if len(codes) == 0:
        raise InputError("X has no sequences: there are no sites to find")
    n = n_shuffles
    if n is None:
        n = int(np.clip(-(-_POSITIONS // max(codes.size, 1)), 1, _MOST_SHUFFLES))
    _check(fdr, null, sign, n)
    values = _explained(explain, codes) if relevance is None else as_positions(relevance)
    if values.shape != codes.shape:
        raise InputError(
            f"relevance has the shape {values.shape}, the sequences {codes.shape}: they must agree"
        )
    rng = np.random.default_rng(seed)
    repeated = np.repeat(codes, n, axis=0)
    kept = None
    if null == "background":
        signs = [factor for one, factor in (("positive", 1), ("negative", -1)) if sign in ("both", one)]
        kept = np.repeat(np.any([strongest(f * values, width) for f in signs], axis=0), n, axis=0)
    shuffled = shuffle_codes(repeated, rng) if kept is None else fill_between(repeated, kept, rng)
    chance = _explained(explain, shuffled)
    return call_sites(values, chance, blocked=kept, sign=sign, width=width, fdr=fdr)


def as_codes(X: Encoded) -> UInt8[np.ndarray, "n length"]:
    """Return one-hot sequences (N, 4, L), or base numbers (N, L), as base numbers.

    Raises
    ------
    InputError
        If the shape is another one.
    """
    values = np.asarray(X)
    if values.ndim == 3 and values.shape[1] == 4:
        return one_hot_to_codes(values)
    if values.ndim == 2 and values.dtype.kind in "iu":
        return values.astype(np.uint8, copy=False)
    raise InputError(
        f"the sequences have the shape {values.shape} ({values.dtype}): expected one-hot (N, 4, L), or base numbers "
        "(N, L) of 0 to 3"
    )


def as_function(explain: Explainer | Explain, target: Target = 0) -> Explain:
    """Return an `Explainer` as a function of base numbers (n, L) that returns relevance per position (n, L)."""
    if not isinstance(explain, Explainer):
        if isinstance(explain, torch.nn.Module) or not callable(explain):
            raise InputError(
                f"explain is a {type(explain).__name__}: give gp.Explainer(model, pruning=...), or a function of base "
                "numbers (n, L) that returns relevance (n, L)"
            )
        return explain
    explainer = explain

    def explained(codes: np.ndarray) -> np.ndarray:
        e = explainer(torch.from_numpy(codes_to_one_hot(codes)), target)
        return np.asarray(e.per_nucleotide.numpy())

    return explained


def as_positions(relevance: Explanation | Maps) -> Float[np.ndarray, "n length"]:
    """Return an `Explanation`, or relevance (N, 4, L) or (N, L), per position."""
    values = relevance.relevance if isinstance(relevance, Explanation) else relevance
    array = np.asarray(values, dtype=np.float64)
    return array.sum(axis=1) if array.ndim == 3 else array


def call_sites(
    relevance: Float[np.ndarray, "n length"],
    null: Float[np.ndarray, "m length"],
    *,
    blocked: Bool[np.ndarray, "m length"] | None = None,
    fdr: float = 0.05,
    sign: Sign = "both",
    width: int = WIDTH,
) -> pd.DataFrame:
    """Call the sites of relevance maps against null maps that are already there.

    Parameters
    ----------
    relevance : array, (N, L)
        Relevance per position.
    null : array, (M, L)
        Relevance of sequences without sites, from the same model; any number of them.
    blocked : array, (M, L), bool, optional
        Positions of the null maps that are no null: a candidate half of which lies on them does not count.
    fdr, sign, width
        As in `find_sites`.

    Returns
    -------
    DataFrame
        As in `find_sites`; without rows where nothing is significant.

    Raises
    ------
    InputError
        If an argument makes no sense or there is no null.
    """
    _check(fdr, "shuffled", sign, 1)
    if len(null) == 0 or len(relevance) == 0:
        raise InputError("relevance and null need at least one sequence each")
    found, chance, signs = [], [], []
    for label, factor in (("+", 1.0), ("-", -1.0)):
        if sign != "both" and (sign == "positive") != (label == "+"):
            continue
        found.append(candidate_sites(factor * np.asarray(relevance, dtype=np.float64), width))
        chance.append(_beside(candidate_sites(factor * np.asarray(null, dtype=np.float64), width), blocked))
        signs.append((label, factor))
    own = 1.0 if blocked is None else max(1.0 - float(np.mean(blocked)), 1.0 / blocked.size)
    q = _adaptive_q_values(found, chance, len(relevance) / len(null) / own, np.asarray(relevance).size)
    parts = [
        _frame(one, values, *which)[values <= fdr] for one, values, which in zip(found, q, signs, strict=True)
    ]
    table = pd.concat(parts, ignore_index=True)
    return table.sort_values(["sequence", "start", "sign"], ignore_index=True)


def q_values(
    score: Float[np.ndarray, " k"], null: Float[np.ndarray, " m"], ratio: float, *, bound: float | None = None
) -> Float[np.ndarray, " k"]:
    """Estimate the smallest false-discovery rate at which each score is called.

    Parameters
    ----------
    score, null : array
        Scores of the candidates and of the null's candidates.
    ratio : float
        Chance sites to expect for each candidate of the null; where both cover the same: sequences over null sequences.
    bound : float, optional
        In place of a count k of null candidates stands the mean that a Poisson count of k leaves below it with this
        confidence; of 0.8, that is 1.6 for none, 3.0 for one, 12.5 for nine. By default it is k + 1.

    Returns
    -------
    array, (K,)
        0 to 1; equal scores have equal values. No value is 0 for lack of a null.

    Examples
    --------
    >>> q_values(np.array([9.0, 8.0, 1.0]), np.array([2.0, 0.5, 0.4]), 0.5).round(3).tolist()
    [0.25, 0.25, 0.333]
    >>> q_values(np.array([9.0, 8.0, 1.0]), np.array([2.0, 0.5, 0.4]), 0.5, bound=0.8).round(3).tolist()
    [0.402, 0.402, 0.499]
    """
    return np.minimum(ratio * _false_each(score, null, bound), 1.0)


@threads_kept()
def recursive_seqlets(
    relevance: Float[np.ndarray, "n length"], *, threshold: float = 0.01, flank: int = 0
) -> pd.DataFrame:
    """Positive seqlets by tangermeme's recursive method, in this package's columns.

    Its p-values rank seqlets within the maps; they are not error rates, and stand in ``p_value``.

    Parameters
    ----------
    relevance : array, (N, L)
        Relevance per position.
    threshold : float
        Largest p-value.
    flank : int
        Positions to add at both ends.

    Raises
    ------
    MissingDependencyError
        If tangermeme is not installed.

    References
    ----------
    tangermeme, https://github.com/jmschrei/tangermeme, ``seqlet.recursive_seqlets``.
    """
    try:
        from tangermeme import seqlet
    except ImportError as error:
        raise MissingDependencyError(
            "recursive_seqlets needs tangermeme: pip install 'genoplrp[benchmark]'"
        ) from error
    keep_compiled(seqlet)
    found: pd.DataFrame = seqlet.recursive_seqlets(
        np.asarray(relevance, dtype=np.float64), threshold=threshold, additional_flanks=flank
    )
    table = found.rename(columns={"example_idx": "sequence", "attribution": "score", "p-value": "p_value"})
    table = pd.DataFrame(table.assign(sign="+")[["sequence", "start", "end", "sign", "score", "p_value"]])
    return table.sort_values(["sequence", "start"], ignore_index=True)


def _frame(found: Candidates, q: np.ndarray, label: str, factor: float) -> pd.DataFrame:
    columns = (found.sequence, found.start, found.end, label, factor * found.score, q)
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def _beside(found: Candidates, blocked: Bool[np.ndarray, "m length"] | None) -> Float[np.ndarray, " k"]:
    """Scores of the candidates of which less than half lies on blocked positions."""
    if blocked is None:
        return found.score
    before = np.pad(np.cumsum(blocked, axis=1), ((0, 0), (1, 0)))
    on = before[found.sequence, found.end] - before[found.sequence, found.start]
    return np.asarray(found.score[2 * on < found.end - found.start])


def _false_each(
    score: Float[np.ndarray, " k"], null: Float[np.ndarray, " m"], bound: float | None
) -> Float[np.ndarray, " k"]:
    """Null candidates over called ones, at the most favourable threshold that calls each score; see `q_values`."""
    levels, inverse, count = np.unique(-score, return_inverse=True, return_counts=True)
    more = np.searchsorted(np.sort(-null), levels, side="right") + 1.0
    false = more if bound is None else gammaincinv(more, bound)
    rate = np.minimum.accumulate((false / np.cumsum(count))[::-1])[::-1]
    return np.asarray(rate[inverse])


def _adaptive_q_values(
    found: list[Candidates], chance: list[Float[np.ndarray, " m"]], ratio: float, positions: int
) -> list[Float[np.ndarray, " k"]]:
    """Q-values of both signs, the null counted for the positions that sites leave.

    Which sites there are depends on the q-values: begun without any, each round calls at least as many as the one
    before, so this ends, at the most cautious of the solutions. The rounds differ in a factor only.
    """
    each = [_false_each(one.score, null, _BOUND) for one, null in zip(found, chance, strict=True)]
    room = 1.0
    while True:
        q = [np.minimum(ratio * room * one, 1.0) for one in each]
        taken = sum(
            int((one.end - one.start)[values <= _LEVEL].sum()) for one, values in zip(found, q, strict=True)
        )
        less = max(1.0 - (1.0 - _LEVEL) * taken / positions, _LEVEL)
        if less >= room:
            return q
        room = less


def _explained(explain: Explain, codes: np.ndarray) -> Float[np.ndarray, "n length"]:
    values = np.asarray(explain(codes), dtype=np.float64)
    if values.shape != codes.shape:
        raise InputError(
            f"explain returned the shape {values.shape} for sequences {codes.shape}: expected relevance per position"
        )
    return values


def _check(fdr: float, null: str, sign: str, n_shuffles: int) -> None:
    if not 0 < fdr <= 1:
        raise InputError(f"fdr={fdr:g}: a share above 0 and up to 1")
    if null not in get_args(Null):
        raise InputError(f"null={null!r}: choose one of {', '.join(get_args(Null))}")
    if sign not in get_args(Sign):
        raise InputError(f"sign={sign!r}: choose one of {', '.join(get_args(Sign))}")
    if n_shuffles < 1:
        raise InputError(f"n_shuffles={n_shuffles}: at least one")
