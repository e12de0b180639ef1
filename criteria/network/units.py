"""The parameters that make the units of a group, and where their entries lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import StructureError
from ..lazy import Tensor, nn, torch
from .member import Group, Member


def makers(group: Group) -> tuple[Member, ...]:
    """Members whose parameters make the group's channels; those that read them are left out.

    With all of them at zero a unit is zero wherever it is read, if activations keep zero.
    """
    return tuple(one for one in group.members if one.side != "in")


class Units:
    """The makers of one group in one network, as one `[units, elements]`.

    Args:
        model: holds the parameters, which may change; its modules may not.
        members: others of the group than its makers.
        bias: whether their biases are among the elements.
    """

    def __init__(
        self, model: nn.Module, group: Group, members: Sequence[Member] = (), *, bias: bool = True
    ) -> None:
        self.group = group
        self.members = members or makers(group)
        self._model, self._bias = model, bias

    def __len__(self) -> int:
        return self.group.units

    def tensors(self) -> dict[str, Tensor]:
        """The network's parameters by name, as data that may be changed in place."""
        return {name: one.data for name, one in self._model.named_parameters()}

    def gradients(self) -> dict[str, Tensor]:
        """Their gradients; zeros where a parameter has none."""
        return {
            name: torch.zeros_like(one.data) if one.grad is None else one.grad
            for name, one in self._model.named_parameters()
        }

    def rows(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """`[units, elements]`: all members' blocks side by side, of any such tensors."""
        return torch.cat([one.view(tensors, bias=self._bias) for one in self.members], dim=1)

    def zero_(self, units: Tensor) -> None:
        """Make these units zero wherever they are made, so that cutting them changes nothing."""
        tensors = self.tensors()
        for member in self.members:
            member.zero_(tensors, units)
        self.silence(units)

    def silence(self, units: Tensor) -> None:
        """Make these units zero where a layer without parameters makes them.

        One that passes channels on, such as a padded shortcut, offers `silence(side, channels)`,
        which no `state_dict` remembers.
        """
        modules = dict(self._model.named_modules())
        for member in self.members:
            silence = getattr(modules.get(member.name), "silence", None)
            if silence is not None:
                silence(member.side, member.indices[torch.isin(member.units, units)])


@dataclass(frozen=True, eq=False)
class Place:
    """A parameter's entries that belong to units."""

    at: Tensor  # [entries], flat positions in the parameter, ascending
    unit: Tensor  # [entries], of all units of all groups, counted through, the one each belongs to


@dataclass(frozen=True, eq=False)
class Entries:
    """Entries of all groups' units, counted through: found once and used every step.

    A unit's parameters are spread over rows and columns of many tensors. Here they are flat
    positions, one list a parameter, so that norms and factors of all units are one gather of each.
    """

    places: Mapping[str, Place]  # by parameter name
    sizes: list[int]  # units of each group

    @property
    def units(self) -> int:
        return sum(self.sizes)

    @property
    def groups(self) -> Tensor:
        """`[units]`: the group of each."""
        return torch.arange(len(self.sizes)).repeat_interleave(torch.tensor(self.sizes))

    def chosen(self, which: Sequence[Tensor]) -> Tensor:
        """`[units]` booleans: units listed group by group."""
        chosen = torch.zeros(self.units, dtype=torch.bool)
        for part, units in zip(chosen.split(self.sizes), which, strict=True):
            part[units] = True
        return chosen

    def listed(self, chosen: Tensor) -> list[Tensor]:
        """Units group by group, ascending: the way back from `chosen`."""
        return [part.nonzero()[:, 0] for part in chosen.split(self.sizes)]

    @classmethod
    def of(cls, groups: Sequence[Units]) -> Entries:
        """All entries of all units of one network. Raises StructureError: an entry belongs to two
        units."""
        tensors = groups[0].tensors()
        sizes = torch.tensor([one.numel() for one in tensors.values()])
        firsts = sizes.cumsum(0) - sizes
        numbers = {  # every entry of the network, numbered: rows says which belong to which unit
            name: torch.arange(first, first + one.numel()).reshape(one.shape)
            for (name, one), first in zip(tensors.items(), firsts.tolist(), strict=True)
        }
        rows = [one.rows(numbers) for one in groups]
        counts = torch.cat([torch.full((len(one),), one.shape[1]) for one in rows])
        entries, order = torch.cat([one.flatten() for one in rows]).sort()
        unit = torch.arange(len(counts)).repeat_interleave(counts)[order]
        owners = torch.searchsorted(firsts, entries, right=True) - 1
        twice = (entries[1:] == entries[:-1]).nonzero()[:, 0]
        if len(twice):
            name = list(tensors)[int(owners[twice[0]])]
            raise StructureError(f"{len(twice)} entries belong to two units, the first in {name}")
        shares = torch.bincount(owners, minlength=len(sizes)).tolist()
        places = {}
        for (name, one), at, whose, first in zip(
            tensors.items(), entries.split(shares), unit.split(shares), firsts, strict=True
        ):
            if len(at):
                where = one.device
                places[name] = Place((at - first).to(where), whose.to(where))
        return cls(places, [len(one) for one in groups])

    def only(self, chosen: Tensor) -> Entries:
        """Those of the chosen units, `[units]` booleans; units keep their numbers."""
        places = {}
        for name, place in self.places.items():
            mine = chosen.to(place.unit.device)[place.unit]
            places[name] = Place(place.at[mine], place.unit[mine])
        return Entries(places, self.sizes)

    def take(self, tensors: Mapping[str, Tensor]) -> list[Tensor]:
        """A copy of the entries, `[entries]` of each parameter."""
        return [tensors[name].take(place.at) for name, place in self.places.items()]

    def sums(self, values: Sequence[Tensor]) -> Tensor:
        """`[parameters, units]`: such values added up over each unit's entries."""
        units = self.units
        rows = [
            one.new_zeros(units).index_add_(0, place.unit, one)
            for one, place in zip(values, self.places.values(), strict=True)
        ]
        return torch.stack(rows)

    def norms(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """`[parameters, units]`: L2 norm of each unit's share of each parameter."""
        return self.sums([one.square() for one in self.take(tensors)]).sqrt()

    def put_(self, tensors: Mapping[str, Tensor], values: Sequence[Tensor]) -> None:
        """Write what `take` would then return."""
        for (name, place), mine in zip(self.places.items(), values, strict=True):
            tensors[name].put_(place.at, mine)

    def scale_(self, tensors: Mapping[str, Tensor], factors: Tensor) -> None:
        """Multiply entries in place, by `[units]`, or by `[parameters, units]`."""
        values = self.take(tensors)
        self.put_(tensors, [one * by for one, by in zip(values, self.spread(factors), strict=True)])

    def spread(self, factors: Tensor) -> list[Tensor]:
        """`[entries]` of each parameter: what each unit has, `[units]`, for all of its entries."""
        per_parameter = factors.expand(len(self.places), self.units)
        return [
            mine.to(place.unit.device)[place.unit]
            for mine, place in zip(per_parameter, self.places.values(), strict=True)
        ]
