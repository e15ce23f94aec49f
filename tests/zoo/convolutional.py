"""Published convolutional networks on DNA, in their own style of code but a fraction of their size.

Not here: recurrent and attention networks (`sequential`), images (`images`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class DeepBind(nn.Module):
    """One motif layer, rectified, pooled by maximum *and* mean over the sequence (Alipanahi et al. 2015)."""

    def __init__(self):
        super().__init__()
        self.motifs = nn.Conv1d(4, 8, 11, padding=10)
        self.hidden = nn.Linear(16, 12)
        self.out = nn.Linear(12, 1)

    def forward(self, x):
        h = torch.relu(self.motifs(x))
        pooled = torch.stack([h.max(dim=-1).values, h.mean(dim=-1)], dim=-1).flatten(1)
        return self.out(F.dropout(F.relu(self.hidden(pooled)), 0.5, self.training))


class DeepSEA(nn.Sequential):
    """Three convolutions with pooling and dropout, two dense layers, sigmoid (Zhou & Troyanskaya 2015)."""

    def __init__(self):
        super().__init__(
            nn.Conv1d(4, 10, 8), nn.ReLU(inplace=True), nn.MaxPool1d(4, 4), nn.Dropout(0.2),
            nn.Conv1d(10, 12, 8), nn.ReLU(inplace=True), nn.MaxPool1d(4, 4), nn.Dropout(0.2),
            nn.Conv1d(12, 14, 4), nn.ReLU(inplace=True), nn.Dropout(0.5),
            nn.Flatten(), nn.Linear(14 * 7, 16), nn.ReLU(inplace=True), nn.Linear(16, 5), nn.Sigmoid(),
        )  # fmt: skip


class Basset(nn.Module):
    """Convolutions with batch normalisation and odd pools, dense layers normalised too (Kelley et al. 2016)."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(4, 10, 19), nn.BatchNorm1d(10), nn.ReLU(), nn.MaxPool1d(3),
            nn.Conv1d(10, 8, 11), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(4, padding=1),
            nn.Conv1d(8, 8, 3), nn.BatchNorm1d(8), nn.ReLU(),
        )  # fmt: skip
        self.dense = nn.ModuleList([nn.Linear(8 * 11, 12), nn.Linear(12, 12)])
        self.norms = nn.ModuleList([nn.BatchNorm1d(12), nn.BatchNorm1d(12)])
        self.out = nn.Linear(12, 4)

    def forward(self, x):
        h = self.conv(x)
        h = h.view(h.size(0), -1)
        for dense, norm in zip(self.dense, self.norms, strict=True):
            h = F.dropout(norm(dense(h)).relu_(), p=0.3, training=self.training)
        return torch.sigmoid(self.out(h))


