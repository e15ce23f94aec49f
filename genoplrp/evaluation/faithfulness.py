"""Whether the bases that a map names are the ones the model uses: bases are replaced, the model is asked again.

The model is any callable from one-hot arrays (n, 4, L) to one number per sequence (a logit); its internals
are not used. Every figure is a mean over several random fills, and the same seed gives every map the same
fills, so that maps of the same sequences are compared in pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from genoplrp.errors import InputError, NonFiniteError
from genoplrp.evaluation.blocks import blocks, check_lengths, real_positions
from genoplrp.evaluation.fills import Fill, draw_fill, replace
from genoplrp.evaluation.maps import Arrays, Maps, as_array, check_finite, read_maps

if TYPE_CHECKING:
    import pandas as pd

Predict = Callable[[np.ndarray], Arrays]

_BASES_AT_A_TIME = 1 << 16
_BASES_OF_A_PIECE = 1 << 18


class Curves(NamedTuple):
    """The model's output while bases are taken away, or put back, most relevant first.

    Attributes
    ----------
    positions : numpy.ndarray, shape (K,) or (N, K)
        How many bases were taken away or put back, by sequence where lengths differ.
    deletion, insertion : numpy.ndarray, shape (N, K)
        Output of the model, mean over fills.
    full, empty : numpy.ndarray, shape (N,)
        Output for the sequence itself, and with every base replaced.
    """

    positions: np.ndarray
    deletion: np.ndarray
    insertion: np.ndarray
    full: np.ndarray
    empty: np.ndarray

    def to_frame(self) -> pd.DataFrame:
        """Summarise the curves, one row per sequence (index ``sequence``).

        Returns
        -------
        pandas.DataFrame
            ``deletion``: mean over the steps of the share of the output that is left, lower is better;
            ``insertion``: of the share that is recovered, higher is better; both (f(x_k) - f(empty)) / (f(x)
            - f(empty)), so 1 is the sequence itself and 0 the empty one, values beyond are possible, and NaN
            where the sequence scores no more than its empty form. A sequence that scores little more than that has a
            huge ratio: over many sequences compare ``deletion_drop`` and ``insertion_gain``, the mean fall and rise of
            the output in its own unit, with ``span``, f(x) - f(empty).
        """
        import pandas as pd

        columns = {
            "deletion": _step_mean(normalise(self.deletion, self.full, self.empty)),
            "insertion": _step_mean(normalise(self.insertion, self.full, self.empty)),
            "deletion_drop": _step_mean(self.full[:, None] - self.deletion),
            "insertion_gain": _step_mean(self.insertion - self.empty[:, None]),
            "span": self.full - self.empty,
        }
        return pd.DataFrame(columns, index=pd.RangeIndex(len(self.full), name="sequence"))


def deletion_insertion(
    predict: Predict,
    X: Float[np.ndarray, "n 4 length"],
    per_nucleotide: Arrays,
    *,
    positions: Sequence[int] | None = None,
    fill: Fill = "dinucleotide",
    n_fills: int = 4,
    seed: int = 0,
    progress: bool = False,
    lengths: Arrays | None = None,
) -> Curves:
    """Take away the most relevant bases step by step, and put them back into an emptied sequence.

    Parameters
    ----------
    predict : callable
        From (n, 4, L) float32 to n numbers.
    X : array, shape (N, 4, L)
        One-hot sequences.
    per_nucleotide : array or tensor, shape (N, L)
        The map; the largest signed value goes first, ties in an order drawn anew for every fill.
    positions : sequence of int, optional
        How many bases, in ascending order; by default 12 equal steps up to 30 % of the length (5, 10, ... 60
        of 200).
    fill : {"dinucleotide", "random", "mean", "zero"}
        What stands in their place, see `genoplrp.evaluation.fills.draw_fill`.
    n_fills : int
        How many fills are averaged.
    seed : int
        Seed of fills and ties.
    progress : bool
        Show a progress bar on stderr.
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

    Returns
    -------
    Curves
        With lengths, and without positions, each sequence has steps of its own: NaN where a step of a short one is that
        before it.

    Raises
    ------
    InputError, NonFiniteError
        If the arrays do not fit together, a step is out of range, or the model's output is not one finite
        number per sequence.

    References
    ----------
    Samek et al., *Evaluating the visualization of what a deep neural network has learned*, IEEE TNNLS 28
    (2017); Petsiuk, Das and Saenko, *RISE*, BMVC 2018 (deletion and insertion).

    Examples
    --------
    >>> X = np.eye(4, dtype=np.float32)[[[0, 0, 1, 2, 3, 3]]].transpose(0, 2, 1)
    >>> def count_a(x):
    ...     return x[:, 0, :].sum(axis=1)
    >>> curves = deletion_insertion(count_a, X, [[2.0, 1, 0, 0, 0, 0]], positions=[1, 2], fill="random")
    >>> curves.deletion.tolist()
    [[1.0, 0.0]]
    """
    from tqdm import tqdm

    one_hot, maps = check_pair(X, per_nucleotide)
    n, length = maps.shape
    sizes = check_lengths(lengths, maps.shape)
    steps = _check_steps(positions, length)
    wanted = np.broadcast_to(steps, (n, len(steps)))
    if positions is None and sizes is not None and (sizes != length).any():
        steps = wanted = _default_steps(sizes[:, None])
    rng = np.random.default_rng(seed)
    full, empty = np.zeros((2, n))
    deletion, insertion = np.zeros((2, *wanted.shape))
    k = wanted.shape[1]
    step_slices = _step_slices(k, n, length)
    pieces = [(rows, draw) for rows in some_sequences(n, length) for draw in range(n_fills)]
    for rows, draw in tqdm(pieces, desc="deletion and insertion", disable=not progress):
        some = one_hot[rows]
        if draw == 0:
            full[rows] = ask(predict, some)
        real = real_positions(None if sizes is None else sizes[rows], (len(some), length))
        filled = replace(some, real, draw_fill(some, fill, rng))
        rank = _ranks(np.where(real, maps[rows], -np.inf), rng)
        empty[rows] += ask(predict, filled) / n_fills
        for columns in step_slices:
            top = (rank < wanted[rows].T[columns, :, None]) & real
            deletion[rows, columns] += _ask_each(predict, some, top, filled) / n_fills
            insertion[rows, columns] += _ask_each(predict, some, ~top, filled) / n_fills
    if steps.ndim == 2:
        again = np.diff(steps, axis=1, prepend=0) == 0
        deletion[again] = insertion[again] = np.nan
    return Curves(steps, deletion, insertion, full, empty)


def support(
    per_nucleotide: Arrays, *, mass: float = 0.9, lengths: Arrays | None = None
) -> Bool[np.ndarray, "n length"]:
    """Smallest set of positions that holds a share of the positive relevance: what the map says it takes.

    Parameters
    ----------
    per_nucleotide : array or tensor, shape (N, L)
        The map.
    mass : float
        Share of the positive relevance, in (0, 1].
    lengths : array, shape (N,), optional
        Real positions of each sequence, from the left; what follows is padding and is not a position. By default all L.

    Returns
    -------
    numpy.ndarray, shape (N, L), bool
        Empty for a map without positive relevance; equal entries go together.

    Raises
    ------
    InputError, NonFiniteError
        If the map is not a finite numeric array of shape (N, L), or the share is out of range.

    Examples
    --------
    >>> support([[6.0, 3.0, 1.0, -5.0]]).tolist()
    [[True, True, False, False]]
    """
    maps = read_maps(per_nucleotide)
    sizes = check_lengths(lengths, maps.shape)
    check_finite(maps, sizes)
    if not 0 < mass <= 1:
        raise InputError(f"mass must lie in (0, 1]; got {mass}")
    chosen = np.zeros(maps.shape, dtype=bool)
    for rows, length in blocks(maps.shape, sizes):
        positive = np.maximum(maps[rows, :length].astype(np.float64, copy=False), 0.0)
        ranked = -np.sort(-positive, axis=1)
        # A hair of slack: a sum that reaches the share exactly must count as reaching it.
        enough = np.cumsum(ranked, axis=1) >= mass * ranked.sum(axis=1, keepdims=True) * (1 - 1e-12)
        smallest = np.take_along_axis(ranked, enough.argmax(axis=1)[:, None], axis=1)
        chosen[rows, :length] = (positive >= smallest) & (positive > 0)
    return chosen


def sufficiency_necessity(
    predict: Predict,
    X: Float[np.ndarray, "n 4 length"],
    per_nucleotide: Arrays,
    *,
    mass: float = 0.9,
    fill: Fill = "dinucleotide",
    n_fills: int = 4,
    seed: int = 0,
    lengths: Arrays | None = None,
) -> pd.DataFrame:
    """Keep only, or take away only, the bases that a map names by itself.

    Parameters
    ----------
    predict, X, per_nucleotide, fill, n_fills, seed, lengths
        As in `deletion_insertion`.
    mass : float
        Share of the positive relevance that defines the map's support, see `support`.

    Returns
    -------
    pandas.DataFrame
        One row per sequence (index ``sequence``): ``sufficiency``, the share of the output that the support
        alone recovers; ``necessity``, the share that is lost without it (both scaled as in `Curves.to_frame`,
        higher is better); ``support``, its share of the positions. A map must not be praised for the first
        two without the third: the whole sequence is sufficient and necessary.

    Raises
    ------
    InputError, NonFiniteError
        As in `deletion_insertion`.

    References
    ----------
    DeYoung et al., *ERASER*, ACL 2020 (sufficiency, comprehensiveness).

    Examples
    --------
    >>> X = np.eye(4, dtype=np.float32)[[[0, 0, 1, 2, 3, 3]]].transpose(0, 2, 1)
    >>> def count_a(x):
    ...     return x[:, 0, :2].sum(axis=1)
    >>> table = sufficiency_necessity(count_a, X, [[1.0, 1, 0, 0, 0, 0]], fill="random")
    >>> table[["sufficiency", "necessity"]].to_numpy().tolist()
    [[1.0, 1.0]]
    """
    import pandas as pd

    one_hot, maps = check_pair(X, per_nucleotide)
    sizes = check_lengths(lengths, maps.shape)
    rng = np.random.default_rng(seed)
    full, empty, alone, without, share = np.zeros((5, len(maps)))
    for rows in some_sequences(*maps.shape):
        some, own = one_hot[rows], None if sizes is None else sizes[rows]
        real = real_positions(own, maps[rows].shape)
        chosen = support(maps[rows], mass=mass, lengths=own)
        share[rows] = chosen.sum(axis=1) / real.sum(axis=1)
        full[rows] = ask(predict, some)
        for _ in range(n_fills):
            filled = replace(some, real, draw_fill(some, fill, rng))
            empty[rows] += ask(predict, filled) / n_fills
            alone[rows] += ask(predict, replace(some, ~chosen, filled)) / n_fills
            without[rows] += ask(predict, replace(some, chosen, filled)) / n_fills
    columns = {
        "sufficiency": normalise(alone[:, None], full, empty)[:, 0],
        "necessity": 1 - normalise(without[:, None], full, empty)[:, 0],
        "support": share,
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(len(maps), name="sequence"))


def normalise(
    output: Float[np.ndarray, "n k"], full: Float[np.ndarray, " n"], empty: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n k"]:
    """Scale outputs so that 1 is the sequence itself and 0 its empty form; NaN where it scores no more than that.

    Parameters
    ----------
    output : numpy.ndarray, shape (N, K)
        Outputs of the model.
    full, empty : numpy.ndarray, shape (N,)
        Output for the sequence itself and for its empty form.

    Returns
    -------
    numpy.ndarray, shape (N, K)

    Examples
    --------
    >>> normalise(np.array([[3.0]]), np.array([5.0]), np.array([1.0]))
    array([[0.5]])
    """
    span = (full - empty)[:, None]
    scaled: np.ndarray = np.full(output.shape, np.nan)
    np.divide(output - empty[:, None], span, out=scaled, where=span > 0)
    return scaled


def check_pair(X: Arrays, per_nucleotide: Arrays | None) -> tuple[np.ndarray, Maps]:
    """Check one-hot sequences and the map that belongs to them (None: no map, zeros are returned)."""
    from genoplrp.sequence import check_one_hot

    one_hot = as_array(X, "X").astype(np.float32, copy=False)
    check_one_hot(one_hot)
    n, _, length = one_hot.shape
    if per_nucleotide is None:
        return one_hot, np.broadcast_to(0.0, (n, length))
    maps = read_maps(per_nucleotide)
    check_finite(maps)
    if maps.shape != (n, length):
        raise InputError(
            f"the map has shape {maps.shape}, the sequences {one_hot.shape}; expected {(n, length)}"
        )
    return one_hot, maps


def _check_steps(positions: Sequence[int] | None, length: int) -> np.ndarray:
    if positions is None:
        return np.unique(_default_steps(np.array([length])))
    steps = np.asarray(positions)
    if steps.ndim != 1 or len(steps) == 0 or steps.dtype.kind not in "iu":
        raise InputError(f"positions must be a list of whole numbers; got {positions!r}")
    if steps.min() < 0 or steps.max() > length or (np.diff(steps) <= 0).any():
        raise InputError(f"positions must ascend within 0 to {length}; got {steps.tolist()}")
    return steps


def _default_steps(lengths: np.ndarray) -> np.ndarray:
    """Twelve equal steps up to 30 % of a length."""
    steps: np.ndarray = np.maximum(np.rint(np.linspace(0, 0.3, 13)[1:] * lengths).astype(int), 1)
    return steps


def _step_mean(values: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """Mean over the steps that a sequence has."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=1)
    mean: np.ndarray = np.full(len(values), np.nan)
    np.divide(total, known.sum(axis=1), out=mean, where=known.any(axis=1))
    return mean


