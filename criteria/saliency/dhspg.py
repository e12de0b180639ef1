"""DHSPG's partition: units that training pushes to the origin anyway, and small ones, are first."""

from collections.abc import Mapping

from pydantic import Field

from ..criterion import Criterion
from ..errors import NotApplicable
from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..lazy import Tensor, torch
from ..network.member import Group
from ..options import Options
from ..registry import register


class DhspgOptions(Options):
    """The gradient has weight decay in it, as the optimizer's has."""

    weight_decay: float = Field(default=0.0, ge=0)
    """times the weights, is added to the gradient; that of the recipe, if any."""


@register(
    "dhspg_saliency", cite="Chen et al. (OTOv2), ICLR 2023, arXiv 2303.06862", needs=Need.GRADIENTS
)
class DhspgSaliency(Criterion):
    """Minus the redundancy: cosine of a unit's weights and gradient, and its inverse mean norm."""

    options_type = DhspgOptions
    sides = ("out", "both")  # what makes a unit; consumers are not part of it

    def observe(self, batch: Batch) -> None:
        self._weights = batch.weights
        for name, one in batch.gradients.items():
            self.add(name, one.double() * batch.size)

    def scores(self) -> list[Tensor]:
        angles, sizes = [], []
        for group in self.groups:
            x, g = self._rows(group, self._weights), self._rows(group, self._sums)
            g = g / self.images + self.options.weight_decay * x
            angles.append(torch.cosine_similarity(x, g, dim=1, eps=1e-30))
            sizes.append(x.norm(dim=1) / x.shape[1])
        found = -redundancy(torch.cat(angles), torch.cat(sizes))
        return list(found.split([group.units for group in self.groups]))

    def _rows(self, group: Group, tensors: Mapping[str, Tensor]) -> Tensor:
        """`[units, elements]` of everything that makes the group's units."""
        counted = self.counted(group)
        if not counted:
            raise NotApplicable(f"{self.name} finds nothing that makes the group of {group.root}")
        return torch.cat([one.view(tensors, bias=True).double() for one in counted], dim=1)


def redundancy(angles: Tensor, sizes: Tensor) -> Tensor:
    """`[units]`, high is redundant: half the cosine and half the inverse size, of unit length each.

    `angles`: `[units of the network]`, cosine of weights and gradient: high where the descent
    direction points to the origin. `sizes`: norm of the weights over their number.
    """
    inverse = 1 / (sizes + 1e-6)
    return (angles / angles.norm().clamp(min=1e-30) + inverse / inverse.norm()) / 2
