"""Networks as people write them, for the table of networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Convolution, norm, activation."""
    layer = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


class SE(nn.Module):
    """Blocks with squeeze and excitation."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.first, self.second = conv(in_channels, 32), conv(32, 64, 2)
        self.squeeze, self.excite = nn.Conv2d(64, 8, 1), nn.Conv2d(8, 64, 1)
        self.third, self.head = conv(64, 64, 2), nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x))
        x = x * self.excite(self.squeeze(x.mean((2, 3), keepdim=True)).relu()).sigmoid()
        return self.head(self.third(x).mean((2, 3)))


def Groups(num_classes: int, in_channels: int) -> nn.Module:
    """Group norms of eight groups."""
    layers = []
    for inputs, outputs in ((in_channels, 32), (32, 64), (64, 64)):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.GroupNorm(8, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, num_classes))


def Weighted(num_classes: int, in_channels: int) -> nn.Module:
    """Weights behind a weight norm."""
    model = Groups(num_classes, in_channels)
    for layer in list(model):
        if isinstance(layer, nn.Conv2d):
            weight_norm(layer)
    return model


class Shared(nn.Module):
    """One convolution that is used three times."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.first, self.again = conv(in_channels, 32), nn.Conv2d(32, 32, 3, padding=1)
        self.last, self.head = conv(32, 64), nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for _ in range(3):
            x = self.again(x).relu()
        return self.head(self.last(x).mean((2, 3)))


class Twice(nn.Module):
    """Two inputs, of which the second may be left out: then it is the first, mirrored."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.left, self.right = conv(in_channels, 32), conv(in_channels, 32)
        self.last, self.head = conv(64, 64, 2), nn.Linear(64, num_classes)

    def forward(self, left: Tensor, right: Tensor | None = None) -> Tensor:
        right = left.flip(-1) if right is None else right
        both = torch.cat([self.left(left), self.right(right)], 1)
        return self.head(self.last(both).mean((2, 3)))


class UNet(nn.Module):
    """Down and up again, beside a skip connection."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.first, self.down, self.up = conv(in_channels, 32), conv(32, 64, 2), conv(96, 32)
        self.head = nn.Linear(32, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.first(x)
        deep = nn.functional.interpolate(self.down(skip), scale_factor=2.0)
        return self.head(self.up(torch.cat([skip, deep], 1)).mean((2, 3)))
