"""Cosine: a filter that points where another one points is redundant."""

from ..criterion import Criterion
from ..evidence.batch import Batch
from ..lazy import Tensor, torch
from ..registry import register
from .magnitude import FilterOptions


@register("cosine", cite="after Wang et al. (COP), IJCAI 2019, arXiv 1906.10337")
class Cosine(Criterion):
    """One minus the largest absolute cosine between a filter and another one of its layer."""

    options_type = FilterOptions
    kinds = ("conv", "linear")

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            self.add(member, 1 - _nearest(member.view(batch.weights).double()))


def _nearest(rows: Tensor) -> Tensor:
    """`[rows]`: largest |cosine| to another row; a zero row depends on any other, so 1."""
    lengths = rows.norm(dim=1, keepdim=True)
    directions = rows / torch.where(lengths == 0, 1, lengths)
    cosines = (directions @ directions.T).abs().fill_diagonal_(0).clamp_max(1)
    return torch.where(lengths[:, 0] == 0, 1, cosines.amax(1))
