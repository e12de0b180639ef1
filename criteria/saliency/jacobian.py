"""The Jacobian criterion: how far the loss moves along a channel's own weights."""

from typing import Annotated, Literal, Self

from pydantic import model_validator

from ..criterion import Criterion, MemberOptions
from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..lazy import Tensor, torch
from ..network.member import Group, Member
from ..options import Flatten, Only
from ..registry import register


class JacobianOptions(MemberOptions):
    """What a row of J is, and what a block of weights is; the defaults are the authors'."""

    rows: Annotated[
        Literal["batch", "sample"],
        Only("channels", "a single weight is no block; hessian_diag squares each sample's"),
    ] = "batch"
    """the gradient of a batch's mean loss, or of each sample's own loss (block Fisher)."""
    flatten: Flatten = "feature"
    grouped: Annotated[
        Literal["exact", "pooled"], Only("channels", "a single weight meets one output")
    ] = "exact"
    """inputs of a grouped convolution meet their own outputs (exact), or are pooled over the groups
    as torch-pruning's criteria do (pooled)."""
    depthwise: Annotated[bool, Only("channels", "all single weights count")] = False
    """count depthwise convolutions, which the authors leave out."""
    combine: Annotated[
        Literal["separate", "joint"], Only("channels", "a single weight is one member")
    ] = "separate"
    """sum of the members' squares, or square of the members' sum."""

    @model_validator(mode="after")
    def _joint_is_block(self) -> Self:
        if self.combine == "joint" and self.flatten != "block":
            raise ValueError("combine: joint adds whole blocks up; it needs flatten: block")
        if self.combine == "joint" and self.reduction != "sum":
            raise ValueError("combine: joint has no members left to reduce; leave reduction: sum")
        if self.grouped == "pooled" and self.flatten == "block":
            raise ValueError("grouped: pooled is about single entries; it needs flatten: feature")
        return self


@register(
    "jacobian",
    cite="Chen et al. (Optimal Brain Connection) 2025, arXiv 2508.05521, eq. for w'(J'J)w",
    needs=Need.GRADIENTS,
    unstructured=True,
)
class Jacobian(Criterion):
    """Squared product of gradient and weights of every block, summed over batches: w'(J'J)w."""

    options_type = JacobianOptions

    @classmethod
    def needed(cls, options: JacobianOptions) -> Need:
        return Need.SAMPLES if options.rows == "sample" else cls.needs

    def counts(self, member: Member) -> bool:
        depthwise = member.kind == "conv" and member.side == "both"
        return member.scored and (self.options.depthwise or not depthwise)

    def counted(self, group: Group) -> list[Member]:
        """Members that are reduced; with `joint`, all members' sums stand under the first."""
        members = super().counted(group)
        return members[:1] if self.options.combine == "joint" else members

    def observe(self, batch: Batch) -> None:
        for group in self.groups:
            members = super().counted(group)
            products = [self._products(batch, member) for member in members]
            if members and self.options.combine == "joint":
                self.add(members[0], torch.stack(products).sum(0).square().sum(0))
                continue
            for member, rows in zip(members, products, strict=True):
                squares = rows.square().sum(0)
                whole = squares.shape == (group.units,)
                self.add(member, squares if whole else member.per_unit(squares))

    def _products(self, batch: Batch, member: Member) -> Tensor:
        """`[rows, entries]` or, of whole blocks, `[rows, units]`: gradient times weights."""
        if self.options.rows == "sample":
            rows = batch.sample_products(member).double()
        else:
            rows = batch.dots(member, bias=True)[None]
        if self.options.flatten == "block":
            return member.per_unit(rows)
        few = member.kind == "conv" and member.side == "in" and member.blocks > 1
        if self.options.grouped == "pooled" and few:  # inputs of a grouped convolution
            return member.per_unit(rows) * member.entries_per_unit**0.5
        return rows


@register(
    "jacobian_diag",
    cite="the diagonal of Chen et al. 2025, arXiv 2508.05521: an ablation",
    needs=Need.GRADIENTS,
    unstructured=True,
)
class JacobianDiag(Criterion):
    """Squared products of gradient and weight, summed over a channel's weights and batches."""

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            products = member.view(batch.products, bias=True)
            self.add(member, products.double().square().sum(1))
