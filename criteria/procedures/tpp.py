"""TPP: doomed filters are made orthogonal to all others while they shrink."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from ..lazy import Tensor, nn, torch
from ..network.member import Group, channels_lost
from ..phases import register_phase
from .growth import GrowingPenalty, GrowthOptions
from .leaving import DoomedEntries
from .procedure import Removed

Layers = Literal["inner", "all"]


class TppOptions(GrowthOptions):
    """The Gram term, and as `GrowthOptions` how it grows."""

    strength: float = Field(default=1000.0, gt=0)
    """factor of the Gram term at the ceiling; 1000 in the released code, at a learning rate of
    0.001. With the mean over all entries it falls with the square of the layer's width, so narrow
    layers at a high learning rate may diverge."""
    layers: Layers = "inner"
    """with a Gram term. inner: those whose channels no other layer adds to, as published. all: the
    layers of coupled groups also, each on its own."""
    scheme: Literal["v5", "v5_2"] = "v5"
    """v5, what was published: entries of kept pairs are free. v5_2, the code's ablation: all pairs
    go to zero, and the norms of kept filters to one."""
    mean_over: Literal["all", "masked", "none"] = "all"
    """what the sum of squares is divided by: all entries, as the code does; those that v5 masks in;
    or nothing, the paper's form together with strength 0.5 times its own."""
    weight_term: bool = True
    """whether weights and biases of doomed units also decay, as the code has it."""

    @model_validator(mode="after")
    def masked_needs_a_mask(self) -> TppOptions:
        if self.scheme == "v5_2" and self.mean_over == "masked":
            raise ValueError("scheme v5_2 has no mask; take mean_over 'all' or 'none'")
        return self


@dataclass(frozen=True, eq=False)
class Gram:
    """The Gram term of one layer: a weighted sum of squares of W W' - target.

    W holds one filter a row. A grouped convolution has one of each of its groups, as filters that
    read different inputs have nothing to do with each other.
    """

    weight: nn.Parameter
    target: Tensor  # `[groups, filters, filters]`
    factor: Tensor  # `[groups, filters, filters]`, four times the weights of the squares
    transposed: bool  # whether the weight holds its inputs first

    def filters(self, tensor: Tensor) -> Tensor:
        """`[groups, filters, ...]`, a view of the weight or its gradient."""
        split = tensor.unflatten(0, (len(self.target), -1))
        return split.transpose(1, 2) if self.transposed else split

    def gradient(self) -> Tensor:
        """`[groups, filters, ...]`, at least in float32: 4 a * (W W' - target) W of the squares'
        weights a, which are symmetric."""
        shaped = self.filters(self.weight.detach())
        with torch.autocast(shaped.device.type, enabled=False):
            rows = shaped.flatten(2).to(torch.promote_types(shaped.dtype, torch.float32))
            apart = torch.baddbmm(self.target, rows, rows.mT, beta=-1)
            return (apart.mul_(self.factor) @ rows).view(shaped.shape)


@register_phase("tpp", cite="Wang and Fu, ICLR 2023, arXiv 2207.12534")
class Tpp(GrowingPenalty):
    """Decorrelates doomed filters from all others by a growing penalty, so that the survivors
    train on as well without them."""

    options_type = TppOptions

    def doom(self, units: Removed) -> None:
        super().doom(units)
        rows = doomed_filters(self.ground.groups, units, self.options.layers)
        self.grams = [
            gram_of(self.training.model.get_submodule(name), at, self.options)
            for name, at in rows.items()
        ]

    def decays(self, part: DoomedEntries) -> bool:
        return self.options.bn_term if part.norm else self.options.weight_term

    def after_backward(self, step: int) -> None:
        strength = self.strength(step) * self.options.strength
        for gram in self.grams if strength > 0 else ():
            if gram.weight.grad is not None:
                update = gram.gradient()
                gram.filters(gram.weight.grad).add_(update, alpha=strength)
        super().after_backward(step)


def doomed_filters(groups: Sequence[Group], units: Removed, layers: Layers) -> dict[str, Tensor]:
    """Output channels that leave each convolution or linear layer, of those with a Gram term.

    Layers of which none leave have no Gram term; nor have depthwise ones, which pass channels on.
    """
    made = [(group, one) for group in groups for one in group.members if one.side == "out"]
    coupled = {one.name for group, one in made if group.coupled}
    return {
        name: gone
        for (name, side), (member, gone) in channels_lost(groups, units).items()
        if side == "out" and member.kind in ("conv", "linear") and len(gone)
        if layers == "all" or name not in coupled
    }


def gram_of(layer: nn.Module, doomed: Tensor, options: TppOptions) -> Gram:
    """The Gram term of a convolution or linear layer that loses these output channels."""
    weight = layer.get_parameter("weight")
    blocks = getattr(layer, "groups", 1)
    transposed = bool(getattr(layer, "transposed", False))
    width = getattr(layer, "out_channels", len(weight))
    kept = weight.new_ones(width, dtype=torch.promote_types(weight.dtype, torch.float32))
    kept[doomed] = 0
    kept = kept.reshape(blocks, -1)
    mask = 1 - kept[:, :, None] * kept[:, None, :]
    if options.scheme == "v5":
        target = torch.zeros_like(mask)
    else:
        target, mask = torch.diag_embed(kept), torch.ones_like(mask)
    count = {
        "all": torch.full_like(mask[:, :1, :1], mask[0].numel()),
        "masked": mask.sum((1, 2), keepdim=True).clamp(min=1),  # a group that loses none
        "none": torch.ones_like(mask[:, :1, :1]),
    }[options.mean_over]
    return Gram(weight, target, 4 * mask / count, transposed)
