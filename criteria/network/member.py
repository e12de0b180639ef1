"""The channel view: one layer's side in a group, as `[units, elements]` of any tensor like its own.

Every structured criterion is a formula over these views, so this is the only place that indexes
into weights. A unit is what leaves the network whole: a channel, or, where a layer works in equal
blocks (grouped convolution, attention heads), the channels at one position of every block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from ..lazy import Tensor, nn, torch

LayerKind = Literal["conv", "linear", "batchnorm", "layernorm", "spanning", "other", "parameter"]
Side = Literal["out", "in", "both"]

SCORED_KINDS: frozenset[LayerKind] = frozenset({"conv", "linear", "batchnorm", "layernorm"})


def convolutions() -> tuple[type[nn.Module], ...]:
    """The types of convolutions, transposed ones last."""
    transposed = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    return (nn.Conv1d, nn.Conv2d, nn.Conv3d, *transposed)


def norms() -> tuple[type[nn.Module], ...]:
    """The types of norms with factors and shifts of their own, layer norm last."""
    return (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm)


def kind_of(module: nn.Module | nn.Parameter) -> LayerKind:
    """What a layer is to a criterion."""
    if isinstance(module, nn.Parameter):
        return "parameter"
    if isinstance(module, convolutions()):
        return "conv"
    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, norms()) and module.weight is not None:
        return "layernorm" if isinstance(module, nn.LayerNorm) else "batchnorm"
    # A norm over channels that has no factors, or whose units are of several blocks.
    return "spanning" if isinstance(module, nn.LayerNorm | nn.GroupNorm) else "other"


@dataclass(frozen=True, eq=False)
class Member:
    """One layer's side in a group."""

    name: str  # the module's name, or the parameter's where it belongs to no layer
    kind: LayerKind  # what the layer is; criteria score `SCORED_KINDS`
    side: Side  # which channels of it are in the group; `both` where in and out are one
    # [entries], positions in this layer's side, ascending within a unit.
    indices: Tensor = field(repr=False)
    units: Tensor = field(repr=False)  # [entries], the unit that each position belongs to
    blocks: int  # equal blocks along this side (groups of a convolution, heads), 1 without
    transposed: bool  # a transposed convolution, whose weight has its sides swapped
    width: int  # channels of this side in the whole layer
    # Torch-pruning's function that removes channels: `prune(module, indices)`.
    prune: Callable[..., Any] = field(repr=False)
    dim: int = 0  # dimension of a bare parameter that holds the channels
    # Whether its outputs meet others in a product (query, key, value), not in a sum.
    multiplied: bool = False

    @property
    def scored(self) -> bool:
        return self.kind in SCORED_KINDS

    @cached_property
    def unit_count(self) -> int:
        return int(self.units.max()) + 1

    @property
    def entries_per_unit(self) -> int:
        return len(self.indices) // self.unit_count

    def view(self, tensors: Mapping[str, Tensor], *, bias: bool = False) -> Tensor:
        """`[units, elements]` of this member's share of any tensors named and shaped as parameters.

        With `bias`, the bias entry (beta of a norm) is the last element of each channel's block;
        it belongs to the out side only.
        """
        return self._by_unit(self.rows(tensors, bias=bias))

    def rows(self, tensors: Mapping[str, Tensor], *, bias: bool = False) -> Tensor:
        """`[entries, elements]`: as `view`, before the positions of a unit are joined.

        A flattened convolution has one entry a feature here, and one row a channel in `view`.
        """
        rows = [
            # Most layers: all channels, in order.
            (by_channel if self._whole and len(at) == 1 else by_channel[at]).reshape(len(at[0]), -1)
            for by_channel, at in self._places(tensors, self.indices, bias=bias)
        ]
        if not rows:  # a layer without parameters
            return next(iter(tensors.values())).new_zeros(len(self.indices), 0)
        return rows[0] if len(rows) == 1 else torch.cat(rows, dim=1)

    def per_unit(self, entries: Tensor) -> Tensor:
        """`[..., entries]` to `[..., units]`: the sum over the entries of each unit."""
        if self._in_order and self.entries_per_unit == 1:
            return entries
        by_unit = self._by_unit(entries.movedim(-1, 0)).unflatten(1, (self.entries_per_unit, -1))
        return by_unit.sum(1).reshape(self.unit_count, *entries.shape[:-1]).movedim(0, -1)

    def channels(self, values: Tensor) -> Tensor:
        """`[samples, units, positions]` of a layer's input (side in) or output (any other).

        `values`: `[samples, channels, ...]` of a convolution or batch norm, `[samples, ...,
        channels]` of a linear layer or layer norm.
        """
        if self.kind in ("linear", "layernorm"):
            values = values.movedim(-1, 1)
        mine = values if self._whole else values[:, self.indices]
        flat = mine.reshape(*mine.shape[:2], -1)
        if self._in_order and self.entries_per_unit == 1:
            return flat
        return flat[:, self._order].reshape(len(flat), self.unit_count, -1)

    def _by_unit(self, rows: Tensor) -> Tensor:
        """`[entries, ...]` to `[units, elements]`."""
        ordered = rows if self._in_order else rows[self._order]
        return ordered.reshape(self.unit_count, -1)

    @cached_property
    def _order(self) -> Tensor:
        return torch.argsort(self.units, stable=True)

    @cached_property
    def _in_order(self) -> bool:
        return torch.equal(self._order, torch.arange(len(self.units)))

    @cached_property
    def _whole(self) -> bool:
        """Whether these are all channels of the side, in order."""
        return torch.equal(self.indices, torch.arange(self.width))

    def zero_(self, tensors: Mapping[str, Tensor], units: Tensor) -> None:
        """Set this member's share of the given units to zero, in place, biases included."""
        for by_channel, at in self._places(tensors, self.indices[torch.isin(self.units, units)]):
            by_channel[at] = 0

    def write_(self, tensors: Mapping[str, Tensor], values: Tensor, *, bias: bool = False) -> None:
        """Put `[units, elements]` back to where `view` took them from."""
        rows = values.reshape(len(self.indices), values.numel() // len(self.indices))
        rows = torch.empty_like(rows).index_copy_(0, self._order.to(rows.device), rows)
        for by_channel, at in self._places(tensors, self.indices, bias=bias):
            shape = by_channel.shape[len(at) :]
            by_channel[at] = rows[:, : shape.numel()].reshape(-1, *shape)
            rows = rows[:, shape.numel() :]

    def _places(
        self, tensors: Mapping[str, Tensor], channels: Tensor, *, bias: bool = True
    ) -> Iterator[tuple[Tensor, tuple[Tensor, ...]]]:
        """A view of each parameter of this member, channels of this side first, and the place of
        `channels` in it; weights before biases."""
        if self.kind == "parameter":
            if self.name in tensors:
                yield tensors[self.name].movedim(self.dim, 0), (channels,)
            return
        weight, offset = tensors.get(f"{self.name}.weight"), tensors.get(f"{self.name}.bias")
        if weight is not None:
            yield self._located(weight, channels)
        if bias and offset is not None and self.side != "in":
            yield offset, (channels,)

    def _located(self, weight: Tensor, channels: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """A view of the weight, channels of this side first, and the place of `channels` in it."""
        if weight.dim() == 1 or self.side == "both" or (self.side == "out") != self.transposed:
            return weight, (channels,)
        if self.blocks == 1:
            return weight.transpose(0, 1), (channels,)
        # A block of inputs meets its own block of outputs: [b, out/b, in/b] -> [b, in/b, out/b].
        split = weight.unflatten(0, (self.blocks, -1)).transpose(1, 2)
        return split, (channels // split.shape[1], channels % split.shape[1])


@dataclass(frozen=True, eq=False)
class Group:
    """Coupled channels that leave together."""

    root: str  # name of the layer whose outputs give the group its name
    units: int  # how many units it has; `channels_per_unit` root channels each
    members: tuple[Member, ...]  # all layers' sides that lose channels with it, the root's first

    @property
    def channels_per_unit(self) -> int:
        return self.members[0].entries_per_unit

    @property
    def pattern(self) -> tuple[tuple[LayerKind, Side], ...]:
        """What the group looks like; equal patterns are isomorphic (Fang et al., ECCV 2024)."""
        return tuple((member.kind, member.side) for member in self.members)

    @property
    def coupled(self) -> bool:
        """Whether several layers make these channels together, as in a residual stream.

        Padded shortcuts and bare parameters (a position embedding) that are added count; the query,
        key and value of one attention do not.
        """
        makes = [
            (one.side == "out" or one.kind == "parameter") and not one.multiplied
            for one in self.members
        ]
        return sum(makes) > 1

    @property
    def normalizes_over_channels(self) -> bool:
        """Whether a norm takes statistics over these channels, so that removal is not masking."""
        return any(member.kind in ("layernorm", "spanning") for member in self.members)

    def root_channels(self, units: Tensor) -> Tensor:
        """Ascending root channels of the given units."""
        root = self.members[0]
        return root.indices[torch.isin(root.units, units)].sort().values


def complement(count: int, some: Tensor) -> Tensor:
    """All others of so many units or channels, ascending."""
    return torch.ones(count, dtype=torch.bool).index_fill(0, some, False).nonzero()[:, 0]


def channels_lost(
    groups: Sequence[Group], removed: Sequence[Tensor]
) -> dict[tuple[str, Side], tuple[Member, Tensor]]:
    """By name and side of each layer: a member there, and the channels that it loses, ascending.

    `removed`: of each group, the units that go.
    """
    lost: dict[tuple[str, Side], tuple[Member, Tensor]] = {}
    for group, units in zip(groups, removed, strict=True):
        for one in group.members:
            _, before = lost.get((one.name, one.side), (one, one.indices[:0]))
            gone = torch.cat([before, one.indices[torch.isin(one.units, units)]])
            lost[one.name, one.side] = one, gone.sort().values
    return lost
