"""my_criterion: the products of weights and gradients, each to a power.

Check it:   bench check --plugin my_criterion.py
Compare it: bench run quickstart --plugin my_criterion.py --set suite=my_criterion \
    --set 'methods=[random, {criterion: l1, scope: local}, taylor, my_criterion]'
"""

from pydantic import Field
from torch import Tensor

from criteria import Batch, Criterion, Member, MemberOptions, Need, register


# What a suite may set: {criterion: my_criterion, options: {power: 1}, as: my-1}. `MemberOptions`
# brings `reduction` (how the layers of a group become one score) and `normalizer` (inside a group).
class MyCriterionOptions(MemberOptions):
    power: float = Field(
        default=2,
        gt=0,
        description="of each product: 1 adds up sizes; the higher, the more the largest decide",
    )


@register(
    "my_criterion",
    cite="who, where, when; arXiv number",
    faithful="my own",  # or how close it is to the paper and to the authors' code
    needs=Need.GRADIENTS,  # what `observe` reads beside the weights; less is faster
)
class MyCriterion(Criterion):
    """Products of weight and gradient to a power, summed over the channel, mean over batches."""

    options_type = MyCriterionOptions

    def counts(self, member: Member) -> bool:
        """Convolutions and linear layers; norms stay out of the score."""
        return member.kind in ("conv", "linear")

    def observe(self, batch: Batch) -> None:
        """Called for each batch of calibration images."""
        for member in self.members:  # every layer's side in every group that `counts`
            weights = member.view(batch.weights)  # [channels, elements], whatever the layer
            gradients = member.view(batch.gradients)  # of the batch's mean loss, the same shape
            sizes = (weights * gradients).abs()
            self.add(member, sizes.pow(self.options.power).sum(1))  # [channels], adds up

    def member_scores(self, member: Member) -> Tensor:
        """[channels]: the sum over batches as a mean. Channels with low scores leave first."""
        return super().member_scores(member) / self.batches
