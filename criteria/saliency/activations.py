"""What a channel's activations are like: mostly zero, of low rank, or hardly there."""

from typing import Literal

from ..errors import NotApplicable
from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..families.activations import ActivationCriterion, ActivationOptions, maps
from ..lazy import Tensor, torch
from ..network.member import Member
from ..reduce import Normalizer
from ..registry import register


class ApozOptions(ActivationOptions):
    """Small activations may count as zero too."""

    threshold: float = 0.0
    """activations up to it count as zero."""


@register("apoz", needs=Need.ACTIVATIONS)
class Apoz(ActivationCriterion):
    """Share of activations that are not zero: one minus the average percentage of zeros."""

    options_type = ApozOptions
    mean_over = "images"

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            alive = maps(batch, member).flatten(2) > self.options.threshold
            self.add(member, alive.mean(2, dtype=torch.float64).sum(0))


@register("hrank", needs=Need.ACTIVATIONS)
class HRank(ActivationCriterion):
    """Mean rank of a channel's feature maps."""

    mean_over = "images"

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            seen = maps(batch, member)
            if seen.dim() == 4:
                raise NotApplicable(f"hrank: {member.name} reads tokens, which are no feature maps")
            if seen.dim() == 3:  # features of a fully connected layer: maps of one pixel
                seen = seen[..., None, None]
            ranks = torch.linalg.matrix_rank(seen).double()
            self.add(member, ranks.mean(2).sum(0))


class MeanActivationOptions(ActivationOptions):
    """What of a channel's activations is its score."""

    normalizer: Normalizer = "l2"
    statistic: Literal["mean", "std"] = "mean"
    """over samples and positions: mean of |a|, or standard deviation of a."""


@register("mean_activation", needs=Need.ACTIVATIONS)
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
