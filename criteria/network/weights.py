"""Unstructured pruning: the channel view of a network whose units are single weights.

Every formula over `member.view` then scores weights as it scores channels; LAMP becomes the
paper's own, Taylor and the Jacobian criterion their diagonals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..lazy import Tensor, nn, torch
from .groups import Structure
from .member import Group, Member, kind_of


@dataclass(frozen=True, eq=False)
class WeightMember(Member):
    """All weights of one layer, in the order of the flattened tensor; each is a unit."""

    def rows(self, tensors: Mapping[str, Tensor], *, bias: bool = False) -> Tensor:
        """`[weights, 1]`; a weight's unit has no bias."""
        return tensors[f"{self.name}.weight"].reshape(-1, 1)

    view = rows

    def per_unit(self, entries: Tensor) -> Tensor:
        return entries


def weight_structure(model: nn.Module) -> Structure:
    """One group a convolution or linear layer; its units are the layer's weights.

    Biases and norm layers are never pruned; the classifier is.
    """
    groups, own = [], dict(model.named_parameters())  # a shared weight once, by its first name
    for name, module in model.named_modules():
        kind = kind_of(module)
        if kind in ("conv", "linear") and f"{name}.weight".removeprefix(".") in own:
            weights = module.get_parameter("weight").numel()
            none = torch.empty(0, dtype=torch.long)
            member = WeightMember(name, kind, "out", none, none, 1, False, weights, _whole)
            groups.append(Group(name, weights, (member,)))
    return Structure(tuple(groups), {})


def _whole(*_: object) -> None:
    raise TypeError("single weights are masked, not cut")
