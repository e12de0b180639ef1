"""Weights times the Hessian times the weights (FastOBA), and the same without Gauss-Newton."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import model_validator

from ..evidence.batch import Batch
from ..evidence.curvature import layer_parameters
from ..evidence.needs import Need
from ..lazy import Tensor
from ..network.member import Member
from ..options import Only
from ..registry import register
from .oba import SignedOptions, SignedScores


class CurvatureOptions(SignedOptions):
    direction: Literal["all", "layers"] = "all"
    """which weights the Hessian is multiplied by, all parameters or those of convolutions and
    linear layers."""
    norms: Annotated[bool, Only("channels", "norm layers keep all their weights")] = False
    """whether norm layers' gamma (and, with bias, beta) count."""


class CurvatureScores(SignedScores):
    """What both have in common."""

    options_type = CurvatureOptions
    residual = False  # whether Gauss-Newton is left out

    def counts(self, member: Member) -> bool:
        return member.scored if self.options.norms else super().counts(member)

    def magnitude_unit(self, batch: Batch) -> float:
        return max(float(one.abs().max()) for one in batch.weights.values())

    def derivative(self, batch: Batch) -> Mapping[str, Tensor]:
        """The Hessian of the loss, or of its residual, times the direction."""
        if self.options.direction == "all":
            return batch.hessian_product(residual=self.residual)
        layers = {name: batch.weights[name] for name in layer_parameters(batch.model)}
        return batch.hessian_product(layers, residual=self.residual)


class HvpOptions(CurvatureOptions):
    order: Literal[1, 2] = 2
    """2, or 1 for weight times gradient."""

    @model_validator(mode="after")
    def _first_order_needs_no_direction(self) -> Self:
        if self.order == 1 and self.direction != "all":
            raise ValueError("order 1 has no direction; leave it at 'all'")
        return self


@register(
    "hvp",
    cite="FastOBA, of the code to Sun et al. (OBA), ICLR 2025, arXiv 2502.17941 (added 2025-06)",
    needs=Need.CURVATURE,
    aliases=("fast_oba",),
    unstructured=True,
)
class Hvp(CurvatureScores):
    """theta * (H theta), exact: how scaling a weight bends the loss as the whole network scales.

    A channel's sum is the mixed derivative by the channel's and the network's scale, not the
    effect of removing the channel.
    """

    options_type = HvpOptions

    @classmethod
    def needed(cls, options: HvpOptions) -> Need:
        return Need.GRADIENTS if options.order == 1 else cls.needs

    def derivative(self, batch: Batch) -> Mapping[str, Tensor]:
        return batch.gradients if self.options.order == 1 else super().derivative(batch)


@register(
    "hvp_residual",
    cite="the Gauss-Newton split of Schraudolph, Neural Computation 14(7), 2002, of FastOBA",
    needs=Need.CURVATURE,
    unstructured=True,
)
class HvpResidual(CurvatureScores):
    """theta * (S theta), S the Hessian of <dL/dz, z> with dL/dz frozen: H without Gauss-Newton."""

    residual = True
