"""GraSP: keep what the gradient flow would miss."""

from collections.abc import Mapping

from pydantic import Field

from ..criterion import Criterion, MemberOptions
from ..evidence.batch import Batch
from ..evidence.curvature import GradientGraph
from ..evidence.needs import Need
from ..lazy import Tensor, torch
from ..options import BatchNormMode
from ..registry import register


class GraspOptions(MemberOptions):
    bn_mode: BatchNormMode = "eval"
    temperature: float = Field(default=200.0, gt=0)
    """what logits are divided by before the loss, so that a confident network still has a gradient;
    1 is the plain formula."""


@register(
    "grasp",
    cite="Wang et al., ICLR 2020, arXiv 2002.07376",
    needs=Need.CURVATURE,
    unstructured=True,
)
class Grasp(Criterion):
    """w (H g), summed with its sign: the lowest leave first.

    The authors score -w (H g), the change of the gradient's squared norm (halved) when the weight
    goes, and remove the highest: those whose absence lets most gradient flow. This is its negative.
    """

    options_type = GraspOptions
    kinds = ("conv", "linear")
    mean_over = "batches"

    def observe(self, batch: Batch) -> None:
        temperature = self.options.temperature

        def product() -> Mapping[str, Tensor]:
            graph = GradientGraph.of(
                batch.model,
                batch.images,
                lambda outputs: batch.loss(outputs / temperature, batch.targets),
            )
            return graph.hessian_product({k: g.detach() for k, g in graph.gradients.items()})

        seen = batch if self.options.bn_mode == "eval" else batch.batch_norm
        found = seen.evidence(("hessian times gradient", temperature), Need.CURVATURE, product)
        for member in self.members:
            terms = member.rows(batch.weights) * member.rows(found)
            self.add(member, member.per_unit(terms.sum(1, dtype=torch.float64)))
