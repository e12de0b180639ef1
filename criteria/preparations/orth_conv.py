"""Convolutions that are orthogonal maps before the network is pruned."""

from ..families.orthogonality import CONVOLUTIONAL, ConvolutionalOrthogonality
from ..phases import register_phase
from .preparation import Preparation


@register_phase(
    "orth_conv",
    cite=CONVOLUTIONAL,
    faithful="the paper's row form with its padding and the layer's stride; the norm and not its "
    "square, at the weight of Wang and Fu (ICLR 2023, 'OrthConv + L1'). Their code for this order "
    "is not released. Grouped convolutions block by block",
)
class OrthConvBefore(ConvolutionalOrthogonality, Preparation):
    """A penalty on the distance of every kernel's self-convolution from the identity."""
