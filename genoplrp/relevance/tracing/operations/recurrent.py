"""Recurrent layers, unrolled: the gates weigh, the signal takes the relevance.

The candidate's pre-activation is a linear layer of the input (ruled and pruned, over the whole sequence) plus one of
the state (epsilon rule, not pruned); gates count as constants.

References
----------
Arras et al. 2017, WASSA, "Explaining Recurrent Neural Network Predictions in Sentiment Analysis";
Arras et al. 2019, in *Explainable AI*, LNCS 11700 (LRP-all: the signal takes all).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genoplrp.relevance.tracing.calls import Args, Call, Kwargs
from genoplrp.relevance.tracing.marks import Marks
from genoplrp.relevance.tracing.operations.activations import PassThrough
from genoplrp.relevance.tracing.operations.linear import dense
from genoplrp.relevance.tracing.registry import handles
from genoplrp.relevance.tracing.tracer import Tracer

Weights = tuple[Tensor, Tensor, Tensor | None, Tensor | None]
Cell = Callable[[Tracer, Tensor, Weights, Tensor, "Tensor | None", bool], tuple[Tensor, Tensor]]


@handles("lstm")
def lstm(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> tuple[Tensor, Tensor, Tensor]:
    """``torch.lstm(input, (h, c), weights, biases, layers, dropout, train, bidirectional, batch_first)``."""
    x, state, h_n, c_n = _run(tracer, "lstm", args, _lstm_direction)
    return x, h_n, c_n if c_n is not None else state


@handles("gru")
def gru(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> tuple[Tensor, Tensor]:
    """``torch.gru(input, h, weights, biases, layers, dropout, train, bidirectional, batch_first)``."""
    x, _, h_n, _ = _run(tracer, "gru", args, _gru_direction)
    return x, h_n


@handles("rnn_tanh", "rnn_relu")
def plain_rnn(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> tuple[Tensor, Tensor]:
    """``torch.rnn_tanh`` and ``torch.rnn_relu``."""
    activation = torch.tanh if func.__name__ == "rnn_tanh" else torch.relu
    x, _, h_n, _ = _run(tracer, "rnn", args, _rnn_direction(activation))
    return x, h_n


def _check(tracer: Tracer, name: str, args: Args) -> None:
    """Refuse the forms of a recurrent layer that are not unrolled here."""
    if len(args) != 9 or not isinstance(args[3], bool):
        raise tracer.refuse(f"{name} on a packed sequence", remedy="hand it a padded tensor of equal lengths")
    _, state, flat, has_biases, layers, _, _, bidirectional, _ = args
    h0 = state[0] if isinstance(state, tuple | list) else state
    if not isinstance(h0, Tensor) or tracer.is_traced(h0):
        raise tracer.refuse(f"{name} with an initial state that depends on the input")
    if len(flat) != (4 if has_biases else 2) * (2 if bidirectional else 1) * layers:
        raise tracer.refuse(f"{name} with a projection of its state")


def _weights_of(flat: Sequence[Tensor], number: int, has_biases: bool) -> Weights:
    """Return the weights of a layer's direction, the directions of all layers counted through."""
    if has_biases:
        w, u, b, c = flat[4 * number : 4 * number + 4]
        return w, u, b, c
    w, u = flat[2 * number : 2 * number + 2]
    return w, u, None, None


def _run(tracer: Tracer, name: str, args: Args, direction: Cell) -> tuple[Tensor, Any, Tensor, Tensor | None]:
    _check(tracer, name, args)
    x, state, flat, has_biases, layers, _, _, bidirectional, batch_first = args
    h0, c0 = state if isinstance(state, tuple | list) else (state, None)
    tracer.count("ruled", name)
    x = x if batch_first else _batch_first(tracer, x)
    directions = 2 if bidirectional else 1
    last_h: list[Tensor] = []
    last_c: list[Tensor] = []
    for layer in range(layers):
        outputs = []
        for d in range(directions):
            k = layer * directions + d
            weights = _weights_of(flat, k, has_biases)
            out, c = direction(tracer, x, weights, h0[k], None if c0 is None else c0[k], d == 1)
            outputs.append(out)
            last_h.append(out[:, 0 if d == 1 else -1])
            last_c.append(c)
        x = torch.cat(outputs, dim=-1) if directions == 2 else outputs[0]
    c_n = None if c0 is None else torch.stack(last_c)
    return (x if batch_first else x.transpose(0, 1)), state, torch.stack(last_h), c_n


