"""Where the entries of many units lie in a network's parameters, found once and used every step.

A unit's parameters are spread over rows and columns of many tensors. Here they are flat positions,
one list a parameter, so that norms and factors of all units are one gather a parameter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .errors import StructureError


class Gathers(Protocol):
    """What `Units` offers, and gates too: the entries of each unit side by side.

    `rows` only moves entries, whatever the tensors hold; all objects of a list are of one network.
    """

    def __len__(self) -> int: ...

    def tensors(self) -> dict[str, Tensor]: ...

    def gradients(self) -> dict[str, Tensor]: ...

    def rows(self, tensors: Mapping[str, Tensor]) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Place:
    """A parameter's entries that belong to units.

    Attributes:
        at: [entries], flat positions in the parameter, ascending.
        unit: [entries], of all units of all groups, counted through, the one each belongs to.
        vector: whether the parameter has one dimension: a norm's scale and shift, a bias, a gate.
    """

    at: Tensor
    unit: Tensor
    vector: bool


@dataclass(frozen=True, eq=False)
class Entries:
    """Entries of `units` units in `places`, by parameter name."""

    places: Mapping[str, Place]
    units: int

    @classmethod
    def of(cls, groups: Sequence[Gathers]) -> Entries:
        """All entries of all units.

        Raises:
            StructureError: an entry belongs to two units.
        """
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
                places[name] = Place((at - first).to(where), whose.to(where), one.dim() == 1)
        return cls(places, len(counts))

    def only(self, chosen: Tensor) -> Entries:
        """Those of the chosen units, `[units]` booleans; units keep their numbers."""
        places = {}
        for name, place in self.places.items():
            mine = chosen.to(place.unit.device)[place.unit]
            places[name] = Place(place.at[mine], place.unit[mine], place.vector)
        return Entries(places, self.units)

    def take(self, tensors: Mapping[str, Tensor]) -> list[Tensor]:
        """A copy of the entries, `[entries]` of each parameter."""
        return [tensors[name].take(place.at) for name, place in self.places.items()]

    def sums(self, values: Sequence[Tensor]) -> Tensor:
        """`[parameters, units]`: such values added up over each unit's entries."""
        rows = [
            one.new_zeros(self.units).index_add_(0, place.unit, one)
            for one, place in zip(values, self.places.values(), strict=True)
        ]
        return torch.stack(rows)

    def norms(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """`[parameters, units]`: L2 norm of each unit's share of each parameter."""
        return self.sums([one.square() for one in self.take(tensors)]).sqrt()

    def scale_(self, tensors: Mapping[str, Tensor], factors: Tensor) -> None:
        """Multiply entries in place, by `[units]`, or by `[parameters, units]`."""
        per_parameter = factors.expand(len(self.places), self.units)
        for (name, place), mine in zip(self.places.items(), per_parameter, strict=True):
            tensor = tensors[name]
            tensor.put_(place.at, tensor.take(place.at) * mine.to(tensor)[place.unit])

    @property
    def vectors(self) -> Tensor:
        """`[parameters, 1]` booleans: which have one dimension."""
        some = next(iter(self.places.values()))
        flags = [place.vector for place in self.places.values()]
        return torch.tensor(flags, device=some.at.device)[:, None]
