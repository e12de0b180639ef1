"""Progress of a run on a terminal of 80 columns, by what its log says."""

from __future__ import annotations

import io
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import toy
from rich.console import Console
from rich.text import Text

from bench.run.live import Live

LONG = "resnet20 on mnist5k · inverse-taylor · 70 % · finetune-quick, and more words than fit"


def told(second: int, event: str, **what: Any) -> dict[str, Any]:
    return {"at": f"2026-11-29T12:00:{second:02d}+00:00", "event": event, **what}


def job(second: int, event: str, key: str, **what: Any) -> dict[str, Any]:
    return told(second, f"job {event}", kind="trials", key=key, name=f"trial {key}", **what)


def record(second: int, failure: dict[str, Any] | None = None) -> dict[str, Any]:
    status = "failed" if failure else "done"
    return told(second, "record written", key="k", name=LONG, status=status, failure=failure)


FAILURE = {"kind": "ValueError", "message": "no \x1b[31mscore", "infeasible": False}


@pytest.fixture
def live() -> Live:
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    made = Live(console)
    made.take(told(0, "jobs planned", slots=2, jobs={"bases": 1, "trials": 1248}))
    return made


def drawn(live: Live) -> list[str]:
    with live.console.capture() as lines:
        live.console.print(live.get_renderable())
    return lines.get().splitlines()


def test_bars_keep_their_place_whatever_runs(live: Live) -> None:
    live.take(job(1, "started", "a") | {"name": LONG})
    _, bases, trials, now = drawn(live)
    assert bases.count("━") == trials.count("━") == 30
    assert "0/1248" in trials
    assert "inverse-taylor" in now
    assert "…" in now


def test_what_waits_for_a_worker_does_not_run_yet(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in "abc":
        live.take(job(1, "started", key))
    assert "trial c" not in str(drawn(live))
    live.take(job(9, "ended", "a", failure=None))
    live.take(record(9))
    monkeypatch.setattr(live, "get_time", datetime.fromisoformat(told(10, "")["at"]).timestamp)
    rows = drawn(live)
    for row, since in zip((one for one in rows if " trial " in one), (9, 1), strict=True):
        assert f"0:00:0{since} trial " in row
    assert "0:00:10, 0 trials failed" in rows[0]


def test_a_reason_is_told_once(live: Live) -> None:
    for second in range(20):
        live.take(record(second, FAILURE if second % 2 else None))
    assert isinstance(live.console.file, io.StringIO)
    assert live.console.file.getvalue().count("ValueError") == 1
    assert "10 trials failed" in drawn(live)[0]


def test_means_of_methods_are_of_trials_that_are_done(live: Live) -> None:
    for method, value in (("l1", 90.0), ("taylor", 70.0), ("l1", 91.0), ("taylor", None)):
        live.take(record(1) | {"method": method, "value": value, "of": "test top-1 (%)"})
    *_, head, l1, taylor = (Text.from_ansi(line).plain for line in drawn(live))
    assert head.split() == ["method", "done", "mean", "test", "top-1", "(%)"]
    assert l1.split() == ["l1", "2", "90.50"]
    assert taylor.split() == ["taylor", "1", "70.00"]


def test_what_is_no_terminal_gets_lines_at_tenths_and_half_minutes() -> None:
    live = Live(Console(file=io.StringIO(), width=200))
    live.take(told(0, "jobs planned", slots=2, jobs={"bases": 1, "trials": 99}))
    live.take(job(1, "ended", "b", failure=None) | {"kind": "bases"})
    for second in range(1, 60):
        live.take(job(second, "ended", f"{second}", failure=None))
    assert isinstance(live.console.file, io.StringIO)
    first, *lines = live.console.file.getvalue().splitlines()
    assert first == "0:00:00, 0 trials failed; bases 0/1, trials 0/99"
    starts = [line.partition(",")[0] for line in lines]
    assert starts == ["0:00:09", "0:00:19", "0:00:29", "0:00:39", "0:00:49", "0:00:59"]
    assert "; bases 1/1, trials 59/99; 0:00:" in lines[-1]
    assert lines[-1].endswith(" left")


def test_half_a_minute_is_told_also_where_little_is_done() -> None:
    live = Live(Console(file=io.StringIO(), width=200))
    live.take(told(0, "jobs planned", slots=2, jobs={"trials": 10_000}))
    for second in (20, 40, 59):
        live.take(job(second, "ended", f"{second}", failure=None))
    assert isinstance(live.console.file, io.StringIO)
    lines = live.console.file.getvalue().splitlines()
    assert [line[:7] for line in lines] == ["0:00:00", "0:00:40"]


def test_half_a_minute_is_told_also_where_nothing_ends() -> None:
    live = Live(Console(file=io.StringIO(), width=200))
    live.take(told(0, "jobs planned", slots=2, jobs={"trials": 9}))  # long ago
    with live:
        for _ in range(5):
            live.refresh()  # as a thread does, ten times a second
    assert isinstance(live.console.file, io.StringIO)
    first, second = live.console.file.getvalue().rstrip().splitlines()
    assert first.endswith("trials 0/9")
    assert second.endswith("trials 0/9")


def test_the_command_tells_a_pipe_how_far_it_is(session: Path, tmp_path: Path) -> None:
    results = toy.prepared(session, tmp_path / "results")
    suite = toy.write_suite(tmp_path, methods=["l1"], recoveries=["none"])
    given = ("--results", results, "--executor", "inline")
    done = toy.bench("run", "--allow-untrained", suite, *given)
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"^0:.*, 0 trials failed; .*$", done.stdout, re.MULTILINE)
    assert "; bases 0/1, paths 0/1, scores 0/1, trials 0/2" in lines[0]
    assert any("; bases 1/1, paths 0/1, scores 0/1" in line for line in lines)
    assert "; bases 1/1, paths 1/1, scores 1/1, trials 2/2" in lines[-1]
    assert 3 <= len(lines) <= 11


def test_what_is_planned_later_counts_as_well(live: Live) -> None:
    for _ in range(2):
        live.take(told(1, "jobs planned", slots=2, jobs={"scores": 1}))
    live.take(job(3, "ended", "a", failure=None) | {"kind": "scores"})
    assert any("1/2" in line for line in drawn(live))
