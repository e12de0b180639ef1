"""DepGraph's sparse learning: all weights of a weak group of channels fade together."""

from pydantic import Field

from ..lazy import Tensor, torch
from ..network.member import Group
from ..options import Options
from ..phases import register_phase
from ..training import Training
from .preparation import Preparation


class GroupSparsityOptions(Options):
    """The strength of DepGraph's recipe for CIFAR, and the base of torch-pruning's `regularize`."""

    strength: float = Field(default=5e-4, ge=0)
    """of the strongest unit's decay"""
    base: float = Field(default=16, ge=1)
    """the weakest unit decays so much faster"""


@register_phase("group_sparsity", cite="Fang et al., CVPR 2023 (DepGraph), arXiv 2301.12900")
class GroupSparsity(Preparation):
    """Decay of every weight a unit reads or writes, up to 16 times stronger for the weakest.

    Added to the gradient is `strength * base^((max I - I_i) / (max I - min I)) * w` for all weights
    w of unit i, its readers' too and biases not. I is the root of the mean over coupled layers of
    the squared norm, so its scale within a group does not matter.
    """

    options_type = GroupSparsityOptions

    def attach(self, training: Training) -> None:
        self.parameters: dict[str, Tensor] = dict(training.model.named_parameters())

    def loss_term(self, step: int) -> Tensor:
        """Half the weighted squares, whose gradient this is as the factors are constants."""
        weighted = torch.stack([self._weighted(group) for group in self.groups]).sum()
        return self.options.strength / 2 * weighted

    def _weighted(self, group: Group) -> Tensor:
        members = [one for one in group.members if one.scored]
        squares = torch.stack([one.view(self.parameters).square().sum(1) for one in members])
        return squares.sum(0) @ growth(squares.detach().mean(0).sqrt(), self.options.base)


def growth(importance: Tensor, base: float) -> Tensor:
    """`[units]`: 1 for the largest, `base` for the smallest importance; 1 where all are equal."""
    spread = importance.max() - importance.min()
    below = (importance.max() - importance) / torch.where(spread > 0, spread, 1)
    return base**below
