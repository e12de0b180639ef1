"""First-order Taylor: how much the loss changes, to first order, when a channel goes."""

from typing import Literal

from torch import Tensor

from ..criterion import Batch, Criterion, Need, Options
from ..member import Member
from ..registry import register


class TaylorOptions(Options):
    """How products p of weight and gradient become a score; b runs over batches.

    squared: mean over b of (sum p)^2. absolute: mean over b of |sum p|.
    signed: |mean over b of sum p|. elementwise: sum of |mean over b of p|.
    """

    variant: Literal["squared", "absolute", "signed", "elementwise"] = "squared"
    bias: bool = False


@register(
    "taylor",
    cite="Molchanov et al., CVPR 2019, arXiv 1906.10771; variant elementwise: Ma et al. "
    "(LLM-Pruner), NeurIPS 2023, arXiv 2305.11627",
    fidelity="squared is the paper's score, over batches as there, summed over coupled layers; "
    "batch norm counts (torch-pruning leaves it out)",
    needs=Need.GRADIENTS,
    aliases=("taylor_fo",),
)
class Taylor(Criterion):
    """Product of weight and gradient, summed over the channel, then over batches by `variant`."""

    options_type = TaylorOptions

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            weights = member.view(batch.weights, bias=self.options.bias).double()
            gradients = member.view(batch.gradients, bias=self.options.bias)
            products = weights * gradients
            match self.options.variant:
                case "squared":
                    self.add(member, products.sum(1).square())
                case "absolute":
                    self.add(member, products.sum(1).abs())
                case "signed":
                    self.add(member, products.sum(1))
                case "elementwise":
                    self.add(member, products)

    def member_scores(self, member: Member) -> Tensor:
        mean = super().member_scores(member) / self.batches
        match self.options.variant:
            case "signed":
                return mean.abs()
            case "elementwise":
                return mean.abs().sum(1)
        return mean