def _batch_first(tracer: Tracer, x: Tensor) -> Tensor:
    turned, marks = x.transpose(0, 1), tracer.marks_of(x)
    if marks.is_input:
        shadow = None if marks.shadow is None else marks.shadow.transpose(0, 1)
        tracer.mark(turned, Marks(is_input=True, shadow=shadow))
    return turned


def _lstm_direction(
    tracer: Tracer, x: Tensor, weights: Weights, h0: Tensor, c0: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor]:
    w_x, w_h, b_x, b_h = weights
    size = w_h.shape[1]
    assert c0 is not None
    rows = slice(2 * size, 3 * size)  # torch's order: input, forget, candidate, output
    bias = None if b_x is None or b_h is None else b_x + b_h
    candidate = dense(tracer, x, w_x[rows], None if bias is None else bias[rows], "lstm")
    gates_x = F.linear(x.detach(), w_x, bias)

    def unrolled(ts: list[Tensor]) -> Tensor:
        h, c = h0, c0
        out: list[Tensor] = [h0] * x.shape[1]
        for t in _steps(x.shape[1], reverse):
            gates = gates_x[:, t] + F.linear(h.detach(), w_h)
            i, f, _, o = gates.chunk(4, dim=1)
            z = ts[0][:, t] + F.linear(h, w_h[rows])
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * _through(torch.tanh, z)
            h = torch.sigmoid(o) * _through(torch.tanh, c)
            out[t] = h
        return torch.stack([*out, c], dim=1)

    # The last cell state comes along, so that the ledger sees what flows through it.
    states = tracer.watch("lstm", [candidate], unrolled)
    return states[:, :-1], states[:, -1]


def _gru_direction(
    tracer: Tracer, x: Tensor, weights: Weights, h0: Tensor, c0: Tensor | None, reverse: bool
) -> tuple[Tensor, Tensor]:
    w_x, w_h, b_x, b_h = weights
    size = w_h.shape[1]
    rows = slice(2 * size, 3 * size)  # torch's order: reset, update, candidate
    candidate = dense(tracer, x, w_x[rows], None if b_x is None else b_x[rows], "gru")
    gates_x = F.linear(x.detach(), w_x, b_x)

    def unrolled(ts: list[Tensor]) -> Tensor:
        h = h0
        out: list[Tensor] = [h0] * x.shape[1]
        for t in _steps(x.shape[1], reverse):
            gates = gates_x[:, t, : 2 * size] + F.linear(
                h.detach(), w_h[: 2 * size], None if b_h is None else b_h[: 2 * size]
            )
            r, u = torch.sigmoid(gates).chunk(2, dim=1)
            z = ts[0][:, t] + r * F.linear(h, w_h[rows], None if b_h is None else b_h[rows])
            h = (1 - u) * _through(torch.tanh, z) + u * h
            out[t] = h
        return torch.stack(out, dim=1)

    out = tracer.watch("gru", [candidate], unrolled)
    return out, out


def _rnn_direction(activation: Callable[[Tensor], Tensor]) -> Cell:
    def direction(
        tracer: Tracer, x: Tensor, weights: Weights, h0: Tensor, c0: Tensor | None, reverse: bool
    ) -> tuple[Tensor, Tensor]:
        w_x, w_h, b_x, b_h = weights
        bias = None if b_x is None or b_h is None else b_x + b_h
        driven = dense(tracer, x, w_x, bias, "rnn")

        def unrolled(ts: list[Tensor]) -> Tensor:
            h = h0
            out: list[Tensor] = [h0] * x.shape[1]
            for t in _steps(x.shape[1], reverse):
                h = _through(activation, ts[0][:, t] + F.linear(h, w_h))
                out[t] = h
            return torch.stack(out, dim=1)

        out = tracer.watch("rnn", [driven], unrolled)
        return out, out

    return direction


def _through(activation: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    if not z.requires_grad:
        return activation(z)
    with torch.no_grad():
        a = activation(z.detach())
    out: Tensor = PassThrough.apply(z, a, 1.0 if activation is torch.tanh else 0.0)
    return out


def _steps(length: int, reverse: bool) -> range:
    return range(length - 1, -1, -1) if reverse else range(length)
