"""The makers of a group's units: reading, writing and scaling them, on every kind of coupling."""

from __future__ import annotations

import torch
from conftest import build, groups_of, images, trace
from torch import Tensor, nn

from criteria.network.cut import cut
from criteria.network.units import Units


def each(model: nn.Module) -> list[Units]:
    return [Units(model, group) for group in groups_of(model)]


def test_what_is_written_back_unchanged_changes_nothing(model: nn.Module) -> None:
    before = {name: one.clone() for name, one in model.state_dict().items()}
    for units in each(model):
        tensors = units.tensors()
        for member in units.members:
            member.write_(tensors, member.view(tensors, bias=True).clone(), bias=True)
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


def test_rows_hold_what_was_written(model: nn.Module) -> None:
    for units in each(model):
        tensors = units.tensors()
        written = []
        for at, member in enumerate(units.members, 1):
            rows = member.view(tensors, bias=True)
            written.append(at + torch.arange(rows.numel()).reshape(rows.shape).to(rows))
            member.write_(tensors, written[-1], bias=True)
        assert torch.equal(units.rows(tensors), torch.cat(written, 1))


def outputs(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model.double().eval()(images().double())


def test_cutting_units_whose_makers_are_zero_changes_nothing(model: nn.Module) -> None:
    """True where activations keep zero, and no norm takes statistics over channels."""
    network = trace(model)
    removed = [
        torch.empty(0, dtype=torch.long)
        if group.normalizes_over_channels
        else torch.arange(group.units // 2)
        for group in network.structure.groups
    ]
    for group, gone in zip(network.structure.groups, removed, strict=True):
        Units(model, group).zero_(gone)
    small = cut(model, network.structure.groups, removed)
    # float64: both networks sum the same numbers in another order
    assert torch.allclose(outputs(small), outputs(model), atol=1e-12)


def test_zeroed_units_are_zero_behind_a_padded_shortcut_too() -> None:
    """Half of the copied channels stay in the stream that is copied from."""
    model = build("option_a")
    network = trace(model)
    removed = [
        torch.arange(0, group.units, 2 if group.root == "conv2" else group.units)
        for group in network.structure.groups
    ]
    for group, gone in zip(network.structure.groups, removed, strict=True):
        Units(model, group).zero_(gone)
    small = cut(model, network.structure.groups, removed)
    assert torch.allclose(outputs(small), outputs(model), atol=1e-12)


def test_units_set_to_zero_are_zero_and_no_others_change(model: nn.Module) -> None:
    for units in each(model):
        before = units.rows(units.tensors()).clone()
        gone = torch.arange(0, len(units), 2)
        units.zero_(gone)
        before[gone] = 0
        assert torch.equal(units.rows(units.tensors()), before)
