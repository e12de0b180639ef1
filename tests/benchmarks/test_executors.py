"""What an executor takes of a job that does nothing: milliseconds a job, once workers are up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import toy

from bench.executors import make_executor
from bench.plan.plan import make_plan
from bench.steps import perform as way
from bench.steps.workspace import Settings

JOBS = 500
NOTHING = """
import bench.steps.perform as way
from criteria import Criterion, register

@register("nothing", cite="nobody", faithful="a test")
class Nothing(Criterion):
    def observe(self, batch): ...

way._do = lambda job, workspace: way.Outcome()
"""


@pytest.mark.parametrize("name", ["inline", "local", "ray", "slurm"])
@pytest.mark.benchmark(group="jobs that do nothing, two workers")
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_overhead_of_a_job(
    name: str, benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in ("ray", "slurm"):
        pytest.importorskip({"slurm": "submitit"}.get(name, name))
    monkeypatch.setattr(way, "_do", way._do)  # which inline replaces in this process
    plugin = tmp_path / "nothing.py"
    plugin.write_text(NOTHING)
    job = make_plan(toy.suite()).trials[0]
    given = ["cluster=local"] if name == "slurm" else []
    settings = Settings(tmp_path, tmp_path, plugins=(plugin,))
    executor = make_executor(name, settings, 2, None, given)

    def do(jobs: int) -> None:
        left, sent = jobs, 0
        while left:
            while sent < jobs and sent - (jobs - left) < 2 * executor.slots:
                executor.submit(job)
                sent += 1
            left -= len(executor.finished())

    try:
        do(20)  # workers come up
        benchmark.pedantic(do, (JOBS,), rounds=3)
    finally:
        executor.close()
    if benchmark.enabled:
        print(f"\n{name}: {1000 * benchmark.stats.stats.min / JOBS:.2f} ms a job")
