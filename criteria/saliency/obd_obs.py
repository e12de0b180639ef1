"""The baselines of EigenDamage: optimal brain damage and surgeon, by weights and by channels.

All estimate how much the loss grows when a channel goes, by half the quadratic form of the layer's
Fisher matrix: without (OBD) or with (OBS) the best answer of the layer's other weights, which is
not carried out here: a score changes no weights. What the matrix is: see
`criteria.families.kronecker`.
"""

from pydantic import Field

from ..evidence.needs import Need
from ..families.kronecker import (
    Factors,
    KroneckerCriterion,
    Sided,
    SideOptions,
    damped,
    inverse,
    unit_blocks,
)
from ..lazy import Tensor, torch
from ..network.member import Member
from ..options import Bias
from ..registry import register
from .hessian_diag import HessianDiag, HessianDiagOptions

CITE = "Wang et al. (EigenDamage), ICML 2019, arXiv 1905.05934"


class COBDOptions(SideOptions, HessianDiagOptions):
    """Filters alone, with their biases, under the softmax's labels."""

    bias: Bias = True


@register("c_obd", cite=CITE, needs=Need.SQUARES, unstructured=True)
class COBD(Sided, HessianDiag):
    """Half the squared weights times the diagonal Fisher, summed over a filter."""

    options_type = COBDOptions


class OBSOptions(SideOptions):
    """Whose Fisher, which layers of a group count, and how its factors are damped."""

    damping: float = Field(default=1e-2, ge=1e-6)  # float32 resolves no less
    """added to each factor, in units of its mean diagonal. The softmax leaves a direction of the
    classifier's outputs that costs nothing; without damping it would make every weight there look
    free."""


class OBS(KroneckerCriterion):
    """Optimal brain surgeon over the damped Fisher matrix."""

    options_type = OBSOptions

    def factors(self, name: str) -> Factors:
        found, damping = super().factors(name), self.options.damping
        return Factors(damped(found.inputs, damping), damped(found.outputs, damping))


@register("c_obs", cite=CITE, needs=Need.ACTIVATION_GRADIENTS, unstructured=True)
class COBS(OBS):
    """Squared weights over twice the diagonal of the inverse Fisher, summed over a filter.

    The inverse of A (x) G has [A^-1]_ii [G^-1]_oo on its diagonal.
    """

    def member_scores(self, member: Member) -> Tensor:
        found = self.factors(member.name)
        both = (found.inputs, found.outputs)
        inputs, outputs = (inverse(one).diagonal(dim1=1, dim2=2) for one in both)
        costs = self.matrix(member.name).square() / (2 * outputs[:, :, None] * inputs[:, None])
        return member.view(self.layered(member.name, costs), bias=True).sum(1)


class BlockCriterion(KroneckerCriterion):
    """Half the quadratic form of the weights that a unit takes along, over one factor's blocks.

    Of the Fisher matrix A (x) G, the part of rows U of W (side out) is A (x) G_UU, so that their
    removal costs 1/2 tr(G_UU W_U A W_U'); that of columns V (side in, with the whole kernel of a
    channel) is A_VV (x) G: 1/2 tr(A_VV W_V' G W_V). A depthwise filter is a row of its own block.
    A bias is one of a row's weights, and of no channel that is read.
    """

    def member_scores(self, member: Member) -> Tensor:
        found, w = self.factors(member.name), self.matrix(member.name)
        blocks, rows, columns = w.shape
        if member.side == "in":
            form, own = w.transpose(1, 2) @ found.outputs @ w, found.inputs
            places = torch.arange(blocks * columns).reshape(blocks, columns)
            places = places[:, : self.fan_in(member.name)].reshape(member.width, -1)
        else:
            form, own = w @ found.inputs @ w.transpose(1, 2), found.outputs
            places = torch.arange(blocks * rows)[:, None]
        channels = member.indices[member.units.argsort(stable=True)].reshape(member.unit_count, -1)
        elements = places[channels].flatten(1).to(w.device)
        return (unit_blocks(form, elements) * self.own(own, elements)).sum((1, 2)) / 2

    def own(self, factor: Tensor, elements: Tensor) -> Tensor:
        """`[units, elements, elements]` of the factor of the side that is pruned."""
        raise NotImplementedError


@register("kron_obd", cite=CITE, needs=Need.ACTIVATION_GRADIENTS)
class KronOBD(BlockCriterion):
    """Quadratic form of a filter's block of the Kronecker-factored Fisher matrix."""

    options_type = SideOptions

    def own(self, factor: Tensor, elements: Tensor) -> Tensor:
        return unit_blocks(factor, elements)


@register("kron_obs", cite=CITE, needs=Need.ACTIVATION_GRADIENTS)
class KronOBS(OBS, BlockCriterion):
    """Quadratic form of a filter that goes while the rest of its layer answers at its best.

    As `kron_obd`, but G_UU becomes ([G^-1]_UU)^-1: 1/[G^-1]_oo for a single filter. A single weight
    gets `c_obs`.
    """

    def own(self, factor: Tensor, elements: Tensor) -> Tensor:
        return unit_blocks(inverse(factor), elements).inverse()
