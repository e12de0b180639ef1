"""Structured sparsity learning: whole units are pulled to zero by their joint norm."""

from pydantic import Field

from ..lazy import Tensor, torch
from ..network.units import Units
from ..options import Options
from ..phases import register_phase
from ..training import Training
from .preparation import Preparation


class GroupLassoOptions(Options):
    """How strong the pull on units is."""

    strength: float = Field(default=1e-4, ge=0)
    """factor of the sum of all units' norms. The paper tunes its strengths for each network; this
    one is ours."""


@register_phase("group_lasso", cite="Wen et al., NIPS 2016 (SSL), arXiv 1608.03665")
class GroupLasso(Preparation):
    """The sum of all units' norms: `strength * w / ||w_unit||` is added to the gradient."""

    options_type = GroupLassoOptions

    def attach(self, training: Training) -> None:
        self.parameters: dict[str, Tensor] = dict(training.model.named_parameters())
        self.units = [Units(training.model, group) for group in self.groups]

    def loss_term(self, step: int) -> Tensor:
        """The sum of the norms; where one is zero, so is its gradient."""
        norms = [one.rows(self.parameters).norm(dim=1) for one in self.units]
        return self.options.strength * torch.cat(norms).sum()
