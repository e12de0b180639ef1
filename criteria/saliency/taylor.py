"""Taylor: how much the loss changes, to first or second order, when a channel's weights go."""

from typing import Literal

from ..criterion import Criterion, MemberOptions
from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..lazy import Tensor, torch
from ..network.member import Member
from ..options import Bias
from ..registry import register
from .magnitude import TorchPruningOptions


class TaylorOptions(MemberOptions):
    """How products of weight and gradient become a score, and whether biases count."""

    variant: Literal["squared", "absolute", "signed", "elementwise"] = "squared"
    """how products p of weight and gradient become a score; b runs over batches. squared: mean over
    b of (sum p)^2. absolute: mean over b of |sum p|. signed: |mean over b of sum p|. elementwise:
    sum of |mean over b of p|."""
    bias: Bias = False


@register(
    "taylor",
    cite="Molchanov et al., CVPR 2019, arXiv 1906.10771; variant elementwise: Ma et al. "
    "(LLM-Pruner), NeurIPS 2023, arXiv 2305.11627",
    needs=Need.GRADIENTS,
    aliases=("taylor_fo",),
    unstructured=True,
)
class Taylor(Criterion):
    """Product of weight and gradient, summed over the channel, then over batches by `variant`."""

    options_type = TaylorOptions
    mean_over = "batches"

    def observe(self, batch: Batch) -> None:
        bias, variant = self.options.bias, self.options.variant
        for member in self.members:
            if variant == "elementwise":
                self.add(member, member.view(batch.products, bias=bias))
                continue
            sums = member.per_unit(batch.dots(member, bias=bias))
            self.add(member, {"squared": sums.square(), "absolute": sums.abs()}.get(variant, sums))

    def member_scores(self, member: Member) -> Tensor:
        mean = super().member_scores(member).abs()  # of squares and of absolute sums, nothing new
        return mean.sum(1) if self.options.variant == "elementwise" else mean


class TaylorSOOptions(MemberOptions):
    hessian: Literal["fisher", "product"] = "fisher"
    """fisher, the diagonal of single samples' squared gradients; product, each weight's row of the
    Hessian times all weights."""
    bias: Bias = False


@register(
    "taylor_so",
    cite="Molchanov et al., CVPR 2019, arXiv 1906.10771",
    needs=Need.GRADIENTS | Need.SQUARES,
    unstructured=True,
)
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


class TaylorTPOptions(TorchPruningOptions):
    """When the absolute value is taken, and the defaults of torch-pruning's scores."""

    multivariable: bool = False
    """absolute value after the sum over a channel's weights, not before."""


@register("taylor_tp", cite="torch-pruning 1.6.1, GroupTaylorImportance", needs=Need.GRADIENTS)
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
