"""Filters, or convolutions as maps, that are orthogonal before the network is pruned."""

from ..families import orthogonality as family
from ..phases import register_phase
from .preparation import Preparation


@register_phase("kern_orth", cite=family.KERNEL)
class KernOrthBefore(family.KernelOrthogonality, Preparation):
    """A penalty on the distance of every layer's Gram matrix from the identity."""


@register_phase("orth_conv", cite=family.CONVOLUTIONAL)
class OrthConvBefore(family.ConvolutionalOrthogonality, Preparation):
    """A penalty on the distance of every kernel's self-convolution from the identity."""
