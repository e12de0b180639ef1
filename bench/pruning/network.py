"""A network with its groups and its costs, and the rules by which units leave it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from criteria import Structure, find_structure
from criteria.lazy import Tensor, nn, torch
from criteria.network.cut import cut
from criteria.network.member import Group, Member, channels_lost, complement

from .cost import ChannelCost, CostModel, cost_model
from .selection import TOLERANCE, Limits, Scope

Removed = list[Tensor]  # of each group, the units that have left, numbered as in the dense network
Shape = Literal["linear", "quadratic", "geometric"]


@dataclass(frozen=True, eq=False)
class Network:
    """A model, its groups of coupled channels, and what its layers cost."""

    model: nn.Module
    inputs: tuple[Any, ...]  # one batch of the forward's arguments, by which it was traced
    structure: Structure
    cost: CostModel

    @classmethod
    def trace(
        cls, model: nn.Module, example_inputs: Any, ignored: Collection[nn.Module] = ()
    ) -> Network:
        """Find the groups of a model and what its layers cost.

        `example_inputs`: one batch of inputs, or a tuple of the forward's arguments. `ignored`:
        layers whose outputs all stay.

        Raises StructureError where torch-pruning cannot trace it, or nothing in it can be pruned.

        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
        >>> network = Network.trace(model, torch.randn(1, 3, 8, 8))
        >>> [(group.root, group.units) for group in network.structure.groups]
        [('0', 8)]
        >>> network.cost.macs(torch.tensor([0])), network.cost.macs(torch.tensor([4]))
        (12384.0, 6192.0)
        """
        inputs = example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)
        structure = find_structure(model, inputs, ignored)
        return cls(model, inputs, structure, cost_model(model, inputs, structure))

    def cut(self, removed: Removed) -> nn.Module:
        """A copy of the model without these units."""
        return cut(self.model, self.structure.groups, removed)

    def without(self, removed: Removed) -> Network:
        """The same without these units, by arithmetic: nothing is traced or counted again."""
        groups = self.structure.groups
        lost = channels_lost(groups, removed)
        left = [_left(group, gone, lost) for group, gone in zip(groups, removed, strict=True)]
        structure = replace(self.structure, groups=tuple(left))
        cost = self.cost.after(torch.tensor([len(gone) for gone in removed]))
        return replace(self, model=self.cut(removed), structure=structure, cost=cost)

    def kept(self, removed: Removed) -> dict[str, list[int]]:
        """Root channels that stay, by the name of the root."""
        return {
            group.root: group.root_channels(complement(group.units, gone)).tolist()
            for group, gone in zip(self.structure.groups, removed, strict=True)
        }

    def kept_by_layer(self, removed: Removed) -> dict[str, dict[str, list[int]]]:
        """Channels that stay of each layer in a group, by its side: in, out, or both in one."""
        stay = dict[str, dict[str, list[int]]]()
        for (name, side), (member, gone) in channels_lost(self.structure.groups, removed).items():
            stay.setdefault(name, {})[side] = complement(member.width, gone).tolist()
        return stay


def _left(group: Group, gone: Tensor, lost: Mapping[Any, tuple[Member, Tensor]]) -> Group:
    """A group without these units, in layers that have lost these channels."""
    units = complement(group.units, gone)

    def left(member: Member) -> Member:
        stay, (_, away) = torch.isin(member.units, units), lost[member.name, member.side]
        return replace(
            member,
            indices=member.indices[stay] - torch.searchsorted(away, member.indices[stay]),
            units=torch.searchsorted(units, member.units[stay]),
            width=member.width - len(away),
        )

    return Group(group.root, len(units), tuple(map(left, group.members)))


@dataclass(frozen=True)
class Rules:
    """How scores become removed channels; the same for all methods of a suite."""

    cost: ChannelCost = "macs"
    scope: Scope = "global"
    limits: Limits = field(default_factory=Limits)
    tolerance: float = TOLERANCE  # of the dense cost


@dataclass(frozen=True)
class Schedule:
    """Stops of an iterative path: from the dense cost to the last budget in `steps` steps.

    Where the steps lead on, `to` a lower share, those up to the last budget are taken.
    """

    steps: int
    shape: Shape = "linear"
    to: float | None = None

    def stops(self, budgets: Sequence[float]) -> list[float]:
        """Shares of the cost, falling; every budget is a stop of its own on the way."""
        last = min(budgets)
        end = last if self.to is None else self.to
        share = [step / self.steps for step in range(1, self.steps + 1)]
        match self.shape:
            case "linear":
                planned = [1 - (1 - end) * one for one in share]
            case "quadratic":  # widths fall linearly, and the cost with their square
                planned = [(1 - (1 - end**0.5) * one) ** 2 for one in share]
            case "geometric":
                planned = [end**one for one in share]
        planned = [one for one in planned if one > last]
        known = {round(one, 9) for one in budgets}  # of a budget and its rounding, one stop
        return sorted({round(one, 9) for one in planned} - known | set(budgets), reverse=True)
