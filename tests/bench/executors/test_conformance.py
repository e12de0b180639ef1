"""What every executor does, whichever it is; what one cannot do by nature is in one table."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import toy

import bench.steps.perform as way
from bench.executors import make_executor
from bench.plan.jobs import BaseJob
from bench.plan.plan import make_plan
from bench.steps.perform import Outcome
from bench.steps.workspace import Settings
from criteria import registry

# Submitit starts the processes of its local executor, and does not wait for them.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")

CANNOT = {  # one process neither survives its own death nor stops itself
    "inline": {"exits", "killed", "hangs"},
    "local": set(),
    "ray": set(),
    "slurm": set(),
}
SLOW = {"ray", "slurm"}
EACH = [pytest.param(one, marks=[pytest.mark.slow] * (one in SLOW)) for one in CANNOT]
APART = [one for one in EACH if one.values != ("inline",)]
SLOTS, TIMEOUT_S = 2, 5.0


def options(executor: str) -> list[object]:
    """Of the command; Slurm's jobs are submitit's processes on this machine."""
    more = ["--slurm", "cluster=local"] if executor == "slurm" else []
    return ["--executor", executor, "--workers", SLOTS, *more]


def skip_without(executor: str) -> None:
    """Ray and submitit are optional extras."""
    if executor in SLOW:
        pytest.importorskip({"slurm": "submitit"}.get(executor, executor))


def make(executor: str, settings: Settings, slots: int, timeout_s: float | None) -> Any:
    skip_without(executor)
    more = ["cluster=local"] if executor == "slurm" else []
    return make_executor(executor, settings, slots, timeout_s, more)


# --- jobs that do as they are told ----------------------------------------------------------------

# A job runs the file that bears its number, and tells when it began and ended.
SCRIPTED = """
import os, signal, time
import bench.steps.perform as way
from criteria import Criterion, register

@register("scripted", cite="nobody", faithful="a test")
class Scripted(Criterion):
    def observe(self, batch): ...

def do(job, workspace):
    folder = workspace.settings.results
    def tell(what):
        with (folder / "log").open("a") as log:
            log.write(f"{time.monotonic()} {what} {job.base}\\n")
    tell("begins")
    try:
        exec((folder / f"{job.base}.py").read_text())
    finally:
        tell("ends")
    return way.Outcome()

