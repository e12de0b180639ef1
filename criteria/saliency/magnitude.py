"""Sizes of weights: L1 and L2 of the filter, DepGraph's group norm, LAMP, a norm layer's factor."""

from ..criterion import Criterion, MemberOptions
from ..evidence.batch import Batch
from ..reduce import Normalizer, Reduction
from ..registry import register


class FilterOptions(MemberOptions):
    """The filter that makes the channel, alone and as it is."""

    reduction: Reduction = "first"


@register("l1", aliases=("magnitude_l1",), unstructured=True)
class L1(Criterion):
    """Sum of the filter's absolute weights."""

    options_type = FilterOptions

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            self.add(member, member.view(batch.weights).abs().sum(1))


@register("l2", aliases=("magnitude_l2",), unstructured=True)
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


@register("group_norm")
class GroupNorm(SquaredNorm):
    """Mean squared weights over all coupled layers, over the mean of the group."""

    options_type = TorchPruningOptions


class LampOptions(MemberOptions):
    """LAMP is its normaliser."""

    reduction: Reduction = "mean"
    normalizer: Normalizer = "lamp"


@register("lamp", unstructured=True)
class Lamp(SquaredNorm):
    """Squared weights of a channel over those of all channels of its group that are not smaller."""

    options_type = LampOptions


class BNScaleOptions(MemberOptions):
    """One gamma a channel in the paper; the mean where a residual group has several."""

    reduction: Reduction = "mean"


@register("bn_scale")
class BNScale(Criterion):
    """Absolute gamma of the norm layers behind a channel, averaged over the group."""

    options_type = BNScaleOptions
    kinds = ("batchnorm", "layernorm")

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            self.add(member, member.view(batch.weights).abs().sum(1))
