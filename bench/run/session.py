"""One `bench run`: lock the results, check the inputs, run, log, report."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from reports.records import Record
from suites import Suite

from ..errors import BenchError
from ..executors import make_executor
from ..executors.gpus import visible_gpus
from ..plan.jobs import Trial
from ..plan.plan import Plan
from ..steps.workspace import Settings
from ..store.provenance import environment
from ..store.store import Store
from ..tracking import Tracker, TrackingError
from .live import Live
from .preflight import preflight
from .run import run

if TYPE_CHECKING:
    from reports.analysis.compare import MethodDifference


@dataclass(frozen=True)
class Request:
    """How a plan is to be run; see `bench run --help`."""

    results: Path
    data_root: Path
    workers: int
    methods: tuple[str, ...] = ()
    repeats: int | None = None
    plugins: tuple[Path, ...] = ()
    download: bool = False
    device: str = "cpu"
    loaders: int = 1
    executor: str = "local"
    timeout_s: float | None = None
    shard: str = ""
    retry_failed: bool = False
    command: str = "bench run"


def session(plan: Plan, request: Request, console: Console) -> int:
    """Run whatever of the plan is pending; returns 0, or 1 where trials have failed.

    Raises:
        BenchError, CriteriaError: faults of the input, all found before anything runs.
    """
    _check_device(request)
    part = plan.only(request.methods, request.repeats)
    if request.shard:
        part = part.shard(*_shard(request.shard))
    store = Store(request.results)
    settings = Settings(
        store.root,
        request.data_root.resolve(),
        request.download,
        request.plugins,
        request.device,
        request.loaders,
    )
    with store.lock(), saying_damage(store, console):
        pending = part.pending(store, retry_failed=request.retry_failed)
        console.print(
            f"{len(part.trials)} trials, {len(part.trials) - len(pending)} finished before, "
            f"{len(pending)} to go; results in {request.results}"
        )
        if pending:
            with console.status("checking data, models and budgets"):
                preflight(pending, replace(settings, device="cpu"))  # GPUs are for the workers
        if pending or (plan.records(store) and not _page(plan, store).exists()):
            _run(plan, pending, store, settings, request, console)
        return _conclude(plan, store, console)


@contextmanager
def saying_damage(store: Store, console: Console) -> Iterator[None]:
    """Say at the end what was found damaged meanwhile, by this process or a worker."""
    earlier = len(store.set_aside_so_far())
    try:
        yield
    finally:
        for line in store.set_aside_so_far()[earlier:]:
            console.print("[yellow]damaged[/]", end=" ")
            console.print(f"{line}; made anew where it was needed", markup=False, soft_wrap=True)


def _check_device(request: Request) -> None:
    """Before anything else is looked at; what a cluster has, Ray knows."""
    if request.device not in ("cpu", "cuda"):
        raise BenchError(f"--device {request.device}: there are cpu, cuda")
    if request.device == "cuda" and request.executor != "ray":
        visible_gpus()


def _run(
    plan: Plan,
    pending: list[Trial],
    store: Store,
    settings: Settings,
    request: Request,
    console: Console,
) -> None:
    executor = make_executor(request.executor, settings, request.workers, request.timeout_s)
    with console.status("opening MLflow"):
        tracker = Tracker(
            os.environ.get("MLFLOW_TRACKING_URI"),
            store.root,
            plan.suite,
            provenance=environment(request.device),
            command=request.command,
        )
    ended, report = "KILLED", None
    log = _logger(tracker, console)
    try:
        for record in plan.records(store):  # a killed run, or another suite, may not have logged it
            log(record)
        with Live(console, len(pending), request.workers) as live:
            summary = run(pending, store, executor, live, log)
        found = ", ".join(f"{count} {status}" for status, count in summary.statuses.items())
        console.print(f"{found} in {summary.seconds:.0f} s")
        ended = "FINISHED"
        report = write_report(plan, store, None).parent
    finally:
        try:
            tracker.finish(ended, report)
        except TrackingError as error:
            console.print(f"[yellow]MLflow: {error}[/]")
    if "MLFLOW_TRACKING_URI" not in os.environ:
        console.print(f"to browse the trials: bench ui --results {request.results}, and then")
        for what, link in tracker.links().items():
            console.print(f"  {what}: {link}", soft_wrap=True)


def _logger(tracker: Tracker, console: Console) -> Callable[[Record], None]:
    """Log to MLflow; when that fails, say so once and go on, as the records are safe."""
    broken = False

    def log(record: Record) -> None:
        nonlocal broken
        if broken:
            return
        try:
            tracker.log(record)
        except TrackingError as error:
            broken = True
            console.print(f"[yellow]MLflow: {error}[/]")

    return log


def _conclude(plan: Plan, store: Store, console: Console) -> int:
    records = plan.records(store)
    failed = [record for record in records if record.status == "failed"]
    reasons: dict[str, int] = {}
    for record in failed:
        assert record.failure is not None
        first = f"{record.failure.kind}: {record.failure.message}"
        reasons[first] = reasons.get(first, 0) + 1
    for reason, count in reasons.items():
        console.print("[red]failed[/]", end=" ")
        console.print(f"{count} trials: {reason}", markup=False)
    if failed:
        console.print("run again with --retry-failed once the cause is mended")
    page = _page(plan, store)
    if page.exists():
        console.print(f"report: {page}", soft_wrap=True)
    return 1 if failed else 0


def _page(plan: Plan, store: Store) -> Path:
    return store.report(plan.suite.suite) / "index.html"


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


def compare(plan: Plan, store: Store, method: str, reference: str) -> MethodDifference:
    """Two methods of a suite against each other, from its records.

    Raises:
        BenchError: no records yet, a fidelity suite, or a name that is none of its methods.
    """
    from reports.analysis.compare import compare_methods

    if not isinstance(plan.suite, Suite):
        raise BenchError(f"{plan.suite.suite} is of kind fidelity, whose report compares criteria")
    known = plan.suite.method_names
    unknown = [name for name in (method, reference) if name not in known]
    if unknown:
        raise BenchError(f"compare: {', '.join(unknown)} is none of {', '.join(known)}")
    expected = [trial.labels for trial in plan.trials]
    return compare_methods(plan.suite, finished(plan, store), expected, method, reference)


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


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise BenchError(f"--shard {text}: expected I/N with 1 <= I <= N, as in 3/64")
    return int(index), int(count)
