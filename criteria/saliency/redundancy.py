"""Filters that others of their layer can stand in for.

FPGM: near the geometric median of the layer. Cosine: one that points where another one points. WHC:
large filters that are unlike the others stay.
"""

from ..criterion import Criterion
from ..evidence.batch import Batch
from ..lazy import Tensor, torch
from ..registry import register
from .magnitude import FilterOptions, TorchPruningOptions


@register("fpgm")
class FPGM(Criterion):
    """Sum of a filter's Euclidean distances to all filters of its layer."""

    options_type = FilterOptions
    kinds = ("conv", "linear")

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            rows = member.view(batch.weights).double()
            self.add(member, torch.cdist(rows, rows).sum(1))


@register("fpgm_tp")
class FPGMTP(Criterion):
    """Sum of distances between squared weights, over all coupled layers, as in torch-pruning."""

    options_type = TorchPruningOptions
    kinds = ("conv", "linear")
    sides = ("out", "in")

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            rows = member.rows(batch.weights).double().square()
            self.add(member, member.per_unit(torch.cdist(rows, rows).sum(1)))


@register("cosine")
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


@register("whc")
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
