"""What people see in the terminal: lists, plans, progress."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, OverflowMethod
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.status import Status
from rich.table import Table
from rich.text import Text

from .errors import BenchError

if TYPE_CHECKING:
    from criteria.phases import Kind, PhaseEntry
    from criteria.registry import Entry
    from reports.duel import Duel
    from reports.records import Failure, Record
    from suites.method import MethodSpec

    from .jobs import Job
    from .plan import Plan
    from .store import Store

PHASES: dict[str, Kind] = {
    "preparations": "preparation",
    "procedures": "procedure",
    "recoveries": "recovery",
}
LISTS = ("criteria", *PHASES, "presets", "methods", "suites", "models", "datasets", "recipes")


def listing(console: Console, what: str, plugins: Sequence[Path], name: str = "") -> None:
    """Print one of `LISTS`, or all about one criterion or phase of it.

    Raises:
        BenchError: `what` is none of them, or has no more to tell of its members.
        CriteriaError: nothing there bears that name.
    """
    if what not in LISTS:
        raise BenchError(f"bench list {what}: there are {', '.join(LISTS)}")
    if name and what != "criteria" and what not in PHASES:
        told = ", ".join(("criteria", *PHASES))
        raise BenchError(f"bench list {what} {name}: a name may follow {told}")
    if what == "suites":
        _suites(console)
    elif what == "recipes":
        _recipes(console)
    elif what == "presets":
        _presets(console)
    elif what == "methods":
        _methods(console)
    elif what == "criteria":
        _criteria(console, plugins, name)
    elif what in PHASES:
        _phases(console, PHASES[what], name)
    else:
        from .datasets import list_datasets
        from .models import list_models

        found = list_models() if what == "models" else list_datasets()
        _print(console, (what[:-1], "what it is"), found.items())


def _print(
    console: Console, head: Iterable[str], rows: Iterable[Sequence[str]], *, brief: bool = False
) -> None:
    """A table without lines; `brief` keeps a row on one line by cutting its last column."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    lines = list(rows)
    for at, name in enumerate(head):
        whole = brief and lines and at < len(lines[0]) - 1
        least = max(len(row[at]) for row in lines) if whole else None
        cut: OverflowMethod = "ellipsis" if brief else "fold"
        table.add_column(name, overflow=cut, no_wrap=brief, min_width=least)
    for row in lines:
        table.add_row(*row)
    console.print(table)


def _suites(console: Console) -> None:
    from suites import expand, library, load_suite

    loaded = [load_suite(name) for name in library()]
    rows = [(one.suite, str(sum(1 for _ in expand(one))), one.description) for one in loaded]
    _print(console, ("suite", "trials", "what it asks"), rows)


def _methods(console: Console) -> None:
    """Methods are named in suites: a criterion, its options, and how channels leave."""
    from suites import library, load_suite

    rows = []
    for name in library():
        for method in load_suite(name).methods:
            leaves = _leaves(method)
            options = ", ".join(f"{key}={value}" for key, value in method.options.items())
            matched = ", ".join(f"{one}~{method.name}" for one in method.matched)
            rows.append((name, method.name, method.criterion, options, leaves, matched))
    head = ("suite", "method", "criterion", "options", "leaves", "matched controls")
    _print(console, head, rows)


def _presets(console: Console) -> None:
    """The papers' methods, of which suites are made."""
    from suites.method import MethodSpec, named_presets

    rows = [
        (name, method.criterion, _leaves(method))
        for name, one in named_presets().items()
        for method in [MethodSpec.model_validate(one)]
    ]
    _print(console, ("preset", "criterion", "leaves"), rows)


def _leaves(method: MethodSpec) -> str:
    """How channels leave, and what trains before, meanwhile and after."""
    steps = f"{method.iterative.steps} steps" if method.iterative else "one-shot"
    if method.iterative and method.iterative.recover:
        steps += f", {method.iterative.recover} after each"
    before = f"{method.prepare.name}, " if method.prepare else ""
    meanwhile = f", {method.procedure.name}" if method.procedure else ""
    after = f", {method.finetuning.name}" if method.finetuning else ""
    return before + steps + meanwhile + after


