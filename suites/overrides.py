"""What `--set KEY=VALUE` changes in a suite, and what a fault is owed to: the file, or that."""

from collections.abc import Callable, Container, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

from .files import SuiteError, parse_yaml
from .scale import set_dotted


class Fault(NamedTuple):
    """What is wrong with a suite, and at which key; "" is a fault of several."""

    key: str
    said: str


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
    fault: object, overrides: Sequence[str], faults: Callable[[Sequence[str]], Container[object]]
) -> list[str]:
    """The overrides without which a fault would not be.

    `faults` are those with fewer overrides, or raises SuiteError where fewer cannot be applied.

    >>> to_blame("odd", ["a=1", "b=2"], lambda given: ["odd"] if "b=2" in given else [])
    ['b=2']
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
    return owed


def owed_to(fault: Fault, file: object, blamed: Sequence[str]) -> str:
    """A fault behind what it comes from: overrides, the file, or both together.

    >>> owed_to(Fault("bases", "bases = 0: too few"), "my.yaml", ["bases=0"])
    '--set bases=0: bases = 0: too few'
    >>> owed_to(Fault("", "looks and bases differ"), "my.yaml", ["bases=4"])
    'my.yaml with --set bases=4: looks and bases differ'
    """
    if not blamed:
        return f"{file}: {fault.said}"
    settings = " ".join(f"--set {one}" for one in blamed)
    alone = any(_overlap(fault.key, one.partition("=")[0].strip()) for one in blamed)
    return f"{settings}: {fault.said}" if alone else f"{file} with {settings}: {fault.said}"


def _overlap(key: str, other: str) -> bool:
    """Whether one of two keys leads to the other, or through it."""
    pairs = zip(key.split("."), other.split("."), strict=False)
    return bool(key) and all(one == two or two == "*" for one, two in pairs)
