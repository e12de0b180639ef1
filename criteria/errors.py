"""What can be wrong about a criterion or a network, in words for people."""

from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import yaml


class CriteriaError(ValueError):
    """Base of this package's errors."""


class UnknownCriterion(CriteriaError):
    """A name that no criterion bears. The message lists near matches and all names."""


class UnknownPhase(CriteriaError):
    """A name that no preparation, procedure or recovery bears. The message lists near matches."""


class OptionError(CriteriaError):
    """An option that does not exist, or a value that it does not take."""


class StructureError(CriteriaError):
    """A network that cannot be traced, or whose groups cannot be trusted."""


class NotApplicable(CriteriaError):
    """The criterion is defined, but not for this network (BN scale without a norm layer)."""


class ScoreError(CriteriaError):
    """A criterion that returned NaN, infinities or a wrong shape."""


def did_you_mean(name: str, known: Iterable[str], most: int = 3) -> str:
    """A question about the names nearest to an unknown one, to follow it; empty where none is."""
    near = get_close_matches(name, known, n=most)
    return f" Did you mean {' or '.join(near)}?" if near else ""


@cache
def texts(file: str) -> Any:
    """What a YAML file of this package holds."""
    return yaml.safe_load(Path(__file__).with_name(file).read_text("utf-8"))


def fault(what: str, /, **known: Any) -> str:
    """A sentence of faults.yaml, over what is known."""
    return texts("faults.yaml")[what].format(**known)
