"""The inner loop of the dinucleotide shuffle, compiled with numba; all random numbers are handed in."""

from __future__ import annotations

import numba
import numpy as np

_LETTERS = 5


@numba.njit(cache=True, nogil=True)  # type: ignore[misc, unused-ignore, untyped-decorator]
def euler_paths(codes: np.ndarray, tree_u: np.ndarray, order_u: np.ndarray) -> np.ndarray:
    """Draw an Euler path through each row's dinucleotides, uniformly.

    A random spanning tree towards the last letter (Wilson's loop-erased walks, each step along a uniformly drawn edge)
    says which edge leaves each letter last; the other edges are taken in a random order (Fisher-Yates).
    """
    n, length = codes.shape
    out = np.empty_like(codes)
    first = np.empty(_LETTERS + 1, np.int64)
    following = np.empty(length, np.uint8)
    used = np.empty(_LETTERS, np.int64)
    in_tree = np.empty(_LETTERS, np.bool_)
    last_edge = np.empty(_LETTERS, np.int64)
    for row in range(n):
        first[:] = 0
        for k in range(length - 1):
            first[codes[row, k] + 1] += 1
        for letter in range(_LETTERS):
            first[letter + 1] += first[letter]
            used[letter] = 0
        for k in range(length - 1):
            letter = codes[row, k]
            following[first[letter] + used[letter]] = codes[row, k + 1]
            used[letter] += 1
        root = codes[row, length - 1]
        in_tree[:] = False
        in_tree[root] = True
        number = 0
        for letter in range(_LETTERS):
            if first[letter + 1] == first[letter] or in_tree[letter]:
                continue
            at = letter
            while not in_tree[at]:
                u = tree_u[row, number % tree_u.shape[1]] + (number // tree_u.shape[1]) * 0.6180339887498949
                u -= np.floor(u)
                number += 1
                last_edge[at] = first[at] + np.int64(u * (first[at + 1] - first[at]))
                at = following[last_edge[at]]
            at = letter
            while not in_tree[at]:
                in_tree[at] = True
                at = following[last_edge[at]]
        for letter in range(_LETTERS):
            begin, end = first[letter], first[letter + 1]
            if begin == end:
                continue
            top = end
            if letter != root:
                top = end - 1
                keep = following[last_edge[letter]]
                following[last_edge[letter]] = following[top]
                following[top] = keep
            for k in range(top - 1, begin, -1):
                other = begin + np.int64(order_u[row, k] * (k - begin + 1))
                swap = following[k]
                following[k] = following[other]
                following[other] = swap
            used[letter] = 0
        letter = codes[row, 0]
        out[row, 0] = letter
        for k in range(1, length):
            step = following[first[letter] + used[letter]]
            used[letter] += 1
            letter = step
            out[row, k] = letter
    return out
