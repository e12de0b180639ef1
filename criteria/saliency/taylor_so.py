"""Second-order Taylor: the loss's change to second order when a channel goes, squared."""

from typing import Literal

from pydantic import Field

from ..criterion import Criterion, MemberOptions
from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..lazy import Tensor, torch
from ..network.member import Member
from ..options import Bias
from ..registry import register


class TaylorSOOptions(MemberOptions):
    hessian: Literal["fisher", "product"] = Field(
        default="fisher",
        description="fisher, the diagonal of single samples' squared gradients; product, each "
        "weight's row of the Hessian times all weights.",
    )
    bias: Bias = Field(default=False, description="whether a channel's bias counts.")


@register("taylor_so", needs=Need.GRADIENTS | Need.SQUARES, unstructured=True)
class TaylorSO(Criterion):
    """(sum of g w - w (H w) / 2)^2 over the channel, the mean over batches."""

    options_type = TaylorSOOptions
    mean_over = "batches"

    @classmethod
    def needed(cls, options: TaylorSOOptions) -> Need:
        return Need.GRADIENTS | Need.CURVATURE if options.hessian == "product" else cls.needs

    def observe(self, batch: Batch) -> None:
        bias = self.options.bias
        for member in self.members:
            first = member.per_unit(batch.dots(member, bias=bias))
            self.add(member, (first - self._bend(batch, member) / 2).square())

    def _bend(self, batch: Batch, member: Member) -> Tensor:
        """`[units]`: w (H w) summed over each unit."""
        bias = self.options.bias
        weights = member.rows(batch.weights, bias=bias)
        if self.options.hessian == "fisher":
            terms = weights.square() * member.rows(batch.squared_gradients, bias=bias)
        else:
            terms = weights * member.rows(batch.hessian_product(), bias=bias)
        return member.per_unit(terms.sum(1, dtype=torch.float64))
