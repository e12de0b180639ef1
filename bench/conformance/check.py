"""A criterion put to all checks: on every tiny network, and on the trained one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from criteria.registry import find

from .behaviour import behaviours
from .checks import inspect
from .finding import Finding, fails
from .networks import FAMILIES
from .trained import check_trained


def check(
    name: str,
    results: Path = Path("results"),
    tell: Callable[[str], None] = lambda step: None,
) -> list[Finding]:
    """Run a registered criterion on tiny networks of every family and on a trained one.

    This takes some seconds; the first time some more, to train the small network on digits, which
    is kept among the bases of the folder `results`.

    Args:
        tell: hears what is looked at next.

    Raises:
        UnknownCriterion: no criterion bears this name.
    """
    name = find(name).name
    findings: list[Finding] = []
    for family in FAMILIES:
        tell(f"on a tiny {family} network")
        findings += check_on(family, [name])
    if fails(findings):
        return findings  # what breaks on a tiny network is mended before it is compared
    tell("on a trained network, beside all other criteria")
    return findings + check_trained(name, results)


def check_on(family: str, names: Sequence[str]) -> list[Finding]:
    """Put criteria to the checks on the tiny network of one family; they share its evidence.

    >>> [finding.verdict for finding in check_on("chain", ["l1"]) if finding.check == "runs"]
    ['pass']
    """
    return [finding for seen in behaviours(names, family) for finding in inspect(seen)]
