"""Units on their way out, as masks over the parameters that make them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..lazy import Tensor, nn, torch
from ..network.member import Group
from ..network.units import makers

_NORMS = ("batchnorm", "layernorm")


@dataclass(frozen=True, eq=False)
class DoomedEntries:
    """The doomed entries of one parameter."""

    name: str  # of the parameter
    parameter: nn.Parameter
    gone: Tensor  # 1 where the entry leaves, 0 elsewhere; shaped as the parameter
    norm: bool  # whether it is the gamma or beta of a norm

    def decay_(self, strength: float) -> None:
        """Add the gradient of `strength / 2 * |entries|^2`; a frozen parameter is left alone."""
        if self.parameter.grad is not None:
            self.parameter.grad.addcmul_(self.parameter.data, self.gone, value=strength)

    def zero_(self) -> None:
        self.parameter.data.addcmul_(self.parameter.data, self.gone, value=-1)


def doomed_entries(
    model: nn.Module, groups: Sequence[Group], units: Sequence[Tensor]
) -> list[DoomedEntries]:
    """Every parameter that makes some of the given units, each once.

    `units`: of each group, those that leave.
    """
    parameters = dict(model.named_parameters())
    kept = {name: torch.ones_like(one.data) for name, one in parameters.items()}
    norms = set()
    for group, gone in zip(groups, units, strict=True):
        for member in makers(group):
            member.zero_(kept, gone)
            norms |= {member.name} if member.kind in _NORMS else set()
    return [
        DoomedEntries(name, parameters[name], 1 - mask, name.rpartition(".")[0] in norms)
        for name, mask in kept.items()
        if not bool(mask.all())
    ]


def norm_of(parts: Iterable[DoomedEntries]) -> float:
    """Joint L2 norm of all doomed entries."""
    squares = [(part.parameter.detach() * part.gone).square().sum() for part in parts]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0
