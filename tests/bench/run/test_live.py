"""Progress of a run on a terminal of 80 columns, by what its log says."""

from __future__ import annotations

import io
from datetime import datetime
from typing import Any

import pytest
from rich.console import Console

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


def test_what_is_planned_later_counts_as_well(live: Live) -> None:
    for _ in range(2):
        live.take(told(1, "jobs planned", slots=2, jobs={"scores": 1}))
    live.take(job(3, "ended", "a", failure=None) | {"kind": "scores"})
    assert any("1/2" in line for line in drawn(live))
