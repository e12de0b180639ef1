"""What a run would do, how long it takes, and what its statistics can and cannot show."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from rich.console import Console

from reports.analysis.power import TYPICAL, advice, layout_of, planned_tests
from reports.formats import counted
from reports.page.wording import splits
from reports.records import Record
from reports.statistics import FEWEST_BASES
from reports.words import Words
from suites import FidelitySuite

from ..plan.graph import job_graph
from ..plan.jobs import Trial, TrialJob
from ..plan.keeping import asked_for
from ..plan.plan import Plan
from ..plan.sizes import dataset_size, model_size
from ..plan.workload import Throughput, Work, own_epochs, prepared_epochs, recovery_epochs, work_of
from ..store.store import Store
from ..terminal import print_table, say

SAID = Words("planning.yaml")
WORK = ("scored", "trained", "evaluated", "GPU-hours")  # images, and time
OWN = ("before scoring", "on the way")  # trainings that belong to methods


def show_plan(
    console: Console,
    planned: Plan,
    store: Store,
    workers: int,
    throughput: Throughput,
    data_root: Path | None = None,
    keep: str = "",
) -> None:
    """Jobs, trials, what is done, epochs, work, time, and what the declared analysis can show."""
    records = planned.records(store)
    pending = planned.pending(records)
    todo = job_graph(pending, store).jobs.values()
    fidelity = isinstance(planned.suite, FidelitySuite)
    masks = not isinstance(planned.suite, FidelitySuite) and planned.suite.budgets.unstructured
    rows, works = [], []
    for name in _kinds_of(planned.trials):
        jobs = [job for job in todo if job.kind == name]
        works.append(work_of(jobs, throughput, data_root, store))
        count = f"{len(pending)} of {len(planned.trials)}" if name == "trials" else str(len(jobs))
        what = SAID("kinds", name, fidelity=fidelity, masks=masks, jobs=jobs)
        rows.append((name, count, *_cells(works[-1]), what))
    if pending:
        print_table(console, ("", "to do", *WORK, "what it is"), rows)
        hours = _hours(sum(one.hours for one in works)) or "an unknown number of"
        say(console, f"{hours} GPU-hours in all.")
        _say_assumptions(console, works, throughput)
        console.print()
    show_epochs(console, planned)
    say(console, f"train/validation split: {splits(planned.suite)}")
    console.print()
    say(console, _time_left(pending, records, workers))
    if kept := asked_for(planned, keep):
        sizes = [
            4e-6 * model_size(one.at.base.model, extent, store).params
            for one in kept
            if (extent := dataset_size(one.at.base.dataset, data_root))
        ]
        say(console, SAID("work", "kept", count=len(kept), megabytes=sum(sizes)))
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
    rows, works = [], []
    for scale, planned in plans.items():
        pending = planned.pending(planned.records(store))
        todo = job_graph(pending, store).jobs.values()
        works.append(work_of(todo, throughput, data_root, store))
        rows.append((scale, f"{len(pending)} of {len(planned.trials)}", *_cells(works[-1])))
    print_table(console, ("scale", "trials to do", *WORK), rows)
    _say_assumptions(console, works, throughput)


def _show_tests(console: Console, planned: Plan) -> None:
    """What every test of the page can show, before anything runs, and what would help most."""
    suite = planned.suite
    if isinstance(suite, FidelitySuite):
        say(console, SAID("tests", "fidelity", bases=suite.bases, fewest=FEWEST_BASES))
        return
    layout = layout_of(suite, [trial.labels for trial in planned.trials])
    found = planned_tests(layout)
    rows = []
    for test in found:
        detects = "nothing" if test.detects is None else f"{test.detects:g} {test.unit}"
        rows.append((test.name, str(test.family), f"{test.power:.2f}", detects))
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


def _kinds_of(trials: Iterable[Trial]) -> list[str]:
    """What these trials stand on, done or not, and they themselves."""
    jobs = {job for trial in trials for job in (trial, *trial.below)}
    kinds = {"bases", "scores", *(job.kind for job in jobs)}
    return [one for one in SAID.texts["kinds"] if one in kinds]


def _cells(work: Work) -> tuple[str, ...]:
    """The columns `WORK`."""
    load = work.load
    return (*map(_count, (load.scored, load.trained, load.evaluated)), _hours(work.hours))


def _say_assumptions(console: Console, works: Iterable[Work], throughput: Throughput) -> None:
    """What the estimate rests on, and what is not in it."""
    say(console, SAID("work", "assumed", rate=throughput))
    if unknown := set().union(*(one.unknown for one in works)):
        say(console, SAID("work", "unknown", unknown=unknown))


def _count(images: int) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if images >= 10 * size:
            return f"{images / size:,.0f} {letter}"
    return str(images) if images else ""


def _hours(hours: float) -> str:
    if hours >= 10:
        return f"{hours:,.0f}"
    return f"{hours:.2g}" if hours >= 0.001 else "< 0.001" if hours else ""


def show_epochs(console: Console, planned: Plan) -> None:
    """Print what methods train before they are scored, on the way, and to recover; alike as one."""
    found: dict[str, dict[str, set[int]]] = {}  # by kind of training, by method
    for trial in (one for one in planned.trials if isinstance(one, TrialJob)):
        before = prepared_epochs(trial.path)
        on_the_way = own_epochs(trial.path, trial.budget) - before
        epochs = dict(zip(OWN, (before, on_the_way), strict=True))
        if trial.recipe is not None:
            epochs[trial.labels.recovery] = recovery_epochs(trial)
        for kind, spent in epochs.items():
            found.setdefault(kind, {}).setdefault(trial.labels.method, set()).add(spent)
    if not (trained := {kind: by for kind, by in found.items() if any(map(any, by.values()))}):
        return
    alike: dict[tuple[str, ...], list[str]] = {}
    methods = list(found[OWN[0]])
    for method in methods:
        told = []  # over budgets and problems; a method's own phases may leave nothing of a total
        for kind, by in trained.items():
            few, many = (ends(by.get(method, {0})) for ends in (min, max))
            nothing = method not in by or (not many and kind in OWN)
            told.append("" if nothing else str(few) if few == many else f"{few} to {many}")
        alike.setdefault(tuple(told), []).append(method)
    rows = [
        (f"all {len(names)} methods" if names == methods else ", ".join(names), *counts)
        for counts, names in alike.items()
    ]
    print_table(console, ("epochs of", *trained), rows)
