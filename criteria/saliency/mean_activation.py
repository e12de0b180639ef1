"""Mean activation: channels that hardly fire are not needed."""

from typing import Literal

from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..families.activations import ActivationCriterion, ActivationOptions, maps
from ..lazy import Tensor, torch
from ..network.member import Member
from ..reduce import Normalizer
from ..registry import register


class MeanActivationOptions(ActivationOptions):
    """What of a channel's activations is its score."""

    normalizer: Normalizer = "l2"
    statistic: Literal["mean", "std"] = "mean"
    """over samples and positions: mean of |a|, or standard deviation of a."""


@register(
    "mean_activation",
    cite="Molchanov et al., ICLR 2017, arXiv 1611.06440; statistic std: after Polyak and Wolf, "
    "IEEE Access 2015",
    needs=Need.ACTIVATIONS,
)
class MeanActivation(ActivationCriterion):
    """Mean absolute activation of a channel, over samples and positions."""

    options_type = MeanActivationOptions

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            seen = maps(batch, member).flatten(2).double()
            if self.options.statistic == "mean":
                self.add(member, seen.abs().mean(2).sum(0))
            else:
                self.add(member, torch.stack([seen, seen.square()]).mean(3).sum(1))

    def member_scores(self, member: Member) -> Tensor:
        mean = super().member_scores(member) / self.images
        if self.options.statistic == "mean":
            return mean
        first, second = mean
        return (second - first.square()).clamp_min(0).sqrt()
