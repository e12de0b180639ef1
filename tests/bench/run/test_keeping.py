"""Keeping networks: asked for before or after, it changes no record; what is kept is exported."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import toy
from inline_runs import Silent
from rich.console import Console
from torch import nn

import bench
from bench.command import export
from bench.command.export import show_code, write_export
from bench.errors import BenchError, DataError, ExportError, PlanError
from bench.executors import make_executor
from bench.export.recipe import RECIPE, WEIGHTS, call, keep
from bench.export.runtimes import run_torch
from bench.plan.keeping import asked_for, check_kept, is_kept, keeping
from bench.plan.plan import Plan, make_plan
from bench.run.run import Run
from bench.steps.workspace import Settings
from bench.store.store import Store
from reports.records import Measurements
from reports.seal import seal_json, unseal

pytest.importorskip("safetensors")

FEW = {"methods": ["l1"], "budgets": {"macs": [0.5]}}


def run_again(plan: Plan, asked: str, results: Path) -> dict[str, int]:
    store = Store(results)
    trials = keeping(plan, asked, plan.records(store), store)
    executor = make_executor("inline", Settings(results, results.parent / "data"), 1, None)
    return dict(Run(trials, store, executor, Silent()).to_its_end())


def measured(store: Store, key: str) -> Measurements:
    record = store.record(key)
    assert record is not None
    assert record.measurements is not None
    return record.measurements


@pytest.fixture(scope="module")
def finished(session: Path) -> Path:
    return toy.finished(session)


@pytest.fixture(scope="module")
def made(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished toy run, with two of its trials made again for their networks."""
    results = tmp_path_factory.mktemp("kept") / "results"
    shutil.copytree(finished, results)
    threads = torch.get_num_threads()
    assert run_again(make_plan(toy.suite(**FEW)), "l1", results) == {"done": 2}
    torch.set_num_threads(threads)
    return results


@pytest.fixture
def results(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "results"))


@pytest.fixture
def key(made: Path) -> str:
    return make_plan(toy.suite(**FEW)).trials[0].key


def test_trials_made_again_stay_what_they_were(finished: Path, made: Path) -> None:
    assert toy.outcomes(made) == toy.outcomes(finished)
    plan, store = make_plan(toy.suite()), Store(made)
    kept = [one for one in plan.trials if is_kept(store, one.key)]
    assert {(one.labels.method, one.labels.budget) for one in kept} == {("l1", 0.5)}
    for trial in kept:
        model = bench.load(trial.key[:12], results=made)
        found = sum(one.numel() for one in model.parameters())
        assert found == measured(store, trial.key).params
        recipe = json.loads((store.path("networks", trial.key) / RECIPE).read_text())
        assert recipe["trial"]["key"] == trial.key
        assert list(recipe["kept"]["classifier"]) == ["in"]
        assert recipe["input"]["mean"] == [0.3055]
        assert recipe["input"]["divided_by"] == 240
    few = make_plan(toy.suite(**FEW))
    assert keeping(few, "l1", few.records(store), store) == []


def test_what_a_killed_keep_leaves_is_cleared(tmp_path: Path) -> None:
    killed = """
import os, sys, torch
from bench.export import recipe
recipe._write = lambda *given: os._exit(9)
recipe.keep(recipe.Path(sys.argv[1]), torch.nn.Linear(3, 2), (torch.ones(1, 3),), None, {})
"""
    store = Store(tmp_path)
    command = [sys.executable, "-c", killed, str(store.path("networks", "a" * 64))]
    assert subprocess.run(command, env=toy.environment(), check=False).returncode == 9
    assert toy.left_over(tmp_path)
    with store.lock():
        assert not toy.left_over(tmp_path)


