"""First-order Taylor: how much the loss changes, to first order, when a channel goes."""

from typing import Literal

from pydantic import Field

from ..criterion import Criterion, MemberOptions
from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..lazy import Tensor
from ..network.member import Member
from ..options import Bias
from ..registry import register


class TaylorOptions(MemberOptions):
    """How products of weight and gradient become a score, and whether biases count."""

    variant: Literal["squared", "absolute", "signed", "elementwise"] = Field(
        default="squared",
        description="how products p of weight and gradient become a score; b runs over batches. "
        "squared: mean over b of (sum p)^2. absolute: mean over b of |sum p|. "
        "signed: |mean over b of sum p|. elementwise: sum of |mean over b of p|.",
    )
    bias: Bias = Field(default=False, description="whether a channel's bias counts.")


@register("taylor", needs=Need.GRADIENTS, aliases=("taylor_fo",), unstructured=True)
class Taylor(Criterion):
    """Product of weight and gradient, summed over the channel, then over batches by `variant`."""

    options_type = TaylorOptions

    def observe(self, batch: Batch) -> None:
        bias = self.options.bias
        for member in self.members:
            match self.options.variant:
                case "squared":
                    self.add(member, member.per_unit(batch.dots(member, bias=bias)).square())
                case "absolute":
                    self.add(member, member.per_unit(batch.dots(member, bias=bias)).abs())
                case "signed":
                    self.add(member, member.per_unit(batch.dots(member, bias=bias)))
                case "elementwise":
                    self.add(member, member.view(batch.products, bias=bias))

    def member_scores(self, member: Member) -> Tensor:
        mean = super().member_scores(member) / self.batches
        match self.options.variant:
            case "signed":
                return mean.abs()
            case "elementwise":
                return mean.abs().sum(1)
        return mean
