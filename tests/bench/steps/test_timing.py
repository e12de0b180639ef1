"""Latency, from the widths of a path to the record: once for equal shapes, whatever interrupts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import toy
from inline_runs import go, measured
from torch import Tensor, nn

from bench.deployed import runtimes
from bench.deployed import timing as clock
from bench.errors import ExportError, Interrupted
from bench.plan.jobs import PathJob
from bench.plan.plan import Plan, make_plan
from bench.pruning import latency as latency_budget
from bench.pruning.cost import count_params
from bench.pruning.selection import InfeasibleBudget
from bench.steps import paths, timing, trial
from bench.steps.workspace import Base, Workspace
from bench.store.provenance import machine
from bench.store.store import Store
from reports.records import Latency
from suites.problem import ModelSpec
from suites.protocol import Deployment


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Parameters of every network that was timed; what is found is the share of them that is left,
    so that who has whose latency shows."""
    networks: list[int] = []

    def compare(
        dense: nn.Module, pruned: nn.Module, image: Tensor, deployment: Deployment
    ) -> dict[str, Any]:
        assert image.shape == (1, 1, 8, 8)
        networks.append(count_params(pruned))
        kept = networks[-1] / count_params(dense)
        found = Latency(batch_size=64, dense_ms=1, pruned_ms=kept, ratios=[kept], aa_ratio=1)
        return found.model_dump()

    monkeypatch.setattr(timing, "compared", compare)
    return networks


def make(**changes: Any) -> Plan:
    """Two methods that prune every layer alike, and one that chooses widths; on two bases."""
    methods = [
        {"criterion": "l1", "scope": "local"},
        {"criterion": "l2", "scope": "local"},
        "random",
    ]
    given = {"methods": methods, "bases": 2, "measure": {"batch": [64]}, "recoveries": ["none"]}
    return make_plan(toy.suite(**given | changes))


def widths(results: Path) -> dict[tuple[Any, ...], set[float]]:
    """Widths -> the latencies found of them."""
    found: dict[tuple[Any, ...], set[float]] = {}
    for one in toy.records(results):
        (latency,) = measured(one).latency
        found.setdefault(tuple(sorted(measured(one).widths.items())), set()).add(latency.ratio)
    return found


def test_equal_shapes_are_timed_once_over_methods_and_bases(
    tmp_path: Path, timed: list[int]
) -> None:
    assert go(tmp_path, make()) == {"done": 3 * 2 * 2}
    found = widths(tmp_path)
    assert len(timed) == len(found) == 2 + 2 * 2  # local: one a budget; random: one a base too
    assert {len(latencies) for latencies in found.values()} == {1}
    for one in toy.records(tmp_path):
        got = measured(one)
        assert got.latency[0].ratio == got.params / got.dense_params  # its own shape's


