"""APoZ: channels that are mostly zero say little."""

from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..families.activations import ActivationCriterion, ActivationOptions, maps
from ..lazy import torch
from ..registry import register


class ApozOptions(ActivationOptions):
    """Small activations may count as zero too."""

    threshold: float = 0.0
    """activations up to it count as zero."""


@register(
    "apoz", cite="Hu et al. (network trimming), 2016, arXiv 1607.03250", needs=Need.ACTIVATIONS
)
class Apoz(ActivationCriterion):
    """Share of activations that are not zero: one minus the average percentage of zeros."""

    options_type = ApozOptions
    mean_over = "images"

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            alive = maps(batch, member).flatten(2) > self.options.threshold
            self.add(member, alive.mean(2, dtype=torch.float64).sum(0))
