"""One `bench run`: lock the results, check the inputs, run, log, report; and a sample of a pack."""

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import track as bar

from reports.analysis.labs import Both
from reports.declared import REHEARSED
from reports.formats import counted
from reports.metric import speaking_of
from reports.records import Record
from suites import Suite
from suites.faults import SHOWN, no_such, printable

from ..errors import BenchError, fault
from ..executors import check_executor, make_executor
from ..executors.local import visible_gpus
from ..plan.jobs import Trial, TrialJob
from ..plan.keeping import check_kept, keeping
from ..plan.outline import record_suite
from ..plan.plan import Plan, make_plan
from ..plan.refusals import shared_metric
from ..steps.workspace import Settings
from ..store.provenance import environment
from ..store.store import Store
from ..terminal import say
from ..tracking import Experiment, Tracker, TrackingError
from ..tracking.connection import local_database_holds
from ..tracking.summaries import conclude
from .declaring import declare
from .live import Live
from .log import RunLog
from .packing import Pack
from .preflight import Examined, inspect_bases, preflight
from .reporting import reasons, report_holds, saying_damage, write_own_report
from .run import Run


@dataclass(frozen=True)
class Request:
    """How a plan is to be run; see `bench run --help`."""

    settings: Settings
    workers: int
    methods: tuple[str, ...] = ()
    repeats: int | None = None
    trial: str = ""
    executor: str = "local"
    timeout_s: float | None = None
    slurm: tuple[str, ...] = ()
    shard: str = ""
    retry_failed: bool = False
    allow_untrained: bool = False
    keep: str = ""
    command: str = "bench run"


def session(plan: Plan, request: Request, console: Console) -> int:
    """Run whatever of the plan is pending; returns 0, or 1 where trials have failed. Raises
    BenchError and CriteriaError for faults of the input, all found before anything runs."""
    device, there = request.settings.device, ("cpu", "cuda")
    if device not in there:
        raise BenchError(f"--device: {no_such('device', device, there)}")
    check_executor(request.executor, request.timeout_s, request.slurm)
    if device == "cuda" and request.executor in ("inline", "local"):  # others have their own
        visible_gpus()
    part = plan.only(request.methods, request.repeats, request.trial)
    if request.shard:
        part = part.shard(*_shard(request.shard))
    whole = len(part.trials) == len(plan.trials) or request.trial
    if not whole and isinstance(plan.suite, Suite) and plan.suite.analysis.looks:
        # Who goes on hangs on all comparisons.
        raise BenchError(fault("part_of_looks", suite=plan.suite.suite))
    store, data_root = Store(request.settings.results), request.settings.data_root.resolve()
    settings = replace(request.settings, results=store.root, data_root=data_root)
    with speaking_of(shared_metric(plan.suite)), store.lock(), saying_damage(store, console) as old:
        records, most = plan.records(store), ""
        needed, course = plan.needed(records)
        if looks := bool(course.looks) and not request.trial:
            part, most = needed, f" of at most {len(plan.trials)}"
        if course.taken:
            say(console, course.last_look)
        pending = part.pending(records, retry_failed=request.retry_failed)
        among = plan if looks else part
        todo = keeping(among, request.keep, records, store, pending)
        again = f", {len(todo) - len(pending)} again for their networks"
        say(
            console,
            f"{counted(len(part.trials), 'trial')}{most}, "
            f"{len(part.trials) - len(pending)} finished before, {len(pending)} to go"
            f"{again if len(todo) > len(pending) else ''}; results in {request.settings.results}",
        )
        if todo or (records and not _shown(plan, store, records)):
            with RunLog(store, plan.suite.suite, Live(console), old) as log:
                how = {"workers": request.workers, "executor": request.executor}
                how |= {"suite": plan.suite.suite, "command": request.command, "to_go": len(todo)}
                log.tell("run started", process=os.getpid(), **how, **environment(settings.device))
                records = _run(plan, among, todo, records, store, settings, request, log)
        else:
            record_suite(plan, settings.plugins, store)
            declare(plan, store, records, console, runs=False)
        lacking = bool(keeping(among, request.keep, records, store))
        return max(_conclude(plan, store, records, console), int(lacking))


