"""Attention, taken apart into linear maps, matrix products and a softmax, each with its own rule (AttnLRP).

References
----------
Achtibat et al. 2024, ICML, "AttnLRP: Attention-Aware Layer-Wise Relevance Propagation for Transformers".
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from genoplrp.relevance.tracing.calls import Args, Call, Kwargs
from genoplrp.relevance.tracing.operations.activations import normalised_exponential
from genoplrp.relevance.tracing.operations.linear import dense
from genoplrp.relevance.tracing.operations.products import bilinear
from genoplrp.relevance.tracing.registry import handles
from genoplrp.relevance.tracing.tracer import Tracer

_SIGNATURE = inspect.signature(F.multi_head_attention_forward)


@handles("scaled_dot_product_attention")
def scaled_dot_product_attention(tracer: Tracer, func: Call, args: Args, kwargs: Kwargs) -> Tensor:
    """``F.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, scale)``."""
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    call = dict(zip(names, args, strict=False)) | kwargs
    if call.get("enable_gqa"):
        raise tracer.refuse("scaled_dot_product_attention with grouped queries")
    query, key, value = call["query"], call["key"], call["value"]
    mask = call.get("attn_mask")
    if call.get("is_causal"):
        mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    attended, _ = attend(tracer, query, key, value, mask, call.get("scale"))
    return attended


@handles("multi_head_attention_forward")
def multi_head_attention(
    tracer: Tracer, func: Call, args: Args, kwargs: Kwargs
) -> tuple[Tensor, Tensor | None]:
    """``F.multi_head_attention_forward``, as `torch.nn.MultiheadAttention` calls it."""
    bound = _SIGNATURE.bind(*args, **kwargs)
    bound.apply_defaults()
    c = bound.arguments
    for name in ("bias_k", "bias_v", "static_k", "static_v"):
        if c[name] is not None:
            raise tracer.refuse(f"multi_head_attention_forward with {name}")
    if c["add_zero_attn"] or c["query"].dim() != 3:
        raise tracer.refuse("multi_head_attention_forward with add_zero_attn or without a batch axis")
    # (L, N, E) -> (N, L, E): the batch goes first, so that pruning works for each sequence on its own.
    query, key, value = (c[k].transpose(0, 1) for k in ("query", "key", "value"))
    size, heads = c["embed_dim_to_check"], c["num_heads"]
    if c["use_separate_proj_weight"]:
        weights = [c["q_proj_weight"], c["k_proj_weight"], c["v_proj_weight"]]
    else:
        weights = list(c["in_proj_weight"].chunk(3))
    biases = [None] * 3 if c["in_proj_bias"] is None else list(c["in_proj_bias"].chunk(3))
    q, k, v = (
        _heads(dense(tracer, x, w, b, "attention") if tracer.is_traced(x) else F.linear(x, w, b), heads)
        for x, w, b in zip((query, key, value), weights, biases, strict=True)
    )
    mask = _mask(c["attn_mask"], c["key_padding_mask"], q)
    attended, weights_out = attend(tracer, q, k, v, mask, None)
    joined = attended.transpose(1, 2).reshape(query.shape[0], query.shape[1], size)
    out = dense(tracer, joined, c["out_proj_weight"], c["out_proj_bias"], "attention").transpose(0, 1)
    if not c["need_weights"]:
        return out, None
    return out, weights_out.mean(dim=1) if c["average_attn_weights"] else weights_out


def attend(
    tracer: Tracer, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float | None
) -> tuple[Tensor, Tensor]:
    """Return ``softmax(q k^T scale + mask) v`` and the weights; each factor of a product takes half the relevance."""
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale

    def weigh(scores: Tensor) -> Tensor:
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
        return torch.softmax(scores, dim=-1)

    if tracer.is_traced(q) or tracer.is_traced(k):
        scores = bilinear(tracer, "attention scores", torch.matmul, q, k.mT) * scale
        weights: Tensor = normalised_exponential(tracer, _Named(weigh), (scores,), {})
    else:
        weights = weigh(q @ k.mT * scale)
    if not tracer.is_traced(weights) and not tracer.is_traced(v):
        return weights @ v, weights
    return bilinear(tracer, "attention values", torch.matmul, weights, v), weights


class _Named:
    """A function with a name of its own."""

    __name__ = "attention softmax"

    def __init__(self, call: Callable[[Tensor], Tensor]) -> None:
        self.call = call

    def __call__(self, x: Tensor) -> Tensor:
        return self.call(x)


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)


def _mask(attn_mask: Tensor | None, key_padding_mask: Tensor | None, q: Tensor) -> Tensor | None:
    """Return one additive mask, (N or 1, heads or 1, Lq, Lk)."""
    total: Tensor | None = None
    if attn_mask is not None:
        additive = _additive(attn_mask, q.dtype)
        total = additive.reshape(q.shape[0], -1, *additive.shape[1:]) if additive.dim() == 3 else additive
    if key_padding_mask is not None:
        padding = _additive(key_padding_mask, q.dtype)[:, None, None, :]
        total = padding if total is None else total + padding
    return total


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros_like(mask, dtype=dtype).masked_fill(mask, -torch.inf)