class Basenji(nn.Module):
    """Normalisation and GELU *before* each convolution, dilated dense connections, a profile (Kelley 2018)."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv1d(4, 8, 15, padding="same")
        self.norm1 = nn.BatchNorm1d(8)
        self.tower = nn.Conv1d(8, 10, 5, padding="same", bias=False)
        self.dilated = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm1d(10 + 4 * i),
                nn.GELU(),
                nn.Conv1d(10 + 4 * i, 4, 3, padding=2**i, dilation=2**i),
            )
            for i in range(3)
        )
        self.head = nn.Conv1d(22, 3, 1)

    def forward(self, x):
        h = F.max_pool1d(self.stem(x), 2)
        h = F.max_pool1d(self.tower(F.gelu(self.norm1(h))), 4)
        for block in self.dilated:
            h = torch.cat((h, block(h)), dim=1)
        return F.softplus(self.head(F.gelu(h[:, :, 2:-2])))


class BPNet(nn.Module):
    """Valid-padding residual trunk that crops the shortcut; profile and count heads (Avsec et al. 2021)."""

    def __init__(self, filters=8, layers=3, controls=0):
        super().__init__()
        self.layers = layers
        self.iconv = nn.Conv1d(4, filters, 21, padding=10)
        self.irelu = nn.ReLU()
        self.rconvs = nn.ModuleList(
            nn.Conv1d(filters, filters, 3, padding=2**i, dilation=2**i) for i in range(1, layers + 1)
        )
        self.rrelus = nn.ModuleList(nn.ReLU() for _ in range(layers))
        self.fconv = nn.Conv1d(filters + controls, 2, 15, padding=7)
        self.linear = nn.Linear(filters + bool(controls), 1)
        self.controls = controls

    def forward(self, x, controls=None):
        start, end = 16, x.shape[2] - 16
        x = self.irelu(self.iconv(x))
        for i in range(self.layers):
            conv = self.rrelus[i](self.rconvs[i](x))
            x = torch.add(x, conv)
        if self.controls:
            profile = self.fconv(torch.cat([x, controls], dim=1))[:, :, start:end]
        else:
            profile = self.fconv(x)[:, :, start:end]
        counts = torch.mean(x[:, :, start - 3 : end + 3], dim=2)
        if self.controls:
            counts = torch.cat([counts, torch.log(controls.sum(dim=(1, 2)) + 1)[:, None]], dim=-1)
        return profile, self.linear(counts)


class ChromBPNet(nn.Module):
    """A frozen bias model and an accessibility model: profiles add, counts join by log-sum-exp (Pampari 2023)."""

    def __init__(self):
        super().__init__()
        self.bias = BPNet(filters=4, layers=2)
        self.accessibility = BPNet(filters=6, layers=3)
        for parameter in self.bias.parameters():
            parameter.requires_grad = False

    def forward(self, x):
        accessible_profile, accessible_counts = self.accessibility(x)
        bias_profile, bias_counts = self.bias(x)
        counts = torch.logsumexp(torch.stack([accessible_counts, bias_counts]), dim=0)
        return accessible_profile + bias_profile, counts


class DeepSTARR(nn.Module):
    """Four convolutions, two dense layers, one head for each kind of enhancer (de Almeida et al. 2022)."""

    def __init__(self):
        super().__init__()
        widths, kernels = [4, 10, 8, 8, 10], [7, 3, 5, 3]
        blocks = []
        for i, kernel in enumerate(kernels):
            blocks += [nn.Conv1d(widths[i], widths[i + 1], kernel, padding="same")]
            blocks += [nn.BatchNorm1d(widths[i + 1]), nn.ReLU(), nn.MaxPool1d(2)]
        self.body = nn.Sequential(*blocks, nn.Flatten())
        self.dense = nn.Sequential(nn.Linear(80, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.4))
        self.dev, self.hk = nn.Linear(12, 1), nn.Linear(12, 1)

    def forward(self, x):
        h = self.dense(self.body(x))
        return torch.cat([self.dev(h), self.hk(h)], dim=1)


class ResidualBind(nn.Module):
    """Exponential first activations, dilated residual blocks closed by ReLU, mean pool (Koo et al. 2021)."""

    def __init__(self):
        super().__init__()
        self.first, self.first_norm = nn.Conv1d(4, 8, 11, padding=5), nn.BatchNorm1d(8)
        self.convs = nn.ModuleList(nn.Conv1d(8, 8, 3, padding=d, dilation=d, bias=False) for d in (1, 2, 4))
        self.norms = nn.ModuleList(nn.BatchNorm1d(8) for _ in range(3))
        self.out = nn.Linear(8, 1)

    def forward(self, x):
        h = torch.exp(0.3 * self.first_norm(self.first(x)))
        inner = h
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            inner = norm(conv(inner))
            if i < 2:
                inner = F.dropout(F.relu(inner, inplace=True), 0.1, self.training)
        h = F.relu(h + inner)
        return self.out(F.avg_pool1d(h, 10).mean(-1)).squeeze(1)


class SpliceAI(nn.Module):
    """Pre-activated dilated residual units, skip connections that add up, softmax by position (Jaganathan 2019)."""

    def __init__(self):
        super().__init__()
        self.conv1, self.skip = nn.Conv1d(4, 8, 1), nn.Conv1d(8, 8, 1)
        self.units = nn.ModuleList(_Unit(8, width, dilation) for width, dilation in ((5, 1), (5, 2), (9, 2)))
        self.skips = nn.ModuleList(nn.Conv1d(8, 8, 1) for _ in range(3))
        self.out = nn.Conv1d(8, 3, 1)

    def forward(self, x):
        h = self.conv1(x)
        skip = self.skip(h)
        for unit, conv in zip(self.units, self.skips, strict=True):
            h = unit(h)
            skip += conv(h)
        skip = F.pad(skip, (-10, -10))
        return F.softmax(self.out(skip), dim=1)


class _Unit(nn.Module):
    def __init__(self, channels, width, dilation):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm1d(channels), nn.BatchNorm1d(channels)
        padding = dilation * (width - 1) // 2
        self.conv1 = nn.Conv1d(channels, channels, width, dilation=dilation, padding=padding)
        self.conv2 = nn.Conv1d(channels, channels, width, dilation=dilation, padding=padding)

    def forward(self, x):
        h = self.conv1(torch.relu(self.norm1(x)))
        h = self.conv2(torch.relu(self.norm2(h)))
        h += x
        return h


class UNet(nn.Module):
    """Encoder and decoder with concatenated shortcuts; transposed convolutions and upsampling."""

    def __init__(self):
        super().__init__()
        self.down1 = _double(4, 6)
        self.down2 = _double(6, 8)
        self.bottom = _double(8, 10)
        self.up2 = nn.ConvTranspose1d(10, 8, 2, stride=2)
        self.merge2 = _double(16, 8)
        self.merge1 = _double(8 + 6, 6)
        self.out = nn.Conv1d(6, 2, 1)

    def forward(self, x):
        a = self.down1(x)
        b = self.down2(F.max_pool1d(a, 2))
        c = self.bottom(F.avg_pool1d(b, 2))
        h = self.merge2(torch.cat([self.up2(c), b], dim=1))
        h = F.interpolate(h, scale_factor=2, mode="linear", align_corners=False)
        return self.out(self.merge1(torch.cat([h, a], dim=1)))


def _double(inputs, outputs):
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, 3, padding=1), nn.GroupNorm(2, outputs), nn.LeakyReLU(0.1, inplace=True),
        nn.Conv1d(outputs, outputs, 3, padding=1), nn.BatchNorm1d(outputs), nn.SiLU(),
    )  # fmt: skip
