"""Network slimming: batch norms learn which channels they can do without."""

from pydantic import Field

from ..errors import NotApplicable, fault
from ..lazy import Tensor, torch
from ..options import Options
from ..phases import register_phase
from ..training import Training
from .preparation import Preparation


class SlimmingOptions(Options):
    """How strong the penalty on scales is."""

    strength: float = Field(default=1e-4, ge=0)
    """factor of the sum of all |gamma|; the paper takes 1e-4 for VGG and 1e-5 for ResNet and
    DenseNet."""


@register_phase("bn_slimming", cite="Liu et al., ICCV 2017, arXiv 1708.06519")
class BNSlimming(Preparation):
    """L1 on the scales of batch norms: `strength * sign(gamma)` is added to their gradient."""

    options_type = SlimmingOptions

    def attach(self, training: Training) -> None:
        norms = [one for group in self.groups for one in group.members if one.kind == "batchnorm"]
        if not norms:
            raise NotApplicable(fault("no_scales"))
        self.parameters: dict[str, Tensor] = dict(training.model.named_parameters())
        self.norms = norms

    def loss_term(self, step: int) -> Tensor:
        scales = torch.cat([one.view(self.parameters).flatten() for one in self.norms])
        return self.options.strength * scales.abs().sum()
