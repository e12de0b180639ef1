"""Sparse learning: what the network can do without fades before it is pruned.

Network slimming: the scales of batch norms. Structured sparsity: whole units, by their joint norm.
DepGraph: all weights of a weak group of channels.
"""

from pydantic import Field

from ..errors import NotApplicable
from ..lazy import Tensor, torch
from ..network.member import Group
from ..network.units import Units
from ..options import Options
from ..phases import register_phase
from ..training import Training
from .preparation import Preparation


class SlimmingOptions(Options):
    """How strong the penalty on scales is."""

    strength: float = Field(default=1e-4, ge=0)
    """factor of the sum of all |gamma|; the paper takes 1e-4 for VGG and 1e-5 for ResNet and
    DenseNet."""


@register_phase("bn_slimming")
class BNSlimming(Preparation):
    """L1 on the scales of batch norms: `strength * sign(gamma)` is added to their gradient."""

    options_type = SlimmingOptions

    def attach(self, training: Training) -> None:
        norms = [one for group in self.groups for one in group.members if one.kind == "batchnorm"]
        if not norms:
            raise NotApplicable(
                "bn_slimming penalises the scales of batch norms, and no prunable group of this "
                "network has one; group_lasso and group_sparsity need none"
            )
        self.parameters: dict[str, Tensor] = dict(training.model.named_parameters())
        self.norms = norms

    def loss_term(self, step: int) -> Tensor:
        scales = torch.cat([one.view(self.parameters).flatten() for one in self.norms])
        return self.options.strength * scales.abs().sum()


class GroupLassoOptions(Options):
    """How strong the pull on units is."""

    strength: float = Field(default=1e-4, ge=0)
    """factor of the sum of all units' norms. The paper tunes its strengths for each network; this
    one is ours."""


@register_phase("group_lasso")
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


class GroupSparsityOptions(Options):
    """The strength of DepGraph's recipe for CIFAR, and the base of torch-pruning's `regularize`."""

    strength: float = Field(default=5e-4, ge=0)
    """of the strongest unit's decay"""
    base: float = Field(default=16, ge=1)
    """the weakest unit decays so much faster"""


@register_phase("group_sparsity")
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
