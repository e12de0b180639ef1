"""At which numbers of bases a suite is looked at, as asked for."""

from math import ceil, sqrt

from suites import FidelitySuite, Suite, SuiteError

from ..errors import fault


def looks_asked(suite: Suite | FidelitySuite, cap: int | None) -> list[int]:
    """A suite's own looks; else at its bases (three at least), at the cap, and between the two.

    Raises SuiteError where a suite tests nothing, or the cap adds nothing, or to looks of its own.
    """
    from reports.statistics import FEWEST_BASES  # loads scipy

    if isinstance(suite, FidelitySuite):
        raise SuiteError(f"--until-decided: {suite.suite} is of kind fidelity, which tests nothing")
    if suite.analysis.looks and cap is not None:
        raise SuiteError(fault("looks_of_its_own", cap=cap, suite=suite))
    first = max(suite.bases, FEWEST_BASES)
    cap = 2 * first if cap is None else cap
    if cap <= first:
        raise SuiteError(fault("low_cap", cap=cap, suite=suite.suite, first=first))
    return suite.analysis.looks or sorted({first, ceil(sqrt(first * cap)), cap})
