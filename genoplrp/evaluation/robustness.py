"""Whether an explanation stays the same where it should: changed background, shifts, the other strand, another seed.

An explanation is any callable from one-hot arrays (n, 4, L) to per-nucleotide maps (n, L). A map that never changes is
robust and may be useless (an all-zero map scores a perfect 0 here): read these scores beside localization only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float

from genoplrp.errors import InputError
from genoplrp.evaluation.blocks import blocks, check_lengths, real_positions
from genoplrp.evaluation.faithfulness import check_pair
from genoplrp.evaluation.fills import draw_fill, replace
from genoplrp.evaluation.localization import expected_hits
from genoplrp.evaluation.maps import Arrays, Maps, Scores, check_finite, check_maps, check_masks, read_maps

if TYPE_CHECKING:
    import pandas as pd

Explain = Callable[[np.ndarray], Arrays]


class Change(NamedTuple):
    """A change of the input, and how a map of the changed input is brought back to the original's coordinates.

    Attributes
    ----------
    apply : callable
        From (n, 4, L) and a generator to the changed sequences.
    undo : callable
        From maps (n, L) of the changed sequences to maps in the original coordinates.
    """

    apply: Callable[[np.ndarray, np.random.Generator], np.ndarray]
    undo: Callable[[Maps], Maps]


def substitutions(mask: Arrays, *, count: int = 5) -> Change:
    """Make the change that replaces a few bases outside the sites by other bases.

    Parameters
    ----------
    mask : array, shape (N, L)
        Sites, which are left alone.
    count : int
        Bases per sequence; all that are outside where there are fewer. What is no base (padding) stays.

    Returns
    -------
    Change

    Examples
    --------
    >>> change = substitutions(np.array([[True, False]]), count=1)
    >>> X = np.eye(4, dtype=np.float32)[[[0, 0]]].transpose(0, 2, 1)
    >>> change.apply(X, np.random.default_rng(0))[0, 0].tolist()
    [1.0, 0.0]
    """
    sites = np.asarray(mask).astype(bool)
    if count < 1:
        raise InputError(f"count must be at least 1; got {count}")

    def apply(X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        outside = ~check_masks(sites, (X.shape[0], X.shape[2])) & X.any(axis=1)
        order = np.where(outside, rng.random(outside.shape), 2.0).argsort(axis=1).argsort(axis=1)
        return replace(X, (order < count) & outside, draw_fill(X, "random", rng))

    return Change(apply, lambda maps: maps)


def shift(by: int, *, lengths: Arrays | None = None) -> Change:
    """Make the change that moves each sequence along by some bases; what leaves at one end enters at the other.

    Parameters
    ----------
    by : int
        Bases to the right; negative for the left.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; the padding behind them stays there. By default all L.

    Returns
    -------
    Change

    Examples
    --------
    >>> shift(1).undo(np.array([[9.0, 1.0, 2.0]]))
    array([[1., 2., 9.]])
    """
    if lengths is None:
        return Change(lambda X, rng: np.roll(X, by, axis=2), lambda maps: np.roll(maps, -by, axis=1))

    def moved(values: np.ndarray, by: int) -> np.ndarray:
        return _rearranged(values, lengths, lambda position, length: (position - by) % length)

    return Change(lambda X, rng: moved(X, by), lambda maps: moved(maps, -by))


def reverse_strand(*, lengths: Arrays | None = None) -> Change:
    """Make the change that takes the reverse complement.

    Parameters
    ----------
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; the padding behind them stays there. By default all L.

    Returns
    -------
    Change

    Examples
    --------
    >>> reverse_strand().undo(np.array([[1.0, 2.0]]))
    array([[2., 1.]])
    """
    if lengths is None:
        return Change(lambda X, rng: np.ascontiguousarray(X[:, ::-1, ::-1]), lambda maps: maps[:, ::-1])

    def turned(values: np.ndarray) -> np.ndarray:
        return _rearranged(values, lengths, lambda position, length: length - 1 - position)

    return Change(lambda X, rng: turned(X[:, ::-1]), turned)


def sensitivity(
    explain: Explain,
    X: Float[np.ndarray, "n 4 length"],
    change: Change,
    *,
    n_draws: int = 8,
    seed: int = 0,
    maps: Arrays | None = None,
    lengths: Arrays | None = None,
) -> Float[np.ndarray, "n draws"]:
    """How much a map moves, relative to its size, when the input is changed.

    Parameters
    ----------
    explain : callable
        From (n, 4, L) to maps (n, L).
    X : array, shape (N, 4, L)
        One-hot sequences.
    change : Change
        What is changed.
    n_draws : int
        How many random changes; 1 is enough for one that is not random.
    seed : int
        Seed of the changes: the same for every explanation that is compared.
    maps : array, shape (N, L), optional
        The maps of `X`, if they are known already.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

    Returns
    -------
    numpy.ndarray, shape (N, n_draws)
        |e(x') - e(x)|_2 / |e(x)|_2, 0 or more. Max-sensitivity is the largest of a row, average sensitivity its mean.
        0 where both maps are all zero, NaN where only the original is.

    Raises
    ------
    InputError, NonFiniteError
        If the sequences are not one-hot or the maps do not fit them.

    References
    ----------
    Yeh et al., *On the (in)fidelity and sensitivity of explanations*, NeurIPS 2019 (max-sensitivity), here relative to
    the size of the map and under changes that leave DNA DNA; Bhatt, Weller and Moura, IJCAI 2020 (average).

    Examples
    --------
    >>> X = np.eye(4, dtype=np.float32)[[[0, 1, 2, 3]]].transpose(0, 2, 1)
    >>> sensitivity(lambda x: x[:, 0], X, reverse_strand(), n_draws=1).round(3)
    array([[1.414]])
    """
    one_hot, _ = check_pair(X, None)
    original = check_maps(explain(one_hot) if maps is None else maps)
    real = real_positions(check_lengths(lengths, original.shape), original.shape)
    original = np.where(real, original, 0.0)
    rng = np.random.default_rng(seed)
    size = np.linalg.norm(original, axis=1)
    moved = np.zeros((len(one_hot), n_draws))
    for draw in range(n_draws):
        changed = np.where(real, change.undo(check_maps(explain(change.apply(one_hot, rng)))), 0.0)
        distance = np.linalg.norm(changed - original, axis=1)
        moved[:, draw] = np.divide(distance, size, out=np.where(distance > 0, np.nan, 0.0), where=size > 0)
    return moved


def score_robustness(
    explain: Explain,
    X: Float[np.ndarray, "n 4 length"],
    mask: Arrays,
    *,
    count: int = 5,
    n_draws: int = 8,
    shift_by: int = 7,
    seed: int = 0,
    maps: Arrays | None = None,
    lengths: Arrays | None = None,
) -> pd.DataFrame:
    """Measure how far maps move under substitutions outside the sites, a shift, and on the other strand.

    Parameters
    ----------
    explain, X, n_draws, seed, maps, lengths
        As in `sensitivity`.
    mask : array, shape (N, L)
        Sites, in which nothing is substituted.
    count : int
        Substitutions per draw.
    shift_by : int
        Bases of the shift, which is taken in both directions.

    Returns
    -------
    pandas.DataFrame
        One row per sequence (index ``sequence``): ``max_sensitivity`` and ``average_sensitivity`` under substitutions,
        ``shift_sensitivity`` (mean of both directions) and ``strand_sensitivity``; lower is more robust.

    Raises
    ------
    InputError, NonFiniteError
        As in `sensitivity`.

    References
    ----------
    See `sensitivity`.

    Examples
    --------
    >>> X = np.eye(4, dtype=np.float32)[[[0, 1, 2, 3]]].transpose(0, 2, 1)
    >>> score_robustness(lambda x: x.sum(axis=1), X, np.zeros((1, 4))).iloc[0].tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    import pandas as pd

    known = explain(X) if maps is None else maps

    def moved_by(change: Change, n_draws: int = 1) -> np.ndarray:
        return sensitivity(explain, X, change, n_draws=n_draws, seed=seed, maps=known, lengths=lengths)

    moved = moved_by(substitutions(mask, count=count), n_draws)
    shifted = [moved_by(shift(by, lengths=lengths))[:, 0] for by in (shift_by, -shift_by)]
    strand = moved_by(reverse_strand(lengths=lengths))[:, 0]
    columns = {
        "max_sensitivity": moved.max(axis=1),
        "average_sensitivity": moved.mean(axis=1),
        "shift_sensitivity": np.mean(shifted, axis=0),
        "strand_sensitivity": strand,
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(len(moved), name="sequence"))


def agreement(first: Arrays, second: Arrays, *, k: int = 20, lengths: Arrays | None = None) -> pd.DataFrame:
    """How alike two maps of the same sequences are, as of two training seeds, or of a trained and a random network.

    Parameters
    ----------
    first, second : array or tensor, shape (N, L)
        The maps.
    k : int
        How many top positions are compared (the whole map where it is shorter).
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

    Returns
    -------
    pandas.DataFrame
        One row per sequence (index ``sequence``): ``cosine`` and ``spearman`` (-1 to 1; ties share their rank; 0 where
        one of the maps is constant, for ``cosine`` all zero) and ``top_k`` (share of the k largest of the one that are
        among the k largest of the other, ties in expectation over one of them; chance k / L).

    Raises
    ------
    InputError, NonFiniteError
        If the maps do not have the same shape or are not finite.

    References
    ----------
    Adebayo et al., *Sanity checks for saliency maps*, NeurIPS 2018 (rank correlation of maps).

    Examples
    --------
    >>> agreement([[3.0, 2.0, 1.0]], [[30.0, 20.0, 10.0]], k=1).iloc[0].round(6).tolist()
    [1.0, 1.0, 1.0]
    """
    import pandas as pd

    a, b = read_maps(first, name="first"), read_maps(second, name="second")
    if a.shape != b.shape:
        raise InputError(f"the maps have shapes {a.shape} and {b.shape}; they must be of the same sequences")
    sizes = check_lengths(lengths, a.shape)
    check_finite(a, sizes, name="first")
    check_finite(b, sizes, name="second")
    columns = {name: np.zeros(len(a)) for name in ("cosine", "spearman", "top_k")}
    for rows, length in blocks(a.shape, sizes):
        one, other = (values[rows, :length].astype(np.float64, copy=False) for values in (a, b))
        columns["cosine"][rows] = _cosine(one, other)
        columns["spearman"][rows] = _cosine(_centred_ranks(one), _centred_ranks(other))
        columns["top_k"][rows] = _common_top(one, other, min(k, length))
    return pd.DataFrame(columns, index=pd.RangeIndex(len(a), name="sequence"))


def _rearranged(
    values: np.ndarray, lengths: Arrays | None, source: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Take each position of (n, ..., L) from another one of the same sequence; padding stays."""
    sizes = check_lengths(lengths, (len(values), values.shape[-1]))
    assert sizes is not None
    position = np.arange(values.shape[-1])
    index = np.where(position < sizes[:, None], source(position, sizes[:, None]), position)
    if values.ndim == 3:
        index = np.broadcast_to(index[:, None], values.shape)
    return np.take_along_axis(values, index, axis=-1)


def _common_top(a: Maps, b: Maps, k: int) -> Scores:
    """Share of the k largest of `b` among the k largest of `a`, ties of `a` in expectation."""
    top = np.zeros(a.shape, dtype=bool)
    np.put_along_axis(top, np.argsort(-b, axis=1, kind="stable")[:, :k], True, axis=1)
    return expected_hits(a, top, np.full(len(a), k)) / k


def _centred_ranks(maps: Maps) -> Maps:
    from scipy.stats import rankdata

    ranks: Maps = rankdata(maps, axis=1) - (maps.shape[1] + 1) / 2
    return ranks


def _cosine(a: Maps, b: Maps) -> Scores:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine: Scores = np.zeros(len(a))
    np.divide((a * b).sum(axis=1), norms, out=cosine, where=norms > 0)
    return cosine
