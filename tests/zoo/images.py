"""The shapes of VGG-16 and ResNet-50 (kinds, order and strides of their layers) with a fraction of the channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def vgg16(classes=5, width=4):
    """Thirteen 3x3 convolutions in five stages with in-place ReLU, adaptive pool, three dense layers."""
    layers, channels = [], 3
    for stage, repeats in enumerate((2, 2, 3, 3, 3)):
        for _ in range(repeats):
            out = width * min(2**stage, 8)
            layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU(inplace=True)]
            channels = out
        layers.append(nn.MaxPool2d(2, 2))
    head = [
        nn.AdaptiveAvgPool2d((2, 2)), nn.Flatten(),
        nn.Linear(channels * 4, 16), nn.ReLU(inplace=True), nn.Dropout(),
        nn.Linear(16, 16), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(16, classes),
    ]  # fmt: skip
    return nn.Sequential(*layers, *head)


class ResNet50(nn.Module):
    """Stem, (3, 4, 6, 3) bottlenecks, global average pool, dense."""

    def __init__(self, classes=5, width=4):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        stages, channels = [], width
        for i, repeats in enumerate((3, 4, 6, 3)):
            for j in range(repeats):
                stages.append(_Bottleneck(channels, width * 2**i, stride=2 if i and not j else 1))
                channels = width * 2**i * 4
        self.stages = nn.Sequential(*stages)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = F.adaptive_avg_pool2d(self.stages(x), (1, 1))
        return self.fc(torch.flatten(x, 1))


class _Bottleneck(nn.Module):
    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or channels != 4 * width:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)