def _recipes(console: Console) -> None:
    from suites import named_recipes

    rows = [
        (
            name,
            str(one.epochs),
            str(one.batch_size),
            f"{one.optimizer} {one.learning_rate:g} {one.schedule}",
            f"{one.weight_decay:g}",
        )
        for name, one in named_recipes().items()
    ]
    _print(console, ("recipe", "epochs", "batch", "optimizer", "weight decay"), rows)


def _criteria(console: Console, plugins: Sequence[Path], name: str) -> None:
    """A line each, or all about one."""
    with console.status("loading torch and the criteria"):
        from criteria import criteria, find

        from .plan import load_plugins

        load_plugins(plugins)
        entries = [find(name)] if name else criteria()
    if not name:
        rows = [(one.name, _units(one), _needs(one), one.summary) for one in entries]
        _print(console, ("criterion", "scores or picks", "needs", "what it is"), rows, brief=True)
        console.print("all about one: bench list criteria NAME")
        return
    for one in entries:
        kind = " [cyan]selector[/]" if one.selector is not None else ""
        console.print(f"[bold]{one.name}[/]{kind}", ", ".join(one.aliases))
        does = "picks" if one.selector is not None else "scores"
        _about(console, one, f"{does} {_units(one)}; needs {_needs(one)}")


def _needs(entry: Entry) -> str:
    return (entry.needs.name or "").lower().replace("_", " ").replace("|", ", ") or "weights"


def _phases(console: Console, kind: Kind, name: str) -> None:
    """All about each, as there are few, or about one."""
    with console.status("loading torch and the phases"):
        from criteria.phases import find_phase, phases

        entries = [find_phase(kind, name)] if name else phases(kind)
    for one in entries:
        console.print(f"[bold]{one.name}[/]")
        follows = getattr(one.type, "follows", None)
        on_its_way = {None: "", True: "takes the units chosen before", False: "chooses on its way"}
        _about(console, one, on_its_way[follows])


def _about(console: Console, one: Entry | PhaseEntry, what: str) -> None:
    """Below a name, indented: what it is, its options, where it is from."""
    fields = one.type.options_type.model_fields
    options = f"options: {', '.join(fields)}" if fields else ""
    about = "; ".join(filter(None, [what, options]))
    for line in filter(None, [one.summary, about, one.cite, one.fidelity]):
        console.print(Padding(Text(line), (0, 0, 0, 4)))


def _units(entry: Entry) -> str:
    if entry.selector is not None:
        return "sets of channels"
    kinds = {"channels": entry.structured, "weights": entry.unstructured}
    return ", ".join(name for name, scored in kinds.items() if scored)


def check(console: Console, name: str, plugins: Sequence[Path], results: Path) -> int:
    """Check the named criterion, or all that the plugins register; 1 where one does not conform.

    Raises:
        BenchError: neither a name nor a plugin.
    """
    if not name and not plugins:
        raise BenchError("bench check: give the name of a criterion, or --plugin FILE")
    with console.status("loading torch and the criteria"):
        from criteria import find

        from .conformance import check as findings_of
        from .conformance import fails
        from .conformance.table import show, summary
        from .plan import load_plugins, registered_by

        load_plugins(plugins)
        names = [find(name).name] if name else registered_by(plugins)
    code = 0
    for one in names:
        with console.status(f"checking {one}") as status:
            found = findings_of(one, results, lambda step: _tell(console, status, step))
        show(console, found)
        console.print(summary(found), style="bold red" if fails(found) else "bold green")
        code |= fails(found)
    return int(code)


def _tell(console: Console, status: Status, step: str) -> None:
    """On the moving line of a terminal, or as a line of a log."""
    if console.is_terminal:
        status.update(step)
    else:
        console.print(step)


def plan(console: Console, planned: Plan, store: Store, workers: int) -> None:
    """Jobs, trials, what is done, time, and what the declared analysis can show."""
    from suites import FidelitySuite

    from .graph import job_graph
    from .jobs import PreparedJob

    pending = planned.pending(store)
    jobs = Counter(type(job).__name__ for job in job_graph(pending, store).jobs.values())
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
    _print(
        console,
        ("", "to do", "what it is"),
        [
            *((name, str(jobs[kind]), said) for name, kind, said in work),
            ("trials", f"{len(pending)} of {len(planned.trials)}", what),
        ],
    )
    console.print(_time_left(planned, store, len(pending), workers))
    console.print(_can_show(planned), soft_wrap=True)


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
    power = declared_power(problems, max(len(compared), 1), suite.analysis.alpha)
    return power_line(power, suite.bases)


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


