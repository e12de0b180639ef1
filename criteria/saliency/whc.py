"""WHC: large filters that are unlike the others stay."""

import torch

from ..criterion import Criterion
from ..evidence.batch import Batch
from ..network.member import Member
from ..registry import register


@register(
    "whc",
    cite="Chen et al. (weighted hybrid criterion), ICASSP 2023; as in Chen et al. 2025, "
    "arXiv 2508.05521",
    faithful="faithful to the authors' code; a channel's weights after a flatten are one filter",
)
class WHC(Criterion):
    """A filter's norm times the norms of all filters of its layer, each by its dissimilarity."""

    def counts(self, member: Member) -> bool:
        return member.kind in ("conv", "linear")

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            filters = member.view(batch.weights).double()
            norms = filters.norm(dim=1)
            unit = filters / torch.where(norms > 0, norms, 1.0)[:, None]
            unlike = (1 - (unit @ unit.T).abs()).clamp(min=0).fill_diagonal_(0)
            self.add(member, norms * (unlike @ norms))