way._do = do
"""
TOLD = {
    "exits": "os._exit(5)",
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "hangs": "time.sleep(9999)",
    "raises": "raise ValueError('my own fault')",
    "leaves": "raise SystemExit(3)",
}
QUIET = 6  # others, that take a moment


@dataclass
class Ran:
    told: dict[int, str]  # number of a job -> what it was told to do
    outcomes: dict[int, list[Outcome]]
    log: list[tuple[float, str, int]]
    left: list[psutil.Process]

    def of(self, told: str) -> Outcome:
        (number,) = [one for one, what in self.told.items() if what == told]
        (outcome,) = self.outcomes[number]
        return outcome


@pytest.fixture(scope="module", params=EACH)
def executor(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def ran(executor: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """All those jobs on two slots, the disturbing ones among quiet ones."""
    folder = tmp_path_factory.mktemp(executor)
    wild = [one for one in TOLD if one not in CANNOT[executor]]
    told = dict(enumerate([*["sleeps"] * (QUIET - 2), *wild, *["sleeps"] * 2]))
    for number, what in told.items():
        (folder / f"{number}.py").write_text(TOLD.get(what, "time.sleep(0.3)"))
    plugin = folder / "scripted.py"
    plugin.write_text(SCRIPTED)
    before, do = set(children()), way._do
    settings = Settings(folder, folder, plugins=(plugin,))
    one = make(executor, settings, SLOTS, None if executor == "inline" else TIMEOUT_S)
    outcomes: dict[int, list[Outcome]] = {}
    try:
        jobs = base_jobs(len(told))
        for job in jobs[:-2]:
            one.submit(job)
        late = jobs[-2:]
        while sum(map(len, outcomes.values())) < len(jobs):
            for job, outcome in one.finished():
                outcomes.setdefault(job.base, []).append(outcome)
            while late:  # more may come at any time
                one.submit(late.pop())
        running = [child for child in children() if child not in before]
    finally:
        one.close()
        way._do = do
        registry.CATALOG.by_name.pop("scripted", None)
    lines = [line.split() for line in (folder / "log").read_text().splitlines()]
    log = [(float(when), what, int(number)) for when, what, number in lines]
    _, left = psutil.wait_procs(running, 20)
    return Ran(told, outcomes, log, [one for one in left if not_multiprocessings_own(one)])


def base_jobs(count: int) -> list[BaseJob]:
    plan = make_plan(toy.suite(bases=count, methods=["l1"]))
    found = {trial.at.base.base: trial.at.base for trial in plan.trials}
    return [found[number] for number in range(count)]


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def not_multiprocessings_own(one: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return "resource_tracker" not in " ".join(one.cmdline())
    return False


def test_every_job_ends_once_and_as_it_was_told(ran: Ran) -> None:
    assert ran.outcomes.keys() == ran.told.keys()
    assert {len(found) for found in ran.outcomes.values()} == {1}
    quiet = [ran.outcomes[number] for number, what in ran.told.items() if what == "sleeps"]
    assert quiet == [[Outcome()]] * QUIET
    assert [what for _, what, number in ran.log if ran.told[number] == "sleeps"].count("ends") == 6


def test_an_exception_is_the_jobs_own_with_its_traceback_and_not_tried_again(ran: Ran) -> None:
    for told, kind, said in (
        ("raises", "ValueError", "my own fault"),
        ("leaves", "SystemExit", ""),
    ):
        why = ran.of(told).failure
        assert why is not None
        assert (why.kind, said in why.message, "in do" in why.traceback) == (kind, True, True)
        (number,) = [one for one, what in ran.told.items() if what == told]
        assert [what for _, what, one in ran.log if one == number] == ["begins", "ends"]


@pytest.mark.parametrize("told", ["exits", "killed"])
def test_a_worker_that_dies_is_a_crash_of_its_one_job(ran: Ran, executor: str, told: str) -> None:
    if told in CANNOT[executor]:
        pytest.skip("one process does not survive its own death")
    why = ran.of(told).failure
    assert why is not None
    assert why.kind == "crashed"
    assert why.message.startswith("its worker died (")
    assert "\n" not in why.message


def test_a_job_that_overruns_is_stopped(ran: Ran, executor: str) -> None:
    if "hangs" in CANNOT[executor]:
        pytest.skip("one process cannot stop itself")
    why = ran.of("hangs").failure
    assert why is not None
    assert (why.kind, why.message) == ("timeout", "stopped after 5 s (--timeout)")


def test_never_more_jobs_run_at_once_than_there_are_slots(ran: Ran, executor: str) -> None:
    slots = 1 if executor == "inline" else SLOTS
    open_, most = set[int](), 0
    for _, what, number in sorted(ran.log):
        # Whoever was killed has not told its end: the others that begin tell of it.
        open_ = {one for one in open_ if ran.told[one] not in ("exits", "killed", "hangs")}
        open_ = open_ | {number} if what == "begins" else open_ - {number}
        most = max(most, len(open_))
    assert 1 <= most <= slots


def test_no_process_is_left(ran: Ran) -> None:
    assert ran.left == []


# --- the command: records, retries, interrupts ----------------------------------------------------

SMALL: dict[str, Any] = {"budgets": {"macs": [0.5]}, "recoveries": ["none"]}
PLUGINS = {  # each tells how often it was tried, in a file of its name
    "dies_once": "if count() == 1: os.kill(os.getpid(), signal.SIGKILL)",
    "dies": "count(); os._exit(5)",
    "hangs": "count(); time.sleep(9999)",
    "raises": "count(); raise RuntimeError('my own fault')",
}


COUNT = """
def count():
    with open(__file__ + ".tries", "a") as tries:
        tries.write("x")
    return len(open(__file__ + ".tries").read())
"""


def counting(folder: Path, names: Iterable[str]) -> Iterator[object]:
    """Options for these plugins."""
    for name in names:
        yield from ("--plugin", path := toy.plugin(folder, name, PLUGINS[name]))
        path.write_text(path.read_text() + COUNT)


@pytest.mark.slow
@pytest.mark.parametrize("executor", APART)
def test_records_are_those_of_one_process_and_only_crashes_are_tried_again(
    session: Path, tmp_path: Path, executor: str
) -> None:
    skip_without(executor)
    quick = ["l1", "random", {"criterion": "l2", "iterative": {"steps": 2}}]
    found = {}
    for name in ("inline", executor):
        folder = tmp_path / name
        folder.mkdir()
        if name == "inline":
            (folder / "dies_once.py.tries").write_text("x")
        wild = ["dies_once"] if name == "inline" else list(PLUGINS)
        suite = toy.write_suite(folder, **SMALL, methods=[*quick, *wild])
        results = toy.prepared(session, folder / "results")
        limits = [] if name == "inline" else ["--timeout", 30]
        more = [*counting(folder, wild), "--results", results, *options(name), *limits]
        done = toy.bench("run", "--allow-untrained", suite, *more)
        assert "Traceback" not in done.stdout + done.stderr
        assert done.returncode == (0 if name == "inline" else 1), done.stdout + done.stderr
        found[name] = {one.labels.method: one for one in toy.records(results)}
        assert toy.left_over(results) == []
    tries = {one: len((tmp_path / executor / f"{one}.py.tries").read_text()) for one in PLUGINS}
    mine = found[executor]
    kinds = {name: one.failure.kind if one.failure else "done" for name, one in mine.items()}
    assert kinds == dict.fromkeys(found["inline"], "done") | {
        "dies": "crashed",
        "hangs": "timeout",
        "raises": "RuntimeError",
    }
    # Scored all together first, where one that dies takes the others with it, and then apart.
    assert tries["raises"] == 1
    assert tries["dies"] >= 3
    for name, record in found["inline"].items():
        assert toy.outcome(mine[name]) == toy.outcome(record)