def duel(console: Console, found: Duel) -> None:
    """Differences on each problem and over problems, then what may be said."""
    from reports.formats import counts, interval, p_value, points

    console.print(f"{found.method} minus {found.reference}, points of retained top-1", style="bold")
    level = f"{100 * (1 - found.suite.analysis.alpha):g} % interval"
    rows = []
    for row in found.paired.to_dict("records"):
        told = row["reason"] or f"{row['verdict']} (ROPE ± {found.suite.analysis.rope:g})"
        span = interval(row["low"], row["high"])
        cells = [row["recovery"], row["problem"], points(row["mean"]), span]
        rows.append([*cells, str(row["n_bases"]).replace("<NA>", "–"), counts(row), told])
    heads = ["recovery", "problem", "difference", level, "bases", "won/tied/lost", "verdict"]
    _print(console, heads, rows)
    heads = ["recovery", "problems", "shift", level, "won/tied/lost", "share won"]
    heads += ["rank-biserial", "better/equal/worse", "p"]
    rows = []
    for row in found.overall.to_dict("records"):
        beliefs = [row[f"p_{one}"] for one in ("better", "equal", "worse")]
        cells = [row["recovery"], str(row["n_problems"]), points(row["hodges_lehmann"])]
        cells += [interval(row["shift_low"], row["shift_high"]), counts(row)]
        cells += [f"{row[one]:.2f}" for one in ("share_won", "rank_biserial")]
        cells += ["/".join(f"{100 * one:.0f}" for one in beliefs) + " %", p_value(row["p"])]
        rows.append([one.replace("nan", "–") for one in cells])
    console.print()
    _print(console, heads, rows)
    console.print()
    for sentence in found.words:
        console.print(sentence, markup=False, soft_wrap=True)


def status(console: Console, planned: Plan, store: Store) -> None:
    """How far each method has come, and the failures with their reasons."""
    records = planned.records(store)
    counts: dict[str, Counter[str]] = {}
    for trial in planned.trials:
        counts.setdefault(trial.labels.method, Counter())["trials"] += 1
    for record in records:
        counts[record.labels.method][record.status] += 1
    rows = [
        (
            method,
            f"{count['done']}/{count['trials']}",
            *(str(count[one] or "") for one in ("infeasible", "failed")),
            str(count["trials"] - count["done"] - count["infeasible"] - count["failed"] or ""),
        )
        for method, count in counts.items()
    ]
    _print(console, ("method", "done", "infeasible", "failed", "to go"), rows)
    for record in records:
        if record.failure is not None:
            console.print(
                f"{record.status}: {record.labels.brief}: "
                f"{record.failure.kind}: {record.failure.message}",
                markup=False,
            )


class Live:
    """A progress bar with what runs now; the listener of `bench.run.run`."""

    def __init__(self, console: Console, trials: int, workers: int) -> None:
        self._console, self._workers = console, workers
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[now]}"),
            console=console,
        )
        self._task = self._progress.add_task("trials", total=trials, now="starting workers")
        self._running: dict[str, str] = {}
        self._trials, self._ended, self._bad = trials, 0, 0

    def __enter__(self) -> Live:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def started(self, job: Job) -> None:
        self._running[job.key] = str(job)
        self._update()

    def ended(self, job: Job, failure: Failure | None) -> None:
        from .jobs import Trial

        self._running.pop(job.key, None)
        if failure is not None and not isinstance(job, Trial):
            self._console.print(
                f"failed: {job}: {failure.kind}: {failure.message}", markup=False, soft_wrap=True
            )
        self._update()

    def recorded(self, record: Record) -> None:
        self._bad += record.status != "done"
        self._ended += 1
        self._progress.advance(self._task)
        self._update()
        tenth = max(self._trials // 10, 1)
        if not self._console.is_terminal and self._ended % tenth == 0:  # a log has no bar
            self._console.print(f"{self._ended}/{self._trials} trials, {self._bad} failed")

    def _update(self) -> None:
        failed = f" · {self._bad} failed" if self._bad else ""
        now = "; ".join(list(self._running.values())[: self._workers])
        self._progress.update(self._task, description=f"trials{failed}", now=now)
