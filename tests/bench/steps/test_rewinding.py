"""Rewinding: to what the base really was, by what was left of its training, counted and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from inline_runs import go, measured
from torch import Tensor, nn

from bench.plan.graph import job_graph
from bench.plan.jobs import EarlyJob, TrialJob
from bench.plan.plan import Plan, make_plan
from bench.plan.workload import load_of
from bench.steps import bases, recovery
from bench.steps.workspace import Settings, Workspace
from bench.store.sealed import read_json, write_json
from bench.store.store import Store
from bench.training.optimizer import learning_rate
from criteria.training import Rider
from reports.records import Record
from suites import Recipe
from suites.schema import Suite

EPOCHS, TO, IMAGES = 3, 1, 144
TRAINING = {"epochs": EPOCHS, "batch_size": 40, "learning_rate": 0.05}
WEIGHTS, RATE = {"rewind": "weights", "to": TO}, {"rewind": "learning_rate", "to": TO}


def suite(**changes: Any) -> Suite:
    recipes = {**toy.TOY["recipes"], "base-here": TRAINING}
    return toy.suite(
        **{
            "methods": ["l1"],
            "base_recipe": "base-here",
            "recipes": recipes,
            "budgets": {"macs": [0.5]},
            "recoveries": ["none", {"finetune": "tiny"}, WEIGHTS, RATE],
            **changes,
        }
    )


def trial(plan: Plan, name: str) -> TrialJob:
    (found,) = [one for one in plan.trials if one.labels.recovery == name]
    assert isinstance(found, TrialJob)
    return found


def by_recovery(results: Path) -> dict[str, Record]:
    return {one.labels.recovery: one for one in toy.records(results)}


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {name: one.clone() for name, one in model.state_dict().items()}


class Watching(Rider):
    """Keeps what a network is after each epoch."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Tensor]] = []

    def begin(self, model: nn.Module) -> None:
        self.model = model
        self.seen.append(snapshot(model))

    def after_epoch(self, epoch: int) -> None:
        self.seen.append(snapshot(self.model))


# --- the weights ----------------------------------------------------------------------------------


@pytest.mark.parametrize("to", range(EPOCHS))
def test_early_weights_are_those_that_the_base_had_to_the_last_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: int
) -> None:
    """Watched during the base's own training: weights and statistics, untrained ones at epoch 0."""
    watching, train = Watching(), bases.train

    def watched(model: nn.Module, *rest: Any, **more: Any) -> Any:
        if len(rest) == 3:  # nothing rides: the base's own
            rest = (*rest, watching)
        return train(model, *rest, **more)

    monkeypatch.setattr(bases, "train", watched)
    plan = make_plan(suite(recoveries=[{"rewind": "weights", "to": to}]))
    assert go(tmp_path, plan) == {"done": 1}
    assert len(watching.seen) == 1 + EPOCHS
    job = trial(plan, f"rewind-weights-{to}")
    assert job.early is not None
    workspace = Workspace(Settings(tmp_path, tmp_path))
    early = workspace.early(job.early, workspace.base(job.at.base).data).state_dict()
    assert set(early) == set(watching.seen[to])
    for name, tensor in early.items():
        assert torch.equal(tensor, watching.seen[to][name]), name
    trained = workspace.base(job.at.base).network.model.state_dict()
    assert any(not torch.equal(trained[name], early[name]) for name in early)


@pytest.mark.parametrize("axis", ["macs", "weights"])
def test_what_is_left_begins_as_the_base_was_then_or_as_it_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, axis: str
) -> None:
    """Channels are those of the early base, and single weights its own under the same mask."""
    begun: list[dict[str, Tensor]] = []
    train = recovery.train

    def watched(model: nn.Module, *rest: Any, **more: Any) -> Any:
        begun.append(snapshot(model))
        return train(model, *rest, **more)

    monkeypatch.setattr(recovery, "train", watched)
    plan = make_plan(suite(budgets={axis: [0.5]}, recoveries=[RATE, WEIGHTS]))
    assert go(tmp_path, plan) == {"done": 2}
    workspace = Workspace(Settings(tmp_path, tmp_path))
    job = trial(plan, f"rewind-weights-{TO}")
    base = workspace.base(job.at.base)
    assert job.early is not None
    early = workspace.early(job.early, base.data)
    for began, dense in zip(begun, (base.network.model, early), strict=True):
        of_dense = dense.state_dict()
        assert torch.equal(began["classifier.bias"], of_dense["classifier.bias"])
        for name, tensor in began.items():
            if axis == "weights":
                assert ((tensor == 0) | (tensor == of_dense[name])).all(), name
    masks = [{name: one != 0 for name, one in began.items()} for began in begun]
    if axis == "weights":
        layers = [name for name, one in masks[0].items() if one.dim() > 1]
        assert all(torch.equal(masks[0][name], masks[1][name]) for name in layers)
        assert any(not masks[0][name].all() for name in layers)


