"""Fisher of whole feature maps: squared gradients of gates that scale a channel."""

from dataclasses import replace
from typing import Literal

from ..criterion import Criterion
from ..errors import NotApplicable
from ..evidence.backward import LayerHooks
from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..lazy import Tensor, torch
from ..network.member import Group, Member
from ..options import Options
from ..reduce import Normalizer, normalize
from ..registry import register


def gate_gradients(batch: Batch, member: Member) -> Tensor:
    """`[samples, units]`: of each sample's own loss, for a gate on this layer's input.

    The sum over positions of activation times its gradient; a depthwise layer is looked at from
    its inputs.
    """
    return member.per_unit(batch.sample_products(replace(member, side="in")))


@register("fisher", cite="Theis et al., arXiv 1801.05787", needs=Need.SAMPLES)
class Fisher(Criterion):
    """Half the mean over samples of the squared sum of activation times gradient of a channel."""

    kinds = ("conv", "linear")
    sides = ("in", "both")  # what reads the channel through its weights
    mean_over = "images"

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            self.add(member, gate_gradients(batch, member).double().square().sum(0) / 2)


class GroupFisherOptions(Options):
    """What a channel's score is divided by."""

    per: Literal["none", "memory", "macs"] = "memory"
    """per sample, what goes with the channel. memory: activations that its producers make. macs: of
    producers and consumers."""
    normalizer: Normalizer = "none"
    """how scores of one group are rescaled before groups are compared."""


@register("group_fisher", cite="Liu et al., ICML 2021, arXiv 2108.00708", needs=Need.SAMPLES)
class GroupFisher(Criterion):
    """Half the mean over samples of the squared gradient of one gate that coupled layers share."""

    options_type = GroupFisherOptions
    kinds = ("conv", "linear")
    sides = ("in", "both")  # what reads the channel through its weights

    def begin(self) -> None:
        self._costs: list[int] = []

    def observe(self, batch: Batch) -> None:
        self._costs = self._costs or [self._cost(batch, group) for group in self.groups]
        for group in self.groups:
            gates = [gate_gradients(batch, one) for one in group.members if self.counts(one)]
            if not gates:
                raise NotApplicable(f"{self.name} finds no consumer in the group of {group.root}")
            self.add(group, torch.stack(gates).sum(0).double().square().sum(0))

    def _cost(self, batch: Batch, group: Group) -> int:
        """Cost of one unit, for one sample."""
        layers = [one for one in group.members if one.kind in ("conv", "linear")]
        match self.options.per:
            case "memory":
                makers = [one for one in layers if one.side != "in"]
                return sum(one.entries_per_unit * _positions(batch, one)[1] for one in makers)
            case "macs":  # a transposed convolution uses its weights at its inputs
                return sum(
                    one.view(batch.weights).shape[1] * _positions(batch, one)[not one.transposed]
                    for one in layers
                )
        return 1

    def scores(self) -> list[Tensor]:
        return [
            normalize(self._sums[group] / (2 * self.images * cost), self.options.normalizer)
            for group, cost in zip(self.groups, self._costs, strict=True)
        ]


def _positions(batch: Batch, member: Member) -> tuple[int, int]:
    """Pixels or tokens that go into a layer and come out of it, per sample, over all its uses."""

    def pass_one() -> dict[str, list[tuple[torch.Size, torch.Size]]]:
        hooks = LayerHooks()
        with torch.no_grad(), hooks.on(batch.model):
            batch.model(batch.first(1))
        return {
            name: [(use.given.shape, use.made.shape) for use in uses]
            for name, uses in hooks.uses.items()
        }

    shapes = batch.evidence("shapes of layers", Need.SAMPLES, pass_one)[member.name]
    where = slice(2, None) if member.kind == "conv" else slice(1, -1)
    into, out = (sum(one[where].numel() for one in side) for side in zip(*shapes, strict=True))
    return into, out
