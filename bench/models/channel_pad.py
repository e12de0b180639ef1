"""The parameter-free shortcut of CIFAR ResNets (option A), in a form that can be pruned.

`F.pad` over channels is traced by torch-pruning as an element-wise operation, which ties streams
of 16, 32 and 64 channels to one group of 16 and breaks the network. A module that says which input
channel each output channel copies keeps the streams apart, and remains right after any cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch_pruning.pruner.function import BasePruningFunc


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