def _ranks(maps: Maps, rng: np.random.Generator) -> np.ndarray:
    """Rank every position, the most relevant 0, ties at random."""
    order = np.lexsort((rng.random(maps.shape), -maps), axis=1)
    return order.argsort(axis=1)


def some_sequences(n: int, length: int) -> list[slice]:
    """Cut many sequences into pieces: copies of all of them at once would take many times the room that they take."""
    step = max(1, _BASES_OF_A_PIECE // length)
    return [slice(first, min(first + step, n)) for first in range(0, n, step)]


def _step_slices(k: int, n: int, length: int) -> list[slice]:
    """Short and few sequences are answered several steps at a time: a small batch leaves a processor idle."""
    size = max(1, _BASES_AT_A_TIME // max(1, min(n * length, _BASES_OF_A_PIECE)))
    return [slice(first, min(first + size, k)) for first in range(0, k, size)]


def _ask_each(
    predict: Predict, X: np.ndarray, where: Bool[np.ndarray, "steps n length"], filled: np.ndarray
) -> Float[np.ndarray, "n steps"]:
    """Ask the model once about every sequence at every step."""
    changed = np.where(where[:, :, None], filled, X).astype(np.float32, copy=False)
    return ask(predict, changed.reshape(-1, *X.shape[1:])).reshape(where.shape[:2]).T


def ask(predict: Predict, X: np.ndarray) -> Float[np.ndarray, " n"]:
    """Ask the model, and check that it answers with one finite number per sequence."""
    output: np.ndarray = as_array(predict(X), "the model's output").astype(np.float64)
    if output.shape != (len(X),):
        raise InputError(
            f"predict must return one number per sequence, shape ({len(X)},); got {output.shape}; "
            "select the output to explain inside it"
        )
    if not np.isfinite(output).all():
        raise NonFiniteError(
            f"the model's output is {output[~np.isfinite(output)][0]} for a changed sequence"
        )
    return output
