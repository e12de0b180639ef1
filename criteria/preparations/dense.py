"""Nothing but more training."""

from ..phases import register_phase
from .preparation import Preparation


@register_phase("dense")
class Dense(Preparation):
    """The dense network trained on as it is, for as long as others are prepared."""
