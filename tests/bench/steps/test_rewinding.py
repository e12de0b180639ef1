"""Rewinding: to what the base really was, by what was left of its training, counted and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from inline_runs import Silent, go, measured
from torch import Tensor, nn

from bench.errors import Interrupted
from bench.executors import make_executor
from bench.plan.graph import job_graph
from bench.plan.jobs import EarlyJob, TrialJob
from bench.plan.plan import Plan, make_plan
from bench.plan.workload import load_of, own_epochs
from bench.pruning.masks import check_held
from bench.pruning.network import Schedule
from bench.run.run import Run
from bench.steps import bases
from bench.steps import workspace as workspace_module
from bench.steps.paths import load_masks, path_file
from bench.steps.procedures import load_training
from bench.steps.workspace import Settings, Workspace
from bench.store import weights as checkpoints
from bench.store.sealed import read_json, write_json
from bench.store.store import Store
from bench.training.optimizer import learning_rate
from criteria.training import Rider
from reports.records import Record
from suites import Recipe
from suites.method import MethodSpec
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
        if "until" not in more:  # the base's own
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
    train = workspace_module.train

    def watched(model: nn.Module, *rest: Any, **more: Any) -> Any:
        begun.append(snapshot(model))
        return train(model, *rest, **more)

    monkeypatch.setattr(workspace_module, "train", watched)
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


def test_what_a_total_leaves_of_an_end_of_a_training_is_the_end_of_it(tmp_path: Path) -> None:
    """One epoch on the way leaves the last one of two, at the rate that the base had in it."""
    recipes = {**toy.TOY["recipes"], "base-here": TRAINING, "way": {**TRAINING, "epochs": 1}}
    recipes["last"] = {**TRAINING, "epochs": 1, "from_epoch": 2}
    way = {"criterion": "l1", "as": "x", "iterative": {"steps": 1, "recover": "way"}}
    recoveries = [{**RATE, "total_epochs": 2}, {"finetune": "last"}]
    plan = make_plan(suite(methods=["l1", way], recipes=recipes, recoveries=recoveries))
    assert go(tmp_path, plan) == {"done": 4}
    records, total = toy.records(tmp_path), "rewind-learning-rate-1-2"
    found = {(one.labels.method, one.labels.recovery): measured(one) for one in records}
    whole, last = found["x", total], found["x", "finetune-last"]
    assert (whole.history, whole.pruned) == (last.history, last.pruned)
    assert len(found["l1", total].history) == 2


def test_a_base_is_rewound_once_for_all(tmp_path: Path) -> None:
    methods = ["l1", "l2", {"criterion": "l1", "iterative": {"steps": 2}}]
    plan = make_plan(suite(methods=methods, budgets={"macs": [0.7, 0.5]}))
    jobs = job_graph(plan.trials, Store(tmp_path)).jobs.values()
    assert sum(isinstance(one, EarlyJob) for one in jobs) == 1


# --- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"recoveries": [{"rewind": "weights", "to": EPOCHS}]}, "here for 3 epochs, by base"),
        ({"recoveries": [{"rewind": "weights"}]}, "a recovery is none, bn"),
        ({"recoveries": [{"rewind": "momentum", "to": 1}]}, "weights"),
        ({"recoveries": [{**WEIGHTS, "total_epochs": 5}]}, "a recovery is none, bn"),
        ({"recoveries": [{**RATE, "total_epochs": 3}]}, "has 2 of its 3 epochs"),
        ({"recoveries": [{"kind": "rewind"}]}, "a recovery is none, bn"),
        (
            {"methods": ["l1", {"criterion": "l1", "as": "x", "iterative": {
                "steps": 2, "rewind": {"what": "weights", "to": EPOCHS}}}]},
            "method x: iterative.rewind.to = 3: the bases of vgg_small",
        ),
        (
            {"methods": ["l1", {"criterion": "l1", "as": "x", "iterative": {
                "steps": 2, "recover": "tiny", "rewind": {"what": "weights", "to": 1}}}]},
            "give one",
        ),
        (
            {"methods": ["l1", {"criterion": "l1", "as": "x", "iterative": {
                "steps": 2, "recover_at": "budgets"}}]},
            "give recover or rewind",
        ),
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


# --- on the way -----------------------------------------------------------------------------------


def rewound(what: str, **more: Any) -> dict[str, Any]:
    steps = {"steps": 2, "schedule": "geometric", "rewind": {"what": what, "to": TO}}
    return {"criterion": "l1", "iterative": {**steps, **more}, "as": f"imp-{what}"}


def recovered(**more: Any) -> dict[str, Any]:
    iterative = {"steps": 2, "schedule": "geometric", "recover": "tiny", **more}
    return {"criterion": "l1", "iterative": iterative, "as": "recovered"}


def on_the_way(axis: str, **changes: Any) -> Plan:
    methods = ["l1", rewound("weights"), rewound("learning_rate"), recovered()]
    budgets = {axis: [0.64, 0.4096]}  # stops at 0.64 and 0.4096: each step leaves 64 %
    given = {"methods": methods, "budgets": budgets, "recoveries": ["none"], **changes}
    return make_plan(suite(**given))


AXES = ["weights", "macs"]


@pytest.fixture(scope="module", params=AXES)
def axis(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, axis: str) -> Path:
    folder = tmp_path_factory.mktemp(f"way-{axis}")
    assert go(folder, on_the_way(axis)) == {"done": 8}
    return folder


def test_every_step_trains_for_the_whole_end_and_all_of_it_counts(results: Path) -> None:
    epochs = {"imp-weights": EPOCHS - TO, "imp-learning_rate": EPOCHS - TO, "recovered": 1}
    for one in toy.records(results):
        steps = {0.64: 1, 0.4096: 2}[one.labels.budget or 0]
        images = steps * epochs.get(one.labels.method, 0) * IMAGES
        assert measured(one).phases == ({"procedure": images} if images else {})
    losses = {
        (one.labels.method, one.labels.budget): measured(one).pruned.loss
        for one in toy.records(results)
    }
    assert len(set(losses.values())) == 8


def test_the_plan_counts_what_the_records_hold(results: Path, axis: str) -> None:
    plan = on_the_way(axis)
    for trial in plan.trials:
        assert isinstance(trial, TrialJob)
        record = Store(results).record(trial.key)
        assert record is not None
        images = measured(record).phases.get("procedure", 0)
        assert own_epochs(trial.path, trial.budget) * IMAGES == images
    paths = {one.path.key: one.path for one in plan.trials if isinstance(one, TrialJob)}
    trained = [load.trained for one in paths.values() if (load := load_of(one)) is not None]
    assert sorted(trained) == [0, 2 * IMAGES, 2 * 2 * IMAGES, 2 * 2 * IMAGES]


def test_trained_weights_are_held_at_zero_and_those_that_stay_move(tmp_path: Path) -> None:
    plan = on_the_way("weights", methods=["l1", rewound("weights")])
    assert go(tmp_path, plan) == {"done": 4}
    workspace = Workspace(Settings(tmp_path, tmp_path))
    (job,) = {one.path.key: one.path for one in plan.trials if one.labels.method != "l1"}.values()
    base = workspace.base(job.at.base)
    for budget in job.budgets:
        masks = load_masks(workspace, job, base, budget)
        sha256 = path_file(workspace, job)["training"][str(budget)]["sha256"]
        found = load_training(job, workspace, base, budget, sha256).model
        check_held(found, masks)
        for layer, mask in masks.items():
            weight = found.get_submodule(layer).get_parameter("weight").flatten()
            assert weight[mask].count_nonzero() == mask.sum()
            before = base.network.model.get_submodule(layer).get_parameter("weight").flatten()
            assert not torch.equal(weight[mask], before[mask])


def test_each_step_begins_at_the_early_weights_and_scores_the_trained_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: early weights under each mask are what is trained, and the next mask is of the
    smallest weights that came out."""
    begun: list[dict[str, Tensor]] = []
    ended: list[dict[str, Tensor]] = []
    train = workspace_module.train

    def watched(model: nn.Module, *rest: Any, **more: Any) -> Any:
        begun.append(snapshot(model))
        found = train(model, *rest, **more)
        ended.append(snapshot(model))
        return found

    monkeypatch.setattr(workspace_module, "train", watched)
    plan = on_the_way("weights", methods=["l1", rewound("weights")])
    assert go(tmp_path, plan) == {"done": 4}
    workspace = Workspace(Settings(tmp_path, tmp_path))
    (job,) = {one.path.key: one.path for one in plan.trials if one.labels.method != "l1"}.values()
    base = workspace.base(job.at.base)
    assert job.rewound is not None
    early = workspace.early(job.rewound, base.data).state_dict()
    trained = [base.network.model.state_dict(), ended[0]]
    for budget, scored, began in zip(job.budgets, trained, begun, strict=True):
        masks = load_masks(workspace, job, base, budget)
        for name, tensor in began.items():
            layer = name.removesuffix(".weight")
            mask = masks[layer].reshape(tensor.shape) if layer in masks else None
            expected = early[name] if mask is None else early[name] * mask
            assert torch.equal(tensor, expected), name
        sizes = torch.cat([scored[f"{layer}.weight"].abs().flatten() for layer in masks])
        kept = torch.cat(list(masks.values()))
        assert sizes[kept].min() >= sizes[~kept].max()


