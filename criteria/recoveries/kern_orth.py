"""Filters that are made orthogonal again while the pruned network is finetuned."""

from ..families.orthogonality import KERNEL, KernelOrthogonality
from ..phases import register_phase
from .recovery import Recovery


@register_phase(
    "kern_orth",
    cite=KERNEL,
    faithful="the loss as Wang and Fu (ICLR 2023, 'L1 + KernOrth') weight it: the norm and not its "
    "square. Grouped convolutions block by block",
)
class KernOrth(KernelOrthogonality, Recovery):
    """A penalty on the distance of every layer's Gram matrix from the identity."""
