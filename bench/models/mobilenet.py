"""MobileNets for small images: the stem and early stages keep the resolution, as usual on CIFAR.

Version 1: Howard et al. 2017, arXiv 1704.04861, table 1. Version 2: Sandler et al. 2018,
arXiv 1801.04381, table 2.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from .blocks import Averaged, conv_norm

# Width and stride of each depthwise-separable convolution.
V1 = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5),
    *((1024, 2), (1024, 1)),
)
# Expansion, width, blocks and the first one's stride, of each stage.
V2 = (
    *((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)
Projected = Literal["widened", "all"]


class InvertedResidual(nn.Module):
    """Wider, depthwise, narrower; of stride 1 beside a shortcut: [n, c, h, w] -> [n, out, ...]."""

    def __init__(
        self, inputs: int, outputs: int, expansion: int, stride: int, projected: Projected
    ) -> None:
        super().__init__()
        width = expansion * inputs
        self.body = nn.Sequential(
            conv_norm(inputs, width, activation=nn.ReLU6),
            conv_norm(width, width, 3, stride, groups=width, activation=nn.ReLU6),
            conv_norm(width, outputs, activation=None),
        )
        self.shortcut: nn.Module | None = None
        if stride == 1 and projected == "all":
            self.shortcut = conv_norm(inputs, outputs)
        elif stride == 1:
            same = inputs == outputs
            self.shortcut = nn.Identity() if same else conv_norm(inputs, outputs, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) if self.shortcut is None else self.body(x) + self.shortcut(x)


def mobilenet_v1(classes: int, channels: int, image_size: int) -> Averaged:
    """13 depthwise-separable convolutions, of 64 to 1024 channels."""
    width = 32
    layers: list[nn.Module] = [conv_norm(channels, width, 3)]
    for outputs, stride in V1:
        layers += [conv_norm(width, width, 3, stride, groups=width), conv_norm(width, outputs)]
        width = outputs
    return Averaged(layers, width, classes)


def mobilenet_v2_cifar(
    classes: int, channels: int, image_size: int, *, projected: Projected = "widened"
) -> Averaged:
    """17 inverted residuals, of 16 to 320 channels.

    Options:
        projected: which blocks of stride 1 have a 1x1 convolution and BN as their shortcut: those
            whose width grows (widened), or all, with a ReLU behind it (RGD).
    """
    width = 32
    layers: list[nn.Module] = [conv_norm(channels, width, 3)]
    for expansion, outputs, blocks, first in V2:
        for stride in (first, *(1,) * (blocks - 1)):
            layers.append(InvertedResidual(width, outputs, expansion, stride, projected))
            width = outputs
    return Averaged([*layers, conv_norm(width, 1280)], 1280, classes)
