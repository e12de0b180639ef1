"""Filters, or convolutions as maps, made orthogonal again while the pruned network is finetuned."""

from ..families import orthogonality as family
from ..phases import register_phase
from .recovery import Recovery


@register_phase(
    "kern_orth",
    cite=family.KERNEL,
    faithful="the loss as Wang and Fu (ICLR 2023, 'L1 + KernOrth') weight it: the norm and not its "
    "square. Grouped convolutions block by block",
)
class KernOrth(family.KernelOrthogonality, Recovery):
    """A penalty on the distance of every layer's Gram matrix from the identity."""


@register_phase(
    "orth_conv",
    cite=family.CONVOLUTIONAL,
    faithful="the paper's row form with its padding and the layer's stride; the norm and not its "
    "square, at the weight of Wang and Fu (ICLR 2023, 'L1 + OrthConv'). Grouped convolutions block "
    "by block",
)
class OrthConv(family.ConvolutionalOrthogonality, Recovery):
    """A penalty on the distance of every kernel's self-convolution from the identity."""