class Killed(Interrupted):
    """As a machine dies: nobody catches it."""


class Dying(Rider):
    def __init__(self, rider: Rider) -> None:
        self.rider = rider

    def after_step(self, step: int) -> None:
        self.rider.after_step(step)
        if step == 2:
            raise Killed


def test_a_path_killed_in_its_second_training_ends_bit_equal(
    results: Path, axis: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_S", 0.0)
    plan = on_the_way(axis).only(["imp-weights"])
    trained, calls = workspace_module.train, []

    def dying(*arguments: Any, **more: Any) -> Any:
        calls.append(1)
        *rest, rider = arguments
        return trained(*rest, Dying(rider) if len(calls) == 2 else rider, **more)

    monkeypatch.setattr(workspace_module, "train", dying)
    store = Store(tmp_path)
    executor = make_executor("inline", Settings(tmp_path, tmp_path), 1, None)
    with pytest.raises(Killed):
        Run(plan.pending(plan.records(store)), store, executor, Silent()).to_its_end()
    monkeypatch.setattr(workspace_module, "train", trained)
    names = sorted(one.stem[65:] for one in (tmp_path / "checkpoints").glob("*.pt"))
    assert names == ["step0", "step0-part", "step1-part"]
    assert go(tmp_path, plan) == {"done": 2}
    whole = {key: one for key, one in toy.outcomes(results).items() if key in _keys(plan)}
    assert toy.outcomes(tmp_path) == whole


def _keys(plan: Plan) -> set[str]:
    return {trial.key for trial in plan.trials}


def test_steps_of_a_fifth_are_the_budgets_of_lottery_tickets() -> None:
    """Ten of the preset's steps lead to 0.8^10, and budgets that are among them add none."""
    imp = MethodSpec.model_validate("imp")
    assert imp.iterative is not None
    stops = Schedule(imp.iterative.steps, imp.iterative.schedule).stops([0.8, 0.512, 0.8**10])
    assert stops == pytest.approx([0.8**step for step in range(1, 11)])
