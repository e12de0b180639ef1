"""Where a network's logits lie. Kept networks carry this file along: it needs nothing of ours."""

from collections.abc import Mapping
from typing import Any


def logits_in(found: Any) -> Any:
    """A network's logits, in a mapping or not, as transformers and torchvision give them."""
    keys = [one for one in ("logits", "out") if isinstance(found, Mapping) and one in found]
    return found[keys[0]] if keys else found
