"""Bases are told before anything is pruned, and those that guess end a run."""

from __future__ import annotations

import io
from collections import defaultdict
from pathlib import Path

import pytest
import toy
from command_line import Command
from command_line import bench as bench  # the fixture
from inline_runs import Silent
from rich.console import Console

from bench.errors import BenchError
from bench.executors import make_executor
from bench.plan.jobs import BaseJob, Job
from bench.plan.plan import make_plan
from bench.run.preflight import Examined, inspect_bases
from bench.run.run import Run
from bench.steps.perform import Outcome
from bench.steps.workspace import Settings
from bench.store.sealed import write_json
from bench.store.store import Store
from suites import Suite

OF = "top-1 on the test split"
SMALL = {"methods": ["l1"], "budgets": {"macs": [0.5]}, "recoveries": ["none"]}


def said(suite: Suite, results: Path, *top1: float, allow: bool = False) -> str:
    """What is said of bases of these accuracies, the first ones of the suite."""
    store = Store(results)
    trials = [one for one in make_plan(suite).trials if one.labels.base < len(top1)]
    bases = {trial.at.base.key: None for trial in trials}
    for key, accuracy in zip(bases, top1, strict=True):
        write_json(store.path("bases", key, ".json"), {"accuracy": {"top1": accuracy}})
    out = Console(file=io.StringIO(), width=1000)
    splits = defaultdict(lambda: Examined(images=360, classes=10))
    inspect_bases(suite, trials, splits, store, out, allow_untrained=allow)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_accuracies_are_a_line_a_problem(tmp_path: Path) -> None:
    suite = toy.suite(**SMALL, bases=3, models=["vgg_small", "resnet20"])
    told = said(suite, tmp_path, 0.961, 0.9576, 0.972, 0.9, 0.91, 0.92)
    assert told.splitlines() == [
        f"vgg_small on digits: 96.1, 95.8, 97.2 % {OF}",
        f"resnet20 on digits: 90.0, 91.0, 92.0 % {OF}",
    ]


def test_bases_without_trials_to_go_are_not_told_of(tmp_path: Path) -> None:
    told = said(toy.suite(**SMALL, bases=3), tmp_path, 0.961, 0.9576)
    assert told.strip() == f"vgg_small on digits: 96.1, 95.8 % {OF}, of the bases with trials to go"


def test_one_base_near_chance_ends_it_unless_allowed(tmp_path: Path) -> None:
    suite = toy.suite(**SMALL, bases=2)
    with pytest.raises(BenchError) as ended:
        said(suite, tmp_path, 0.95, 0.12)
    for part in (
        "vgg_small on digits: 95.0, 12.0 % top-1",
        "10 classes gives 10.0 %",
        str(tmp_path / "bases"),
        "--allow-untrained",
    ):
        assert part in str(ended.value)
    told = said(suite, tmp_path, 0.95, 0.12, allow=True)
    assert "bases near chance, which --allow-untrained lets pass: vgg_small on digits" in told


def test_a_rehearsal_goes_on_and_says_so(tmp_path: Path) -> None:
    told = said(toy.suite(**SMALL, at_scale="smoke"), tmp_path, 0.1)
    assert "bases near chance, which a rehearsal lets pass" in told


def test_networks_that_are_pruned_untrained_are_not_looked_at(tmp_path: Path) -> None:
    suite = toy.suite(
        methods=["l1"],
        budgets={"weights": [0.5]},
        models=[{"name": "vgg_small", "recipe": False}],
        recoveries=[{"finetune": "tiny"}],
    )
    assert said(suite, tmp_path, 0.1) == ""


def test_nothing_is_pruned_before_all_bases_are_inspected(tmp_path: Path) -> None:
    """Kinds of the jobs that an executor is given, with the inspection among them."""
    order: list[str] = []

    class Heard(Silent):
        def job(self, event: str, job: Job, outcome: Outcome | None = None) -> None:
            order.extend([job.kind] * (event == "started"))

    plan = make_plan(toy.suite(**SMALL, bases=3))
    executor = make_executor("inline", Settings(tmp_path, tmp_path), 1, None)
    at, inspect = Store(tmp_path), lambda: order.append("inspected")
    Run(plan.trials, at, executor, Heard(), inspect=inspect).to_its_end()
    assert order[:4] == [BaseJob.kind] * 3 + ["inspected"]
    assert order.count("inspected") == 1
    assert order[-1] == "trials"


@pytest.mark.usefixtures("inkless")
def test_the_command_keeps_the_bases_and_goes_on_when_allowed(
    bench: Command, tmp_path: Path, session: Path
) -> None:
    results = toy.prepared(session, tmp_path / "results")
    given = ("run", toy.write_suite(tmp_path, **SMALL), "--results", results)
    stopped = bench(*given, "--executor", "inline")
    assert stopped.code == 2
    assert stopped.err.count("error:") == 1
    assert toy.count(results) == 0
    kept = sorted((results / "bases").glob("*.pt"))
    assert len(kept) == 1
    before = kept[0].stat().st_mtime_ns
    assert bench(*given, "--executor", "inline").code == 2  # nor the second time
    done = bench(*given, "--executor", "inline", "--allow-untrained")
    assert done.code == 0, done.err
    assert toy.count(results) == 1
    assert kept[0].stat().st_mtime_ns == before
