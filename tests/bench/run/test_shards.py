"""Machines that share nothing: parts of a plan, and the recipe of docs/suites.md as printed."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import toy

from bench.plan.graph import job_graph
from bench.plan.jobs import BaseJob, DenseJob, EarlyJob, PreparedJob
from bench.plan.plan import Plan, make_plan
from bench.store.store import Store

TRAINED: dict[str, Any] = {
    "methods": [
        "l1",
        {"criterion": "bn_scale", "prepare": {"name": "bn_slimming", "recipe": "tiny"}},
    ],
    "recoveries": ["none", {"rewind": "weights", "to": 1}],
    "recipes": {"tiny": {"epochs": 2, "batch_size": 40, "learning_rate": 0.05}},
    "budgets": {"macs": [0.7, 0.5]},
}
PARTS = 3


def test_part_0_has_a_trial_of_every_base_and_few_more() -> None:
    """Of bases, prepared ones, and those to rewind to: what it leaves is trained by no other."""
    plan = make_plan(toy.suite(**TRAINED, bases=3, repeats=2))

    def trained(part: Plan) -> dict[str, type]:
        jobs = job_graph(part.trials, Store(Path("nowhere"))).jobs
        return {key: type(job) for key, job in jobs.items() if isinstance(job, DenseJob)}

    first = plan.shard(0, PARTS)
    assert trained(first) == trained(plan)
    assert set(trained(first).values()) == {BaseJob, PreparedJob, EarlyJob}
    assert len(first.trials) <= len(trained(plan)) < len(plan.trials)
    parts = [trial.key for part in range(1, PARTS + 1) for trial in plan.shard(part, PARTS).trials]
    assert sorted(parts) == sorted(trial.key for trial in plan.trials)


def recipe() -> tuple[str, str, str]:
    """What is run first, then by each part, and at the end."""
    text = (toy.CHECKOUT / "docs" / "suites.md").read_text()
    section = text.split("## Many machines")[1].split("\n## ")[0]
    blocks = re.findall(r"(?:^ {4}.*\n(?:\n(?= {4}))?)+", section, re.M)
    (found,) = [block for block in blocks if "--shard" in block]
    first, each, last = re.split(r"\n\n", re.sub(r"^ {4}", "", found, flags=re.M).strip())
    return first, each, last


@pytest.mark.slow
def test_the_recipe_of_the_docs_finds_what_one_run_finds(session: Path, tmp_path: Path) -> None:
    suite = toy.write_suite(tmp_path, **TRAINED)
    toy.prepared(session, tmp_path / "results")
    bench = f'bench() {{ {shlex.join(toy.COMMAND)} "$@"; }}'

    def shell(script: str, **more: str) -> str:
        script = script.replace("cifar10", suite.name).replace("/64", f"/{PARTS}")
        script = script.replace("bench run", "bench run --allow-untrained --executor inline")
        done = subprocess.run(
            ["bash", "-e", "-c", f"{bench}\n{script}"],
            cwd=tmp_path,
            env=toy.environment(**more),
            capture_output=True,
            text=True,
            timeout=4 * toy.PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    first, each, last = recipe()
    shell(first)
    bases = sorted(one.name for one in (tmp_path / "results" / "bases").iterdir())
    for part in range(1, PARTS + 1):
        shell(each, SLURM_ARRAY_TASK_ID=str(part))
        mine = tmp_path / f"results-{part}" / "bases"
        assert sorted(one.name for one in mine.iterdir()) == bases
    assert "index.html" in shell(last)
    whole = toy.prepared(session, tmp_path / "whole")
    more = ["--results", whole, "--executor", "inline"]
    done = toy.bench("run", "--allow-untrained", suite, *more)
    assert done.returncode == 0, done.stdout + done.stderr
    assert toy.outcomes(tmp_path / "results") == toy.outcomes(whole)
