"""Statistics of each feature that a layer reads, to weigh the weights with."""

from __future__ import annotations

from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..lazy import Tensor, nn, torch
from ..network.member import Member
from ..network.weights import WeightMember
from .activations import ActivationCriterion


class Moments(ActivationCriterion):
    """Base of criteria that weigh each weight with a statistic of the feature that it reads.

    A member's sum is `[3, features]`: how many values were seen, their sum, that of their squares.
    """

    def counts(self, member: Member) -> bool:
        return isinstance(member, WeightMember) or super().counts(member)

    def observe(self, batch: Batch) -> None:
        self.model = batch.model
        for member in self.members:

            def add_up(member: Member = member) -> Tensor:
                given = inputs(batch, member).double()
                ones = given.new_full((given.shape[1],), given.shape[2] * batch.size)
                return torch.stack([ones, given.sum((0, 2)), given.square().sum((0, 2))])

            key = ("input moments", member.name)
            self.add(member, batch.evidence(key, Need.ACTIVATIONS, add_up))

    def weighed(self, member: Member, power: int, statistic: Tensor) -> Tensor:
        """`[units]`: |weight| ** power times the statistic `[features]` of its input, summed."""
        layer = self.model.get_submodule(member.name)
        weights = layer.get_parameter("weight").detach().double().abs() ** power
        products = weights * per_weight(layer, statistic)
        return member.view({f"{member.name}.weight": products}).sum(1)


def inputs(batch: Batch, member: Member) -> Tensor:
    """`[samples, features, positions]`: all that goes into a layer, of this group or not."""
    given = batch.layer_input(member.name)
    if member.kind == "linear":
        given = given.movedim(-1, 1)
    return given.reshape(*given.shape[:2], -1)


def per_weight(layer: nn.Module, features: Tensor) -> Tensor:
    """Numbers `[features]` of a layer's inputs, in a shape that broadcasts to its weight's."""
    weight = layer.get_parameter("weight")
    kernel = (1,) * (weight.dim() - 2)
    if getattr(layer, "transposed", False):  # whose weight has its inputs first
        return features.reshape(-1, 1, *kernel)
    blocks = features.reshape(getattr(layer, "groups", 1), -1)  # each read by its own outputs
    return blocks.repeat_interleave(len(weight) // len(blocks), 0).reshape(len(weight), -1, *kernel)
