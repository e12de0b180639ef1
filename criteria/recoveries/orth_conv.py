"""Convolutions that are made orthogonal again while the pruned network is finetuned."""

from ..families.orthogonality import CONVOLUTIONAL, ConvolutionalOrthogonality
from ..phases import register_phase
from .recovery import Recovery


@register_phase(
    "orth_conv",
    cite=CONVOLUTIONAL,
    faithful="the paper's row form with its padding and the layer's stride; the norm and not its "
    "square, at the weight of Wang and Fu (ICLR 2023, 'L1 + OrthConv'). Grouped convolutions block "
    "by block",
)
class OrthConv(ConvolutionalOrthogonality, Recovery):
    """A penalty on the distance of every kernel's self-convolution from the identity."""
