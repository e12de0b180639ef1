"""What a run would do, how long it takes, and what its statistics can and cannot show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from rich.console import Console

from reports.formats import counted

from ..terminal import print_table, say
from .estimate import SAID, WORK, cells, hours_of, kinds_of, say_assumptions, show_epochs

if TYPE_CHECKING:
    from reports.records import Record

    from ..plan.jobs import Trial
    from ..plan.plan import Plan
    from ..plan.workload import Throughput
    from ..store.store import Store


def show_plan(
    console: Console,
    planned: Plan,
    store: Store,
    workers: int,
    throughput: Throughput,
    data_root: Path | None = None,
) -> None:
    """Jobs, trials, what is done, epochs, work, time, and what the declared analysis can show."""
    from reports.page.wording import splits
    from suites import FidelitySuite

    from ..plan.graph import job_graph
    from ..plan.workload import work_of

    records = planned.records(store)
    pending = planned.pending(records)
    todo = job_graph(pending, store).jobs.values()
    fidelity = isinstance(planned.suite, FidelitySuite)
    masks = not isinstance(planned.suite, FidelitySuite) and planned.suite.budgets.unstructured
    rows, works = [], []
    for name in kinds_of(planned.trials):
        jobs = [job for job in todo if job.kind == name]
        works.append(work_of(jobs, throughput, data_root, store))
        count = f"{len(pending)} of {len(planned.trials)}" if name == "trials" else str(len(jobs))
        what = SAID("kinds", name, fidelity=fidelity, masks=masks)
        rows.append((name, count, *cells(works[-1]), what))
    if pending:
        print_table(console, ("", "to do", *WORK, "what it is"), rows)
        say(console, f"{hours_of(works) or 'an unknown number of'} GPU-hours in all.")
        say_assumptions(console, works, throughput)
        console.print()
    show_epochs(console, planned)
    say(console, f"train/validation split: {splits(planned.suite)}")
    console.print()
    say(console, _time_left(pending, records, workers))
    _show_tests(console, planned)
    first, course = planned.needed([])
    if course.looks:
        counts = {"first": len(first.trials), "all": len(planned.trials)}
        say(console, SAID("tests", "looks", looks=course.looks, **counts))


def show_scales(
    console: Console,
    plans: Mapping[str, Plan],
    store: Store,
    throughput: Throughput,
    data_root: Path | None = None,
) -> None:
    """What is to do of each scale of a suite."""
    from ..plan.graph import job_graph
    from ..plan.workload import work_of

    rows, works = [], []
    for scale, planned in plans.items():
        pending = planned.pending(planned.records(store))
        todo = job_graph(pending, store).jobs.values()
        works.append(work_of(todo, throughput, data_root, store))
        rows.append((scale, f"{len(pending)} of {len(planned.trials)}", *cells(works[-1])))
    print_table(console, ("scale", "trials to do", *WORK), rows)
    say_assumptions(console, works, throughput)


def _show_tests(console: Console, planned: Plan) -> None:
    """What every test of the page can show, before anything runs, and what would help most."""
    from reports.analysis.power import TYPICAL, advice, layout_of, planned_tests
    from reports.statistics import FEWEST_BASES
    from suites import FidelitySuite

    suite = planned.suite
    if isinstance(suite, FidelitySuite):
        say(console, SAID("tests", "fidelity", bases=suite.bases, fewest=FEWEST_BASES))
        return
    layout = layout_of(suite, [trial.labels for trial in planned.trials])
    found = planned_tests(layout)
    rows = [
        (
            test.name,
            str(test.family),
            f"{test.power:.2f}",
            "nothing" if test.detects is None else f"{test.detects:g} {test.unit}",
        )
        for test in found
    ]
    heads = ("what can be shown", "tests", f"power at {TYPICAL:g} SDs", "80 % find")
    print_table(console, heads, rows)
    for test in found:
        if test.why_not:
            say(console, f"Nothing {test.name}: {test.why_not}.")
    say(console, SAID("tests", "helps", helps=list(advice(layout))))


def _time_left(pending: Sequence[Trial], records: Iterable[Record], workers: int) -> str:
    """An estimate from the trials that are done, by recovery, as recoveries differ most."""
    spent: dict[str, list[float]] = {}
    for record in records:
        if record.costs is not None:
            spent.setdefault(record.labels.recovery, []).append(record.costs.total_s)
    if not pending:
        return "nothing is left to do: every trial has its record"
    if not spent:
        return "time: known after a few trials have run"
    usual = {recovery: fmean(values) for recovery, values in spent.items()}
    other = fmean(usual.values())
    seconds = sum(usual.get(one.labels.recovery, other) for one in pending) / workers
    size = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(seconds, 1):.0f} s"
    return f"time: about {size} with {counted(workers, 'worker')}, without bases"
