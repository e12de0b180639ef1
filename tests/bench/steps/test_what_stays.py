"""Records tell which units stayed, and where scores ranked none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import toy
from inline_runs import go, measured

from bench.plan.plan import make_plan
from bench.store.store import Store
from reports.records import Measurements

UNTRAINED = {"name": "vgg_small", "recipe": False}  # all scales of its norms are 1

# Other numbers in the same order in every layer.
TWIN = {"criterion": "l1", "options": {"normalizer": "mean"}, "as": "twin"}


def found(folder: Path, methods: list[Any], **changes: Any) -> dict[str, Measurements]:
    """What each method left of an untrained network."""
    suite = toy.suite(
        **{
            "models": [UNTRAINED],
            "methods": methods,
            "analysis": {"control": "l1"},
            "budgets": {"channels": [0.5]},
            "bases": 1,
            "recipes": {"tiny": {"epochs": 1, "batch_size": 40, "learning_rate": 0.05}},
            "recoveries": [{"finetune": "tiny"}],
            **changes,
        }
    )
    plan = make_plan(suite)
    assert set(go(folder, plan)) == {"done"}
    return {one.labels.method: measured(one) for one in plan.records(Store(folder))}


@pytest.mark.parametrize("steps", [1, 2])
def test_groups_that_a_criterion_does_not_rank_are_named(tmp_path: Path, steps: int) -> None:
    plain = {"criterion": "bn_scale", "as": "bn", "matched": ["l1"]}
    stepwise = plain | {"iterative": {"steps": steps}} if steps > 1 else plain
    one = found(tmp_path, ["l1", stepwise])
    assert one["l1"].constant == one["l1~bn"].constant == []
    assert one["bn"].constant == list(one["bn"].widths)  # all of them


def test_what_stayed_has_a_digest_that_only_the_units_decide(tmp_path: Path) -> None:
    one = found(tmp_path, ["l1", TWIN, "random", "l2"], selection={"scope": "local"})
    digests = {name: measurements.kept_sha256 for name, measurements in one.items()}
    assert len(digests["l1"]) == 64
    assert digests["twin"] == digests["l1"]
    assert len({digests[name] for name in ("l1", "random", "l2")}) == 3
    assert {measurements.classes for measurements in one.values()} == {10}


def test_so_have_masks(tmp_path: Path) -> None:
    changes = {"budgets": {"weights": [0.5]}, "selection": {"scope": "local"}}
    one = found(tmp_path, ["l1", TWIN, "random"], **changes)
    digests = {name: measurements.kept_sha256 for name, measurements in one.items()}
    assert digests["twin"] == digests["l1"] != digests["random"]