def test_what_was_timed_is_not_timed_again_unless_the_machine_is_another(
    tmp_path: Path, timed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make()
    go(tmp_path, plan)
    shapes, keys = len(timed), toy.outcomes(tmp_path).keys()

    def again() -> int:
        for record in (tmp_path / "records").iterdir():
            record.unlink()
        go(tmp_path, plan)
        assert toy.outcomes(tmp_path).keys() == keys
        return len(timed)

    assert again() == shapes
    elsewhere = {**machine("cpu"), "cpu": "another"}
    monkeypatch.setattr(timing, "machine", lambda device: elsewhere)
    assert again() == 2 * shapes


def test_a_run_that_was_stopped_while_timing_goes_on_where_it_was(
    tmp_path: Path, timed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = timing.compared

    def stopped(*networks: Any) -> Any:
        if len(timed) == 3:
            raise Interrupted
        return whole(*networks)

    with monkeypatch.context() as patch:
        patch.setattr(timing, "compared", stopped)
        with pytest.raises(Interrupted):
            go(tmp_path, make())
    assert toy.count(tmp_path) == 0
    assert go(tmp_path, make()) == {"done": 12}
    assert len(timed) == 6
    assert sorted(set(timed)) == sorted(timed)


def test_a_timing_that_was_spoilt_is_made_anew(tmp_path: Path, timed: list[int]) -> None:
    go(tmp_path, make())
    before = len(timed)
    for record in (tmp_path / "records").iterdir():
        record.unlink()
    spoilt = next(one for one in (tmp_path / "timings").iterdir() if '"shape"' in one.read_text())
    spoilt.write_text(spoilt.read_text().replace("ratios", "Ratios"))
    assert go(tmp_path, make()) == {"done": 12}
    assert len(timed) == before + 1
    assert any(spoilt.name in line for line in Store(tmp_path).set_aside_so_far())


def test_a_budget_out_of_reach_is_not_timed_and_costs_no_other_its_latency(
    tmp_path: Path, timed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    load: Callable[[Workspace, PathJob, Base, float], Any] = paths.load_removed

    def some(workspace: Workspace, job: PathJob, base: Base, budget: float) -> Any:
        if budget == 0.5:
            return InfeasibleBudget("out of reach")
        return load(workspace, job, base, budget)

    monkeypatch.setattr(timing, "load_removed", some)
    monkeypatch.setattr(trial, "load_removed", some)
    assert go(tmp_path, make(methods=["l1"], bases=1)) == {"done": 1, "infeasible": 1}
    assert len(timed) == 1


def test_a_suite_without_latency_and_one_of_masks_time_nothing(
    tmp_path: Path, timed: list[int]
) -> None:
    small = {"methods": ["l1"], "bases": 1}
    assert go(tmp_path, make(**small, measure={"deployed": []})) == {"done": 2}
    assert go(tmp_path, make(**small, budgets={"weights": [0.5]})) == {"done": 1}
    assert timed == []
    assert all(measured(one).latency == [] for one in toy.records(tmp_path))


def test_every_deployment_is_measured_and_what_cannot_be_is_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise ExportError("no such graph")

    monkeypatch.setattr(runtimes, "to_onnx", refuse)
    monkeypatch.setattr(clock, "PATIENCE", 1)
    measure = {"deployed": ["eager", "onnxruntime"], "batch": [1, 4]}
    given = {"methods": ["l1"], "bases": 1, "budgets": {"macs": [0.5]}}
    assert go(tmp_path, make(**given, measure=measure)) == {"done": 1}
    for one in toy.records(tmp_path):
        found = measured(one)
        assert [one.batch_size for one in found.latency] == [1, 4]
        assert found.timed == found.latency[1]
        assert set(found.undeployed.values()) == {"no such graph"}
        assert "onnxruntime, batch 4, 1 thread" in found.undeployed
        assert len(found.undeployed) == 2
        for latency in found.latency:
            assert len(latency.ratios) == 9
            low, high = latency.interval
            assert 0 < low <= latency.ratio <= high
            assert latency.percentiles_ms == tuple(sorted(latency.percentiles_ms or ()))
            kept, dense = latency.file_bytes
            assert 0 < (kept or 0) < (dense or 0)


def test_a_budget_of_latency_is_in_the_record_with_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine whose time is parameters."""

    def compare(dense: int, pruned: int, copy: int, deployment: Deployment) -> Latency:
        ratio = pruned / dense
        return Latency(batch_size=4, dense_ms=1, pruned_ms=ratio, ratios=[ratio], aa_ratio=1)

    fake = {
        "load": lambda model, *_, copies=1: [count_params(model)] * copies,
        "load_each": lambda layers, *_: layers,
        "fastest": lambda layers, _: [float(count_params(one)) for one in layers],
        "compare_latency": compare,
    }
    for name, function in fake.items():
        monkeypatch.setattr(latency_budget, name, function)
    given = {"methods": ["l1", {"criterion": "taylor", "matched": ["l1"]}], "bases": 1}
    given |= {"selection": {"tolerance": 0.2}, "budgets": {"latency": [0.8, 0.6]}}
    plan = make(**given, measure={"deployed": [], "batch": [4]})
    path = plan.trials[0].path
    assert path.alone
    assert "deployment" in path.identity
    assert "deployment" not in make(**given | {"budgets": {"macs": [0.6]}}).trials[0].path.identity
    assert go(tmp_path, plan) == {"done": 6}
    for one in toy.records(tmp_path):
        found = measured(one)
        assert found.budget_check is not None
        assert found.budget_check.asked == one.labels.budget
        assert abs(found.budget_check.off) <= 0.05 or one.labels.matched_to
        assert found.timed == found.budget_check.latency
        assert found.latency == []
    assert len(list((tmp_path / "tables").iterdir())) == 1


def test_a_budget_of_memory_is_in_the_record_in_bytes(tmp_path: Path) -> None:
    plan = make(methods=["l1"], bases=1, budgets={"memory": [0.7]}, measure={"deployed": []})
    assert go(tmp_path, plan) == {"done": 1}
    (record,) = toy.records(tmp_path)
    kept, dense = measured(record).memory or (0, 1)
    assert 0.6 <= kept / dense <= 0.7


def test_a_network_of_other_code_is_timed_anew() -> None:
    def shape(code: str | None) -> dict[str, Any]:
        path = SimpleNamespace(at=SimpleNamespace(base=SimpleNamespace(model=model, code=code)))
        network = SimpleNamespace(inputs=(torch.zeros(2, 1, 8, 8),))
        base = SimpleNamespace(data=SimpleNamespace(classes=10), network=network)
        at = SimpleNamespace(device_name="cpu")
        return timing._shape(path, base, at, Deployment())  # type: ignore[arg-type]

    model = ModelSpec(name="resnet20")
    assert shape("a") != shape("b")
    assert "code" not in shape(None)
