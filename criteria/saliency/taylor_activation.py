"""Taylor on activations: the change of the loss, to first order, when a channel's map is zeroed."""

from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..families.activations import ActivationCriterion, ActivationOptions, maps
from ..reduce import Normalizer
from ..registry import register


class TaylorActivationOptions(ActivationOptions):
    """The paper's rescaling: each layer's scores over their L2 norm."""

    normalizer: Normalizer = "l2"


@register(
    "taylor_activation",
    cite="Molchanov et al., ICLR 2017, arXiv 1611.06440",
    needs=Need.SAMPLES | Need.ACTIVATIONS,
)
class TaylorActivation(ActivationCriterion):
    """Absolute mean over positions of activation times gradient, averaged over samples."""

    options_type = TaylorActivationOptions
    mean_over = "images"

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            products = member.per_unit(batch.sample_products(member).double())
            positions = maps(batch, member).flatten(2).shape[2]  # pooling does not change the sum
            self.add(member, products.abs().sum(0) / positions)
