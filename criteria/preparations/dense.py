"""Nothing but more training."""

from ..phases import register_phase
from .preparation import Preparation


@register_phase(
    "dense", cite="Wang and Fu, ICLR 2023, arXiv 2207.12534 (longer training as a control)"
)
class Dense(Preparation):
    """The dense network trained on as it is, for as long as others are prepared."""
