"""WHC: large filters that are unlike the others stay."""

from ..criterion import Criterion
from ..evidence.batch import Batch
from ..lazy import Tensor, torch
from ..registry import register


@register(
    "whc",
    cite="Chen et al. (weighted hybrid criterion), ICASSP 2023; as in Chen et al. 2025, "
    "arXiv 2508.05521",
)
class WHC(Criterion):
    """A filter's norm times the norms of all filters of its layer, each by its dissimilarity."""

    kinds = ("conv", "linear")
    sides = ("out", "in")

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            if member.side == "out":
                entries = distinction(member.rows(batch.weights))
            else:
                weight = batch.weights[f"{member.name}.weight"]
                columns = weight if member.transposed else weight.transpose(0, 1)
                entries = distinction(columns.flatten(1))[member.indices % len(columns)]
            self.add(member, member.per_unit(entries))


def distinction(filters: Tensor) -> Tensor:
    """`[filters]`: |f_i| times the sum over j of |f_j| (1 - |cos(f_i, f_j)|), in float64.

    >>> distinction(torch.tensor([[3.0, 0.0], [0.0, 2.0], [-5.0, 0.0]]))
    tensor([ 6., 16., 10.], dtype=torch.float64)
    """
    filters = filters.double()
    norms = filters.norm(dim=1)
    unit = filters / torch.where(norms > 0, norms, 1.0)[:, None]
    unlike = (1 - (unit @ unit.T).abs()).clamp(min=0).fill_diagonal_(0)
    return norms * (unlike @ norms)
