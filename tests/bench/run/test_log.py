"""The log of a run: whole lines of plain JSON, whatever happens, also when they cannot be kept."""

from __future__ import annotations

import errno
import io
import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import toy
from rich.console import Console

from bench.executors import make_executor
from bench.plan.jobs import BaseJob, Job
from bench.plan.plan import make_plan
from bench.run.live import Live
from bench.run.log import RunLog
from bench.run.run import Run
from bench.steps.perform import Outcome
from bench.steps.workspace import Settings
from bench.store.sealed import read_json, write_json
from bench.store.store import Store
from reports.records import Failure


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=400)


def events(store: Store) -> list[dict[str, Any]]:
    (file,) = store.root.glob("logs/toy-*.jsonl")
    text = file.read_text("ascii")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def a_job() -> BaseJob:
    job = make_plan(toy.suite()).trials[0].at.base
    assert isinstance(job, BaseJob)
    return job


def test_a_run_tells_of_every_job_and_record(tmp_path: Path, console: Console) -> None:
    store = Store(tmp_path)
    trials = make_plan(toy.suite(methods=["l1"], recoveries=["none"])).trials
    executor = make_executor("inline", Settings(tmp_path, tmp_path), 1, None)
    with RunLog(store, "toy", Live(console)) as log:
        Run(trials, store, executor, log).to_its_end()
    told = events(store)
    counts = Counter(one["event"] for one in told)
    planned = {"bases": 1, "scores": 1, "paths": 1, "trials": 2}
    assert told[0]["jobs"] == planned
    assert counts["job started"] == counts["job ended"] == sum(planned.values())
    assert told[-1] == {"at": told[-1]["at"], "event": "run ended", "how": "finished", "why": ""}
    ended = [one for one in told if one["event"] == "job ended"]
    assert [one["kind"] for one in ended][:3] == ["bases", "scores", "paths"]
    assert all(one["seconds"] > 0 and " on " in one["worker"] for one in ended)
    records = [one for one in told if one["event"] == "record written"]
    assert {one["key"] for one in records} == {one.key for one in trials}
    assert [one["status"] for one in records] == ["done"] * 2
    shown = {one.key: 100 * one.measurements.pruned.top1 for one in toy.records(tmp_path)}  # type: ignore[union-attr]
    assert {one["key"]: one["value"] for one in records} == shown
    assert {(one["method"], one["of"]) for one in records} == {("l1", "test top-1 (%)")}


def test_what_was_set_aside_is_told_with_its_reason(tmp_path: Path, console: Console) -> None:
    store = Store(tmp_path)
    for name in ("old", "new"):
        file = store.path("paths", name, ".json")
        write_json(file, {"budgets": name})
        file.write_text("spoilt")
    assert read_json(store.path("paths", "old", ".json")) is None
    with RunLog(store, "toy", Live(console), earlier=1) as log:
        assert read_json(store.path("paths", "new", ".json")) is None  # or a worker's
        log.job("started", a_job())
        log.job("started", a_job())
    aside, *jobs, _ = events(store)
    assert (aside["event"], aside["file"]) == ("file set aside", "paths/new.json")
    assert aside["why"].endswith("; set aside as damaged/paths-new.json")
    assert len(aside["why"]) > 50
    assert [one["event"] for one in jobs] == ["job started"] * 2


def test_what_a_terminal_would_obey_is_escaped(tmp_path: Path, console: Console) -> None:
    store, job = Store(tmp_path), a_job()
    failure = Failure(kind="ValueError", message="\x1b[31m \udce9 \n [bold]", traceback="")
    with suppress(KeyboardInterrupt), RunLog(store, "toy", Live(console)) as log:
        log.job("started", job)
        log.job("retried", job, Outcome(failure=failure, seconds=1.0, worker="7 on here"))
        raise KeyboardInterrupt
    _, retried, end = events(store)
    assert retried["failure"]["message"] == failure.message
    assert (retried["worker"], retried["key"]) == ("7 on here", job.key)
    assert end["how"] == "KeyboardInterrupt"


def test_a_full_disk_ends_the_log_and_not_the_run(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, job, opened = Store(tmp_path), a_job(), Path.open

    def full(path: Path, *how: Any, **more: Any) -> Any:
        if path.suffix == ".jsonl":
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(path, *how, **more)

    with RunLog(store, "toy", Live(console)) as log:
        log.planned([job], 1)
        monkeypatch.setattr(Path, "open", full)
        log.job("started", job)
        monkeypatch.undo()
        log.job("ended", job, Outcome())
    assert [one["event"] for one in events(store)] == ["jobs planned"]
    assert console.file.getvalue().count("No space left on device") == 1  # type: ignore[attr-defined]


def test_crashes_are_told_and_failures_once(tmp_path: Path, console: Console) -> None:
    """Of a job that is tried again, and of trials that fail with what they stand on."""

    class Crashing:
        slots = 1

        def __init__(self) -> None:
            self._accepted: list[Job] = []

        def submit(self, job: Job) -> None:
            self._accepted.append(job)

        def finished(self) -> list[tuple[Job, Outcome]]:
            failure = Failure(kind="crashed", message="its worker died", traceback="")
            return [(self._accepted.pop(), Outcome(failure=failure))]

        def close(self) -> None: ...

    store = Store(tmp_path)
    with RunLog(store, "toy", Live(console)) as log:
        Run(make_plan(toy.suite(methods=["l1"])).trials, store, Crashing(), log).to_its_end()
    told = Counter(one["event"] for one in events(store))
    assert told["job retried"] == 2
    assert told["record written"] == 4
    assert console.file.getvalue().count("crashed") == 1  # type: ignore[attr-defined]
