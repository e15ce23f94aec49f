"""The inner loops of planting, compiled with numba: arrays in, arrays out; all random numbers are handed in.

Nothing here draws by itself, so that the same numbers give the same sequences on every platform. Imported only when
sequences are generated.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore, untyped-decorator]
def arrange_shares(
    first: np.ndarray,
    widths: np.ndarray,
    room: np.ndarray,
    rows: np.ndarray,
    u: np.ndarray,
    starts: np.ndarray,
) -> np.ndarray:
    """Give the k units of some rows the k + 1 gaps that have the shares of as many numbers, rounded to whole bases.

    Parameters: ``first`` (rows + 1) is where each row's units begin in the flat arrays; ``room`` the bases that are
    free; ``u`` the numbers, k + 1 for each of ``rows`` in turn. Writes ``starts``; returns which of ``rows`` have gaps
    that do not sum to the room, and need other numbers.
    """
    again = np.zeros(len(rows), np.bool_)
    at = 0
    for index in range(len(rows)):
        row = rows[index]
        begin, units = first[row], first[row + 1] - first[row]
        total = 0.0
        for k in range(units + 1):
            total += u[at + k]
        used, place = 0, 0
        for k in range(units + 1):
            gap = int(np.rint(u[at + k] / total * room[row])) if total > 0 else 0
            used += gap
            if k < units:
                starts[begin + k] = place + gap
                place += gap + widths[begin + k]
        again[index] = used != room[row]
        at += units + 1
    return again


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

    The ``k`` free units of a row take ``k`` of its ``room + k`` slots (the others are single free bases; Floyd's
    sampling), in ascending order by their keys, equal ones as they stand. Both orders are had by counting what is
    smaller, pair by pair: units are few, and no branch depends on chance.

    Parameters: ``first`` (rows + 1) is where each row's units begin in the flat arrays; ``wanted`` is a start or -1;
    ``u`` and ``keys`` are uniform numbers, one a unit. Returns the starts of all units, and which rows failed.
    """
    starts = np.empty(len(widths), np.int64)
    failed, has_wishes = np.zeros(len(lengths), np.bool_), np.zeros(len(lengths), np.bool_)
    most = 0
    for row in range(len(lengths)):
        most = max(most, first[row + 1] - first[row])
    units, slots = np.empty(most, np.int64), np.empty(most, np.int64)
    below, before = np.empty(most, np.int64), np.empty(most, np.int64)
    ascending, order = np.empty(most, np.int64), np.empty(most, np.int64)
    for row in range(len(lengths)):
        begin, end = first[row], first[row + 1]
        total = 0
        free_units = 0
        for unit in range(begin, end):
            if wanted[unit] >= 0:
                starts[unit] = wanted[unit]
            else:
                units[free_units] = unit
                free_units += 1
                total += widths[unit]
        has_wishes[row] = free_units < end - begin
        room = lengths[row] - total
        if room < 0:
            failed[row] = True
            continue
        for k in range(free_units):
            top = room + k
            slot = np.int64(u[units[k]] * (top + 1))
            for other in range(k):
                if slots[other] == slot:
                    slot = np.int64(top)
                    break
            key = keys[units[k]]
            smaller = np.int64(0)
            earlier = np.int64(0)
            for other in range(k):
                is_smaller = np.int64(slots[other] < slot)
                is_earlier = np.int64(keys[units[other]] <= key)
                smaller += is_smaller
                earlier += is_earlier
                below[other] += 1 - is_smaller
                before[other] += 1 - is_earlier
            slots[k] = slot
            below[k] = smaller
            before[k] = earlier
        for k in range(free_units):
            ascending[below[k]] = slots[k]
            order[before[k]] = units[k]
        shift = 0
        for place in range(free_units):
            unit = order[place]
            starts[unit] = ascending[place] - place + shift
            shift += widths[unit]
    for row in range(len(lengths)):
        if has_wishes[row] and not failed[row]:
            failed[row] = _collides(first[row], first[row + 1], starts, widths, lengths[row])
    return starts, failed


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
def plant_instances(
    codes: np.ndarray,
    motif: np.ndarray,
    minus: np.ndarray,
    row: np.ndarray,
    start: np.ndarray,
    column: np.ndarray,
    width: np.ndarray,
    edges: np.ndarray,
    log_odds: np.ndarray,
    u: np.ndarray,
    scores: np.ndarray,
) -> None:
    """Do the work of ``sample_instances`` and ``write_instances`` in one pass; each instance is drawn once.

    ``u`` holds the uniform numbers of all instances in a row. Writes ``codes`` and ``scores``, the same bytes.
    """
    begin = 0
    for instance in range(len(motif)):
        w = width[motif[instance]]
        first = column[motif[instance]]
        values = u[begin : begin + w]
        edge = edges[first : first + w]
        odds = log_odds[first : first + w]
        out = codes[row[instance], start[instance] : start[instance] + w]
        turned = minus[instance]
        score = 0.0
        for k in range(w):
            value = values[k]
            code = (
                np.int64(value >= edge[k, 0]) + np.int64(value >= edge[k, 1]) + np.int64(value >= edge[k, 2])
            )
            score += odds[k, code]
            if turned:
                out[w - 1 - k] = 3 - code
            else:
                out[k] = code
        scores[instance] = score
        begin += w


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore, untyped-decorator]
def spread_bases(words: np.ndarray) -> np.ndarray:
    """Spread each 16 bits over a word of 64: eight bases of two bits become one byte each, the lowest first."""
    out = np.empty(4 * len(words), np.uint64)
    for word in range(len(words)):
        for quarter in range(4):
            x = (words[word] >> np.uint64(16 * quarter)) & np.uint64(0xFFFF)
            x = (x | (x << np.uint64(24))) & np.uint64(0x000000FF000000FF)
            x = (x | (x << np.uint64(12))) & np.uint64(0x000F000F000F000F)
            out[4 * word + quarter] = (x | (x << np.uint64(6))) & np.uint64(0x0303030303030303)
    return out


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore, untyped-decorator]
def order_uniform(u: np.ndarray) -> np.ndarray:
    """Sort numbers in [0, 1) as a stable ``argsort`` does; linear, as they are spread evenly."""
    buckets = len(u)
    row = np.empty(len(u), np.int64)
    for k in range(len(u)):
        bucket = np.int64(u[k] * buckets)
        row[k] = bucket if bucket < buckets else buckets - 1
    return order_by_place(row, u, buckets)


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore, untyped-decorator]
def order_by_place(row: np.ndarray, start: np.ndarray, rows: int) -> np.ndarray:
    """Order instances by row and start, equal ones as they stand: by counting, then by insertion within a row."""
    first = np.zeros(rows + 1, np.int64)
    for instance in range(len(row)):
        first[row[instance] + 1] += 1
    for k in range(rows):
        first[k + 1] += first[k]
    filled = first[:rows].copy()
    order = np.empty(len(row), np.int64)
    for instance in range(len(row)):
        here = row[instance]
        value = start[instance]
        at = filled[here]
        while at > first[here] and start[order[at - 1]] > value:
            order[at] = order[at - 1]
            at -= 1
        order[at] = instance
        filled[here] += 1
    return order


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore, untyped-decorator]
def instance_columns(
    order: np.ndarray,
    row: np.ndarray,
    start: np.ndarray,
    motif: np.ndarray,
    minus: np.ndarray,
    role: np.ndarray,
    site: np.ndarray,
    scores: np.ndarray,
    width: np.ndarray,
    motif_bits: np.ndarray,
    site_bits: np.ndarray,
    core: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what is known of instances, in an order.

    The tasks of a core instance are its motif's and its site's (``site_bits`` ends with those of no site, -1).
    Returns (row, start, end, motif, tasks), all of 64 bits; (strand, role, site), of 16; and scores to three places,
    rounded as numpy does.
    """
    wide = np.empty((5, len(order)), np.int64)
    narrow = np.empty((3, len(order)), np.int16)
    rounded = np.empty(len(order), np.float32)
    for k in range(len(order)):
        one = order[k]
        number = motif[one]
        wide[0, k] = row[one]
        wide[1, k] = start[one]
        wide[2, k] = start[one] + width[number]
        wide[3, k] = number
        wide[4, k] = (motif_bits[number] | site_bits[site[one]]) if role[one] == core else 0
        narrow[0, k] = minus[one]
        narrow[1, k] = role[one]
        narrow[2, k] = site[one]
        rounded[k] = np.rint(scores[one] * 1000.0) / 1000.0
    return wide, narrow, rounded


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
def _forward(
    odds: np.ndarray,
    width: np.ndarray,
    plant: np.ndarray,
    weight: np.ndarray,
    stride: np.ndarray,
    top: np.ndarray,
    states: int,
    length: int,
) -> np.ndarray:
    """Return the sums of ``arrangements`` over each beginning of one sequence, (length + 1, states)."""
    table = np.zeros((length + 1, states))
    table[0, 0] = 1.0
    for end in range(1, length + 1):
        for state in range(states):
            table[end, state] = table[end - 1, state]
        for kind in range(len(width)):
            start = end - width[kind]
            if start < 0:
                continue
            factor = weight[kind] * odds[kind, start]
            if factor == 0.0:
                continue
            step = stride[plant[kind]]
            base = top[plant[kind]] + 1
            for state in range(states):
                if (state // step) % base > 0:
                    table[end, state] += factor * table[start, state - step]
    return table


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
        table = _forward(odds[:, row], width, plant, weight, stride, top, states, lengths[row])
        result[row] = table[lengths[row]]
    return result


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore, untyped-decorator]
def arrangement_parts(
    odds: np.ndarray,
    width: np.ndarray,
    plant: np.ndarray,
    weight: np.ndarray,
    stride: np.ndarray,
    top: np.ndarray,
    states: int,
    lengths: np.ndarray,
    shares: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Sum of all arrangements as in ``arrangements``, each state times its share, and its part with each unit.

    ``shares`` is (n, states). Returns the sums (n,) and, of each kind of unit and start (kinds, n, starts), the sum
    over the arrangements that hold it there: a pass forward and a pass back, as for a hidden Markov model.
    """
    n = odds.shape[1]
    total, parts = np.zeros(n), np.zeros(odds.shape)
    for row in range(n):
        table = _forward(odds[:, row], width, plant, weight, stride, top, states, lengths[row])
        behind = np.zeros((lengths[row] + 1, states))
        for state in range(states):
            behind[lengths[row], state] = shares[row, state]
            total[row] += shares[row, state] * table[lengths[row], state]
        for end in range(lengths[row], 0, -1):
            for state in range(states):
                behind[end - 1, state] += behind[end, state]
            for kind in range(len(width)):
                start = end - width[kind]
                if start < 0:
                    continue
                factor = weight[kind] * odds[kind, row, start]
                if factor == 0.0:
                    continue
                step = stride[plant[kind]]
                base = top[plant[kind]] + 1
                held = 0.0
                for state in range(states):
                    if (state // step) % base > 0:
                        held += table[start, state - step] * behind[end, state]
                        behind[start, state - step] += factor * behind[end, state]
                parts[kind, row, start] = factor * held
    return total, parts
