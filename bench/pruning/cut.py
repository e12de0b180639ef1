"""Removing channels: on a copy, by torch-pruning's own functions, all groups at once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from criteria import Structure, StructureError
from criteria.lazy import Tensor, nn, torch
from criteria.network.member import Group, Member
from criteria.network.units import Units

EQUAL = 1e-5  # largest difference of outputs, relative to their size, of masked and pruned


def cut(model: nn.Module, groups: Sequence[Group], removed: Sequence[Tensor]) -> nn.Module:
    """A copy of the network without the given units.

    Args:
        model: left as it is.
        groups: its groups.
        removed: of each group, the units that go.
    """
    pruned = copy.deepcopy(model)
    leaving: dict[tuple[str, Callable[..., Any]], list[Tensor]] = {}
    members: dict[tuple[str, Callable[..., Any]], Member] = {}
    for group, units in zip(groups, removed, strict=True):
        if not len(units):
            continue
        for member in group.members:
            key = (member.name, member.prune)
            members[key] = member
            leaving.setdefault(key, []).append(member.indices[torch.isin(member.units, units)])
    with torch.no_grad():
        for key, indices in leaving.items():
            _shrink(pruned, members[key], torch.cat(indices).sort().values)
    return pruned


def _shrink(model: nn.Module, member: Member, indices: Tensor) -> None:
    """Remove positions from one side of a layer."""
    if member.kind != "parameter":
        member.prune.__self__.pruning_dim = member.dim  # type: ignore[attr-defined]
        member.prune(model.get_submodule(member.name), indices.tolist())
        return
    path, _, key = member.name.rpartition(".")
    owner = model.get_submodule(path)
    parameter = getattr(owner, key)
    kept = torch.ones(parameter.shape[member.dim], dtype=torch.bool)
    kept[indices] = False
    stay = kept.nonzero()[:, 0].to(parameter.device)
    setattr(owner, key, nn.Parameter(parameter.index_select(member.dim, stay)))


def uncut(
    dense: nn.Module, groups: Sequence[Group], removed: Sequence[Tensor], pruned: nn.Module
) -> nn.Module:
    """A copy of the dense network with the pruned one's values where it has them, and zeros.

    Cutting the same units from it gives the pruned network back. Where an entry of a cut network
    comes from is found by cutting one whose values are their own positions.
    """
    whole = copy.deepcopy(dense)
    places = copy.deepcopy(dense).double()
    state = {name: entries for name, entries in places.state_dict().items() if entries.dim()}
    for entries in state.values():
        entries.copy_(torch.arange(entries.numel(), dtype=torch.float64).reshape(entries.shape))
    placed = cut(places, groups, removed).state_dict()
    values = pruned.state_dict()
    with torch.no_grad():
        for name, entries in whole.state_dict().items():
            if name not in state:  # a counter
                entries.copy_(values[name])
                continue
            entries.zero_()
            entries.view(-1)[placed[name].flatten().long()] = values[name].flatten()
    return whole


def refilled(
    model: nn.Module, other: nn.Module, groups: Sequence[Group], removed: Sequence[Tensor]
) -> nn.Module:
    """A copy of a network whose given units have another's values, wherever they are made or read.

    Cutting these units from it gives what cutting them from the network itself does.
    """
    filled = copy.deepcopy(model)
    tensors = {name: one.data for name, one in filled.named_parameters()}
    given = {name: one.data for name, one in other.named_parameters()}
    for group, units in zip(groups, removed, strict=True):
        for member in group.members:
            rows = member.view(tensors, bias=True).clone()
            rows[units] = member.view(given, bias=True)[units]
            member.write_(tensors, rows, bias=True)
    return filled


def mask(model: nn.Module, groups: Sequence[Group], removed: Sequence[Tensor]) -> nn.Module:
    """A copy of the network with every parameter of the given units at zero.

    A layer that passes channels on without parameters offers `silence(side, channels)`.
    """
    masked = copy.deepcopy(model)
    for group, units in zip(groups, removed, strict=True):
        zero_(masked, group, units)
    return masked


def zero_(model: nn.Module, group: Group, units: Tensor) -> None:
    """`mask` in place, for one group."""
    Units(model, group, group.members).zero_(units)


def verify(model: nn.Module, example_inputs: tuple[Any, ...], structure: Structure) -> None:
    """Check that removing units equals zeroing them; pruning anything else would be silently wrong.

    A seeded half of every group goes at once. Groups that a layer norm spans are exempt: its
    statistics change with the width by nature; for them only the forward pass is checked.

    Raises:
        StructureError: names the groups for which it does not hold.
    """
    if not _holds(model, example_inputs, structure.groups):
        wrong = [one.root for one in structure.groups if not _holds(model, example_inputs, [one])]
        raise StructureError(
            "removing channels does not equal zeroing them in the groups of "
            + (", ".join(wrong) or "several layers together")
            + "; put these layers on the ignored list"
        )


def _holds(model: nn.Module, example_inputs: tuple[Any, ...], groups: Sequence[Group]) -> bool:
    draw = torch.Generator().manual_seed(0)
    halves = [torch.randperm(group.units, generator=draw)[: group.units // 2] for group in groups]
    spanned = [group.normalizes_over_channels for group in groups]
    none = torch.empty(0, dtype=torch.long)
    plain = [none if span else half for span, half in zip(spanned, halves, strict=True)]
    wide = [half if span else none for span, half in zip(spanned, halves, strict=True)]
    masked = mask(model, groups, plain)
    try:
        if any(spanned):
            _outputs(cut(model, groups, wide), example_inputs)
        return difference(masked, cut(model, groups, plain), example_inputs) <= EQUAL
    except (RuntimeError, ValueError, AssertionError, IndexError):
        return False  # the pruned network does not even run


def difference(model: nn.Module, other: nn.Module, example_inputs: Iterable[Any]) -> float:
    """The largest difference of two networks' outputs, relative to their size where that is over 1.

    They are compared in eval mode and float64, and left as they are.
    """
    one, two = (_outputs(copy.deepcopy(each), example_inputs) for each in (model, other))
    return float((one - two).abs().max() / one.abs().max().clamp(min=1))


def _outputs(model: nn.Module, example_inputs: Iterable[Any]) -> Tensor:
    """The outputs in eval mode and float64, where rounding cannot be mistaken for a wrong cut."""
    inputs = [
        one.double() if isinstance(one, torch.Tensor) and one.is_floating_point() else one
        for one in example_inputs
    ]
    with torch.no_grad():
        return model.double().eval()(*inputs)
