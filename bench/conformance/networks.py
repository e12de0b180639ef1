"""Tiny networks, one of each architecture family: every kind of coupling that a criterion meets.

Every group of the convolutional ones holds a norm layer, so that criteria that look at norms are
checked on all of them. Activations are smooth: nothing is dead, and curvature is not zero.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from criteria import Group

from ..models.vit import vit_small
from ..pruning.sound import lively

CLASSES = 5
SIDE = 8  # pixels


def conv(inputs: int, outputs: int, kernel: int = 3, **options: Any) -> nn.Conv2d:
    """A convolution that keeps the size of its images."""
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, **options)


def chain() -> nn.Sequential:
    """Two convolutions with norms; every channel of the last is four inputs of a linear layer."""
    return nn.Sequential(
        conv(3, 6), nn.BatchNorm2d(6), nn.SiLU(),
        conv(6, 4), nn.BatchNorm2d(4), nn.SiLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, CLASSES),
    )  # fmt: skip


class Residual(nn.Module):
    """Two blocks on one stream: the stem and both blocks' ends leave together."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = conv(3, 6), nn.BatchNorm2d(6)
        self.conv1, self.norm1 = conv(6, 4), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = conv(4, 6), nn.BatchNorm2d(6)
        self.conv3, self.norm3 = conv(6, 5, bias=False), nn.BatchNorm2d(5)
        self.conv4, self.norm4 = conv(5, 6, bias=False), nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.norm(self.stem(x)))
        x = F.silu(x + self.norm2(self.conv2(F.silu(self.norm1(self.conv1(x))))))
        x = F.silu(x + self.norm4(self.conv4(F.silu(self.norm3(self.conv3(x))))))
        return self.fc(x.mean((2, 3)))


class Concat(nn.Module):
    """DenseNet's: each layer puts its channels behind what it read."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 4)
        self.norm1, self.conv1 = nn.BatchNorm2d(4), conv(4, 3, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(7), conv(7, 3, bias=False)
        self.norm3, self.fc = nn.BatchNorm2d(10), nn.Linear(10, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.cat([x, self.conv1(F.silu(self.norm1(x)))], 1)
        x = torch.cat([x, self.conv2(F.silu(self.norm2(x)))], 1)
        return self.fc(F.silu(self.norm3(x)).mean((2, 3)))


class Depthwise(nn.Module):
    """MobileNetV2's block: expand, one filter a channel, project, add."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 4)
        self.expand, self.norm1 = conv(4, 8, 1, bias=False), nn.BatchNorm2d(8)
        self.depthwise, self.norm2 = conv(8, 8, groups=8), nn.BatchNorm2d(8)
        self.project, self.norm3 = conv(8, 4, 1, bias=False), nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.stem(x))
        y = F.silu(self.norm1(self.expand(x)))
        y = F.silu(self.norm2(self.depthwise(y)))
        return self.fc(F.silu(x + self.norm3(self.project(y))).mean((2, 3)))


def grouped() -> nn.Sequential:
    """A convolution of two groups between plain ones; a unit is a channel of each group."""
    return nn.Sequential(
        conv(3, 6), nn.BatchNorm2d(6), nn.SiLU(),
        conv(6, 8, groups=2), nn.BatchNorm2d(8), nn.SiLU(),
        conv(8, 4), nn.BatchNorm2d(4), nn.SiLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES),
    )  # fmt: skip


def tiny_vit(depth: int = 1) -> nn.Module:
    """Blocks with explicit attention of two heads."""
    return vit_small(CLASSES, 3, SIDE, depth=depth, width=8, heads=2)


FAMILIES: dict[str, Callable[[], nn.Module]] = {
    "chain": chain, "residual": Residual, "concat": Concat, "depthwise": Depthwise,
    "grouped": grouped, "vit": tiny_vit,
}  # fmt: skip


def build(network: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """Such a network, lively; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        return lively(network().double().eval(), seed)


def labelled(count: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Images `[count, 3, SIDE, SIDE]` of noise in float64, and labels."""
    draw = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, SIDE, SIDE, generator=draw).double()
    labels = torch.Generator().manual_seed(seed + 1)
    return images, torch.randint(CLASSES, (count,), generator=labels)


def permuted(model: nn.Module, groups: Sequence[Group], orders: Sequence[Tensor]) -> nn.Module:
    """A copy that computes the same function; its unit u of a group is the model's `order[u]`."""
    twin = copy.deepcopy(model)
    state = [*twin.named_parameters(), *twin.named_buffers()]
    permute_({name: one.data for name, one in state}, groups, orders)
    return twin


def permute_(
    tensors: Mapping[str, Tensor], groups: Sequence[Group], orders: Sequence[Tensor]
) -> None:
    """Permute, in place, tensors named and shaped as parameters and buffers."""
    for group, order in zip(groups, orders, strict=True):
        for one in group.members:
            one.write_(tensors, one.view(tensors, bias=True)[order], bias=True)
            for part in ("running_mean", "running_var"):
                if (statistic := tensors.get(f"{one.name}.{part}")) is not None:
                    alone = {f"{one.name}.weight": statistic}
                    one.write_(alone, one.view(alone)[order])
