"""SynFlow: what flows through a weight when all weights are positive and no data is seen."""

from ..criterion import Criterion
from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..lazy import Tensor, pytree, torch
from ..registry import register


@register(
    "synflow",
    cite="Tanaka et al., NeurIPS 2020, arXiv 2006.05467",
    needs=Need.GRADIENTS,
    unstructured=True,
)
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
    Raises NotApplicable: the network multiplies activations with each other."""
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
