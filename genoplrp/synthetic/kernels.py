"""The inner loops of planting, compiled with numba: arrays in, arrays out; all random numbers are handed in.

Nothing here draws by itself, so that the same numbers give the same sequences on every platform. Imported only when
sequences are generated.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore, untyped-decorator]
def arrange(
    first: np.ndarray,
    widths: np.ndarray,
    wanted: np.ndarray,
    lengths: np.ndarray,
    u: np.ndarray,
    keys: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Put the units of each row at places that do not overlap.

    Units that want a start get it; the others are arranged uniformly over all arrangements of them alone. A row in
    which two then overlap, or one reaches over an end, is marked as failed.

    Parameters: ``first`` (rows + 1) is where each row's units begin in the flat arrays; ``wanted`` is a start or -1;
    ``u`` and ``keys`` are uniform numbers, one a unit. Returns the starts of all units, and which rows failed.
    """
    starts = np.empty(len(widths), np.int64)
    failed = np.zeros(len(lengths), np.bool_)
    for row in range(len(lengths)):
        begin, end = first[row], first[row + 1]
        total = 0
        free_units = 0
        for unit in range(begin, end):
            if wanted[unit] >= 0:
                starts[unit] = wanted[unit]
            else:
                free_units += 1
                total += widths[unit]
        room = lengths[row] - total
        if room < 0:
            failed[row] = True
            continue
        _arrange_free(begin, end, free_units, room, widths, wanted, u, keys, starts)
        failed[row] = free_units < end - begin and _collides(begin, end, starts, widths, lengths[row])
    return starts, failed


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore, untyped-decorator]
def _arrange_free(
    begin: int,
    end: int,
    count: int,
    room: int,
    widths: np.ndarray,
    wanted: np.ndarray,
    u: np.ndarray,
    keys: np.ndarray,
    starts: np.ndarray,
) -> None:
    """Arrange uniformly: k of the ``room + k`` slots are units and the rest single free bases (Floyd's sampling)."""
    slots = np.empty(count, np.int64)
    order = np.empty(count, np.int64)
    filled = 0
    for unit in range(begin, end):
        if wanted[unit] >= 0:
            continue
        top = room + filled
        slot = np.int64(u[unit] * (top + 1))
        for other in range(filled):
            if slots[other] == slot:
                slot = np.int64(top)
                break
        # Slots are kept ascending; the units' own order is a random one, by their keys.
        at = filled
        while at > 0 and slots[at - 1] > slot:
            slots[at] = slots[at - 1]
            at -= 1
        slots[at] = slot
        at = filled
        while at > 0 and keys[order[at - 1]] > keys[unit]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = unit
        filled += 1
    shift = 0
    for place in range(count):
        unit = order[place]
        starts[unit] = slots[place] - place + shift
        shift += widths[unit]


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore, untyped-decorator]
def _collides(begin: int, end: int, starts: np.ndarray, widths: np.ndarray, length: int) -> bool:
    for one in range(begin, end):
        if starts[one] > length - widths[one]:
            return True
        for other in range(begin, one):
            if starts[one] < starts[other] + widths[other] and starts[other] < starts[one] + widths[one]:
                return True
    return False


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore, untyped-decorator]
def sample_instances(
    motif: np.ndarray,
    begin: np.ndarray,
    column: np.ndarray,
    width: np.ndarray,
    edges: np.ndarray,
    log_odds: np.ndarray,
    u: np.ndarray,
    letters: np.ndarray,
    scores: np.ndarray,
) -> None:
    """Draw the letters of instances from their PWMs and add up their log-odds.

    ``begin`` is where each instance's letters and uniform numbers begin; ``column`` and ``width`` say which rows of
    ``edges`` (cumulated probabilities of A, C, G) and ``log_odds`` belong to each motif. Writes ``letters``,
    ``scores``.
    """
    for instance in range(len(motif)):
        first = column[motif[instance]]
        score = 0.0
        for k in range(width[motif[instance]]):
            value = u[begin[instance] + k]
            edge = edges[first + k]
            code = np.uint8(value >= edge[0]) + np.uint8(value >= edge[1]) + np.uint8(value >= edge[2])
            letters[begin[instance] + k] = code
            score += log_odds[first + k, code]
        scores[instance] = score


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore, untyped-decorator]
def write_instances(
    codes: np.ndarray,
    row: np.ndarray,
    start: np.ndarray,
    width: np.ndarray,
    minus: np.ndarray,
    begin: np.ndarray,
    letters: np.ndarray,
) -> None:
    """Write the letters of instances into their sequences, turned where they lie on the minus strand."""
    for instance in range(len(row)):
        w = width[instance]
        for k in range(w):
            if minus[instance]:
                codes[row[instance], start[instance] + k] = 3 - letters[begin[instance] + w - 1 - k]
            else:
                codes[row[instance], start[instance] + k] = letters[begin[instance] + k]


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore, untyped-decorator]
def scores_along(codes: np.ndarray, log_odds: np.ndarray, out: np.ndarray) -> None:
    """Sum of log-odds (w, 4) at every start of every sequence; -inf where a base is unknown. Writes ``out``."""
    width = len(log_odds)
    for row in range(codes.shape[0]):
        for start in range(codes.shape[1] - width + 1):
            score = 0.0
            for k in range(width):
                code = codes[row, start + k]
                if code > 3:
                    score = -np.inf
                    break
                score += log_odds[k, code]
            out[row, start] = score


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore, untyped-decorator]
def arrangements(
    odds: np.ndarray,
    width: np.ndarray,
    plant: np.ndarray,
    weight: np.ndarray,
    stride: np.ndarray,
    top: np.ndarray,
    states: int,
    lengths: np.ndarray,
) -> np.ndarray:
    """Sum the weights of all arrangements of units that do not overlap, for each number of units of each plant.

    ``odds`` (kinds, n, starts) is the weight of a kind of unit at a start; a state is the number of units of each
    plant, each times its ``stride``. Returns (n, states): the sums over each whole sequence.
    """
    n = odds.shape[1]
    result = np.zeros((n, states))
    for row in range(n):
        table = np.zeros((lengths[row] + 1, states))
        table[0, 0] = 1.0
        for end in range(1, lengths[row] + 1):
            for state in range(states):
                table[end, state] = table[end - 1, state]
            for kind in range(len(width)):
                start = end - width[kind]
                if start < 0:
                    continue
                factor = weight[kind] * odds[kind, row, start]
                if factor == 0.0:
                    continue
                step = stride[plant[kind]]
                base = top[plant[kind]] + 1
                for state in range(states):
                    if (state // step) % base > 0:
                        table[end, state] += factor * table[start, state - step]
        result[row] = table[lengths[row]]
    return result
