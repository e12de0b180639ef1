"""`bench status --watch`: a run is followed by its log, and what is no run is told."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import toy
from command_line import Command
from command_line import bench as bench  # the fixture

from bench.command import watch
from bench.store.store import Store

STARTED = {"event": "run started", "suite": "toy", "process": os.getpid(), "host": platform.node()}
ENDED = {"event": "run ended", "how": "finished", "why": ""}
JOB = {"kind": "bases", "key": "a", "name": "base 0 of vgg_small"}
FAILURE = {"kind": "ValueError", "message": "no images", "infeasible": False}


@pytest.fixture
def run() -> Iterator[ExitStack]:
    """Ended by a test, or after it."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def results(tmp_path: Path, run: ExitStack) -> Path:
    """Of a run that this process does."""
    folder = tmp_path / "results"
    run.enter_context(Store(folder).lock())
    write(folder, STARTED, {"event": "jobs planned", "slots": 1, "jobs": {"bases": 1}})
    return folder


def write(results: Path, *events: object, name: str = "toy-20261129T120000Z") -> None:
    log = results / "logs" / f"{name}.jsonl"
    log.parent.mkdir(exist_ok=True)
    with log.open("a") as file:
        for one in events:
            told = {"at": "2026-11-29T12:00:00.000+00:00", **one} if isinstance(one, dict) else one
            file.write(json.dumps(told) + "\n")


def test_what_happens_while_it_is_watched_is_told(
    bench: Command, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = JOB | {"event": "job ended", "failure": FAILURE}
    rest = iter([JOB | {"event": "job started"}, ended, ENDED])

    def sleep(seconds: float) -> None:
        write(results, next(rest))

    monkeypatch.setattr(watch.time, "sleep", sleep)
    done = bench("status", "--watch", "--results", results)
    assert (done.code, done.err) == (0, "")
    *lines, end = done.out.splitlines()
    assert [json.loads(line)["event"] for line in lines] == [
        *("run started", "jobs planned", "job started", "job ended", "run ended")
    ]
    assert end == "ended: finished"


def test_a_run_that_is_killed_while_it_is_watched(
    bench: Command, results: Path, run: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch.time, "sleep", lambda seconds: run.close())
    done = bench("status", "--watch", "--results", results)
    assert f"{os.getpid()} on {platform.node()} is gone" in done.out


def test_no_run_is_no_fault_and_an_older_log_is_none(
    bench: Command, results: Path, run: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(results / "logs" / "toy-20261129T120000Z.jsonl", (0, 0))
    waited = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        run.close()

    monkeypatch.setattr(watch.time, "sleep", sleep)
    for place in (results, results / "nowhere"):
        assert "No run is under way" in bench("status", "--watch", "--results", place).out
    assert len(waited) == 1
    assert not (results / "nowhere").exists()


def test_another_suite_and_damage_are_told(bench: Command, results: Path) -> None:
    done = bench("status", "mine", "--watch", "--results", results)
    assert (done.code, done.out) == (2, "")
    assert "another: toy" in done.err
    done = bench("status", "toy", "--watch", "--results", results, "--set", "bases=3")
    assert (done.code, done.out) == (2, "")
    assert "nothing else" in done.err
    write(results, ["no event"])
    done = bench("status", "--watch", "--results", results)
    assert done.code == 74
    assert "is damaged" in done.err


def test_a_program_reads_whole_lines_and_a_file_stands_for_its_suite(
    bench: Command, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    write(results, JOB | {"event": "job started", "name": "a name of [many] words " * 9}, ENDED)
    file = toy.write_suite(tmp_path)
    done = bench("status", file, "--watch", "--results", results)
    assert (done.code, done.err) == (0, "")
    log = next(results.glob("logs/*")).read_text()
    assert done.out == f"{log}ended: finished\n"


def test_an_interrupt_ends_the_watching_alone(
    bench: Command, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    assert bench("status", "--watch", "--results", results).code == 0
    assert Store(results).holder() == f"{os.getpid()} on {platform.node()}"
