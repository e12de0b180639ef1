"""SNIP: how sensitive the loss is to the presence of a connection."""

from ..criterion import Criterion, MemberOptions
from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..lazy import Tensor
from ..network.member import Member
from ..options import BatchNormMode
from ..registry import register


class SnipOptions(MemberOptions):
    bn_mode: BatchNormMode = "eval"


@register(
    "snip", cite="Lee et al., ICLR 2019, arXiv 1810.02340", needs=Need.GRADIENTS, unstructured=True
)
class Snip(Criterion):
    """Absolute product of weight and gradient over the sum of all, summed over the channel."""

    options_type = SnipOptions
    kinds = ("conv", "linear")

    def observe(self, batch: Batch) -> None:
        """The gradient is of the mean loss of all images, so products add up before the abs."""
        seen = batch if self.options.bn_mode == "eval" else batch.batch_norm
        for name, products in seen.products.items():
            if name.endswith("weight") and products.dim() > 1:  # connections, no norm's scale
                self.add(name, products.double() * batch.size)

    def scores(self) -> list[Tensor]:
        self._sensitivity = {name: one.abs() for name, one in self._sums.items()}
        self._total = sum(float(one.sum()) for one in self._sensitivity.values()) or 1.0
        return super().scores()

    def member_scores(self, member: Member) -> Tensor:
        return member.view(self._sensitivity).sum(1) / self._total
