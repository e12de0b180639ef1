"""Suites of N:M patterns: exact in every block of every layer, from the file to the record."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from inline_runs import go, measured
from torch import Tensor, nn

from bench.plan.plan import make_plan
from bench.pruning.masks import input_blocks, mask_blocks, masked, pack, weight_groups
from bench.run.preflight import preflight
from bench.steps import timing
from bench.steps.paths import load_masks
from bench.steps.workspace import Settings, Workspace
from bench.store.sealed import write_arrays
from bench.store.store import Store

SUITE: dict[str, Any] = {
    "methods": [
        {"criterion": "l1", "as": "l1"},
        {"criterion": "l1", "scope": "2:4", "as": "l1-2of4"},
        {"criterion": "taylor", "scope": "4:8", "as": "taylor-4of8"},
        {
            "criterion": "taylor",
            "scope": "2:4",
            "iterative": {"steps": 2},
            "matched": ["l1"],
            "as": "steps",
        },
    ],
    "budgets": {"weights": [0.5]},
    "measure": {},
}


def test_patterns_are_exact_and_layers_that_are_no_multiple_whole(tmp_path: Path) -> None:
    plan = make_plan(toy.suite(**SUITE))
    preflight(plan.trials, Settings(tmp_path, tmp_path))
    assert go(tmp_path, plan) == {"done": 5 * 2}
    whole = {"features.0"}  # digits have one channel
    for one in toy.records(tmp_path):
        got = measured(one)
        if one.labels.method == "l1":
            continue
        for name, (kept, dense) in got.weights.items():
            assert kept == (dense if name in whole else dense // 2)
        gone = sum(dense - kept for kept, dense in got.weights.values())
        assert got.dense_params - got.params == gone
        assert got.latency == [], "no CPU has kernels for it"
    workspace = Workspace(Settings(tmp_path, tmp_path))
    for path in {one.path.key: one.path for one in plan.trials}.values():
        name = next(one.labels.method for one in plan.trials if one.path is path)
        base = workspace.base(path.at.base)
        for layer, mask in load_masks(workspace, path, base, 0.5).items():
            blocks = input_blocks(
                base.network.model.get_submodule(layer), 8 if name == "taylor-4of8" else 4
            )
            counts = set(mask[blocks].sum(1).tolist())
            if name != "l1":
                assert counts <= {blocks.shape[1] // 2}
            elif len(blocks) > 100:
                assert len(counts) > 1, "a ranking has no pattern"


def test_a_mask_that_breaks_its_pattern_fails_its_trial(tmp_path: Path) -> None:
    few = {"methods": SUITE["methods"][1:2], "analysis": {"control": "l1-2of4"}}
    plan = make_plan(toy.suite(**SUITE | few, recoveries=["none"]))
    assert go(tmp_path, plan) == {"done": 1}
    store, (trial,) = Store(tmp_path), plan.trials
    workspace = Workspace(Settings(tmp_path, tmp_path))
    masks = load_masks(workspace, trial.path, workspace.base(trial.path.at.base), 0.5)
    mask = masks["classifier"].reshape(-1, 4)
    mask[0], mask[1] = True, False  # as many as before
    file = store.path("paths", trial.path.key, ".npz")
    write_arrays(file, {"0.5": pack(masks)})
    store.record_path(trial.key).unlink()
    assert go(tmp_path, plan) == {"failed": 1}
    record = store.record(trial.key)
    assert record is not None
    assert record.failure is not None
    assert "others than 2 of every 4" in record.failure.message


def test_linear_layers_that_fit_the_kernels_are_packed_in_two_of_four(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernels' own packing needs a GPU; what it is given does not."""
    packed: list[tuple[int, ...]] = []

    def packing(weight: Tensor) -> Tensor:
        assert (weight.reshape(-1, 4).count_nonzero(1) <= 2).all()
        packed.append(tuple(weight.shape))
        return weight

    monkeypatch.setattr(timing, "to_sparse_semi_structured", packing)
    sides = (128, 64, 96, 64, 10)
    model = nn.Sequential(*(nn.Linear(*each) for each in pairwise(sides)))
    groups = weight_groups(model, (torch.zeros(1, 128),))
    scores = [torch.rand(one.units) for one in groups]
    timing.semi_structured(masked(model, mask_blocks(model, groups, scores, 0.5, "2:4")))
    assert packed == [(64, 128)]
