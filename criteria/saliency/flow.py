"""What is lost with a connection, of networks trained or not.

SNIP: how sensitive the loss is to its presence. GraSP: what the gradient flow would miss. SynFlow:
what flows through it when all weights are positive and no data is seen.
"""

from collections.abc import Mapping

from pydantic import Field

from ..criterion import Criterion, MemberOptions
from ..evidence.batch import Batch
from ..evidence.curvature import GradientGraph
from ..evidence.needs import Need
from ..lazy import Tensor, pytree, torch
from ..network.member import Member
from ..options import BatchNormMode
from ..registry import register


class SnipOptions(MemberOptions):
    bn_mode: BatchNormMode = "eval"


@register("snip", needs=Need.GRADIENTS, unstructured=True)
class Snip(Criterion):
    """Absolute product of weight and gradient over the sum of all, summed over the channel."""

    options_type = SnipOptions
    kinds = ("conv", "linear")

    def begin(self) -> None:
        self._products: dict[str, Tensor] = {}

    def observe(self, batch: Batch) -> None:
        """The gradient is of the mean loss of all images, so products add up before the abs."""
        seen = batch if self.options.bn_mode == "eval" else batch.batch_norm
        for name, products in seen.products.items():
            if name.endswith("weight") and products.dim() > 1:  # connections, no norm's scale
                share = products.double() * batch.size
                self._products[name] = self._products.get(name, torch.zeros_like(share)) + share

    def scores(self) -> list[Tensor]:
        self._sensitivity = {name: one.abs() for name, one in self._products.items()}
        self._total = sum(float(one.sum()) for one in self._sensitivity.values()) or 1.0
        return super().scores()

    def member_scores(self, member: Member) -> Tensor:
        return member.view(self._sensitivity).sum(1) / self._total


class GraspOptions(MemberOptions):
    bn_mode: BatchNormMode = "eval"
    temperature: float = Field(default=200.0, gt=0)
    """what logits are divided by before the loss, so that a confident network still has a gradient;
    1 is the plain formula."""


@register("grasp", needs=Need.CURVATURE, unstructured=True)
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


@register("synflow", needs=Need.GRADIENTS, unstructured=True)
class SynFlow(Criterion):
    """Weight times gradient of R, the sum of outputs of the network of absolute weights for ones.

    It asks for data only to learn the shape of an image: the values are never looked at.
    """

    kinds = ("conv", "linear")

    def observe(self, batch: Batch) -> None:
        if self.batches:  # every batch has images of one shape
            return
        flow = batch.evidence("synflow", Need.GRADIENTS, lambda: synaptic_flow(batch))
        for member in self.members:
            self.add(member, member.view(flow).sum(1))


def synaptic_flow(batch: Batch) -> dict[str, Tensor]:
    """|w| dR/d|w| of every parameter, by name, in float64: products of all layers grow large.

    Raises:
        NotApplicable: the network multiplies activations with each other.
    """
    from ..families.linearised import Linearised

    absolute = {
        name: torch.zeros_like(one, dtype=torch.float64)
        if name.endswith("bias")
        else one.double().abs()
        for name, one in batch.weights.items()
    }
    for one in absolute.values():
        one.requires_grad_()
    ones = pytree.tree_map(lambda one: torch.ones_like(one, dtype=torch.float64), batch.first(1))
    with Linearised():
        total = torch.func.functional_call(batch.model, absolute, (ones,)).sum()
    found = torch.autograd.grad(total, list(absolute.values()), materialize_grads=True)
    pairs = zip(absolute.items(), found, strict=True)
    return {name: one.detach() * gradient for (name, one), gradient in pairs}
