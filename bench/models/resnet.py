"""ResNets for CIFAR (He et al. 2016, arXiv 1512.03385, section 4.2): 20, 32, 44, 56, 110 layers.

Three stages of 16, 32 and 64 channels, or `width` times 1, 2 and 4. The names of the parameters are
those of the widespread checkpoints (conv1, layer1.0.conv1, ..., linear).
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from .channel_pad import ChannelPad

Shortcut = Literal["A", "B", "B3"]


def _conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut: [n, inputs, h, w] -> [n, outputs, h/s, w/s]."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = _conv3x3(inputs, outputs, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = _conv3x3(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module
        if inputs == outputs:
            self.shortcut = nn.Identity()
        elif shortcut == "A":
            self.shortcut = ChannelPad(inputs, outputs, stride)
        else:
            side = 3 if shortcut == "B3" else 1
            projection = nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class ResNet(nn.Module):
    """[n, channels, h, w] -> logits [n, classes]."""

    def __init__(
        self, blocks: int, width: int, shortcut: Shortcut, classes: int, channels: int
    ) -> None:
        super().__init__()
        self.conv1 = _conv3x3(channels, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(blocks, width, width, 1, shortcut)
        self.layer2 = _stage(blocks, width, 2 * width, 2, shortcut)
        self.layer3 = _stage(blocks, 2 * width, 4 * width, 2, shortcut)
        self.linear = nn.Linear(4 * width, classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw what the layers have not drawn well themselves."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))


def _stage(
    blocks: int, inputs: int, outputs: int, stride: int, shortcut: Shortcut
) -> nn.Sequential:
    first = Block(inputs, outputs, stride, shortcut)
    return nn.Sequential(first, *(Block(outputs, outputs, 1, shortcut) for _ in range(blocks - 1)))


def resnet(
    depth: int,
    classes: int,
    channels: int,
    image_size: int,
    *,
    shortcut: Shortcut = "A",
    width: int = 16,
) -> ResNet:
    """`depth` layers, 6 n + 2, of `width` to 4 `width` channels.

    Shortcuts between stages: A pads with zeros (He et al.'s choice on CIFAR), B projects by 1x1
    convolutions and BN (OBC, EigenDamage, Gate-Decorator), B3 by 3x3 (RGD). EigenDamage's and OBA's
    wide ResNet-32 is width 64 with B.
    """
    return ResNet((depth - 2) // 6, width, shortcut, classes, channels)
