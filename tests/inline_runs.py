"""A plan carried out in the test's own process."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from bench.executors import make_executor
from bench.plan.jobs import Job
from bench.plan.plan import Plan
from bench.run.run import Run
from bench.steps.perform import Outcome
from bench.steps.workspace import Settings
from bench.store.store import Store
from reports.records import Measurements, Record


class Silent:
    """Is told what happens, and keeps it to itself."""

    def planned(self, jobs: Collection[Job], slots: int) -> None: ...

    def job(self, event: str, job: Job, outcome: Outcome | None = None) -> None: ...

    def recorded(self, record: Record) -> None: ...


def go(results: Path, plan: Plan) -> dict[str, int]:
    """Run what is pending, in this process; how many trials ended how."""
    store = Store(results)
    executor = make_executor("inline", Settings(results, results), 1, None)
    return dict(Run(plan.pending(plan.records(store)), store, executor, Silent()).to_its_end())


def measured(record: Record) -> Measurements:
    assert record.measurements is not None
    return record.measurements
