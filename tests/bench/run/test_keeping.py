"""Keeping networks: asked for before or after, it changes no record."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import toy
from rich.console import Console

import bench
from bench.errors import ExportError, PlanError
from bench.executors import make_executor
from bench.export.recipe import RECIPE, WEIGHTS
from bench.plan.keeping import is_kept, keeping
from bench.plan.plan import Plan, make_plan
from bench.run.live import Live
from bench.run.run import run
from bench.steps.workspace import Settings
from bench.store.store import Store

pytest.importorskip("safetensors")


@pytest.fixture
def results(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a finished toy run."""
    done = toy.finished(tmp_path_factory.getbasetemp() / "toy")
    return Path(shutil.copytree(done, tmp_path / "results"))


def run_again(plan: Plan, asked: str, results: Path) -> dict[str, int]:
    store = Store(results)
    trials = keeping(plan, asked, plan.records(store), store)
    executor = make_executor("inline", Settings(results, results.parent / "data"), 1, None)
    with Live(Console(quiet=True), len(trials), 1) as live:
        return dict(run(trials, store, executor, live))


def test_trials_that_are_done_are_made_again_and_stay_what_they_were(results: Path) -> None:
    plan, store, before = make_plan(toy.suite()), Store(results), toy.outcomes(results)
    assert run_again(plan, "l1", results) == {"done": 4}
    assert toy.outcomes(results) == before
    kept = [one for one in plan.trials if is_kept(store, one.key)]
    assert {one.labels.method for one in kept} == {"l1"}
    for trial in kept:
        record = store.record(trial.key)
        assert record is not None
        model = bench.load(trial.key[:12], results=results)
        assert sum(one.numel() for one in model.parameters()) == record.measurements.params
        recipe = json.loads((store.network(trial.key) / RECIPE).read_text())
        assert recipe["trial"]["key"] == trial.key
        assert list(recipe["kept"]["classifier"]) == ["in"]
    assert keeping(plan, "l1", plan.records(store), store) == []


def test_asking_for_networks_changes_no_key() -> None:
    plain, asked = make_plan(toy.suite()), make_plan(toy.suite(keep="networks"))
    assert [one.key for one in plain.trials] == [one.key for one in asked.trials]
    marked = keeping(asked, "", [], Store(Path("none")), asked.trials)
    assert all(one.keep for one in marked)
    assert [one.key for one in marked] == [one.key for one in plain.trials]


def test_the_best_are_known_once_nothing_is_pending(results: Path) -> None:
    plan, store = make_plan(toy.suite()), Store(results)
    records = plan.records(store)
    best = keeping(plan, "best", records, store)
    cells = {(one.labels.budget, one.labels.recovery) for one in best}
    assert len(best) == len(cells) == 4
    for one in best:
        rivals = [
            each.measurements.pruned.top1
            for each in records
            if (each.labels.budget, each.labels.recovery)
            == (one.labels.budget, one.labels.recovery)
            and each.labels.matched_to is None
        ]
        assert store.record(one.key).measurements.pruned.top1 == max(rivals)
    assert keeping(plan, "best", records[1:], store, plan.trials[:1]) == [plan.trials[0]]


def test_a_damaged_network_is_made_again(results: Path) -> None:
    plan, store = make_plan(toy.suite(methods=["l1"])), Store(results)
    run_again(plan, "all", results)
    (store.network(plan.trials[0].key) / WEIGHTS).write_bytes(b"torn")
    with pytest.raises(ExportError, match="was damaged or edited"):
        bench.load(plan.trials[0].key, results=results)
    again = keeping(plan, "all", plan.records(store), store)
    assert [one.key for one in again] == [plan.trials[0].key]


def test_other_numbers_than_the_records_keep_nothing(results: Path) -> None:
    plan, store = make_plan(toy.suite(methods=["l1"])), Store(results)
    record = store.record(plan.trials[0].key)
    found = record.measurements.model_copy(update={"macs": record.measurements.macs + 1})
    store.write_record(record.model_copy(update={"measurements": found}))
    statuses = run_again(plan, "all", results)
    assert statuses["done"] == 4
    assert [one for one in statuses if "gives other numbers than its record" in one]
    assert store.record(record.key).measurements == found
    assert not is_kept(store, record.key)


def test_who_is_none_of_the_methods_is_named() -> None:
    plan = make_plan(toy.suite())
    with pytest.raises(PlanError, match="there is no method in this suite 'l3'"):
        keeping(plan, "l3", [], Store(Path("none")))
