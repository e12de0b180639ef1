"""BN scale: the factor that batch norm puts on a channel."""

from ..criterion import Criterion, MemberOptions
from ..evidence.batch import Batch
from ..reduce import Reduction
from ..registry import register


class BNScaleOptions(MemberOptions):
    """One gamma a channel in the paper; the mean where a residual group has several."""

    reduction: Reduction = "mean"


@register("bn_scale", cite="Liu et al. (network slimming), ICCV 2017, arXiv 1708.06519")
class BNScale(Criterion):
    """Absolute gamma of the norm layers behind a channel, averaged over the group."""

    options_type = BNScaleOptions
    kinds = ("batchnorm", "layernorm")

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            self.add(member, member.view(batch.weights).abs().sum(1))
