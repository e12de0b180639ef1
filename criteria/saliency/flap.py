"""FLAP: a channel that hardly fluctuates can be replaced by a constant."""

from ..evidence.needs import Need
from ..families.activations import ActivationOptions
from ..families.moments import Moments
from ..lazy import Tensor
from ..network.member import Member
from ..reduce import Normalizer
from ..registry import register


class FlapOptions(ActivationOptions):
    """Standardised within a layer as in the paper."""

    normalizer: Normalizer = "gaussian"


@register("flap", cite="An et al., AAAI 2024, arXiv 2312.11983", needs=Need.ACTIVATIONS)
class Flap(Moments):
    """Variance of each input times the squared norm of the weights that read it, summed."""

    options_type = FlapOptions

    def member_scores(self, member: Member) -> Tensor:
        count, total, squares = self._sums[member]
        variance = (squares / count - (total / count).square()).clamp_min(0)
        return self.weighed(member, 2, variance)
