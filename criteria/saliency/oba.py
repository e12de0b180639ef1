"""Optimal Brain Apoptosis: the curvature between layers in series.

Weights times a derivative of theirs, summed with signs, are what it shares with FastOBA (hvp.py).
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import model_validator

from ..criterion import Criterion, MemberOptions
from ..errors import NotApplicable
from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..lazy import Tensor, torch
from ..network.member import Member
from ..options import BatchNormMode, Bias, Flatten, Only
from ..reduce import Normalizer, Reduction
from ..registry import register


class SignedOptions(MemberOptions):
    """How signed products of weight and derivative become a score."""

    reduction: Reduction = "mean"
    normalizer: Normalizer = "max"
    bn_mode: BatchNormMode = "eval"
    bias: Bias = False
    multivariable: Annotated[
        bool, Only("channels", "a single weight is one member, with nothing to reduce")
    ] = True
    """|mean over batches| of each block, then the reduction over members; without, the reduction
    over members before the absolute value."""
    flatten: Flatten = "feature"
    patch: Annotated[
        Literal["none", "magnitude"], Only("single weights", "a channel is no weight with a size")
    ] = "none"
    """magnitude adds the size of the weight to the normalised score of a single weight, as the
    authors' unstructured scripts do."""

    @model_validator(mode="after")
    def _blocks_are_of_members(self) -> Self:
        if self.flatten == "block" and not self.multivariable:
            raise ValueError(
                "without multivariable, all entries are summed; leave flatten: feature"
            )
        return self


class SignedScores(Criterion):
    """A unit's signed sum of products, absolute after the mean over batches (OBA, its code).

    A subclass says what the weights are multiplied by.
    """

    options_type = SignedOptions
    kinds = ("conv", "linear")

    def begin(self) -> None:
        self._patches: dict[Member, Tensor] = {}

    def derivative(self, batch: Batch) -> Mapping[str, Tensor]:
        """What each weight is multiplied by, by parameter name."""
        raise NotImplementedError

    def magnitude_unit(self, batch: Batch) -> float:
        """The size of a weight whose magnitude patch is 1."""
        raise NotImplementedError

    def observe(self, batch: Batch) -> None:
        bias = self.options.bias
        derivative = self.derivative(batch if self.options.bn_mode == "eval" else batch.batch_norm)
        for member in self.members:
            if f"{member.name}.weight" not in derivative:
                raise NotApplicable(f"{self.name} has no score for the weights of {member.name}")
            weights = member.rows(batch.weights, bias=bias)
            products = weights * member.rows(derivative, bias=bias)
            self.add(member, products.sum(1, dtype=torch.float64))
            if self.options.patch == "magnitude" and member not in self._patches:
                self._patches[member] = weights[:, 0].double().abs() / self.magnitude_unit(batch)

    def member_scores(self, member: Member) -> Tensor:
        mean = super().member_scores(member) / self.batches
        if not self.options.multivariable:
            return member.per_unit(mean)
        if self.options.flatten == "feature":
            return member.per_unit(mean.abs())
        return member.per_unit(mean).abs()

    def reduced(self, stacked: Tensor) -> Tensor:
        return super().reduced(stacked).abs()

    def scores(self) -> list[Tensor]:
        if self.options.patch == "none":
            return super().scores()
        pairs = zip(self.groups, super().scores(), strict=True)
        return [values + self._patches[group.members[0]] for group, values in pairs]


class ObaOptions(SignedOptions):
    bias: Bias = True
    parts: Literal["both", "up", "down"] = "both"
    """of the score, `criteria.evidence.coupling` has the formulas."""
    direction: Literal["layers", "all"] = "layers"
    """the weights that move, those of convolutions and linear layers, or norm layers' too."""


@register(
    "oba",
    cite="Sun et al., ICLR 2025, arXiv 2502.17941",
    needs=Need.CURVATURE,
    aliases=("oba_series",),
    unstructured=True,
)
class Oba(SignedScores):
    """theta * (up + down): layer by layer curvature, without the loss's and the activations' own.

    On a chain without biases, with ReLU, it is Taylor times the number of other layers.
    """

    options_type = ObaOptions

    def derivative(self, batch: Batch) -> Mapping[str, Tensor]:
        from ..evidence.coupling import coupling_of

        parts: Mapping[str, Mapping[str, Tensor]] = batch.evidence(
            ("series", self.options.direction),
            Need.CURVATURE,
            lambda: coupling_of(
                batch.model, batch.images, batch.loss_of, norms=self.options.direction == "all"
            ),
        )
        return parts[self.options.parts]

    def magnitude_unit(self, batch: Batch) -> float:
        return 1.0
