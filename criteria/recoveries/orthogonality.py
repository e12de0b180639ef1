"""Filters, or convolutions as maps, made orthogonal again while the pruned network is finetuned."""

from ..families import orthogonality as family
from ..phases import register_phase
from .recovery import Recovery


@register_phase("kern_orth", cite=family.KERNEL)
class KernOrth(family.KernelOrthogonality, Recovery):
    """A penalty on the distance of every layer's Gram matrix from the identity."""


@register_phase("orth_conv", cite=family.CONVOLUTIONAL)
class OrthConv(family.ConvolutionalOrthogonality, Recovery):
    """A penalty on the distance of every kernel's self-convolution from the identity."""
