"""GoogLeNet for small images (Szegedy et al. 2015, arXiv 1409.4842, table 1), as usual on CIFAR.

One 3x3 convolution in place of the stem, two 3x3 in place of each 5x5, batch norm (Ioffe and
Szegedy 2015, arXiv 1502.03167), no auxiliary outputs. No biases, as in RGD's; others have them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import Averaged, conv_norm

# Widths of each Inception: 1x1; 3x3 and 5x5 with the 1x1 before them; 1x1 behind pooling.
STAGES = (
    ((64, (96, 128), (16, 32), 32), (128, (128, 192), (32, 96), 64)),
    (
        (192, (96, 208), (16, 48), 64),
        (160, (112, 224), (24, 64), 64),
        (128, (128, 256), (24, 64), 64),
        (112, (144, 288), (32, 64), 64),
        (256, (160, 320), (32, 128), 128),
    ),
    ((256, (160, 320), (32, 128), 128), (384, (192, 384), (48, 128), 128)),
)


class Inception(nn.Module):
    """Four branches, one behind the other: [n, inputs, h, w] -> [n, sum of theirs, h, w]."""

    def __init__(
        self, inputs: int, one: int, three: tuple[int, int], five: tuple[int, int], pooled: int
    ) -> None:
        super().__init__()
        pool = nn.MaxPool2d(3, stride=1, padding=1)
        self.one = conv_norm(inputs, one)
        self.three = nn.Sequential(conv_norm(inputs, three[0]), conv_norm(*three, 3))
        self.five = nn.Sequential(
            conv_norm(inputs, five[0]), conv_norm(*five, 3), conv_norm(five[1], five[1], 3)
        )
        self.pooled = nn.Sequential(pool, conv_norm(inputs, pooled))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pooled(x)], 1)


def googlenet_cifar(classes: int, channels: int, image_size: int) -> Averaged:
    """Nine Inceptions, at a whole, a half and a quarter of the image's side."""
    width = 192
    layers: list[nn.Module] = [conv_norm(channels, width, 3)]
    for number, stage in enumerate(STAGES):
        if number:
            layers.append(nn.MaxPool2d(3, stride=2, padding=1))
        for one, three, five, pooled in stage:
            layers.append(Inception(width, one, three, five, pooled))
            width = one + three[1] + five[1] + pooled
    return Averaged(layers, width, classes)
