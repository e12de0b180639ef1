"""Removing channels: on a copy, by torch-pruning's own functions, all groups at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import StructureError, fault
from ..lazy import Tensor, nn, torch
from .given import copied, floats_as, tensors
from .groups import Structure
from .member import Group, Member, channels_lost, complement
from .units import Units

EQUAL = 1e-5  # largest difference of outputs, relative to their size, of masked and pruned
ROUNDED = 1e-3  # the same of a network whose forward does not run in float64


def cut(model: nn.Module, groups: Sequence[Group], removed: Sequence[Tensor]) -> nn.Module:
    """A copy of the network, which is left as it is, without `removed`: units of each group."""
    pruned = copied(model)
    with torch.no_grad():
        for member, channels in channels_lost(groups, removed).values():
            if len(channels):
                _shrink(pruned, member, channels)
    return pruned


def _shrink(model: nn.Module, member: Member, indices: Tensor) -> None:
    if member.kind != "parameter":
        member.prune.__self__.pruning_dim = member.dim  # type: ignore[attr-defined]
        layer: Any = model.get_submodule(member.name)
        member.prune(layer, indices.tolist())
        if isinstance(layer, nn.modules.instancenorm._InstanceNorm) and layer.track_running_stats:
            for name in ("running_mean", "running_var"):  # which torch-pruning leaves as they are
                whole = layer.get_buffer(name)
                setattr(layer, name, whole[complement(len(whole), indices)])
        return
    path, _, key = member.name.rpartition(".")
    owner = model.get_submodule(path)
    parameter = getattr(owner, key)
    stay = complement(parameter.shape[member.dim], indices).to(parameter.device)
    setattr(owner, key, nn.Parameter(parameter.index_select(member.dim, stay)))


def uncut(
    dense: nn.Module, groups: Sequence[Group], removed: Sequence[Tensor], pruned: nn.Module
) -> nn.Module:
    """A copy of the dense network with the pruned one's values where it has them, and zeros.

    Cutting the same units from it gives the pruned network back. Where an entry of a cut network
    comes from is found by cutting one whose values are their own positions.
    """
    whole = copied(dense)
    places = copied(dense).double()
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
    filled = copied(model)
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
    masked = copied(model)
    for group, units in zip(groups, removed, strict=True):
        zero_(masked, group, units)
    return masked


def zero_(model: nn.Module, group: Group, units: Tensor) -> None:
    """`mask` in place, for one group."""
    Units(model, group, group.members).zero_(units)


def halves(groups: Sequence[Group]) -> list[Tensor]:
    """A seeded half of every group's units."""
    draw = torch.Generator().manual_seed(0)
    return [torch.randperm(group.units, generator=draw)[: group.units // 2] for group in groups]


def verify(model: nn.Module, example_inputs: tuple[Any, ...], structure: Structure) -> float:
    """Check that removing units equals zeroing them; pruning anything else would be silently wrong.

    A seeded half of every group goes at once. Groups that a layer norm spans are exempt: its
    statistics change with the width by nature; for them only the forward pass is checked.

    Returns:
        The largest difference of the outputs, relative to their size.

    Raises StructureError: names the groups for which it does not hold, and what happens; or the
    network's outputs are not the same twice.
    """
    far, wrong_together = _fault(model, example_inputs, structure.groups)
    if wrong_together is None:
        return far
    if again := difference(model, model, example_inputs):
        if again == float("inf"):
            raise StructureError("the network's outputs on the example inputs hold NaN or infinity")
        raise StructureError(fault("other_each_time"))
    faults = {one.root: _fault(model, example_inputs, [one])[1] for one in structure.groups}
    wrong = {root: one for root, one in faults.items() if one}
    wrong = wrong or {"several layers together": wrong_together}
    first = next(iter(wrong.values()))
    raise StructureError(fault("not_masking", fault=first, roots=", ".join(wrong)))


def _fault(
    model: nn.Module, example_inputs: tuple[Any, ...], groups: Sequence[Group]
) -> tuple[float, str | None]:
    """How far outputs are apart without a half of every group, and what is wrong, or None."""
    gone = halves(groups)
    spanned = [group.normalizes_over_channels for group in groups]
    none = torch.empty(0, dtype=torch.long)
    plain = [none if span else half for span, half in zip(spanned, gone, strict=True)]
    wide = [half if span else none for span, half in zip(spanned, gone, strict=True)]
    masked = mask(model, groups, plain)
    try:
        if any(spanned):
            _outputs(cut(model, groups, wide), example_inputs)
        pair = masked, cut(model, groups, plain)
        ours, theirs = (_outputs(one, example_inputs) for one in pair)
    except (RuntimeError, ValueError, TypeError, AssertionError, IndexError) as error:
        said = f"the network does not run without some channels ({type(error).__name__}: {error})"
        return float("inf"), said
    precise, far = all(one.dtype == torch.float64 for one in ours), apart(ours, theirs)
    right = far <= (EQUAL if precise else ROUNDED)
    return far, None if right else "removing channels does not equal zeroing them"


def difference(model: nn.Module, other: nn.Module, example_inputs: tuple[Any, ...]) -> float:
    """The largest difference of two networks' outputs, relative to the largest of the first.

    They are compared in eval mode, and in float64 where they run in it, and left as they are.
    Outputs may be several, in tuples or mappings; each is compared by its own size.
    """
    return apart(*(_outputs(one, example_inputs) for one in (model, other)))


def apart(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """The largest difference of outputs, relative to the largest of the first; inf where shapes or
    their number differ, or one is not finite."""
    if [one.shape for one in ours] != [one.shape for one in theirs]:
        return float("inf")
    pairs = [(a.double().cpu(), b.double().cpu()) for a, b in zip(ours, theirs, strict=True)]
    found = [
        float((a - b).abs().max() / a.abs().max().clamp(min=1e-30)) for a, b in pairs if a.numel()
    ]
    return float("inf") if any(one != one for one in found) else max(found, default=0.0)


def _outputs(model: nn.Module, example_inputs: tuple[Any, ...]) -> list[Tensor]:
    """All outputs, in float64 where rounding cannot be mistaken for a wrong cut."""
    with torch.no_grad():
        try:
            found = copied(model).double().eval()(*floats_as(torch.float64, example_inputs))
        except RuntimeError:  # a forward with types of its own
            found = copied(model).eval()(*example_inputs)
    return tensors(found)
