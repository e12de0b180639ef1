"""DenseNet for CIFAR (Huang et al. 2017, arXiv 1608.06993): 40 layers, no bottleneck."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCKS = 3


class Dense(nn.Module):
    """BN-ReLU-conv, put behind its input: [n, inputs, h, w] -> [n, inputs + growth, h, w]."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.conv = nn.Conv2d(inputs, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(F.relu(self.norm(x)))], 1)


class Transition(nn.Module):
    """BN-ReLU-conv 1x1 and pooling: [n, c, h, w] -> [n, c, h/2, w/2]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2)


class DenseNet(nn.Module):
    """[n, channels, h, w] -> logits [n, classes]."""

    def __init__(self, depth: int, growth: int, stem: int, classes: int, channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, stem, 3, padding=1, bias=False)
        width = stem
        layers: list[nn.Module] = []
        for block in range(BLOCKS):
            if block:
                layers.append(Transition(width))
            for _ in range((depth - BLOCKS - 1) // BLOCKS):
                layers.append(Dense(width, growth))
                width += growth
        self.features = nn.Sequential(*layers)
        self.norm = nn.BatchNorm2d(width)
        self.classifier = nn.Linear(width, classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw what the layers have not drawn well themselves."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.features(self.stem(x))))
        return self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))


def densenet40(
    classes: int, channels: int, image_size: int, *, growth: int = 12, stem: int = 16
) -> DenseNet:
    """The paper's smallest: every layer adds `growth` channels to the `stem` (RGD's has 24)."""
    return DenseNet(40, growth, stem, classes, channels)
