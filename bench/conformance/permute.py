"""The same network with its channels in another order: a criterion must not see the difference."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from criteria import Group, Member


def permuted(model: nn.Module, groups: Sequence[Group], orders: Sequence[Tensor]) -> nn.Module:
    """A copy that computes the same function; its unit u of a group is the model's `order[u]`."""
    twin = copy.deepcopy(model)
    with torch.no_grad():
        permute_({**dict(twin.named_parameters()), **dict(twin.named_buffers())}, groups, orders)
    return twin


def permute_(
    tensors: Mapping[str, Tensor], groups: Sequence[Group], orders: Sequence[Tensor]
) -> None:
    """Permute, in place, contiguous tensors named and shaped as parameters and buffers."""
    for group, order in zip(groups, orders, strict=True):
        for member in group.members:
            for name, places in _places(member, tensors):
                flat = tensors[name].view(-1)
                flat[places] = flat[places[order]]


def random_orders(groups: Sequence[Group], seed: int = 0) -> list[Tensor]:
    """An order of the units of each group."""
    draw = torch.Generator().manual_seed(seed)
    return [torch.randperm(group.units, generator=draw) for group in groups]


def _places(member: Member, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The flat indices `[units, elements]` of a member's units, for each of its tensors."""
    weight = member.name if member.kind == "parameter" else f"{member.name}.weight"
    if weight in tensors:
        shape = tensors[weight].shape
        yield weight, member.view({weight: torch.arange(shape.numel()).reshape(shape)})
    if member.side != "in":
        by_unit = member.indices[torch.argsort(member.units, stable=True)]
        for part in ("bias", "running_mean", "running_var"):
            if f"{member.name}.{part}" in tensors:
                yield f"{member.name}.{part}", by_unit.reshape(int(member.units.max()) + 1, -1)
