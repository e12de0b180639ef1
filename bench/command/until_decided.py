"""At which numbers of bases a suite is looked at: as asked for, or as its last run has declared."""

from __future__ import annotations

from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from suites import FidelitySuite, Suite


def looks_asked(suite: Suite | FidelitySuite, cap: int | None) -> list[int]:
    """Looks for a suite that may have none: at its bases, at the cap, and between the two.

    Args:
        suite: that is to run until it is decided.
        cap: the most bases; default: twice the suite's.

    Raises:
        SuiteError: a suite that compares nothing, a cap that adds nothing, or one for a suite that
            declares its looks itself.

    >>> from suites import load_suite
    >>> looks_asked(load_suite("quickstart"), None), looks_asked(load_suite("quickstart"), 12)
    ([3, 5, 6], [3, 6, 12])
    """
    from reports.statistics import FEWEST_BASES
    from suites import FidelitySuite, SuiteError

    if isinstance(suite, FidelitySuite):
        raise SuiteError(f"--until-decided: {suite.suite} is of kind fidelity, which tests nothing")
    if suite.analysis.looks:
        if cap is not None:
            raise SuiteError(
                f"--cap {cap}: {suite.suite} declares its looks, analysis.looks = "
                f"{suite.analysis.looks}; change these and bases, or leave --cap out"
            )
        return suite.analysis.looks
    first = max(suite.bases, FEWEST_BASES)
    cap = 2 * first if cap is None else cap
    if cap <= first:
        raise SuiteError(
            f"--cap {cap}: the first look of {suite.suite} is at {first} bases; give more than that"
        )
    return sorted({first, ceil(sqrt(first * cap)), cap})


def looks_declared(suite: Suite | FidelitySuite, results: Path) -> list[int]:
    """The looks that the last run of a suite has declared in a results folder; none may be.

    >>> from suites import load_suite
    >>> looks_declared(load_suite("quickstart"), Path("no such folder"))
    []
    """
    from ..store.sealed import read_json
    from ..store.store import Store

    found = read_json(Store(results).path("declared", suite.suite, ".json"))
    if found is None:
        return []
    looks: list[int] = found["declarations"][-1]["design"]["analysis"].get("looks", [])
    return looks
