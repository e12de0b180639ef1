"""What a run would do, how long it takes, and what its statistics can and cannot show."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from .table import print_table
from .work import by_kind, epochs, show_work

if TYPE_CHECKING:
    from ..plan import Plan
    from ..store import Store
    from ..workload import Throughput


def plan(
    console: Console,
    planned: Plan,
    store: Store,
    workers: int,
    throughput: Throughput,
    data_root: Path | None = None,
) -> None:
    """Jobs, trials, what is done, epochs, work, time, and what the declared analysis can show."""
    from suites import FidelitySuite

    from ..graph import job_graph
    from ..jobs import PreparedJob
    from ..workload import work_of

    pending = planned.pending(store)
    todo = job_graph(pending, store).jobs.values()
    jobs = Counter(type(job).__name__ for job in todo)
    work = [
        ("bases", "BaseJob", "networks to train or to take over"),
        ("scores", "ScoresJob", "passes over calibration images, all criteria each"),
    ]
    if any(isinstance(one.at.base, PreparedJob) for one in planned.trials):
        work.insert(1, ("prepared", "PreparedJob", "of them to train further before scoring"))
    if isinstance(planned.suite, FidelitySuite):
        work.append(("oracles", "OracleJob", "bases whose units are removed one at a time"))
        what = "scores held against the truth"
    else:
        masks = planned.suite.budgets.unstructured
        leaves, done_to_it = ("weights", "masked") if masks else ("channels", "cut")
        work.append(("paths", "PathJob", f"choices of {leaves} for all budgets"))
        what = f"{done_to_it}, recovered and measured"
    print_table(
        console,
        ("", "to do", "what it is"),
        [
            *((name, str(jobs[kind]), said) for name, kind, said in work),
            ("trials", f"{len(pending)} of {len(planned.trials)}", what),
        ],
    )
    console.print()
    epochs(console, planned)
    console.print()
    kinds = {**by_kind(todo), "all": list(todo)}
    rows = {what: work_of(some, throughput, data_root) for what, some in kinds.items()}
    show_work(console, "to do", rows, throughput)
    console.print(_time_left(planned, store, len(pending), workers))
    console.print(_can_show(planned), soft_wrap=True)


def scales(
    console: Console,
    plans: Mapping[str, Plan],
    store: Store,
    throughput: Throughput,
    data_root: Path | None = None,
) -> None:
    """What is to do of each scale of a suite."""
    from ..graph import job_graph
    from ..workload import work_of

    rows = {}
    for scale, planned in plans.items():
        pending = planned.pending(store)
        todo = job_graph(pending, store).jobs.values()
        name = f"{scale}: {len(pending)} of {len(planned.trials)} trials"
        rows[name] = work_of(todo, throughput, data_root)
    show_work(console, "to do of each scale", rows, throughput)


def _can_show(planned: Plan) -> str:
    """What the number of bases and problems allows to be said, before anything runs."""
    from reports.findings import power_line
    from reports.statistics import declared_power
    from suites import FidelitySuite

    suite = planned.suite
    if isinstance(suite, FidelitySuite):
        if suite.bases == 1:
            return "With one base a problem there are no intervals; take more bases."
        return f"Intervals are bootstrapped over {suite.bases} bases a problem."
    problems = len({trial.labels.problem for trial in planned.trials})
    compared = {one.labels.method for one in planned.trials if not one.labels.matched_to}
    compared.discard(suite.analysis.control)
    return power_line(declared_power(problems, max(len(compared), 1), suite.analysis.alpha))


def _time_left(planned: Plan, store: Store, pending: int, workers: int) -> str:
    """From the trials that are done, by recovery, as recoveries differ most."""
    records = planned.records(store)
    spent: dict[str, list[float]] = {}
    for record in records:
        if record.costs is not None:
            spent.setdefault(record.labels.recovery, []).append(record.costs.total_s)
    if not pending:
        return "nothing is left to do"
    if not spent:
        return "time: known after a few trials have run"
    done = {record.key for record in records}
    everything = [one for values in spent.values() for one in values]
    seconds = sum(
        statistics.mean(spent.get(trial.labels.recovery, everything))
        for trial in planned.trials
        if trial.key not in done
    )
    return f"time: about {seconds / 60 / workers:.0f} min with {workers} workers, without bases"
