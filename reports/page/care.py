"""The words of what is to be read with care: templates/warnings.yaml."""

from functools import cache
from typing import Any

from ..formats import after, confidence, counted, few, percent
from ..words import Texts, read_texts, rendered


def caution(of: str, what: str, **known: Any) -> str:
    """The sentences on what is wrong with something, over what they name."""
    return rendered(_texts()[of][what], **known)


@cache
def _texts() -> Texts:
    return read_texts("warnings.yaml", (after, confidence, counted, few, percent))
