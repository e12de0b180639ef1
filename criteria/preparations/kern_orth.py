"""Filters that are orthogonal before the network is pruned."""

from ..families.orthogonality import KERNEL, KernelOrthogonality
from ..phases import register_phase
from .preparation import Preparation


@register_phase(
    "kern_orth",
    cite=KERNEL,
    faithful="the loss as Wang and Fu (ICLR 2023, 'KernOrth + L1') weight it: the norm and not its "
    "square. Their code for this order is not released. Grouped convolutions block by block",
)
class KernOrthBefore(KernelOrthogonality, Preparation):
    """A penalty on the distance of every layer's Gram matrix from the identity."""
