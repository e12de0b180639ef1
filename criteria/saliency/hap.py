"""HAP: a channel's mean curvature times its size."""

import torch
from pydantic import Field
from torch import Tensor

from ..criterion import Criterion
from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..network.member import Member
from ..registry import register
from .magnitude import FilterOptions


class HapOptions(FilterOptions):
    probes: int = Field(
        default=10,
        ge=1,
        description="random vectors a batch. The filter that makes the channel counts alone.",
    )


@register(
    "hap",
    cite="Yu et al., WACV 2022, arXiv 2101.08940",
    faithful="the paper's score without its neural implant; re-implemented from the formula. The "
    "number of probes is this project's; on single weights it is OBD with a Hutchinson diagonal",
    needs=Need.CURVATURE,
    unstructured=True,
)
class Hap(Criterion):
    """trace(H_p) / (2 p) * |w_p|^2 over the p weights of a channel, the trace by Hutchinson.

    Rademacher probes over all weights at once; the estimate, not the expectation, decides, so
    scores depend on the generator and may be negative.
    """

    options_type = HapOptions

    def counts(self, member: Member) -> bool:
        return member.kind in ("conv", "linear")

    def observe(self, batch: Batch) -> None:
        names = list(dict.fromkeys(f"{member.name}.weight" for member in self.members))
        for _ in range(self.options.probes):
            probe = {name: self._signs(batch.weights[name]) for name in names}
            product = batch.hessian_product(probe)
            for member in self.members:
                weights = member.view(batch.weights).double()
                traces = (member.view(probe) * member.view(product)).sum(1, dtype=torch.float64)
                self.add(member, traces * weights.square().mean(1) / 2)

    def _signs(self, like: Tensor) -> Tensor:
        """Plus and minus one at random, drawn on the CPU whatever the device."""
        drawn = torch.randint(2, like.shape, generator=self.generator)
        return (2 * drawn - 1).to(like)

    def member_scores(self, member: Member) -> Tensor:
        return super().member_scores(member) / (self.batches * self.options.probes)
