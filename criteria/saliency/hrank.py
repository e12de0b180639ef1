"""HRank: feature maps of low rank carry little information."""

from ..errors import NotApplicable
from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..families.activations import ActivationCriterion, maps
from ..lazy import torch
from ..registry import register


@register("hrank", cite="Lin et al., CVPR 2020, arXiv 2002.10179", needs=Need.ACTIVATIONS)
class HRank(ActivationCriterion):
    """Mean rank of a channel's feature maps."""

    mean_over = "images"

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            seen = maps(batch, member)
            if seen.dim() == 4:
                raise NotApplicable(f"hrank: {member.name} reads tokens, which are no feature maps")
            if seen.dim() == 3:  # features of a fully connected layer: maps of one pixel
                seen = seen[..., None, None]
            ranks = torch.linalg.matrix_rank(seen).double()
            self.add(member, ranks.mean(2).sum(0))
