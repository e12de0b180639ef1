"""Filters, or convolutions as maps, that are orthogonal before the network is pruned."""

from ..families import orthogonality as family
from ..phases import register_phase
from .preparation import Preparation


@register_phase(
    "kern_orth",
    cite=family.KERNEL,
    faithful="the loss as Wang and Fu (ICLR 2023, 'KernOrth + L1') weight it: the norm and not its "
    "square. Their code for this order is not released. Grouped convolutions block by block",
)
class KernOrthBefore(family.KernelOrthogonality, Preparation):
    """A penalty on the distance of every layer's Gram matrix from the identity."""


@register_phase(
    "orth_conv",
    cite=family.CONVOLUTIONAL,
    faithful="the paper's row form with its padding and the layer's stride; the norm and not its "
    "square, at the weight of Wang and Fu (ICLR 2023, 'OrthConv + L1'). Their code for this order "
    "is not released. Grouped convolutions block by block",
)
class OrthConvBefore(family.ConvolutionalOrthogonality, Preparation):
    """A penalty on the distance of every kernel's self-convolution from the identity."""