def _run(
    plan: Plan,
    among: Plan,
    pending: list[Trial],
    records: list[Record],
    store: Store,
    settings: Settings,
    request: Request,
    log: RunLog,
) -> list[Record]:
    """Run what is pending, log and report; `records` are those from before. Returns all."""
    splits: Mapping[str, Examined] = {}
    console = log.live.console
    if pending:
        with console.status("checking data, models and budgets"):
            splits = preflight(pending, replace(settings, device="cpu"))  # GPUs are for workers
    how = request.executor, settings, request.workers, request.timeout_s, request.slurm
    executor = make_executor(*how)
    record_suite(plan, settings.plugins, store)  # now that no fault can be found before it runs
    with console.status("opening MLflow"):
        experiment = Experiment(store.root, plan.suite)
        tracker = Tracker(experiment, environment(settings.device), request.command)
    ended, report, found = "KILLED", None, None
    broken: list[TrackingError] = []  # told once: the run goes on, as the records are safe

    def track(record: Record) -> None:
        try:
            if not broken:
                tracker.log(record)
        except TrackingError as error:
            broken.append(error)
            log.tell("MLflow lost", why=str(error))
            say(console, (f"MLflow: {error}", "yellow"))

    try:
        declare(plan, store, records, console, runs=bool(pending))
        quiet = not console.is_terminal
        for record in bar(records, "in MLflow", console=console, transient=True, disable=quiet):
            track(record)  # a killed run, or another suite, may not have logged it
        tried: set[str] = set()
        while True:
            what = plan.suite, pending, splits, store, console
            inspect = partial(inspect_bases, *what, allow_untrained=request.allow_untrained)
            with log.live:
                begun = time.monotonic()
                flow = Run(pending, store, executor, log, track, inspect)
                statuses = flow.to_its_end()
            said = ", ".join(f"{count} {status}" for status, count in statuses.items())
            say(console, f"{said} in {time.monotonic() - begun:.0f} s")
            records = plan.records(store)
            needed, course = plan.needed(records)
            tried |= {one.key for one in pending if isinstance(one, TrialJob) and one.keep}
            if look := bool(pending and course.taken and not request.trial):
                say(console, course.last_look)
                log.tell("look taken", what=course.last_look)
            ahead = needed.pending(records) if look else []
            pending = keeping(among, request.keep, records, store, ahead)
            if not (pending := [one for one in pending if one.key not in tried]):
                break
            executor = make_executor(*how)
        if made := tried & {one.key for one in records if one.status == "done"}:
            check_kept(made, store, console)
        ended = "FINISHED"
        report = write_own_report(plan, store, records).parent
        log.tell("report written", what=str(report))
        found = conclude(plan.suite, records, plan.expected)
    finally:
        try:
            tracker.finish(ended, report, found)
            if found:
                ui = f"bench ui --results {request.settings.results}"
                links = experiment.links().items()
                lines = (f"\n  {what}:\n    {where}" for what, where in links)
                say(console, f"to browse in MLflow: {ui}, and then{''.join(lines)}")
        except TrackingError as error:
            say(console, (f"MLflow: {error}", "yellow"))
    return records


def _conclude(plan: Plan, store: Store, records: list[Record], console: Console) -> int:
    failed = [record for record in records if record.status == "failed"]
    for (_, reason), trials in reasons(failed).items():
        say(console, ("failed", "red"), f" {counted(len(trials), 'trial')}: {reason}")
    if failed:
        say(console, "run again with --retry-failed once the cause is mended")
    _, course = plan.needed(records)
    if course.ended:
        say(console, course.outcome)
    if plan.suite.rehearsal:
        say(console, (f"Rehearsal: {REHEARSED}.", "yellow"))
    page = store.path("reports", plan.suite.suite) / "index.html"
    if page.exists():
        say(console, f"report: {page}")
    return 1 if failed else 0


def _shown(plan: Plan, store: Store, records: list[Record]) -> bool:
    """Whether report and MLflow show what there is; those on a server are not looked at."""
    local = "MLFLOW_TRACKING_URI" not in os.environ
    return report_holds(plan, store, records) and (not local or local_database_holds(store.root))


def _shard(text: str) -> tuple[int, int]:
    numbers = re.fullmatch("([0-9]{1,9})/([0-9]{1,9})", text)
    index, count = map(int, numbers.groups()) if numbers else (0, 0)
    if not 0 <= index <= count or not count:
        given = printable(text, SHOWN)
        raise BenchError(f"--shard {given}: expected I/N with I from 0 (bases) to N, as in 3/64")
    return index, count


def run_again(
    pack: Pack, sample: int, seed: int, settings: Settings, console: Console
) -> list[Both]:
    """Run so many finished trials of a pack again from scratch, drawn by a seed: what the pack
    holds of each, and what came. Raises BenchError where data or weights are not at hand."""
    trials = {one.key: one for one in make_plan(pack.outline.suite).trials}
    found = {key: record for key, (_, record) in pack.rows.items() if record.status == "done"}
    known = sorted(found.keys() & trials.keys())
    if lost := len(found) - len(known):
        whole = counted(len(found), "finished trial")
        say(console, (fault("other_code", lost=lost, whole=whole), "yellow"))
    keys = Random(seed).sample(known, min(sample, len(known)))
    chosen = [trials[key] for key in keys]
    with TemporaryDirectory() as folder, speaking_of(shared_metric(pack.outline.suite)):
        store = Store(Path(folder))
        settings = replace(settings, results=store.root)
        preflight(chosen, settings)
        executor = make_executor("local", settings, os.cpu_count() or 1, None)
        with RunLog(store, pack.name, Live(console)) as log, log.live:
            Run(chosen, store, executor, log).to_its_end()
        made = store.records(keys)
    return [Both(found[key], made[key], ("packed", "again")) for key in keys]
