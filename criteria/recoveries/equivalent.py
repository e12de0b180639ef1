"""Equivalent pruning: removed channels stay trainable while the pruned network is finetuned.

Chen et al. 2025, arXiv 2508.05521 (Optimal Brain Connection). A layer W `[out, in, k, k]` that
keeps the outputs K_o and the inputs K_i stays whole, between two linear maps without bias: a
compressor C `[out', out]`, at first the rows K_o of the identity, and a decompressor D `[in, in']`,
at first its columns K_i. It computes what a layer of the pruned network computes, with

    W' = C W D,    b' = C b                                                                (8)

At the start W' = W[K_o, K_i], the naively pruned layer; training then lets the removed rows and
columns of W leak back. In the end (8) is computed once and C, D and W are let go.

C and D act on the weights, not on the activations: the convolution runs at the pruned width. A fold
costs as much as the layer on about as many output positions (of a whole batch) as it has channels,
so it is next to nothing for convolutions and dear for a wide linear layer at the end of a small
batch. Every dense layer that makes pruned channels has a C, every one that reads them a D; as (8)
is exact whatever stands between two layers, that covers attention heads and what a layer norm
spans. C and D of a grouped convolution have a block a group. All else is cut naively.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from ..lazy import Tensor, nn
from ..network.member import Group
from ..options import Options
from ..phases import register_phase
from ..training import Scale
from .recovery import Recovery


class EquivalentOptions(Options):
    """How compressors and decompressors are trained, relative to all other parameters.

    The authors' settings (lr_div, wd_div): VGG-19 (5, 1), ResNet-56 (0.5, 0), ResNet-50 (4, 0),
    ViT-B/16 (5, 0).
    """

    lr_div: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """their learning rate is the recipe's divided by this."""
    wd_div: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """their weight decay is the recipe's divided by this; 0 stands for no weight decay."""


@register_phase("equivalent", cite="Chen et al. 2025, arXiv 2508.05521, equation (8)")
class Equivalent(Recovery):
    """Equivalent pruning: removed channels stay trainable while finetuning lasts, then are merged.

    It starts where naive pruning does, and ends with a network of the same size.
    """

    options_type = EquivalentOptions

    def network(
        self,
        pruned: nn.Module,
        dense: nn.Module,
        groups: Sequence[Group],
        removed: Sequence[Tensor],
    ) -> nn.Module:
        """Raises NotApplicable and StructureError, as `insert`."""
        from ..families.equivalent_layers import insert

        return insert(dense, pruned, groups, removed)

    def scales(self, model: nn.Module) -> Mapping[nn.Parameter, Scale]:
        from ..families.equivalent_layers import compressors

        options = self.options
        decay = 1 / options.wd_div if options.wd_div else 0.0
        return dict.fromkeys(compressors(model), Scale(1 / options.lr_div, decay))

    def merged(self, trained: nn.Module) -> nn.Module:
        from ..families.equivalent_layers import merge

        return merge(trained)
