"""Recurrent and attention networks on DNA, reduced in size."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn


class DanQ(nn.Module):
    """A convolution, pooling, a bidirectional LSTM over what is left of the sequence, dense (Quang & Xie 2016)."""

    def __init__(self, cell=nn.LSTM):
        super().__init__()
        self.conv = nn.Conv1d(4, 10, 9)
        self.recurrent = cell(10, 6, bidirectional=True, batch_first=True)
        self.dense = nn.Linear(12 * 7, 10)
        self.out = nn.Linear(10, 3)

    def forward(self, x):
        h = F.max_pool1d(F.relu(self.conv(x)), 13, 13)
        h = F.dropout(h, 0.2, self.training).transpose(1, 2)
        h, _ = self.recurrent(h)
        h = h.contiguous().view(x.size(0), -1)
        return torch.sigmoid(self.out(F.relu(self.dense(h))))


class Enformer(nn.Module):
    """Convolutional blocks with attention pooling, transformer blocks, a pointwise head (Avsec et al. 2021)."""

    def __init__(self, channels=8):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv1d(4, channels, 15, padding=7), Residual(ConvBlock(channels, 1)), AttentionPool(channels)
        )
        self.tower = nn.Sequential(
            ConvBlock(channels, 5), Residual(ConvBlock(channels, 1)), AttentionPool(channels)
        )
        self.transformer = nn.Sequential(
            *(nn.Sequential(Residual(_Attend(channels)), Residual(_feed_forward(channels))) for _ in range(2))
        )
        self.final = nn.Sequential(nn.Linear(channels, 12), nn.Dropout(0.05), Gelu())
        self.human = nn.Sequential(nn.Linear(12, 4), nn.Softplus())

    def forward(self, x):
        h = self.tower(self.stem(x)).permute(0, 2, 1)
        h = self.transformer(h)
        return self.human(self.final(h[:, 2:-2]))


class Gelu(nn.Module):
    """Enformer's approximation."""

    def forward(self, x):
        return torch.sigmoid(1.702 * x) * x


class ConvBlock(nn.Sequential):
    def __init__(self, channels, width):
        super().__init__(
            nn.BatchNorm1d(channels), Gelu(), nn.Conv1d(channels, channels, width, padding=width // 2)
        )


class Residual(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x, **options):
        return self.inner(x, **options) + x


class AttentionPool(nn.Module):
    """A softmax-weighted sum over pairs of positions, weights by a pointwise convolution."""

    def __init__(self, channels, size=2):
        super().__init__()
        self.size = size
        self.logits = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x):
        n, channels, length = x.shape
        if length % self.size:
            x = F.pad(x, (0, self.size - length % self.size))
        x = x.reshape(n, channels, -1, self.size)
        return (x * self.logits(x).softmax(dim=-1)).sum(dim=-1)


class _Attend(nn.Module):
    """Multi-head attention written out, with a learned relative position term."""

    def __init__(self, size, heads=2):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(size)
        self.q, self.k, self.v = (nn.Linear(size, size, bias=False) for _ in range(3))
        self.content = nn.Parameter(torch.zeros(1, heads, 1, size // heads))
        self.position = nn.Parameter(torch.zeros(heads, 64, 64))
        self.out = nn.Linear(size, size)

    def forward(self, x):
        x = self.norm(x)
        n, length, size = x.shape
        q, k, v = (f(x).reshape(n, length, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
        q = q * (1.0 / math.sqrt(q.shape[-1]))
        logits = torch.einsum("nhid,nhjd->nhij", q + self.content, k) + self.position[:, :length, :length]
        attention = F.dropout(logits.softmax(dim=-1), 0.05, self.training)
        h = torch.einsum("nhij,nhjd->nhid", attention, v)
        return self.out(h.transpose(1, 2).reshape(n, length, size))


def _feed_forward(size):
    return nn.Sequential(
        nn.LayerNorm(size), nn.Linear(size, 2 * size), nn.Dropout(0.1), nn.ReLU(), nn.Linear(2 * size, size)
    )


class ConvTransformer(nn.Module):
    """torch's own encoder layer on a convolution's features, with a class token and positions; GLU at the end."""

    def __init__(self, size=8, length=20, norm_first=False):
        super().__init__()
        self.conv = nn.Conv1d(4, size, 7, padding=3)
        self.token = nn.Parameter(torch.zeros(1, 1, size))
        self.position = nn.Parameter(torch.zeros(1, length + 1, size))
        layer = nn.TransformerEncoderLayer(
            size, 2, 16, batch_first=True, norm_first=norm_first, activation="gelu"
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(size // 2, 2)

    def forward(self, x):
        h = F.max_pool1d(self.conv(x).relu(), 4).mT
        h = torch.cat([self.token.expand(len(h), -1, -1), h], dim=1) + self.position
        return self.out(F.glu(self.encoder(h)[:, 0]))


class SqueezeExcite(nn.Module):
    """EfficientNet-style block: depthwise convolution, SiLU, channel gate, shortcut (as in LegNet)."""

    def __init__(self, channels=8):
        super().__init__()
        self.stem = nn.Conv1d(4, channels, 7, padding="same")
        self.expand = nn.Conv1d(channels, 2 * channels, 1, bias=False)
        self.norm = nn.BatchNorm1d(2 * channels)
        self.depthwise = nn.Conv1d(
            2 * channels, 2 * channels, 7, padding="same", groups=2 * channels, bias=False
        )
        self.squeeze, self.excite = nn.Linear(2 * channels, 4), nn.Linear(4, 2 * channels)
        self.project = nn.Conv1d(2 * channels, channels, 1)
        self.out = nn.Conv1d(channels, 1, 1)

    def forward(self, x):
        x = F.silu(self.stem(x))
        h = F.silu(self.depthwise(F.silu(self.norm(self.expand(x)))))
        gate = torch.sigmoid(self.excite(F.silu(self.squeeze(h.mean(dim=2)))))
        h = h * gate.unsqueeze(-1)
        x = torch.add(self.project(h), x)
        return F.adaptive_avg_pool1d(self.out(x), 1).squeeze(-1).squeeze(-1)
