"""Taylor as torch-pruning computes it."""

from pydantic import Field

from ..criterion import Criterion
from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..lazy import Tensor
from ..network.member import Member
from ..registry import register
from .magnitude import TorchPruningOptions


class TaylorTPOptions(TorchPruningOptions):
    """When the absolute value is taken, and the defaults of torch-pruning's scores."""

    multivariable: bool = Field(
        default=False,
        description="absolute value after the sum over a channel's weights, not before.",
    )


@register("taylor_tp", needs=Need.GRADIENTS)
class TaylorTP(Criterion):
    """Absolute products of weight and accumulated gradient, averaged over coupled layers."""

    options_type = TaylorTPOptions

    def counts(self, member: Member) -> bool:
        plain = member.kind in ("conv", "linear") and member.side != "both"
        return plain or member.kind == "layernorm"

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            self.add(member, member.rows(batch.products))

    def member_scores(self, member: Member) -> Tensor:
        products = super().member_scores(member)
        if self.options.multivariable:
            return member.per_unit(products.sum(1).abs())
        return member.per_unit(products.abs().sum(1))