def test_a_fresh_process_says_what_it_can_rebuild(
    results: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    check_kept([key], Store(results), Console(width=400))
    assert "1 pruned network of 1 kept" in capsys.readouterr().out
    (Store(results).path("networks", key) / "check.safetensors").unlink()
    check_kept([key], Store(results), Console(width=400))
    assert "0 pruned networks of 1 kept" in capsys.readouterr().out


def test_what_users_code_prints_is_no_verdict(
    results: Path, key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "from torch import nn\n\nprint('hello')\n\n\ndef make():\n    return nn.Linear(3, 2)\n"
    (results / "printing16.py").write_text(code)
    monkeypatch.chdir(results)
    monkeypatch.syspath_prepend(results)
    store = Store(results)
    folder = store.path("networks", key)
    shutil.rmtree(folder)
    keep(folder, nn.Linear(3, 2), (torch.randn(2, 3),), call("printing16:make"), {})
    check_kept([key], store, Console(width=400))
    assert "1 pruned network of 1 kept" in capsys.readouterr().out


def test_asking_for_networks_changes_no_key() -> None:
    plain, asked = make_plan(toy.suite()), make_plan(toy.suite(keep="networks"))
    assert [one.key for one in plain.trials] == [one.key for one in asked.trials]
    marked = keeping(asked, "", [], Store(Path("none")), asked.trials)
    assert all(vars(one)["keep"] for one in marked)
    assert [one.key for one in marked] == [one.key for one in plain.trials]


def test_the_best_are_known_once_nothing_is_pending(finished: Path) -> None:
    plan, store = make_plan(toy.suite()), Store(finished)
    records = plan.records(store)
    best = keeping(plan, "best", records, store)
    cells = {(one.labels.budget, one.labels.recovery) for one in best}
    assert len(best) == len(cells) == len(asked_for(plan, "best")) == 4
    for one in best:
        rivals = [
            measured(store, each.key).pruned.top1
            for each in records
            if (each.labels.budget, each.labels.recovery)
            == (one.labels.budget, one.labels.recovery)
            and each.labels.matched_to is None
        ]
        assert measured(store, one.key).pruned.top1 == max(rivals)
    assert keeping(plan, "best", records[1:], store, plan.trials[:1]) == [plan.trials[0]]


def test_where_nothing_has_a_result_none_is_the_best(finished: Path) -> None:
    plan, store = make_plan(toy.suite()), Store(finished)
    failed = [
        one.model_copy(update={"status": "infeasible", "measurements": None})
        for one in plan.records(store)
    ]
    assert keeping(plan, "best", failed, store) == []


def test_what_a_fresh_process_cannot_rebuild_is_not_listed(
    results: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(results)
    folder = store.path("networks", key)
    recipe = json.loads(unseal((folder / RECIPE).read_bytes(), RECIPE))
    recipe["constructor"]["call"] = "nowhere16:Net"
    (folder / RECIPE).write_bytes(seal_json(json.dumps(recipe), RECIPE))
    check_kept([key], store, Console(width=400))
    said = capsys.readouterr().out
    assert "No module named 'nowhere16'" in said
    assert "0 pruned networks of 1 kept" in said
    assert "outputs equal" not in said
    assert not is_kept(store, key)


def test_a_damaged_network_is_to_be_made_again(results: Path, key: str) -> None:
    plan, store = make_plan(toy.suite(**FEW)), Store(results)
    (store.path("networks", key) / WEIGHTS).write_bytes(b"torn")
    with pytest.raises(ExportError, match="was damaged or edited"):
        bench.load(key, results=results)
    again = keeping(plan, "all", plan.records(store), store)
    assert [one.key for one in again] == [key]


def test_other_numbers_than_the_records_keep_nothing(results: Path, key: str) -> None:
    plan, store = make_plan(toy.suite(**FEW, recoveries=["none"])), Store(results)
    shutil.rmtree(store.path("networks", key))
    record, before = store.record(key), measured(store, key)
    assert record is not None
    other = before.model_copy(update={"macs": before.macs + 1})
    store.write_record(record.model_copy(update={"measurements": other}))
    statuses = run_again(plan, "all", results)
    assert statuses.pop("done") == 1
    assert "gives other numbers than its record" in next(iter(statuses))
    assert measured(store, key) == other
    assert not is_kept(store, key)


def test_who_is_none_of_the_methods_is_named() -> None:
    with pytest.raises(PlanError, match="there is no method in this suite 'l3'"):
        keeping(make_plan(toy.suite()), "l3", [], Store(Path("none")))


def test_data_that_are_not_known_here_are_told_with_what_helps(
    results: Path, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> None:
        raise DataError("there is no dataset 'shapes'")

    monkeypatch.setattr(export, "load_dataset", unknown)
    with pytest.raises(
        DataError, match=r"not checked: there is no dataset 'shapes'; give --plugin"
    ):
        write_export(Console(quiet=True), key, "safetensors", tmp_path / "out", results, tmp_path)


def test_a_file_has_the_accuracy_of_its_trial(
    results: Path, key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console(width=400)
    write_export(console, key[:10], "torch-export", tmp_path, results, tmp_path)
    said = capsys.readouterr().out
    assert "for batches of any size" in said
    top1 = measured(Store(results), key).pruned.top1
    assert f"{100 * top1:.2f} % top-1 on 60 test samples" in said
    program = torch.export.load(tmp_path / f"{key[:12]}.pt2")
    (logits,) = run_torch(program.module())(torch.zeros(5, 1, 8, 8))
    assert logits.shape == (5, 10)
    write_export(console, key, "safetensors", tmp_path / "out", results, tmp_path)
    assert {"rebuild.py", "vgg.py", RECIPE, WEIGHTS} <= {
        one.name for one in (tmp_path / "out").iterdir()
    }
    capsys.readouterr()
    show_code(key, results)
    assert "rebuild" in compile(capsys.readouterr().out, "rebuild.py", "exec").co_names


def test_another_accuracy_is_told(results: Path, key: str, tmp_path: Path) -> None:
    record, found = Store(results).record(key), measured(Store(results), key)
    assert record is not None
    pruned = found.pruned.model_copy(update={"top1": found.pruned.top1 / 2 + 0.3})
    Store(results).write_record(
        record.model_copy(update={"measurements": found.model_copy(update={"pruned": pruned})})
    )
    with pytest.raises(ExportError, match=r"in its record; use it for nothing"):
        write_export(Console(quiet=True), key, "safetensors", None, results, tmp_path)
    with pytest.raises(BenchError, match=r"there is no format 'onx' \(did you mean onnx\?\)"):
        write_export(Console(quiet=True), key, "onx", None, results, tmp_path)
