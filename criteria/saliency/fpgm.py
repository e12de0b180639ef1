"""FPGM: filters near the geometric median of their layer are redundant."""

from ..criterion import Criterion
from ..evidence.batch import Batch
from ..lazy import torch
from ..registry import register
from .magnitude import FilterOptions, TorchPruningOptions


@register("fpgm", cite="He et al., CVPR 2019, arXiv 1811.00250")
class FPGM(Criterion):
    """Sum of a filter's Euclidean distances to all filters of its layer."""

    options_type = FilterOptions
    kinds = ("conv", "linear")

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            rows = member.view(batch.weights).double()
            self.add(member, torch.cdist(rows, rows).sum(1))


@register("fpgm_tp", cite="torch-pruning 1.6.1, FPGMImportance")
class FPGMTP(Criterion):
    """Sum of distances between squared weights, over all coupled layers, as in torch-pruning."""

    options_type = TorchPruningOptions
    kinds = ("conv", "linear")
    sides = ("out", "in")

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            rows = member.rows(batch.weights).double().square()
            self.add(member, member.per_unit(torch.cdist(rows, rows).sum(1)))
