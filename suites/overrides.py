"""What `--set KEY=VALUE` changes in a suite, and what a fault is owed to: the file, or that."""

from collections.abc import Callable, Container, Sequence
from copy import deepcopy
from typing import Any

from .files import SuiteError, parse_yaml
from .scale import set_dotted


def overridden(content: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of a suite's file with these of `--set`.

    Raises:
        SuiteError: one that is no KEY=VALUE, or leads nowhere.
    """
    copy = deepcopy(content)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise SuiteError(f"--set {override}: expected key=value, as in calibration.images=64")
        set_dotted(copy, key.strip(), parse_yaml(text, f"--set {override}"), f"--set {override}")
    return copy


def to_blame(
    fault: str, overrides: Sequence[str], faults: Callable[[Sequence[str]], Container[str]]
) -> str:
    """The overrides without which a fault would not be, as they were given; none may be.

    `faults` are those with fewer overrides, or raises SuiteError where fewer cannot be applied.

    >>> to_blame("odd", ["a=1", "b=2"], lambda given: ["odd"] if "b=2" in given else [])
    '--set b=2'
    """
    owed = list(overrides)
    for one in overrides:
        others = [other for other in owed if other is not one]
        try:
            needless = fault in faults(others)
        except SuiteError:
            continue
        if needless:
            owed = others
    return " ".join(f"--set {one}" for one in owed)
