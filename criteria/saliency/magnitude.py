"""Sizes of weights: L1 and L2 of the filter, DepGraph's group norm, LAMP over channels."""

from ..criterion import Criterion, MemberOptions
from ..evidence.batch import Batch
from ..reduce import Normalizer, Reduction
from ..registry import register


class FilterOptions(MemberOptions):
    """The filter that makes the channel, alone and as it is."""

    reduction: Reduction = "first"


@register(
    "l1",
    cite="Li et al., ICLR 2017, arXiv 1608.08710",
    aliases=("magnitude_l1",),
    unstructured=True,
)
class L1(Criterion):
    """Sum of the filter's absolute weights."""

    options_type = FilterOptions

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            self.add(member, member.view(batch.weights).abs().sum(1))


@register(
    "l2",
    cite="He et al., IJCAI 2018, arXiv 1808.06866",
    aliases=("magnitude_l2",),
    unstructured=True,
)
class L2(Criterion):
    """Euclidean norm of the filter's weights."""

    options_type = FilterOptions

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            self.add(member, member.view(batch.weights).norm(dim=1))


class SquaredNorm(Criterion):
    """Squared weights of each member; what the two below reduce and normalise differently."""

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            self.add(member, member.view(batch.weights).square().sum(1))


class TorchPruningOptions(MemberOptions):
    """The defaults of torch-pruning's scores."""

    reduction: Reduction = "mean"
    normalizer: Normalizer = "mean"


@register("group_norm", cite="Fang et al., CVPR 2023 (DepGraph), arXiv 2301.12900")
class GroupNorm(SquaredNorm):
    """Mean squared weights over all coupled layers, over the mean of the group."""

    options_type = TorchPruningOptions


class LampOptions(MemberOptions):
    """LAMP is its normaliser."""

    reduction: Reduction = "mean"
    normalizer: Normalizer = "lamp"


@register("lamp", cite="Lee et al., ICLR 2021, arXiv 2010.07611", unstructured=True)
class Lamp(SquaredNorm):
    """Squared weights of a channel over those of all channels of its group that are not smaller."""

    options_type = LampOptions