def test_a_base_that_took_another_course_is_told(tmp_path: Path) -> None:
    """As one trained on another machine and copied here."""
    plan = make_plan(suite(recoveries=["none"]))
    assert go(tmp_path, plan) == {"done": 1}
    file = Store(tmp_path).path("bases", plan.trials[0].at.base.key, ".json")
    known = read_json(file)
    assert known is not None
    known["history"][0]["train_loss"] += 1e-7
    write_json(file, known)
    assert go(tmp_path, make_plan(suite(recoveries=[RATE, WEIGHTS]))) == {"done": 1, "failed": 1}
    (failure,) = [one.failure for one in toy.records(tmp_path) if one.failure]
    assert "does not come to the same numbers again" in failure.message


# --- the training ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"warmup_epochs": 3, "warmup_factor": 0.1},
        {"schedule": "step", "milestones": [0.5, 0.75]},
        {"schedule": "triangle"},
    ],
)
def test_the_end_of_a_recipe_has_the_rates_that_the_recipe_ends_with(
    changes: dict[str, Any],
) -> None:
    recipe = Recipe(epochs=8, learning_rate=0.1, **changes)
    for to in range(8):
        tail = recipe.rewound(to)
        assert to + tail.epochs == 8
        for left in range(tail.epochs):
            assert learning_rate(tail, left) == learning_rate(recipe, to + left)
    twice = recipe.rewound(2).rewound(3)
    assert twice == recipe.rewound(5)


def test_both_train_as_many_epochs_as_were_left_and_plans_and_records_count_them(
    tmp_path: Path,
) -> None:
    plan = make_plan(suite())
    graph = job_graph(plan.trials, Store(tmp_path))
    early = [one for one in graph.jobs.values() if isinstance(one, EarlyJob)]
    assert [one.epoch for one in early] == [TO]
    load = load_of(early[0])
    assert load is not None
    assert load.trained == TO * IMAGES
    assert go(tmp_path, plan) == {"done": 4}
    records = by_recovery(tmp_path)
    for name in (f"rewind-weights-{TO}", f"rewind-learning-rate-{TO}"):
        got, planned = measured(records[name]), load_of(trial(plan, name))
        assert planned is not None
        assert got.images_trained == planned.trained == (EPOCHS - TO) * IMAGES
        assert len(got.history) == EPOCHS - TO
    found = {measured(one).pruned.loss for one in records.values()}
    assert len(found) == 4
    assert not list((tmp_path / "checkpoints").glob("*"))


def test_rewinding_the_learning_rate_is_finetuning_by_the_end_of_the_base_recipe() -> None:
    """The same trial under two names: one key."""
    tail = {**TRAINING, "epochs": EPOCHS - TO, "from_epoch": TO}
    recipes = {**toy.TOY["recipes"], "base-here": TRAINING, "tail": tail}
    plan = make_plan(suite(recipes=recipes, recoveries=[RATE, {"finetune": "tail"}, WEIGHTS]))
    rate, finetuned, weights = plan.trials
    assert rate.key == finetuned.key != weights.key


def test_a_base_is_rewound_once_for_all(tmp_path: Path) -> None:
    methods = ["l1", "l2", {"criterion": "l1", "iterative": {"steps": 2}}]
    plan = make_plan(suite(methods=methods, budgets={"macs": [0.7, 0.5]}))
    jobs = job_graph(plan.trials, Store(tmp_path)).jobs.values()
    assert sum(isinstance(one, EarlyJob) for one in jobs) == 1


# --- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"recoveries": [{"rewind": "weights", "to": EPOCHS}]}, "has 3 epochs; rewind to an earl"),
        ({"recoveries": [{"rewind": "weights"}]}, "a recovery is none, bn"),
        ({"recoveries": [{"rewind": "momentum", "to": 1}]}, "weights"),
        ({"recoveries": [{**WEIGHTS, "total_epochs": 5}]}, "a recovery is none, bn"),
        ({"recoveries": [{"kind": "rewind"}]}, "a recovery is none, bn"),
        (
            {"models": [{"name": "vgg_small", "checkpoint": "x.pt", "recipe": False}]},
            "are not trained here",
        ),
        (
            {"recipes": {"tiny": TRAINING, "base-here": {
                **TRAINING, "schedule": "constant", "from_epoch": 1}}},
            "a constant rate is the same",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_rewound_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        suite(**changes)
