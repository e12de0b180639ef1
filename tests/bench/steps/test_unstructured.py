"""Suites that prune single weights, or channels by number: from the file to the record."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy
from command_line import Command
from command_line import bench as bench  # the fixture
from inline_runs import go, measured
from rich.console import Console

from bench.command import planning
from bench.errors import StoreError
from bench.plan.plan import Plan, make_plan
from bench.plan.workload import Throughput
from bench.pruning.selection import InfeasibleBudget
from bench.run.preflight import preflight
from bench.steps.paths import load_masks
from bench.steps.workspace import Settings, Workspace
from bench.store.sealed import write_arrays
from bench.store.store import Store
from reports.records import Measurements

METHODS: list[Any] = [
    "random",
    {"criterion": "l1", "matched": ["random"]},
    {"criterion": "l1", "scope": "local", "as": "l1-local"},
    {"criterion": "taylor", "iterative": {"steps": 2, "schedule": "geometric"}},
]
WEIGHTS: dict[str, Any] = {"methods": METHODS, "budgets": {"weights": [0.5, 0.1]}}


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(toy.suite(**WEIGHTS))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, plan: Plan) -> Path:
    folder = tmp_path_factory.mktemp("masks")
    assert go(folder, plan) == {"done": 5 * 2 * 2}
    return folder


def test_every_trial_keeps_exactly_its_share_and_counts_it(results: Path, plan: Plan) -> None:
    workspace = Workspace(Settings(results, results))
    base = workspace.base(plan.trials[0].path.at.base)
    layers = {
        name: module.weight.numel()
        for name, module in base.network.model.named_modules()
        if type(module).__name__ in ("Conv2d", "Linear")
    }
    for one in toy.records(results):
        got = measured(one)
        assert {name: dense for name, (_, dense) in got.weights.items()} == layers
        kept = sum(one for one, _ in got.weights.values())
        assert kept == round(one.labels.budget * sum(layers.values()))
        assert got.dense_params - got.params == sum(layers.values()) - kept
        assert got.macs < got.dense_macs
        assert got.latency == []
        assert got.torch_pruning_macs is None
        for name, (left, dense) in got.weights.items():
            biases = 10 if name == "classifier" else 0  # parameters too, and never masked
            assert got.layer_sparsity[name] == (dense - left) / (dense + biases)


def test_local_keeps_the_share_in_every_layer_and_a_control_its_methods_counts(
    results: Path,
) -> None:
    by_method: dict[tuple[str, float], Measurements] = {}
    for one in toy.records(results):
        by_method[one.labels.method, one.labels.budget] = measured(one)
    for budget in (0.5, 0.1):
        for left, dense in by_method["l1-local", budget].weights.values():
            assert abs(left - budget * dense) <= 1
        assert by_method["l1", budget].weights == by_method["random~l1", budget].weights
        assert by_method["l1", budget].weights != by_method["l1-local", budget].weights


def test_masks_of_an_iterative_path_are_nested(results: Path, plan: Plan) -> None:
    workspace = Workspace(Settings(results, results))
    path = next(one.path for one in plan.trials if one.labels.method == "taylor-2")
    base = workspace.base(path.at.base)
    many, few = (load_masks(workspace, path, base, budget) for budget in (0.5, 0.1))
    assert all((~many[name] <= ~few[name]).all() for name in many)


@pytest.fixture
def mine(results: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to be spoilt."""
    return Path(shutil.copytree(results, tmp_path / "mine"))


def test_what_was_lost_is_made_again_to_the_last_bit(mine: Path, plan: Plan) -> None:
    """Half of the records, all masks and all scores are gone: the rest of the run restores them."""
    before = toy.outcomes(mine)
    for record in sorted((mine / "records").glob("*.json"))[::2]:
        record.unlink()
    for lost in (*(mine / "paths").iterdir(), *(mine / "scores").iterdir()):
        lost.unlink()
    assert go(mine, plan) == {"done": 10}
    assert toy.outcomes(mine) == before


def test_masks_that_were_spoilt_are_told(mine: Path, plan: Plan) -> None:
    workspace, path = Workspace(Settings(mine, mine)), plan.trials[0].path
    file = workspace.store.path("paths", path.key, ".npz")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(StoreError, match=r"set aside.*run the same command again"):
        load_masks(workspace, path, workspace.base(path.at.base), 0.5)
    assert (mine / "damaged" / f"paths-{path.key}.npz").exists()


def test_a_mask_of_another_count_fails_its_trial(mine: Path, plan: Plan) -> None:
    store = Store(mine)
    trial = next(one for one in plan.trials if one.labels.method == "l1-local")
    file = store.path("paths", trial.path.key, ".npz")
    with np.load(file) as stored:
        bits = {name: stored[name] for name in stored.files}
    bits[str(trial.budget)] &= 0x7F  # every eighth weight is masked too
    write_arrays(file, bits)
    store.record_path(trial.key).unlink()
    assert go(mine, plan) == {"failed": 1}
    record = store.record(trial.key)
    assert record is not None
    assert record.failure is not None
    assert record.failure.kind == "ArithmeticError"
    assert "the mask keeps" in record.failure.message


def test_a_share_that_leaves_no_weight_is_refused_before_anything_runs(tmp_path: Path) -> None:
    tiny = make_plan(toy.suite(budgets={"weights": [0.5, 1e-9]}))
    with pytest.raises(InfeasibleBudget, match=r"budgets\.weights: 1e-09 of \d+ weights is none"):
        preflight(tiny.trials, Settings(tmp_path, tmp_path))


def test_channels_by_number(tmp_path: Path) -> None:
    plan = make_plan(
        toy.suite(
            methods=["l1", {"criterion": "random", "iterative": {"steps": 4}}],
            budgets={"channels": [0.75, 0.5]},
            recoveries=["none"],
        )
    )
    preflight(plan.trials, Settings(tmp_path, tmp_path))
    assert go(tmp_path, plan) == {"done": 4}
    for one in toy.records(tmp_path):
        got = measured(one)
        kept, dense = (sum(column) for column in zip(*got.widths.values(), strict=True))
        assert kept == round(one.labels.budget * dense)
        assert got.weights == {}
        assert got.macs < got.dense_macs


def test_channels_out_of_reach_are_refused_before_anything_runs(tmp_path: Path) -> None:
    plan = make_plan(toy.suite(budgets={"channels": [0.05]}))
    with pytest.raises(InfeasibleBudget, match=r"budgets\.channels: 0\.05 is out of reach"):
        preflight(plan.trials, Settings(tmp_path, tmp_path))


def test_a_plan_speaks_of_what_leaves(tmp_path: Path, plan: Plan) -> None:
    console = Console(record=True, width=120)
    planning.show_plan(console, plan, Store(tmp_path), 2, Throughput())
    text = console.export_text()
    assert "choices of weights" in text
    assert "masked and measured" in text


@pytest.mark.usefixtures("inkless")
def test_by_the_command(bench: Command, session: Path, tmp_path: Path) -> None:
    results = toy.prepared(session, tmp_path / "results")
    suite = toy.write_suite(tmp_path, "masks", methods=["l1"], budgets={"weights": [0.2]})
    done = bench("run", "--allow-untrained", suite, "--results", results, "--executor", "inline")
    assert done.code == 0, done.out + done.err
    assert sorted(one.status for one in toy.records(results)) == ["done", "done"]
    assert toy.trial_runs(results) == sorted(toy.outcomes(results))
    page = (results / "reports" / "masks" / "index.html").read_text()
    assert "Accuracy at 20 % of weights" in page.replace("\u00a0", " ")
    assert "no latency is measured" in page
