"""Relevance through an LSTM, a GRU and one attention head, step by step in float64: contributions, no gradients.

LSTM and GRU: the signal takes all (Arras et al. 2017, 2019). Attention: AttnLRP (Achtibat et al. 2024): softmax by its
Taylor expansion, products by halves. Linear maps by LRP-0.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def shared(W: Array, x: Array, z: Array, R: Array) -> Array:
    """Return the share of the inputs x in the relevance R of ``z = W x + ...``."""
    return (W * x * (R / z)[:, None]).sum(axis=0)


def lstm_relevance(w: dict[str, Array], x: Array, R_last: Array) -> tuple[Array, Array]:
    """Return the last state of an LSTM and the relevance of x (time, inputs) for relevance R_last of that state."""
    size = w["weight_hh_l0"].shape[1]
    W, U, b = w["weight_ih_l0"], w["weight_hh_l0"], w["bias_ih_l0"] + w["bias_hh_l0"]
    h, c, record = np.zeros(size), np.zeros(size), []
    for step in x:
        z = W @ step + U @ h + b
        i, f, o = (sigmoid(z[k * size : (k + 1) * size]) for k in (0, 1, 3))
        candidate = z[2 * size : 3 * size]
        new = f * c + i * np.tanh(candidate)
        record.append((h, c, i, f, candidate, new))
        h, c = o * np.tanh(new), new
    rows = slice(2 * size, 3 * size)
    R_h, R_c, R_x = R_last, np.zeros(size), np.zeros_like(x)
    for t in range(len(x) - 1, -1, -1):
        h_before, c_before, i, f, candidate, new = record[t]
        R_c = R_c + R_h
        R_candidate = i * np.tanh(candidate) / new * R_c
        R_c = f * c_before / new * R_c
        R_x[t] = shared(W[rows], x[t], candidate, R_candidate)
        R_h = shared(U[rows], h_before, candidate, R_candidate)
    return h, R_x


def gru_relevance(w: dict[str, Array], x: Array, R_last: Array) -> tuple[Array, Array]:
    """Return the last state of a GRU and the relevance of x (time, inputs) for relevance R_last of that state."""
    size = w["weight_hh_l0"].shape[1]
    W, U, b, d = (w[k] for k in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"))
    h, record = np.zeros(size), []
    rows = slice(2 * size, 3 * size)
    for step in x:
        zx, zh = W @ step + b, U @ h + d
        r, u = (sigmoid((zx + zh)[k * size : (k + 1) * size]) for k in (0, 1))
        candidate = zx[rows] + r * zh[rows]
        new = (1 - u) * np.tanh(candidate) + u * h
        record.append((h, r, u, candidate, new))
        h = new
    R_h, R_x = R_last, np.zeros_like(x)
    for t in range(len(x) - 1, -1, -1):
        h_before, r, u, candidate, new = record[t]
        R_candidate = (1 - u) * np.tanh(candidate) / new * R_h
        R_h = u * h_before / new * R_h
        R_x[t] = shared(W[rows], x[t], candidate, R_candidate)
        R_h = R_h + shared(U[rows] * r[:, None], h_before, candidate, R_candidate)
    return h, R_x


def attention_relevance(
    Wq: Array, Wk: Array, Wv: Array, x: Array, R_out: Array, mask: Array | None = None
) -> tuple[Array, Array]:
    """Return the output of one attention head without biases, and the relevance of x (positions, channels)."""
    q, k, v = x @ Wq.T, x @ Wk.T, x @ Wv.T
    scores = q @ k.T / np.sqrt(q.shape[1])
    shown = scores if mask is None else np.where(mask, scores, -np.inf)
    a = np.exp(shown - shown.max(axis=1, keepdims=True))
    a /= a.sum(axis=1, keepdims=True)
    out = a @ v
    R_a, R_v = np.zeros_like(a), np.zeros_like(v)
    for i in range(len(x)):
        for j in range(len(x)):
            for d in range(v.shape[1]):
                R = a[i, j] * v[j, d] / out[i, d] * R_out[i, d]
                R_a[i, j] += R / 2
                R_v[j, d] += R / 2
    R_scores = scores * (R_a - a * R_a.sum(axis=1, keepdims=True))
    R_q, R_k = np.zeros_like(q), np.zeros_like(k)
    for i in range(len(x)):
        for j in range(len(x)):
            for d in range(q.shape[1]):
                R = q[i, d] * k[j, d] / np.sqrt(q.shape[1]) / scores[i, j] * R_scores[i, j]
                R_q[i, d] += R / 2
                R_k[j, d] += R / 2
    R_x = np.zeros_like(x)
    for i in range(len(x)):
        for W, z, R in ((Wq, q, R_q), (Wk, k, R_k), (Wv, v, R_v)):
            R_x[i] += shared(W, x[i], z[i], R[i])
    return out, R_x
