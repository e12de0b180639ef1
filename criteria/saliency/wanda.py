"""Wanda: weights times the norm of what they read."""

from ..evidence.needs import Need
from ..families.moments import Moments
from ..lazy import Tensor
from ..network.member import Member
from ..registry import register


@register(
    "wanda",
    cite="Sun et al., ICLR 2024, arXiv 2306.11695",
    needs=Need.ACTIVATIONS,
    unstructured=True,
)
class Wanda(Moments):
    """Absolute weights of a channel's consumers times the L2 norm of their inputs, summed."""

    def member_scores(self, member: Member) -> Tensor:
        _, _, squares = self._sums[member]
        return self.weighed(member, 1, (squares / self.images).sqrt())
