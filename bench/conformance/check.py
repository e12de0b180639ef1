"""All checks of a criterion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from criteria.registry import find

from .behaviour import behaviours
from .checks import inspect
from .finding import Finding
from .networks import FAMILIES
from .trained import compare


def check(
    name: str,
    results: Path = Path("results"),
    tell: Callable[[str], None] = lambda step: None,
) -> list[Finding]:
    """Run a registered criterion on tiny networks of every family and on a trained one.

    `tell` hears what is looked at next.

    Takes some seconds; the first time some more, to train the small network on digits, which is
    kept among the bases of the folder `results`.

    Raises:
        UnknownCriterion: no criterion bears this name.
    """
    name = find(name).name
    found: list[Finding] = []
    for family in FAMILIES:
        tell(f"on a tiny {family} network")
        found += check_on(family, [name])
    if fails(found):
        return found  # what breaks on a tiny network is mended before it is compared
    tell("on a trained network, beside all other criteria")
    return found + compare(name, results)


def check_on(family: str, names: Sequence[str]) -> list[Finding]:
    """The checks of many criteria on the tiny network of one family; evidence is shared."""
    return [finding for seen in behaviours(names, family) for finding in inspect(seen)]


def fails(findings: Iterable[Finding]) -> bool:
    """Whether anything that must hold does not."""
    return any(one.verdict == "fail" for one in findings)
