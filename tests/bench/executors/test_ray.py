"""The Ray executor: the same records as in one process, lost workers, and Ray missing."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import toy

from bench.errors import BenchError
from bench.executors import make_executor
from bench.plan.plan import make_plan
from bench.steps.workspace import Settings

SMALL: dict[str, Any] = {"methods": ["random", "l1"], "budgets": {"macs": [0.5]}}


def test_ray_missing_is_one_clear_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BenchError, match=r"pip install 'pruning-bench\[ray\]'"):
        make_executor("ray", Settings(tmp_path, tmp_path), 1, None)


@pytest.fixture
def ray() -> Iterator[Any]:
    module = pytest.importorskip("ray")
    yield module
    module.shutdown()


@pytest.mark.usefixtures("ray")
def test_records_are_those_of_the_inline_executor(tmp_path: Path) -> None:
    path = toy.write_suite(tmp_path, **SMALL)
    found = {}
    for name in ("inline", "ray"):
        results = tmp_path / name
        done = toy.bench(
            "run",
            "--allow-untrained",
            path,
            "--results",
            results,
            "--executor",
            name,
            "--workers",
            2,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found[name] = toy.outcomes(results)
    assert found["inline"]
    assert found["ray"] == found["inline"]


def test_a_killed_worker_is_a_crash_of_its_job(
    tmp_path: Path, ray: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(job: object, settings: object) -> None:  # local: sent whole, not by name
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr("bench.executors.ray._perform", die)
    executor = make_executor("ray", Settings(tmp_path, tmp_path), 1, None)
    try:
        job = make_plan(toy.suite(**SMALL)).trials[0]
        executor.submit(job)
        [(ended, outcome)] = executor.finished()
    finally:
        executor.close(kill=True)
    assert ended is job
    assert outcome.failure is not None
    assert outcome.failure.kind == "crashed"
    assert "died" in outcome.failure.message
