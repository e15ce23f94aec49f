"""Log-odds of the planted matrices against the background, at every place of a sequence; no arrangement, no class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int, UInt8

if TYPE_CHECKING:
    from genoplrp.synthetic.spec import Spec

#: Share of the background in each PWM column, so that letters of probability 0 do not decide everything.
_FLOOR = 1e-6


def log_ratios(
    spec: Spec, codes: UInt8[np.ndarray, "n length"], lengths: Int[np.ndarray, " n"]
) -> dict[tuple[int, bool], Float[np.ndarray, "n length"]]:
    """Log-likelihood ratio of each motif and strand to the background at each start; -inf where it does not fit."""
    background = background_logs(spec, codes)
    before = np.concatenate([np.zeros((len(codes), 1)), np.cumsum(background, axis=1)], axis=1)
    ratios = {}
    for key, table in motif_logs(spec).items():
        width = table.shape[1]
        ratio = np.full(codes.shape, -np.inf)
        room = codes.shape[1] - width + 1
        padded = np.concatenate([table, np.full((1, width), -np.inf)])
        total = sum(padded[np.minimum(codes[:, k : k + room], 4), k] for k in range(width))
        ratio[:, :room] = total - (before[:, width:] - before[:, :room])
        ratio[np.arange(codes.shape[1]) > (lengths - width)[:, None]] = -np.inf
        ratios[key] = ratio
    return ratios


def motif_logs(spec: Spec) -> dict[tuple[int, bool], Float[np.ndarray, "4 width"]]:
    """Log-probability of each base in each column, by motif number and strand, as it lies on the sequence."""
    logs = {}
    for number, use in enumerate(spec.motifs.values()):
        pwm = use.motif.pwm
        if use.sampling == "best":
            pwm = (np.arange(4)[:, None] == pwm.argmax(axis=0)).astype(np.float64)
        logs[number, False] = np.log((1 - _FLOOR) * pwm + _FLOOR / 4)
        logs[number, True] = logs[number, False][::-1, ::-1]
    return logs


def background_logs(spec: Spec, codes: UInt8[np.ndarray, "n length"]) -> Float[np.ndarray, "n length"]:
    """Log-probability of each base under the background; real and shuffled windows count by their composition."""
    known = np.minimum(codes, 3).astype(np.int64)
    background = spec.background
    if background.kind == "markov" and background.order > 0:
        order = background.order
        context = np.zeros((len(codes), codes.shape[1] - order), dtype=np.int64)
        for k in range(order):
            context = context * 4 + known[:, k : k + context.shape[1]]
        logs = np.full(codes.shape, np.log(0.25))
        logs[:, order:] = np.log(background.chain[context, known[:, order:]])
        return logs
    return np.asarray(np.log(base_shares(spec, codes))[known])


def base_shares(spec: Spec, codes: UInt8[np.ndarray, "n length"]) -> Float[np.ndarray, 4]:
    """Share of each base in a background without memory; of real and shuffled windows, that in ``codes``."""
    background = spec.background
    share = np.full(4, 0.25)
    if background.kind == "gc":
        gc = min(max(background.gc or 0.0, 1e-6), 1 - 1e-6)
        share = np.array([1 - gc, gc, gc, 1 - gc]) / 2
    elif background.kind != "uniform":
        share = (np.bincount(codes[codes < 4], minlength=4) + 1.0) / ((codes < 4).sum() + 4)
    return share


def background_changes(
    spec: Spec, codes: UInt8[np.ndarray, "n length"]
) -> Float[np.ndarray, "n length 4 reach"]:
    """Return how the background's log-probabilities change with a base.

    Parameters
    ----------
    spec : Spec
        The specification.
    codes : array, (n, length), uint8
        Base numbers.

    Returns
    -------
    array, (n, length, 4, order + 1)
        Of each place and each base that might stand there, the change at the place itself and at the next ones, as far
        as the background remembers.
    """
    order = spec.background.order if spec.background.kind == "markov" else 0
    if order == 0:
        logs = np.log(base_shares(spec, codes))
        return np.asarray((logs - logs[np.minimum(codes, 3)][..., None])[..., None])
    change = np.zeros((*codes.shape, 4, order + 1))
    now = background_logs(spec, codes)
    # Places that are further apart than the background remembers change at once.
    for first in range(order + 1):
        for base in range(4):
            other = codes.copy()
            other[:, first :: order + 1] = base
            difference = np.pad(background_logs(spec, other) - now, ((0, 0), (0, order)))
            for ahead in range(order + 1):
                found = difference[:, first + ahead :: order + 1]
                places = len(range(first, codes.shape[1], order + 1))
                change[:, first :: order + 1, base, ahead] = found[:, :places]
    return change
