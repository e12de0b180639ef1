"""The parameters that make the units of a group: what must be zero for a unit to be gone."""

from __future__ import annotations

from collections.abc import Mapping

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
    """

    def __init__(
        self, model: nn.Module, group: Group, members: tuple[Member, ...] | None = None
    ) -> None:
        self.group = group
        self.members = makers(group) if members is None else members
        self._model = model

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
        """`[units, elements]`: all makers' blocks and biases side by side, of any such tensors."""
        return torch.cat([one.view(tensors, bias=True) for one in self.members], dim=1)

    def scale_(self, tensors: Mapping[str, Tensor], factors: Tensor) -> None:
        """Multiply each unit's entries by its factor, `[units]`, in place."""
        for member in self.members:
            member.scale_(tensors, factors)

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
