"""ResNets for CIFAR (He et al. 2016, arXiv 1512.03385, section 4.2): 20, 32, 44, 56, 110 layers.

Three stages of 16, 32 and 64 channels, or `width` times 1, 2 and 4. The names of the parameters are
those of the widespread checkpoints (conv1, layer1.0.conv1, ..., linear).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_pruning.pruner.function import BasePruningFunc

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


class ChannelPadPruner(BasePruningFunc):
    """How torch-pruning cuts a `ChannelPad`: its two sides are separate groups."""

    # Annotated for mypy, which cannot see into torch-pruning.
    TARGET_MODULES: ClassVar[type[nn.Module]]

    def prune_out_channels(self, layer: ChannelPad, idxs: Sequence[int]) -> ChannelPad:
        layer.source = layer.source[_kept(layer.out_channels, idxs)]
        return layer

    def prune_in_channels(self, layer: ChannelPad, idxs: Sequence[int]) -> ChannelPad:
        kept = _kept(layer.in_channels, idxs)
        renumbered = torch.full((layer.in_channels + 1,), -1)
        renumbered[kept] = torch.arange(len(kept))
        # The last entry stays -1, and that is where a source of -1 looks.
        layer.source = renumbered.to(layer.source.device)[layer.source]
        layer.in_channels = len(kept)
        return layer

    def get_out_channels(self, layer: ChannelPad) -> int:
        return layer.out_channels

    def get_in_channels(self, layer: ChannelPad) -> int:
        return layer.in_channels


class ChannelPad(nn.Module):
    """[n, in, h, w] -> [n, out, ceil(h / stride), ceil(w / stride)]: subsampled, zero-padded.

    `source[j]` is the input channel that output channel j copies, or -1 for zeros. At first the
    input lies in the middle (He et al. 2016, arXiv 1512.03385, option A).

    torch-pruning traces `F.pad` over channels as an element-wise operation, which ties streams of
    16, 32 and 64 channels to one group of 16 and breaks the network. A module that says what each
    output channel copies keeps the streams apart, and remains right after any cut.
    """

    pruning_func: ClassVar[type[BasePruningFunc]] = ChannelPadPruner
    source: Tensor

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.stride = stride
        source = torch.full((out_channels,), -1)
        before = (out_channels - in_channels) // 2
        source[before : before + in_channels] = torch.arange(in_channels)
        self.register_buffer("source", source, persistent=False)

    @property
    def out_channels(self) -> int:
        return self.source.numel()

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        copied = x.index_select(1, self.source.clamp(min=0))
        # Selected and blanked, not concatenated with zeros: a concat would be traced as one.
        return copied.masked_fill((self.source < 0).view(-1, 1, 1), 0.0)

    def silence(self, side: str, channels: Tensor) -> None:
        """Make channels zero without removing them; there is no parameter that could do it."""
        if side == "out":
            self.source[channels] = -1
        else:
            self.source[torch.isin(self.source, channels)] = -1

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, stride={self.stride}"


ChannelPadPruner.TARGET_MODULES = ChannelPad


def _kept(channels: int, removed: Sequence[int]) -> list[int]:
    gone = set(removed)
    return [channel for channel in range(channels) if channel not in gone]
