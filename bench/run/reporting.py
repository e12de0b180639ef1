"""What is made of a plan's records: its report, and two of its methods held against each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reports.records import Record
from suites import Suite

from ..errors import BenchError
from ..plan.plan import Plan
from ..store.store import Store

if TYPE_CHECKING:
    from reports.analysis.compare import MethodDifference


def write_report(
    plan: Plan,
    store: Store,
    out: Path | None,
    formats: Sequence[str] = (),
    figures: Sequence[str] = (),
) -> Path:
    """Write the report of a plan from its records; returns the path of the page, or of the folder.

    `formats` and `figures` are those of `reports.build.build_report`; none given are all.

    Raises:
        BenchError: no records yet, or a format or figure that there is not.
    """
    from reports.build import FORMATS, build_report

    records = finished(plan, store)
    wanted = [one for one in FORMATS if one in formats] if formats else list(FORMATS)
    unknown = [one for one in formats if one not in FORMATS]
    if unknown:
        raise BenchError(f"--format {', '.join(unknown)}: there are {', '.join(FORMATS)}")
    expected = [trial.labels for trial in plan.trials]
    folder = out or store.report(plan.suite.suite)
    try:
        return build_report(
            plan.suite, records, expected, folder, formats=wanted, figures=figures or None
        )
    except ValueError as error:
        if not figures:
            raise
        raise BenchError(f"--figures: {error}") from error


def compare_methods(plan: Plan, store: Store, method: str, reference: str) -> MethodDifference:
    """Two methods of a suite against each other, from its records.

    Raises:
        BenchError: no records yet, a fidelity suite, or a name that is none of its methods.
    """
    from reports.analysis.compare import compare_methods as difference

    if not isinstance(plan.suite, Suite):
        raise BenchError(f"{plan.suite.suite} is of kind fidelity, whose report compares criteria")
    known = plan.suite.method_names
    unknown = [name for name in (method, reference) if name not in known]
    if unknown:
        raise BenchError(f"compare: {', '.join(unknown)} is none of {', '.join(known)}")
    expected = [trial.labels for trial in plan.trials]
    return difference(plan.suite, finished(plan, store), expected, method, reference)


def finished(plan: Plan, store: Store) -> list[Record]:
    """All records of a plan.

    Raises:
        BenchError: there is none yet.
    """
    records = plan.records(store)
    if not records:
        raise BenchError(
            f"{plan.suite.suite} has no records in {store.root}; first: bench run "
            f"{plan.suite.suite}"
        )
    return records
