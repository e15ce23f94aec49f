"""What each base is worth: the change of a task's score with every single substitution, by a perfect observer.

It is in-silico mutagenesis without a network. Of a rule the score is the log-odds that it holds given the sequence
alone (the posterior of :mod:`genoplrp.synthetic.oracle`); of a label made of affinities it is the label itself,
computed anew with the changed letter; of other tasks the label that is expected given the sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from genoplrp.errors import InputError
from genoplrp.sequence import encode_padded
from genoplrp.synthetic.effects import planted_of, spec_of
from genoplrp.synthetic.odds import background_changes, log_ratios, motif_logs
from genoplrp.synthetic.oracle import ClassModel, labels_of_classes
from genoplrp.synthetic.planted import score_tasks

if TYPE_CHECKING:
    from genoplrp.synthetic.dataset import Dataset
    from genoplrp.synthetic.spec import Spec

_CHUNK = 64
#: Changed sequences that are scored at a time.
_COPIES = 1 << 15
#: A likelihood falls at most so far: what is left is a difference, known to rounding.
_ROUNDING = 1e-15


def substitution_effects(
    data: Dataset, task: int | str = 0, *, progress: bool = False
) -> Float[np.ndarray, "n 4 length"]:
    """Return the true effect of every single substitution on a task's score.

    Parameters
    ----------
    data : Dataset
        A generated data set.
    task : int or str, default 0
        Number or name of the task.
    progress : bool, default False
        Show a progress bar on stderr.

    Returns
    -------
    array, (N, 4, L), float32
        Score with base A, C, G or T at a position less the score of the sequence as it is; 0 for the base that stands
        there, at unknown bases and beyond the end. Of a rule in nats (log-odds that the rule holds), else in the
        label's own unit. No label noise is in it. All 0 for a rule that holds in all classes, or in none.

    Raises
    ------
    InputError
        If the data set has no specification or no classes, or (of a rule) a class has a background of its own.

    Notes
    -----
    The likelihood of a class is a sum over arrangements of sites, and linear in the odds of each site: one pass forward
    and one back give the share of each instance at each place, and with it the likelihood of all 3 L substitutions.
    With a background that remembers bases (a Markov chain), two sites within its memory of each other are treated to
    first order: in the preset ``hard_background`` effects of up to 8 nats are known to 0.02, half of them to 1e-7.

    Examples
    --------
    >>> from genoplrp.synthetic import simulate
    >>> data = simulate("not", n=8, seed=1)
    >>> substitution_effects(data).shape
    (8, 4, 200)
    """
    return effects_of_tasks(data, [data.task_index(task)], progress=progress)[:, 0]


def base_effects(
    data: Dataset, task: int | str = 0, *, progress: bool = False
) -> Float[np.ndarray, "n length"]:
    """Return what each base adds to a task's score: the mean loss over its three substitutions.

    Parameters
    ----------
    data, task, progress
        As in `substitution_effects`.

    Returns
    -------
    array, (N, L), float32
        Above 0 where the base speaks for a higher score, below 0 where it speaks against it.

    Raises
    ------
    InputError
        As in `substitution_effects`.

    Examples
    --------
    >>> from genoplrp.synthetic import simulate
    >>> data = simulate("not", n=8, seed=1)
    >>> effects, signed = base_effects(data), data.signed_mask()
    >>> bool(effects[signed > 0].mean() > 0 > effects[signed < 0].mean())
    True
    """
    return np.asarray(0 - substitution_effects(data, task, progress=progress).sum(axis=1) / 3)


def effects_of_tasks(
    data: Dataset, tasks: Sequence[int], *, progress: bool = False
) -> Float[np.ndarray, "n tasks 4 length"]:
    """Return `substitution_effects` for several tasks at once, given by their numbers: (N, T, 4, L), float32.

    Raises
    ------
    InputError
        As in `substitution_effects`.
    """
    spec = spec_of(data)
    effects = np.zeros((len(data), len(tasks), 4, data.length), dtype=np.float32)
    direct = [bool(spec.tasks[task].activity) or spec.tasks[task].kind == "real" for task in tasks]
    for place, task in enumerate(tasks):
        if direct[place]:
            effects[:, place] = _by_affinity(data, spec, task)
    places = np.flatnonzero(~np.array(direct, dtype=bool))
    if len(places):
        _check_classes(data, spec)
        effects[:, places] = _by_posterior(data, spec, [tasks[place] for place in places.tolist()], progress)
    return effects


def _check_classes(data: Dataset, spec: Spec) -> None:
    if data.classes is None:
        raise InputError("The posterior needs a generated data set with its classes; this one has none.")
    own = [one.name for one in spec.classes if one.background is not None]
    if own:
        raise InputError(
            f"class {own[0]!r} has a background of its own, so that every base speaks for or against it; effects of "
            "substitutions are known for a common background only."
        )


def _by_posterior(
    data: Dataset, spec: Spec, tasks: list[int], progress: bool
) -> Float[np.ndarray, "n tasks 4 length"]:
    from tqdm.auto import tqdm

    labels = labels_of_classes(spec)[:, tasks]
    prior = np.array([one.fraction for one in spec.classes])
    codes = encode_padded(data.sequences)
    models = [ClassModel(spec, one) for one in spec.classes]
    effects = np.zeros((len(data), len(tasks), 4, data.length), dtype=np.float32)
    with tqdm(total=len(codes), unit="seq", desc="substitutions", disable=not progress) as bar:
        for first in range(0, len(codes), _CHUNK):
            rows = slice(first, first + _CHUNK)
            changed, now = _likelihoods(spec, models, codes[rows], data.lengths[rows])
            other = _is_other(codes[rows])
            for place, task in enumerate(tasks):
                label, is_rule = labels[:, place], bool(spec.tasks[task].rule)
                if np.ptp(label) > 0:
                    found = _score(changed, prior, label, is_rule)
                    found = found - _score(now, prior, label, is_rule)[:, None, None]
                    effects[rows, place] = np.where(other, found, 0).transpose(0, 2, 1)
            bar.update(len(codes[rows]))
    return effects


def _score(likelihood: np.ndarray, prior: np.ndarray, label: np.ndarray, is_rule: bool) -> np.ndarray:
    """Log-odds of a rule, or the expected label, from the likelihoods of the classes (last axis)."""
    yes = likelihood @ (prior * label)
    if is_rule:
        return np.asarray(np.log(yes / (likelihood @ (prior * (1 - label)))))
    return np.asarray(yes / (likelihood @ prior))


def _likelihoods(
    spec: Spec, models: list[ClassModel], codes: UInt8[np.ndarray, "n length"], lengths: Int[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, "n length 4 classes"], Float[np.ndarray, "n classes"]]:
    """Likelihood of each class after each substitution, and before, relative to background alone."""
    ratios, logs = log_ratios(spec, codes, lengths), motif_logs(spec)
    background = background_changes(spec, codes)
    now = np.zeros((len(codes), len(models)))
    changed = np.zeros((*codes.shape, 4, len(models)))
    for column, model in enumerate(models):
        now[:, column], parts = model.instance_odds(ratios, lengths)
        gain = changed[..., column]
        for key, part in parts.items():
            _add_gains(gain, part, logs[key], background, np.minimum(codes, 3))
        whole = now[:, column, None, None]
        changed[..., column] = np.maximum(whole + gain, _ROUNDING * whole)
    return changed, now


def _add_gains(
    gain: np.ndarray, part: np.ndarray, table: np.ndarray, background: np.ndarray, known: np.ndarray
) -> None:
    """Add what the likelihood gains by instances of a matrix whose odds change, at each place and with each base."""
    length, (width, reach) = known.shape[1], (table.shape[1], background.shape[-1])
    for k in range(1 - reach, width):
        starts = slice(max(0, -k), min(length, length - k))
        places = slice(starts.start + k, starts.stop + k)
        change = -background[:, places, :, max(0, -k) : width - k].sum(axis=-1)
        if k >= 0:
            change += table[:, k] - table[known[:, places], k][..., None]
        gain[:, places] += part[:, starts, None] * np.expm1(change)


def _by_affinity(data: Dataset, spec: Spec, column: int) -> np.ndarray:
    """Score anew with the affinity that each instance has after each substitution in it."""
    codes = encode_padded(data.sequences)
    planted, places = planted_of(data)
    matters = data.instances.index.isin(data.instances_of(data.tasks[column]).index)[places]
    now = score_tasks(spec, planted)[:, column]
    effects = np.zeros((len(data), 4, data.length), dtype=np.float32)
    for number, use in enumerate(spec.motifs.values()):
        for minus in (False, True):
            odds = use.motif.log_odds()
            odds = odds[::-1, ::-1] if minus else odds
            chosen = np.flatnonzero(matters & (planted.motif == number) & (planted.minus == minus))
            grid = np.meshgrid(chosen, np.arange(odds.shape[1]), np.arange(4), indexing="ij")
            one, at, base = (axis.reshape(-1) for axis in grid)
            row, place = planted.row[one], planted.start[one] + at
            letters = codes[
                planted.row[chosen][:, None], planted.start[chosen][:, None] + np.arange(len(odds[0]))
            ]
            score = odds[letters, np.arange(odds.shape[1])].sum(axis=1).repeat(odds.shape[1] * 4)
            score += odds[base, at] - odds[codes[row, place], at]
            affinity = np.maximum(score / use.motif.best_score, 0)
            for first in range(0, len(one), _COPIES):
                part = slice(first, first + _COPIES)
                copies, source = planted.repeated(row[part])
                here = source == one[part][copies.row]
                changed = np.where(here, affinity[part][copies.row], copies.affinity)
                found = score_tasks(spec, copies._replace(affinity=changed))[:, column]
                effects[row[part], base[part], place[part]] = found - now[row[part]]
    return np.where(_is_other(codes).transpose(0, 2, 1), effects, 0)


def _is_other(codes: UInt8[np.ndarray, "n length"]) -> Bool[np.ndarray, "n length 4"]:
    """Whether a base is a substitution: another one than stands there, where one stands."""
    return np.asarray((codes[..., None] != np.arange(4)) & (codes[..., None] < 4))
