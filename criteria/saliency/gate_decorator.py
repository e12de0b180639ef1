"""Gate-Decorator's score: how much the loss changes, to first order, when a norm's gate closes."""

from ..criterion import Criterion, MemberOptions
from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..options import BatchNormMode
from ..registry import register


class GateDecoratorOptions(MemberOptions):
    """Scored in training, as the authors do."""

    bn_mode: BatchNormMode = "batch"


@register(
    "gate_decorator",
    cite="You et al. (Gate Decorator), NeurIPS 2019, arXiv 1909.08174",
    needs=Need.GRADIENTS,
)
class GateDecorator(Criterion):
    """Absolute product of a batch norm's gate and its gradient, summed over batches and norms.

    A gate g multiplies the norm's whole output y = g (x + b), so g dL/dg is the sum of y dL/dy:
    of a plain batch norm, gamma dL/dgamma + beta dL/dbeta.
    """

    options_type = GateDecoratorOptions
    kinds = ("batchnorm",)

    def observe(self, batch: Batch) -> None:
        seen = batch if self.options.bn_mode == "eval" else batch.batch_norm
        for member in self.members:
            self.add(member, member.per_unit(seen.dots(member, bias=True).abs()))
